"""The data set `digits`, on a small made-up copy of the real folders, and on the real ones where they are."""

import gzip
import os
import re
import shutil
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from xmkd_lib import data
from xmkd_lib.data import sources
from xmkd_lib.data.digits import read_idx
from xmkd_lib.errors import UserError

RATE = 8000
SPEAKERS = ["ann", "bob", "cid", "dot", "eve", "fay"]
TAKES = 2
IMAGES = 60  # per digit, two thirds of them train
README = Path(__file__).parents[2] / "data" / "README.md"


def write_idx(path, values):
    header = struct.pack(f">4B{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    path.write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes(), mtime=0))


def write_fsdd(folder):
    (folder / "recordings").mkdir(parents=True)
    rows = []
    for s, speaker in enumerate(SPEAKERS):
        for digit in range(10):
            for take in range(TAKES):
                path, samples = f"recordings/{digit}_{speaker}_{take}.wav", 2000 + 800 * s
                tone = 0.5 * np.sin(2 * np.pi * (200 + 100 * digit + take) * np.arange(samples) / RATE)
                soundfile.write(folder / path, tone, RATE)
                rows.append((path, digit, speaker, take, "test", samples / RATE))
    columns = ["path", "label", "speaker", "take", "split", "seconds"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "manifest.csv", index=False)


def write_mnist(folder):
    """Image i shows a constant of i % 250 + 1 and is of digit i % 10."""
    folder.mkdir()
    numbers = np.arange(10 * IMAGES)
    write_idx(folder / "images.gz", np.broadcast_to((numbers % 250 + 1)[:, None, None], (len(numbers), 28, 28)))
    split = np.where(numbers < len(numbers) * 2 // 3, "train", "test")
    rows = {"path": "images.gz", "index": numbers, "label": numbers % 10, "split": split}
    pd.DataFrame(rows).to_csv(folder / "manifest.csv", index=False)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_fsdd(root / "fsdd")
    write_mnist(root / "mnist")
    return root


@pytest.fixture
def root(pristine, monkeypatch):
    """For tests that read only."""
    monkeypatch.setenv("XMKD_DATA", str(pristine))
    return pristine


@pytest.fixture
def copy(pristine, tmp_path, monkeypatch):
    """For tests that break something."""
    shutil.copytree(pristine, tmp_path / "copy")
    monkeypatch.setenv("XMKD_DATA", str(tmp_path / "copy"))
    return tmp_path / "copy"


def edit(manifest, change):
    table = pd.read_csv(manifest, dtype=str)
    change(table).to_csv(manifest, index=False)


# the table


def test_six_seeds_test_on_six_speakers(root):
    tables = [data.create("digits", seed=seed).table for seed in range(6)]
    assert [t.identity[t.split == "test"].unique().tolist() for t in tables] == [[s] for s in SPEAKERS]
    assert [t.identity[t.split == "val"].unique().tolist() for t in tables] == [[s] for s in [*SPEAKERS[1:], "ann"]]


def test_speakers_are_whole_and_apart(root):
    digits = data.create("digits", seed=2, test_speakers=2, val_speakers=1)
    assert digits.table.groupby("split").identity.unique().map(sorted).to_dict() == {
        "test": ["cid", "dot"],
        "val": ["eve"],
        "train": ["ann", "bob", "fay"],
    }
    assert len(digits) == 6 * 10 * TAKES
    assert digits.num_classes == 10
    assert digits.table.id.is_unique


def test_images_show_the_digit_and_are_in_one_split(root):
    manifest = pd.read_csv(root / "mnist" / "manifest.csv").set_index("index")
    for seed in range(3):
        table = data.create("digits", seed=seed, test_speakers=2).table
        assert (manifest.label[table.image_index].to_numpy() == table.label.to_numpy()).all()
        assert ((manifest.split[table.image_index] == "train").to_numpy() == (table.split == "train").to_numpy()).all()
        assert table.groupby("image_index").split.nunique().max() == 1
        assert table.image_index.is_unique  # enough images here


def test_images_repeat_only_where_too_few(copy):
    edit(
        copy / "mnist/manifest.csv", lambda t: t[(t.label != "3") | (t.split == "test") | (t["index"].astype(int) < 60)]
    )
    table = data.create("digits").table
    train = table[table.split == "train"]
    counts = train[train.label == 3].image_index.value_counts()
    assert sorted(counts) == [1, 1, 1, 1, 2, 2]  # 6 images for 8 utterances
    assert train[train.label != 3].image_index.is_unique


def test_seed_and_utterances_decide_the_pairs(root):
    first, again, other = (data.create("digits", seed=seed).table for seed in (0, 0, 6))
    pd.testing.assert_frame_equal(first, again)
    assert (first.split == other.split).all()
    assert (first.image_index != other.image_index).mean() > 0.8
    small = data.create("digits", utterances=1).table
    assert len(small) == 60
    assert set(small.session) == {0}


def test_columns(root):
    row = data.create("digits")[0]
    assert row.id == "0_ann_0"
    assert row.meta["audio"] == "recordings/0_ann_0.wav"
    assert row.meta["image"] == "images.gz"
    assert row.meta["seconds"] == pytest.approx(0.25)


# the inputs


def test_images(root):
    digits = data.create("digits")
    images = digits.inputs("image", [5, 0, 5])
    expected = (digits.table.image_index.to_numpy()[[5, 0, 5]] % 250 + 1) / 255
    assert images.dtype == torch.float32
    torch.testing.assert_close(images, torch.tensor(expected).float()[:, None, None, None].expand(3, 3, 28, 28))
    large = data.create("digits", image_size=32).inputs("image", np.array([5]))
    assert large.shape == (1, 3, 32, 32)
    torch.testing.assert_close(large[:, :, 2:30, 2:30], images[:1])
    assert large.sum() == pytest.approx(images[:1].sum())


def test_speech(root):
    digits = data.create("digits", seconds=0.5)
    rows = [digits.table.id.tolist().index(name) for name in ("4_ann_1", "4_fay_1")]
    short, long = digits.inputs("speech", rows)
    assert short.dtype == torch.float32
    tone = 0.5 * np.sin(2 * np.pi * 601 * np.arange(6000) / RATE)
    np.testing.assert_allclose(short, np.tile(tone[:2000], 2), atol=1e-4)
    np.testing.assert_allclose(long, tone[1000:5000], atol=1e-4)


def test_another_sample_rate(root):
    digits = data.create("digits", sample_rate=4000, seconds=0.5, utterances=1)
    assert digits.inputs("speech", digits.rows("test")).shape == (10, 2000)
    assert digits.sample_rate == 4000


def test_both_directions(root):
    forth, back = (data.create("digits", direction=d) for d in ("image_to_speech", "speech_to_image"))
    assert (forth.teacher_modality, forth.student_modality) == ("image", "speech")
    assert (back.teacher_modality, back.student_modality) == ("speech", "image")
    assert set(back[0].inputs) == {"image", "speech"}


def test_fingerprint_covers_parameters_samples_and_pixels(copy):
    prints = [data.create("digits", **params).fingerprint for params in ({}, {"seed": 1}, {"seconds": 0.5})]
    assert len(set(prints)) == 3
    assert data.create("digits").fingerprint == prints[0]
    recording = copy / "fsdd" / data.create("digits").table.audio[0]
    samples, rate = soundfile.read(recording)
    soundfile.write(recording, samples * 0.5, rate)
    assert data.create("digits").fingerprint not in prints, "the same names, another recording"


def test_reads_from_a_read_only_folder_and_writes_nothing(copy):
    def listing():
        return sorted((path, path.stat().st_mtime_ns) for path in copy.rglob("*"))

    before = listing()
    for path in [*copy.rglob("*"), copy]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        data.create("digits").inputs("speech", [0])
        assert listing() == before
    finally:
        for path in [copy, *copy.rglob("*")]:
            path.chmod(0o755)


# bad parameters


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"test_speakers": 5}, "5 test and 1 validation speakers of 6"),
        ({"val_speakers": 0}, "val_speakers is 0"),
        ({"test_speakers": 0}, "test_speakers is 0"),
        ({"image_size": 30}, "image_size is 30"),
        ({"utterances": 0}, "utterances is 0"),
        ({"seconds": 0}, "seconds is 0"),
        ({"sample_rate": -8000}, "sample_rate is -8000"),
        ({"seconds": "long"}, r"seconds is 'long' \(str\)"),
        ({"utterances": True}, "utterances is True"),
        ({"direction": ["x"]}, "direction"),
        ({"direction": "image_to_speach"}, "Did you mean 'image_to_speech'"),
    ],
)
def test_bad_parameters(root, params, says):
    with pytest.raises(UserError, match=says):
        data.create("digits", **params)


