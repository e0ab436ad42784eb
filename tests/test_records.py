"""Results on disk."""

import json
import os

import pytest

from xmkd_lib import records
from xmkd_lib.errors import UserError
from xmkd_lib.records import Result, check_writable, read_json, write_atomically


def result(**changed):
    content = {
        "settings": {"method": "none", "dataset_params": {"snr": [0, 20]}},
        "metrics": {"test_eer": 0.1 + 0.2, "best_epoch": 3},
        "curves": {"epoch": [1.0, 2.0], "loss_ce": [1e-300, 2.5]},
        "timings": {"seconds": 1.5},
        "environment": {"torch": "2"},
    }
    return Result(**{**content, **changed})


def test_round_trip_is_exact(tmp_path):
    path = result().save(tmp_path / "deep" / "result.json")
    assert Result.load(path) == result()
    assert Result.load(str(path)).metrics["test_eer"] == 0.30000000000000004


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("field", ["metrics", "timings", "curves"])
def test_numbers_that_are_not_finite_are_refused(tmp_path, field, value):
    with pytest.raises(ValueError, match="not finite: odd"):
        result(**{field: {"fine": [1.0], "odd": [1.0, value]} if field == "curves" else {"fine": 1.0, "odd": value}})
    content = json.loads(result().model_dump_json())
    content[field]["odd"] = [value] if field == "curves" else value
    (tmp_path / "result.json").write_text(json.dumps(content))  # as NaN and Infinity, which Python's json reads
    with pytest.raises(UserError, match=r"result\.json.*not finite: odd"):
        Result.load(tmp_path / "result.json")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text[: len(text) // 2], "no valid JSON"),
        (lambda text: "", "no valid JSON"),
        (lambda text: "[]", "not a valid result"),
        (lambda text: "{}", "metrics: Field required"),
        (lambda text: text.replace('"schema_version": 1', '"schema_version": 2'), "result schema 2"),
        (lambda text: text.replace('"timings"', '"timing"'), "timing"),
        (lambda text: text.replace("0.30000000000000004", "null"), "metrics.test_eer"),
        (lambda text: text.encode()[:-1] + b"\xff", "no valid JSON"),
    ],
)
def test_files_that_are_no_results_are_named(tmp_path, change, words):
    path = result().save(tmp_path / "result.json")
    changed = change(path.read_text())
    path.write_bytes(changed if isinstance(changed, bytes) else changed.encode())
    with pytest.raises(UserError, match=r"result\.json") as error:
        Result.load(path)
    assert words in str(error.value)
    assert "Delete it" in str(error.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UserError, match=r"missing\.json: no such file"):
        read_json(tmp_path / "missing.json")
    with pytest.raises(UserError, match=f"{tmp_path.name}: cannot be read"):
        read_json(tmp_path)


def test_writing_replaces_the_whole_file(tmp_path):
    path = tmp_path / "file.txt"
    write_atomically(path, "a longer first content")
    assert write_atomically(path, "zweiter, kürzer") == path
    assert path.read_text(encoding="utf-8") == "zweiter, kürzer"
    write_atomically(str(path), b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert path.stat().st_mode & 0o777 == 0o644
    assert os.listdir(tmp_path) == ["file.txt"]


@pytest.mark.parametrize("step", ["replace", "chmod"])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch, step, error):
    path = write_atomically(tmp_path / "file.txt", "old")

    def fail(*_args):
        raise error("disk full")

    monkeypatch.setattr(records.os, step, fail)
    with pytest.raises(error, match="disk full"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_content_is_on_the_disk_before_it_gets_the_name(tmp_path, monkeypatch):
    steps, fsync, replace = [], os.fsync, os.replace

    def note_fsync(handle):
        steps.append(("fsync", os.fstat(handle).st_size))
        fsync(handle)

    def note_replace(*paths):
        steps.append(("replace", os.path.getsize(paths[0])))
        replace(*paths)

    monkeypatch.setattr(records.os, "fsync", note_fsync)
    monkeypatch.setattr(records.os, "replace", note_replace)
    write_atomically(tmp_path / "file.txt", "content")
    write_atomically(tmp_path / "file.txt", "brief", durable=False)
    assert steps == [("fsync", 7), ("replace", 7), ("replace", 5)]


def test_a_folder_is_tried_by_writing(tmp_path):
    check_writable(tmp_path / "new" / "run")
    assert os.listdir(tmp_path / "new" / "run") == []
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", str(tmp_path / "file" / "run")):
        with pytest.raises(UserError, match=r"file.*: cannot be written \(.+\)"):
            check_writable(folder)


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(30, "Read-only file system")])
def test_a_folder_that_is_there_but_takes_nothing_is_named(tmp_path, monkeypatch, error):
    def refuse(**_where):
        raise error

    monkeypatch.setattr(records.tempfile, "TemporaryFile", refuse)
    with pytest.raises(UserError, match=f"{tmp_path.name}: cannot be written .{error.strerror}.*another folder"):
        check_writable(tmp_path)


def test_what_is_no_content_leaves_nothing(tmp_path):
    with pytest.raises(TypeError):
        write_atomically(tmp_path / "file.txt", {"no": "text"})
    assert os.listdir(tmp_path) == []


def test_the_environment_names_versions_and_device(monkeypatch):
    found = records.environment("cpu")
    assert found["device"] == "cpu"
    assert {"python", "system", "torch", "numpy", "accelerate", "torchaudio", "xmkd"} <= set(found)
    assert all(isinstance(value, str) and value for value in found.values())

    def missing(name):
        raise records.PackageNotFoundError(name)

    monkeypatch.setattr(records, "version", missing)
    assert records.environment("cpu")["torch"] == "not installed"
