"""Outputs made elsewhere come in by id from three formats, or are refused by name."""

import json
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from xmkd_lib.data import PairedDataset
from xmkd_lib.errors import UserError
from xmkd_lib.outputs import Outputs
from xmkd_lib.teacher_files import read_outputs
from xmkd_lib.teachers import TeacherBank


class Twelve(PairedDataset):
    """Twelve rows of three training classes; nothing to read but its table."""

    name, task, teacher_modality, student_modality = "twelve", "classification", "image", "speech"
    fingerprint = "first"

    def __init__(self):
        self.table = pd.DataFrame({"id": [f"s{k}" for k in range(12)], "label": [k % 3 for k in range(12)]})
        self.table["split"] = ["train"] * 6 + ["val"] * 3 + ["test"] * 3

    def inputs(self, modality, rows):
        raise NotImplementedError


def content(rows=12, seed=0):
    """Arrays as a user would have them: ids in another order, and two that the data set does not know."""
    rng = np.random.default_rng(seed)
    return {
        "id": np.array([f"s{k}" for k in reversed(range(rows))] + ["extra", "more"]),
        "embedding": rng.standard_normal((rows + 2, 4)).astype(np.float32),
        "logits": rng.standard_normal((rows + 2, 3)).astype(np.float32),
        "weight": rng.standard_normal((3, 4)).astype(np.float32),
        "scale": np.array(20.0),
    }


def write(path, **arrays):
    """Save arrays (None: leave out) in the format of the path's name, and give the path back."""
    arrays = {name: value for name, value in arrays.items() if value is not None}
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix == ".safetensors":
        header = {"ids": json.dumps(list(arrays["id"]))} if "id" in arrays else {}
        if "scale" in arrays:
            header["scale"] = repr(float(arrays["scale"]))
        tensors = {name: torch.as_tensor(value) for name, value in arrays.items() if name not in ("id", "scale")}
        save_file(tensors, path, metadata=header or None)
    else:
        pytest.importorskip("pyarrow")
        columns = {name: list(value) for name, value in arrays.items() if name not in ("weight", "scale")}
        pd.DataFrame(columns).to_parquet(path)
    return path


FORMATS = (".npz", ".parquet", ".safetensors")


@pytest.mark.parametrize("suffix", FORMATS)
def test_outputs_come_in_by_id(tmp_path, suffix):
    arrays = content()
    bank = TeacherBank.read(write(tmp_path / f"teacher{suffix}", **arrays), Twelve())
    assert bank.ids == [f"s{k}" for k in range(12)]
    for name in ("embedding", "logits"):
        wanted = {i: row for i, row in zip(arrays["id"], arrays[name], strict=True)}
        assert np.array_equal(getattr(bank.outputs, name).numpy(), np.stack([wanted[name] for name in bank.ids]))
    if suffix == ".parquet":
        assert bank.head == {}
    else:
        assert np.array_equal(bank.weight.numpy(), arrays["weight"])
        assert bank.head["scale"] == 20.0


@pytest.mark.parametrize("suffix", FORMATS)
def test_embeddings_alone_are_enough(tmp_path, suffix):
    arrays = {name: value for name, value in content().items() if name in ("id", "embedding")}
    bank = TeacherBank.read(write(tmp_path / f"teacher{suffix}", **arrays), Twelve())
    assert bank.outputs.logits is None
    assert bank.head == {}


def test_parquet_takes_numbered_columns(tmp_path):
    pytest.importorskip("pyarrow")
    arrays = content()
    frame = pd.DataFrame(arrays["embedding"], columns=[f"embedding_{k}" for k in range(4)])
    frame = frame[reversed(frame.columns)]  # the names count, not the order
    frame["id"], frame["embedding_model"] = arrays["id"], "mine"
    frame.to_parquet(tmp_path / "wide.parquet")
    wide = read_outputs(tmp_path / "wide.parquet")
    assert np.array_equal(wide.embedding.numpy(), arrays["embedding"])
    assert wide.ids == arrays["id"].tolist()
    frame.drop(columns="embedding_2").to_parquet(tmp_path / "gap.parquet")
    with pytest.raises(UserError, match=r"gap\.parquet: not readable.*embedding_2"):
        read_outputs(tmp_path / "gap.parquet")


def test_a_saved_bank_can_be_read(tmp_path):
    dataset = Twelve()
    first = TeacherBank.random_centres(dataset, dim=4, scale=7.5, seed=0)
    first.save(tmp_path / "saved.safetensors")
    found = TeacherBank.read(tmp_path / "saved.safetensors", dataset)
    assert torch.equal(found.outputs.embedding, first.outputs.embedding)
    assert torch.equal(found.outputs.logits, first.outputs.logits)
    assert torch.equal(found.weight, first.weight)
    assert (found.ids, found.scale) == (first.ids, first.scale)
    assert found.key != first.key
    TeacherBank(first.ids, Outputs(first.outputs.embedding), None, None, "k").save(tmp_path / "alone.safetensors")
    assert TeacherBank.read(tmp_path / "alone.safetensors", dataset).head == {}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int32])