def test_unknown_modality(root):
    with pytest.raises(UserError, match="Did you mean 'image'"):
        data.create("digits", utterances=1).inputs("images", [0])


# missing and damaged data


@pytest.mark.parametrize("name", ["fsdd", "mnist"])
def test_missing_data_says_what_where_and_how(copy, name):
    if (sources.folders()[-1] / name).exists():
        pytest.skip(f"data/{name} of the repository is there to be found")
    shutil.rmtree(copy / name)
    with pytest.raises(UserError) as caught:
        data.create("digits")
    for part in (
        f"{name}/manifest.csv is missing",
        str(copy / name),
        str(sources.folders()[-1]),
        "https://",
        "XMKD_DATA",
    ):
        assert part in str(caught.value)


def test_where_data_is_looked_for(monkeypatch, tmp_path):
    monkeypatch.delenv("XMKD_DATA", raising=False)
    assert sources.folders() == [README.parent]
    monkeypatch.setenv("XMKD_DATA", str(tmp_path))
    assert sources.folders() == [tmp_path, README.parent]
    with pytest.raises(UserError, match="Did you mean 'mnist'"):
        sources.find("mnits")


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("fsdd", lambda t: pd.concat([t, t.iloc[[3]]]), r"1 entries occur twice, first path recordings/1_ann_1\.wav"),
        ("fsdd", lambda t: t.assign(take="0"), r"60 ids occur twice, first '0_ann_0'"),
        ("fsdd", lambda t: t.drop(columns="speaker"), "column speaker is missing"),
        ("fsdd", lambda t: t.iloc[:0], "no rows"),
        ("fsdd", lambda t: t.replace({"label": {"7": "seven"}}), "line 16, column label: 'seven' is no int"),
        ("fsdd", lambda t: t.replace({"label": {"7": "12"}}), "label 12 is no digit"),
        ("fsdd", lambda t: t.replace({"speaker": {"bob": ""}}), "line 22, column speaker: '' is no str"),
        ("fsdd", lambda t: t.assign(path="../" + t.path), "leads out of"),
        ("fsdd", lambda t: t.assign(path="/data/" + t.path), "leads out of"),
        ("fsdd", lambda t: t.assign(path="C:\\..\\" + t.path), "leads out of"),
        ("fsdd", lambda t: t[t.speaker.isin(["ann", "bob"])], "speakers of 2"),
        ("mnist", lambda t: pd.concat([t, t.iloc[[4]].assign(split="test")]), "1 entries occur twice, .* index 4"),
        ("mnist", lambda t: t[(t.label != "3") | (t.split == "test")], "no image of digit 3 for the train split"),
        ("mnist", lambda t: t[(t.label != "3") | (t.split == "train")], "no image of digit 3 for the val split"),
        ("mnist", lambda t: t.assign(index=(t["index"].astype(int) + 600).astype(str)), "up to index"),
        ("mnist", lambda t: t.assign(path="other.gz"), "no such file"),
    ],
)
def test_bad_manifests_are_named(copy, name, change, says):
    edit(copy / name / "manifest.csv", change)
    with pytest.raises(UserError, match=says) as caught:
        data.create("digits")
    assert name in str(caught.value) or "speakers" in says


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'path,label\n"unclosed'])
def test_an_unreadable_manifest_is_named(copy, content):
    (copy / "fsdd/manifest.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"manifest\.csv"):
        data.create("digits")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: path.unlink(), "no such audio file"),
        (lambda path: path.write_bytes(b""), "not a readable audio file"),
        (lambda path: path.write_text("<html>404</html>"), "not a readable audio file"),
        (lambda path: soundfile.write(path, np.zeros(0), RATE), "empty"),
    ],
)
def test_damaged_audio_is_named_at_creation(copy, damage, says):
    damage(copy / "fsdd/recordings/3_dot_1.wav")
    with pytest.raises(UserError, match=says) as caught:
        data.create("digits")
    assert "3_dot_1.wav" in str(caught.value)


