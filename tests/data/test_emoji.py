"""The data set `emoji`, on a small made-up copy of the real folder, and on the real one where it is."""

import collections
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from xmkd_lib import data
from xmkd_lib.data import sources
from xmkd_lib.data.emoji import STYLES
from xmkd_lib.errors import UserError


@pytest.fixture
def root(tiny_emoji, monkeypatch):
    """For tests that read only."""
    monkeypatch.setenv("XMKD_DATA", str(tiny_emoji))
    return tiny_emoji


@pytest.fixture
def copy(tiny_emoji, tmp_path, monkeypatch):
    """For tests that break something."""
    shutil.copytree(tiny_emoji, tmp_path / "copy")
    monkeypatch.setenv("XMKD_DATA", str(tmp_path / "copy"))
    return tmp_path / "copy" / "emoji"


def edit(folder, change):
    table = pd.read_csv(folder / "manifest.csv", dtype=str)
    change(table).to_csv(folder / "manifest.csv", index=False)


def concepts(table, split):
    return set(table.identity[table.split == split])


# the table


def test_concepts_are_whole_and_apart_and_each_class_is_in_every_split(root):
    table = data.create("emoji").table
    assert len(table) == 87
    assert table.groupby("identity").split.nunique().max() == 1
    counts = table.groupby(["label", "split"]).identity.nunique().unstack()
    assert counts.to_dict("list") == {"test": [2, 2, 2], "train": [7, 7, 7], "val": [1, 1, 1]}
    assert (table.groupby("identity").label.nunique() == 1).all()


def test_the_seed_draws_the_concepts(root):
    first, again, other = (data.create("emoji", seed=seed).table for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again)
    assert concepts(first, "test") != concepts(other, "test")
    assert set(first.id) == set(other.id)
    tested = set().union(
        *(concepts(data.create("emoji", seed=seed, styles=["noto2018"]).table, "test") for seed in range(40))
    )
    assert len(tested) == 30, "every concept is tested by some seed"


def test_the_manifest_s_own_split_and_order_do_not_matter(copy):
    before = data.create("emoji", seed=3)
    edit(copy, lambda t: t.sample(frac=1, random_state=0).assign(split="train"))
    after = data.create("emoji", seed=3)
    pd.testing.assert_frame_equal(before.table, after.table)
    assert before.fingerprint == after.fingerprint


def test_styles_and_concepts(root):
    one = data.create("emoji", styles=["notoblob2017"]).table
    assert set(one.session) == {"notoblob2017"}
    assert len(one) == 27
    few = data.create("emoji", concepts=4, styles=["noto2018", "emojione2"]).table
    assert few.groupby("label").identity.nunique().tolist() == [4, 4, 4]
    assert few.groupby(["label", "split"]).identity.nunique().unstack().loc[0].to_dict() == {
        "test": 1,
        "train": 2,
        "val": 1,
    }
    assert len(few) == 3 * 4 * 2


def test_columns(root):
    emoji = data.create("emoji")
    row = emoji[emoji.table.id.tolist().index("1f103_noto2018")]
    assert row.label == 1
    assert row.inputs["text"] == row.meta["text"] == "leafy thing number3"
    assert row.inputs["image"].shape == (3, 32, 32)
    expected = {
        "id": "1f103_noto2018",
        "label": 1,
        "identity": "1f103",
        "session": "noto2018",
        "image": "images/noto2018/1f103.png",
        "name": "plants 3",
        "class_name": "plants",
    }
    assert {name: row.meta[name] for name in expected} == expected
    assert (emoji.num_classes, emoji.task) == (3, "classification")


def test_concepts_drawn_alike_are_in_one_split(copy):
    """Two chains over two styles: 0 and 1 are alike in one, 1 and 2 in another; and 5 with 6."""
    alike = [("emojione2", 0, 1), ("noto2018", 1, 2), ("notoblob2017", 6, 5)]
    for style, one, other in alike:
        shutil.copy(copy / f"images/{style}/1f10{one}.png", copy / f"images/{style}/1f10{other}.png")
    for seed in range(12):
        emoji = data.create("emoji", seed=seed)
        split = emoji.table.assign(concept=emoji.table.id.str.split("_").str[0]).groupby("concept").split.first()
        assert split["1f100"] == split["1f101"] == split["1f102"]
        assert split["1f105"] == split["1f106"]
        assert shared_images(emoji) == 0
        assert emoji.table.id.is_unique
        assert emoji.table.groupby("label").identity.nunique().tolist() == [10, 7, 10]
    few = data.create("emoji", concepts=4).table
    assert few.groupby("label").identity.nunique().tolist() == [4, 4, 4]


