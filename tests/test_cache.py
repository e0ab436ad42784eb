"""Artefacts are built once, whole, and for one recipe only."""

import json
import subprocess
import sys
import threading
import time

import pytest
import torch
from safetensors.torch import save_file

from xmkd_lib import cache
from xmkd_lib.errors import UserError


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("XMKD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def note(calls, content="made"):
    def build(folder):
        calls.append(folder)
        (folder / "content").write_text(content)

    return build


def test_what_is_there_is_not_built_again(root):
    calls = []
    folder = cache.artefact("things", {"b": 1, "a": [2, None]}, note(calls))
    assert cache.artefact("things", {"a": [2, None], "b": 1}, note(calls)) == folder
    assert len(calls) == 1
    assert folder.parent == root / "things"
    assert (folder / "content").read_text() == "made"
    recipe = json.loads((folder / "recipe.json").read_text())
    assert recipe == {"a": [2, None], "b": 1, "code": cache.source_digest()}


def test_other_recipes_kinds_and_code_are_other_artefacts(monkeypatch):
    calls = []
    folders = {
        cache.artefact("things", {"a": 1}, note(calls)),
        cache.artefact("things", {"a": 2}, note(calls)),
        cache.artefact("others", {"a": 1}, note(calls)),
    }
    monkeypatch.setattr(cache, "source_digest", lambda: "other code")
    folders.add(cache.artefact("things", {"a": 1}, note(calls)))
    assert len(folders) == len(calls) == 4


def test_a_tuple_in_a_recipe_is_a_list():
    calls = []
    first = cache.artefact("things", {"range": (0, 25)}, note(calls))
    assert cache.artefact("things", {"range": [0, 25]}, note(calls)) == first
    assert len(calls) == 1


def test_threads_build_once():
    calls, found = [], []

    def slow(folder):
        calls.append(folder)
        time.sleep(0.2)
        (folder / "content").write_text("made")

    threads = [
        threading.Thread(target=lambda: found.append(cache.artefact("things", {"a": 1}, slow))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert len(set(found)) == 1
    assert len(found) == 3


def test_processes_build_once(root, tmp_path):
    program = f"""
import sys, time
from pathlib import Path
from xmkd_lib.cache import artefact
def build(folder):
    with open({str(tmp_path / "builds")!r}, "a") as file:
        file.write("built ")
    time.sleep(0.3)
    (folder / "content").write_text("made")
print(artefact("things", {{"a": 1}}, build))
"""
    running = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    folders = {process.communicate(timeout=120)[0].strip() for process in running}
    assert [process.returncode for process in running] == [0, 0]
    assert (tmp_path / "builds").read_text() == "built "
    assert len(folders) == 1


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_build_that_dies_leaves_nothing_but_what_the_next_resumes_from(root, error):
    def die(folder):
        (folder / "content").write_text("half")
        (folder / cache.CHECKPOINTS).mkdir()
        (folder / cache.CHECKPOINTS / "training").write_text("epoch 3")
        raise error("died")

    def resume(folder):
        assert (folder / cache.CHECKPOINTS / "training").read_text() == "epoch 3"
        (folder / "content").write_text("whole")

    with pytest.raises(error, match="died"):
        cache.artefact("things", {"a": 1}, die)
    assert not list(root.rglob("recipe.json"))
    other = cache.artefact("things", {"a": 2}, note([]))
    assert sorted(path.name for path in other.iterdir()) == ["content", "recipe.json"]
    folder = cache.artefact("things", {"a": 1}, resume)
    assert sorted(path.name for path in folder.iterdir()) == ["content", "recipe.json"]
    assert (folder / "content").read_text() == "whole"
    assert not list(root.rglob("*.part"))


def test_a_tampered_recipe_is_refused():
    folder = cache.artefact("things", {"a": 1}, note([]))
    (folder / "recipe.json").write_text('{"a": 2}')
    with pytest.raises(UserError, match=r"another recipe\. Delete"):
        cache.artefact("things", {"a": 1}, note([]))
    (folder / "recipe.json").unlink()
    with pytest.raises(UserError, match=r"recipe\.json"):
        cache.artefact("things", {"a": 1}, note([]))


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XMKD_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError, match=r"file/cache/things: cannot be written.*XMKD_CACHE"):
        cache.artefact("things", {"a": 1}, note([]))


def test_the_root_is_the_variable_s_then_the_clone_s_then_the_home_s(tmp_path, monkeypatch):
    monkeypatch.setenv("XMKD_CACHE", "~/somewhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.cache_root() == tmp_path / "somewhere"
    monkeypatch.delenv("XMKD_CACHE")
    monkeypatch.setattr(cache, "PACKAGE", tmp_path / "clone" / "xmkd_lib")
    assert cache.cache_root() == tmp_path / ".cache" / "xmkd"
    (tmp_path / "clone").mkdir()
    (tmp_path / "clone" / "pyproject.toml").touch()
    assert cache.cache_root() == tmp_path / "clone" / "data" / "cache"


def test_the_digest_is_of_the_content():
    assert cache.digest({"a": 1, "b": 2}) == cache.digest({"b": 2, "a": 1})
    assert cache.digest({"a": 1}) != cache.digest({"a": 1.5})
    assert len(cache.digest([])) == 16


def test_code_that_changes_changes_the_source_digest(tmp_path, monkeypatch):
    (tmp_path / "a.py").write_text("x = 1")
    monkeypatch.setattr(cache, "PACKAGE", tmp_path)
    digest = cache.source_digest.__wrapped__
    before = digest()
    assert digest() == before
    (tmp_path / "a.py").write_text("x = 2")
    changed = digest()
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    assert len({before, changed, digest()}) == 3


def test_code_that_only_looks_on_is_left_out_of_the_source_digest(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "PACKAGE", tmp_path)
    digest = cache.source_digest.__wrapped__

    def change(name):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        with (tmp_path / name).open("a") as file:
            file.write("x = 1")
        return digest()

    before = change("training.py")
    looking_on = ("sweep/table.py", "plots/theme.py", "widgets/__init__.py", "cli.py", "doctor.py", "__main__.py")
    assert {change(name) for name in looking_on} == {before}
    computing = ("training.py", "losses/l2.py", "losses/plots.py", "data/cli.py")  # rooms, not any file of that name
    assert len({before, *(change(name) for name in computing)}) == 1 + len(computing)


def test_no_number_depends_on_code_that_only_looks_on():
    rooms = {name.removesuffix(".py") for name in cache.ONLOOKERS}
    for path in cache.PACKAGE.rglob("*.py"):
        if path.relative_to(cache.PACKAGE).parts[0] not in cache.ONLOOKERS:
            assert not [name for name in rooms if f"xmkd_lib.{name}" in path.read_text()], path


def test_tensors_that_cannot_be_read_are_named(tmp_path):
    path = tmp_path / "t.safetensors"
    save_file({"x": torch.arange(3.0)}, path)
    assert torch.equal(cache.read_tensors(path)["x"], torch.arange(3.0))
    path.write_bytes(path.read_bytes()[:-4])
    for broken in (path, tmp_path / "missing.safetensors"):
        with pytest.raises(UserError, match=f"{broken.name}.*Delete"):
            cache.read_tensors(broken)