def test_read_idx(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (5, 3, 2))
    write_idx(tmp_path / "images.gz", values)
    np.testing.assert_array_equal(read_idx(tmp_path / "images.gz"), values)


def gz(content):
    return lambda path: path.write_bytes(gzip.compress(content))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: path.unlink(), "no such file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-20]), "truncated"),
        (lambda path: path.write_bytes(path.read_bytes()[:100]), "truncated"),
        (lambda path: path.write_bytes(b"plain"), "no gzip file"),
        (lambda path: path.write_bytes(path.read_bytes()[:40] + b"\x00" * 60), "no gzip file"),
        (gz(b""), "no idx file"),
        (gz(b"\x00\x00\x08"), "no idx file"),
        (gz(b"\x00\x00\x0d\x03" + b"\x00" * 12), r"no idx file of bytes \(it starts with '00000d03'\)"),
        (gz(b"\x00\x00\x08\x03\x00\x00"), "no idx file"),
        (
            gz(struct.pack(">4B3I", 0, 0, 8, 3, 2, 28, 28) + b"\x00" * 784),
            "announces 2 x 28 x 28 values, but holds 784",
        ),
        (
            gz(struct.pack(">4B3I", 0, 0, 8, 3, 1, 28, 28) + b"\x00" * 785),
            "announces 1 x 28 x 28 values, but holds 785",
        ),
        (lambda path: write_idx(path, np.zeros((600, 14, 14))), "28 x 28 images"),
        (lambda path: write_idx(path, np.zeros((599, 28, 28))), "up to index"),
        (lambda path: write_idx(path, np.zeros(600)), "28 x 28 images"),
    ],
)
def test_damaged_image_files_are_named(copy, damage, says):
    # every image of digit 9 is asked for below, the last one too
    edit(
        copy / "mnist/manifest.csv",
        lambda t: t[(t.label != "9") | (t["index"].astype(int) > 580) | (t.split == "train")],
    )
    damage(copy / "mnist/images.gz")
    with pytest.raises(UserError, match=says) as caught:
        data.create("digits")
    assert str(copy / "mnist/images.gz") in str(caught.value)