def shared_images(emoji):
    """How many images of validation and test equal one of training or of each other's split, pixel by pixel."""
    images = {
        split: [image.numpy().tobytes() for image in emoji.inputs("image", emoji.rows(split))]
        for split in ("train", "val", "test")
    }
    trained, validated = set(images["train"]), set(images["val"])
    return sum(i in trained for i in images["val"]) + sum(i in trained | validated for i in images["test"])


# the inputs


def test_images_show_what_the_table_says(root):
    emoji = data.create("emoji", image_size=8)
    rows = np.array([40, 3, 40])
    images = emoji.inputs("image", rows)
    assert images.dtype == torch.float32
    assert images.shape == (3, 3, 8, 8)
    for row, image in zip(rows, images, strict=True):
        concept, style = int(emoji.table.identity[row][-1]), STYLES.index(emoji.table.session[row])
        colour = (80 * emoji.table.label[row] + 8 * concept, 10, 100 * style)
        expected = torch.tensor(colour)[:, None, None].expand(3, 8, 8) / 255
        torch.testing.assert_close(image, expected)


def test_texts_are_strings_without_the_class_s_name(root):
    emoji = data.create("emoji")
    texts = emoji.inputs("text", emoji.rows("test"))
    assert texts == emoji.table.text[emoji.table.split == "test"].tolist()
    assert all(type(text) is str for text in texts)
    kinds = emoji.table.class_name.unique()
    assert not any(kind in text for kind in kinds for text in emoji.inputs("text", range(len(emoji))))
    assert emoji.inputs("text", []) == []


def test_text_is_data(copy):
    hostile = "<script>alert(1)</script> {0} %s \u202e =1+1"
    edit(copy, lambda t: t.assign(text_without_label_words=hostile))
    assert data.create("emoji").inputs("text", [0, 1]) == [hostile] * 2


def test_both_directions(root):
    forth, back = (data.create("emoji", direction=d) for d in ("text_to_image", "image_to_text"))
    assert (forth.teacher_modality, forth.student_modality) == ("text", "image")
    assert (back.teacher_modality, back.student_modality) == ("image", "text")
    assert set(back[0].inputs) == {"image", "text"}


def test_fingerprint_covers_parameters_texts_and_pixels(copy):
    prints = [data.create("emoji", **params).fingerprint for params in ({}, {"seed": 1}, {"image_size": 16})]
    assert len(set(prints)) == 3
    assert data.create("emoji").fingerprint == prints[0]
    drawing = copy / data.create("emoji").table.image[7]
    before = drawing.read_bytes()
    Image.open(drawing).point(lambda value: value ^ 1).save(drawing)
    assert data.create("emoji").fingerprint not in prints, "the same names, another drawing"
    drawing.write_bytes(before)
    edit(copy, lambda t: t.replace({"text_without_label_words": {"leafy thing number3": "leafy thing"}}))
    assert data.create("emoji").fingerprint not in prints, "the same drawings, another text"


# bad parameters, missing and damaged data


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"image_size": 4}, "image_size is 4"),
        ({"image_size": 32.0}, r"image_size is 32.0 \(float\)"),
        ({"concepts": 2}, "concepts is 2"),
        ({"concepts": True}, "concepts is True"),
        ({"styles": []}, r"styles is \[\]"),
        ({"styles": "noto2018"}, "a list of some of emojione2"),
        ({"styles": ["noto2017"]}, "Did you mean 'noto2018'"),
        ({"direction": "text_to_imge"}, "Did you mean 'text_to_image'"),
        ({"direction": ["x"]}, "direction"),
    ],
)
def test_bad_parameters(root, params, says):
    with pytest.raises(UserError, match=says):
        data.create("emoji", **params)


def test_unknown_modality(root):
    with pytest.raises(UserError, match="Did you mean 'image'"):
        data.create("emoji").inputs("images", [0])


