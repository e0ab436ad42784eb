"""What every test gets: a cache of its own and one thread, so that numbers do not depend on the machine's cores."""

import csv
import signal
from pathlib import Path

import pytest
import torch
from PIL import Image


@pytest.fixture(scope="session", autouse=True)
def _own_cache_and_one_thread(tmp_path_factory):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XMKD_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_reaches_what_tests_start():
    """A shell that starts pytest in the background has it ignore Ctrl-C, and so all that tests start and interrupt."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The repository's root."""
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def tiny_emoji(tmp_path_factory) -> Path:
    """A data folder with a made-up `emoji` of 3 classes of 10 concepts, for tests that read only."""
    return write_emoji(tmp_path_factory.mktemp("data"), concepts=10)


@pytest.fixture(scope="session")
def small_emoji(tmp_path_factory) -> Path:
    """The same with 20 concepts a class: two of each for validation, as an EER needs."""
    return write_emoji(tmp_path_factory.mktemp("data"), concepts=20)


def write_emoji(root: Path, concepts: int) -> Path:
    """Concept c of class k is drawn all in (80 k + 80 c / concepts, 10, 100 style); the last has no third style."""
    kinds, styles = ("animals", "plants", "tools"), ("emojione2", "noto2018", "notoblob2017")
    rows = []
    for s, style in enumerate(styles):
        (root / "emoji" / "images" / style).mkdir(parents=True)
        for k, kind in enumerate(kinds):
            for c in range(concepts if s < 2 else concepts - 1):
                code = f"1f{k}0{c}"
                path, colour = f"images/{style}/{code}.png", (80 * k + 80 // concepts * c, 10, 100 * s)
                Image.new("RGB", (64, 64), colour).save(root / "emoji" / path)
                text = f"{('furry', 'leafy', 'metal')[k]} thing number{c}"
                rows.append((path, style, code, f"{kind} {c}", k, kind, "test", f"{kind} {text}", text))
    header = ["path", "style", "codepoint", "name", "label", "class_name", "split", "text", "text_without_label_words"]
    with (root / "emoji" / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return root