def test_all_real_numbers_become_float32(tmp_path, dtype):
    arrays = content()
    values = (torch.from_numpy(arrays["embedding"]) * 8).to(dtype)
    found = read_outputs(write(tmp_path / "t.safetensors", id=arrays["id"], embedding=values)).embedding
    assert found.dtype == torch.float32
    assert torch.equal(found, values.to(torch.float32))


def test_the_key_is_of_the_content_and_the_data(tmp_path):
    arrays, dataset = content(), Twelve()
    path = write(tmp_path / "a.npz", **arrays)
    key = TeacherBank.read(path, dataset).key
    (tmp_path / "b.npz").write_bytes(path.read_bytes())
    assert TeacherBank.read(tmp_path / "b.npz", Twelve()).key == key
    arrays["embedding"][0, 0] += 1e-3
    assert TeacherBank.read(write(tmp_path / "a.npz", **arrays), dataset).key != key
    dataset.fingerprint = "second"
    assert TeacherBank.read(tmp_path / "b.npz", dataset).key != key


def spoilt(**changes):
    return {**content(), **changes}


def with_value(name, row, value):
    values = content()[name].copy()
    values[row] = value
    return spoilt(**{name: values})


def numbered(letter, first):
    return np.array([f"{letter}{k}" for k in range(first, first + 14)])


BAD = {
    "no id": (spoilt(id=None), "has no `id`"),
    "no embedding": (spoilt(embedding=None), "has no `embedding`, only: id, logits"),
    "ids are numbers": (spoilt(id=np.arange(14)), "`id` has type int64.*one string per row"),
    "id twice": (spoilt(id=np.array([f"s{k % 10}" for k in range(14)])), "4 ids occur more than once, first 's0'"),
    "an id is missing": (spoilt(id=numbered("s", 1)), "1 of 12 ids are missing, first 's0'; 11 matched"),
    "other ids": (spoilt(id=numbered("x", 0)), "12 of 12 ids are missing, first 's0'; 0 matched"),
    "NaN": (with_value("embedding", [3, 5], np.nan), "embedding of 2 of 12 samples hold NaN or inf.* of 's6'"),
    "infinity": (with_value("logits", 0, np.inf), "logits of 1 of 12 samples .* first of 's11'"),
    "truth values": (spoilt(embedding=np.ones((14, 2), bool)), "`embedding` has type bool"),
    "too many classes": (spoilt(logits=np.zeros((14, 5))), "`logits` has 5 columns, .*3 training classes"),
}  # fmt: skip
ARRAYS_ONLY = {
    "one dimension": (spoilt(embedding=np.zeros(14)), r"`embedding` has shape \(14,\)"),
    "three dimensions": (spoilt(embedding=np.zeros((14, 2, 2))), r"`embedding` has shape \(14, 2, 2\)"),
    "no width": (spoilt(embedding=np.zeros((14, 0))), r"`embedding` has shape \(14, 0\)"),
    "too few rows": (spoilt(logits=np.zeros((13, 3))), r"`logits` has shape \(13, 3\).*14 rows, one per id"),
    "no rows": (spoilt(id=np.array([], str), embedding=np.zeros((0, 4)), logits=None), "12 of 12 ids are missing"),
    "weight of another width": (spoilt(weight=np.zeros((3, 5))), r"`weight` has shape \(3, 5\), needed is \(3, 4\)"),
    "flat weight": (spoilt(weight=np.zeros(3)), r"`weight` has shape \(3,\)"),
    "weight with NaN": (spoilt(weight=np.full((3, 4), np.nan)), "classifier's weight holds NaN"),
    "scale 0": (spoilt(scale=np.array(0.0)), "`scale` is 0.0.*above 0"),
    "scale NaN": (spoilt(scale=np.array(np.nan)), "`scale` is nan"),
}


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("case", BAD)
def test_bad_content_is_named(tmp_path, suffix, case):
    arrays, words = BAD[case]
    if suffix == ".safetensors" and case == "ids are numbers":
        arrays = {**arrays, "id": list(range(14))}
    path = write(tmp_path / f"bad{suffix}", **arrays)
    with pytest.raises(UserError, match=rf"(?s)bad\{suffix}: .*{words}"):
        TeacherBank.read(path, Twelve())


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("case", ARRAYS_ONLY)
def test_bad_shapes_are_named(tmp_path, suffix, case):
    arrays, words = ARRAYS_ONLY[case]
    with pytest.raises(UserError, match=rf"(?s)bad\{suffix}: .*{words}"):
        TeacherBank.read(write(tmp_path / f"bad{suffix}", **arrays), Twelve())


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_words_are_no_embedding(tmp_path, suffix):
    path = write(tmp_path / f"bad{suffix}", **spoilt(embedding=np.array([["a", "b"]] * 14)))
    with pytest.raises(UserError, match=rf"bad\{suffix}: `embedding` has type .*real numbers"):
        read_outputs(path)