def test_missing_data_says_what_where_and_how(tmp_path, monkeypatch):
    if (sources.folders()[-1] / "emoji").exists():
        pytest.skip("data/emoji of the repository is there to be found")
    monkeypatch.setenv("XMKD_DATA", str(tmp_path))
    with pytest.raises(UserError) as caught:
        data.create("emoji")
    for part in ("emoji/manifest.csv is missing", str(tmp_path), "https://", "CC BY 4.0", "XMKD_DATA"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: pd.concat([t, t.iloc[[3]]]), "1 entries occur twice, first codepoint 1f003, style emojione2"),
        (lambda t: t.drop(columns="text_without_label_words"), "column text_without_label_words is missing"),
        (lambda t: t.replace({"label": {"2": "two"}}), "'two' is no int"),
        (lambda t: t.assign(label=["0", *t.label[:-1]]), "has more than one"),
        (lambda t: t.replace({"label": {"1": "0"}}), "label 0 has more than one class_name: animals, plants"),
        (lambda t: t.assign(label=[*t.label[:-1], "9"]), "codepoint 1f208 has more than one label: 2, 9"),
        (lambda t: t.assign(path="../" + t.path), "leads out of"),
        (lambda t: t[~t.codepoint.between("1f002", "1f009")], "class 0 has 2 concepts"),
        (lambda t: t[t["style"] == "noto2018"].assign(style="noto2021"), "no rows"),
        (lambda t: t.replace({"label": {"0": "-1"}}), "labels are -1, 1, 2.*from 0 on"),
        (lambda t: t.replace({"label": {"1": "7"}}), "labels are 0, 2, 7.*without a gap"),
        (lambda t: t.replace({"label": {"1": str(2**63)}}), "column label: '9223372036854775808' is no int"),
        (lambda t: t.assign(class_name=["plants", *t.class_name[1:]]), "has more than one"),
        (lambda t: t.assign(path="a" * 300 + ".png"), "no such image file"),
        (lambda t: t.assign(path="images/none.png"), "no such image file"),
    ],
)
def test_bad_manifests_are_named(copy, change, says):
    edit(copy, change)
    with pytest.raises(UserError, match=says) as caught:
        data.create("emoji")
    assert str(copy) in str(caught.value)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: path.unlink(), "no such image file"),
        (lambda path: path.write_bytes(path.read_bytes()[:60]), "not a readable image"),
        (lambda path: path.write_text("<html>404</html>"), "not a readable image"),
    ],
)
def test_damaged_drawings_are_named_at_creation(copy, damage, says):
    damage(copy / "images/noto2018/1f104.png")
    with pytest.raises(UserError, match=says) as caught:
        data.create("emoji")
    assert "1f104.png" in str(caught.value)


# real data


@pytest.fixture(scope="module")
def real():
    folder = os.environ.get("XMKD_DATA")
    if not folder:
        pytest.skip("XMKD_DATA is unset: no real data")
    if not (Path(folder) / "emoji" / "manifest.csv").is_file():
        pytest.skip(f"XMKD_DATA={folder} has no emoji/manifest.csv")
    return data.create("emoji", image_size=16)


def test_real_emoji(real):
    assert real.num_classes == 8
    shares = real.table.drop_duplicates("identity").split.value_counts(normalize=True)
    assert shares.to_dict() == pytest.approx({"train": 0.7, "val": 0.1, "test": 0.2}, abs=0.01)
    per_class = real.table.drop_duplicates("identity").groupby("label").split.value_counts(normalize=True).unstack()
    assert (per_class.test - 0.2).abs().max() < 0.02, "stratified by class"
    assert real.table.text.str.len().min() > 0
    words = real.table.text.str.lower().str.split().explode()
    assert not set(words) & set(real.table.class_name.unique())


@pytest.mark.parametrize("size", [16, 32])
def test_real_images_are_in_one_split(real, size):
    for seed in range(3):
        assert shared_images(data.create("emoji", seed=seed, image_size=size)) == 0
    alike = real.table.groupby("identity").name.nunique()
    assert alike.sum() - len(alike) >= 10, "some concepts are drawn alike"


def test_real_texts_and_drawings_belong_to_their_labels(real):
    """Words of training concepts, and mean drawings of training classes, tell test concepts' classes above chance."""
    table = real.table
    train, test = real.rows("train"), real.rows("test")
    labels = table.label.to_numpy()
    chance = np.bincount(labels[test]).max() / len(test)
    counts = collections.defaultdict(lambda: np.full(8, 1e-9))
    for row in train:
        for word in set(table.text[row].split()):
            counts[word][labels[row]] += 1
    votes = [sum(counts[word] / counts[word].sum() for word in table.text[row].split()) for row in test]
    assert (np.argmax(votes, 1) == labels[test]).mean() > chance + 0.3
    pixels = real.inputs("image", train).flatten(1)
    means = torch.stack([pixels[labels[train] == label].mean(0) for label in range(8)])
    nearest = torch.cdist(real.inputs("image", test).flatten(1), means).argmin(1).numpy()
    assert (nearest == labels[test]).mean() > chance