# the folder's README


def test_the_readme_s_snippet_writes_manifests_that_fit(copy, monkeypatch):
    expected = data.create("digits").table
    (copy / "mnist/images.gz").rename(copy / "mnist/t10k-images-idx3-ubyte.gz")
    write_idx(copy / "mnist/t10k-labels-idx1-ubyte.gz", np.arange(10 * IMAGES) % 10)
    for name in ("fsdd", "mnist"):
        (copy / name / "manifest.csv").unlink()
    monkeypatch.chdir(copy)
    exec(re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)[1], {})
    table = data.create("digits").table
    common = ["id", "label", "split", "identity", "session", "audio", "seconds"]
    pd.testing.assert_frame_equal(table[common], expected[common])
    assert set(table.image) == {"t10k-images-idx3-ubyte.gz"}


# real data


@pytest.fixture
def real():
    folder = os.environ.get("XMKD_DATA")
    if not folder:
        pytest.skip("XMKD_DATA is unset: no real data")
    for name in ("fsdd", "mnist"):
        if not (Path(folder) / name / "manifest.csv").is_file():
            pytest.skip(f"XMKD_DATA={folder} has no {name}/manifest.csv")


def test_real_digits(real):
    digits = data.create("digits", seed=0, test_speakers=2)
    assert digits.table.split.value_counts().to_dict() == {"train": 1500, "val": 500, "test": 1000}
    assert (digits.table.groupby(["identity", "label"]).size() == 50).all()
    assert digits.table.image_index.is_unique
    speech, images = digits.inputs("speech", digits.rows("val")), digits.inputs("image", digits.rows("val"))
    assert speech.shape == (500, 4800)
    assert images.shape == (500, 3, 28, 28)
    assert 0 < speech.square().mean().sqrt() < 1
    assert (images.amin().item(), images.amax().item()) == (0, 1)


def test_real_images_show_what_the_manifest_says(real):
    """Class means of the training images tell most test images' digits: labels and pixels belong together."""
    digits = data.create("digits", seed=0)
    labels = torch.tensor(digits.table.label.to_numpy())
    train, test = (torch.from_numpy(digits.rows(split)) for split in ("train", "test"))
    pixels = digits.inputs("image", train).flatten(1)
    means = torch.stack([pixels[labels[train] == digit].mean(dim=0) for digit in range(10)])
    nearest = torch.cdist(digits.inputs("image", test).flatten(1), means).argmin(dim=1)
    assert (nearest == labels[test]).float().mean() > 0.7