def test_lists_of_several_lengths_are_refused(tmp_path):
    arrays = content()
    for name, rows in {
        "short": [[0.0] * (3 if k == 5 else 4) for k in range(14)],
        "gap": [[0.0]] * 13 + [None],
    }.items():
        path = write(tmp_path / f"{name}.parquet", id=arrays["id"], embedding=rows)
        with pytest.raises(UserError, match=rf"{name}\.parquet"):
            TeacherBank.read(path, Twelve())


def test_ids_as_objects_are_refused_with_the_remedy(tmp_path):
    np.savez(tmp_path / "bank.npz", id=np.array(["a", "b"], dtype=object), embedding=np.zeros((2, 3)))
    with pytest.raises(UserError, match="dtype=str"):
        read_outputs(tmp_path / "bank.npz")


def test_a_pickle_is_never_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was executed",))

    trap = np.empty(14, dtype=object)
    trap[:] = [Trap() for _ in range(14)]
    np.savez(tmp_path / "objects.npz", **spoilt(embedding=trap))
    np.savez(tmp_path / "ids.npz", **spoilt(id=np.array([f"s{k}" for k in range(14)], dtype=object)))
    with open(tmp_path / "plain.npz", "wb") as file:
        np.save(file, trap)
    for name in ("objects", "ids", "plain"):
        with pytest.raises(UserError, match=rf"{name}\.npz: not readable as \.npz.*Needed: `id`"):
            read_outputs(tmp_path / f"{name}.npz")


@pytest.mark.parametrize("suffix", FORMATS)
def test_files_that_are_cut_short_or_no_such_files_are_named(tmp_path, suffix):
    path = write(tmp_path / f"teacher{suffix}", **content())
    whole = path.read_bytes()
    for piece in (b"", whole[:30], whole[: len(whole) // 2], whole[:-9], b"no file of this kind at all", b"\0" * 200):
        path.write_bytes(piece)
        with pytest.raises(UserError, match=rf"teacher\{suffix}: not readable as \{suffix}"):
            read_outputs(path)
    path.unlink()
    with pytest.raises(UserError, match=rf"teacher\{suffix}: there is no such file"):
        read_outputs(path)
    path.mkdir()
    with pytest.raises(UserError, match="there is no such file"):
        read_outputs(path)


@pytest.mark.parametrize("name", ["teacher.pt", "teacher.npy", "teacher.pkl", "teacher", "teacher.csv"])
def test_other_kinds_of_files_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(UserError, match=rf"{name}: .*\.npz, \.parquet, \.safetensors"):
        read_outputs(tmp_path / name)


def test_parquet_without_its_reader_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "teacher.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"teacher\.parquet: .*pip install pyarrow"):
        read_outputs(tmp_path / "teacher.parquet")


def write_header(path, header):
    """An .npz whose `embedding` has this text as its header, and no content."""
    content = header.encode() + b"\n"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("embedding.npy", b"\x93NUMPY\x01\x00" + len(content).to_bytes(2, "little") + content)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (30000000000000, 4), }",
        f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({10**30}, 4), }}",
    ],
    ids=["cut short", "giant", "beyond 64 bits"],
)
def test_damaged_headers_are_named(tmp_path, header):
    write_header(tmp_path / "bad.npz", header)
    with pytest.raises(UserError, match=r"bad\.npz: not readable as \.npz"):
        read_outputs(tmp_path / "bad.npz")


def test_ids_nested_too_deep_are_named(tmp_path):
    path = tmp_path / "bad.safetensors"
    save_file({"embedding": torch.zeros(2, 2)}, path, metadata={"ids": "[" * 10**5 + "]" * 10**5})
    with pytest.raises(UserError, match=r"bad\.safetensors: not readable"):
        read_outputs(path)


def test_a_path_that_is_too_long_is_no_file():
    with pytest.raises(UserError, match="there is no such file"):
        read_outputs("a" * 300 + ".npz")


@pytest.mark.parametrize("name", [None, "id", "sample"])
def test_parquet_takes_ids_from_the_index_and_pandas_own_numbers(tmp_path, name):
    pytest.importorskip("pyarrow")
    values = content()["embedding"]
    frame = pd.DataFrame(values, columns=[f"embedding_{k}" for k in range(4)]).astype("Float32")
    frame.loc[2, "embedding_1"] = pd.NA
    frame["embedding_3"] = frame["embedding_3"].astype("float64")
    frame.index = pd.Index(content()["id"].tolist(), name=name)
    frame.to_parquet(tmp_path / "own.parquet")
    found = read_outputs(tmp_path / "own.parquet")
    assert found.ids == content()["id"].tolist()
    values[2, 1] = np.nan
    np.testing.assert_array_equal(found.embedding.numpy(), values)
    frame.reset_index(drop=True).to_parquet(tmp_path / "none.parquet")
    with pytest.raises(UserError, match="has no `id`"):
        read_outputs(tmp_path / "none.parquet")
