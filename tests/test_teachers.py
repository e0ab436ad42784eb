"""Teacher outputs stay with their samples, their weights and their data."""

import dataclasses

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from xmkd_lib import features as feature_module
from xmkd_lib import teachers
from xmkd_lib.assessment import assess, distance, val_error
from xmkd_lib.data import PairedDataset
from xmkd_lib.errors import UserError
from xmkd_lib.models import AAMHead, LinearHead, Network
from xmkd_lib.outputs import Outputs
from xmkd_lib.teachers import TeacherBank, bank_key, infer


class Pictures(PairedDataset):
    """Twelve constant pictures of four identities, in any order; `fingerprint` is a plain attribute."""

    name, task, teacher_modality, student_modality = "pictures", "verification", "image", "image"
    fingerprint = "first"

    def __init__(self, order=range(12)):
        table = pd.DataFrame({"id": [f"p{k}" for k in range(12)], "brightness": torch.linspace(0, 1, 12).tolist()})
        table["label"] = table["identity"] = [k // 3 for k in range(12)]
        table["split"], table["session"] = ["train"] * 6 + ["val"] * 3 + ["test"] * 3, 0
        self.table = table.iloc[list(order)].reset_index(drop=True)

    def inputs(self, modality, rows):
        return torch.tensor(self.table.brightness.to_numpy()[rows]).float()[:, None, None, None].expand(-1, 3, 2, 2)


def teacher(seed=0, head=AAMHead):
    torch.manual_seed(seed)
    return Network(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 4)), head(4, 2))


def bank_of(dataset, network=None):
    return TeacherBank.build(network or teacher(), feature_module.extract(dataset, "image", "cpu"), dataset, "image")


@pytest.fixture(scope="module")
def bank():
    return bank_of(Pictures())


def test_a_bank_goes_through_a_file(bank, tmp_path):
    bank.save(tmp_path / "bank.safetensors")
    found = TeacherBank.load(tmp_path / "bank.safetensors", bank.key)
    assert (found.ids, found.scale, found.key) == (bank.ids, bank.scale, bank.key)
    assert torch.equal(found.outputs.embedding, bank.outputs.embedding)
    assert torch.equal(found.outputs.logits, bank.outputs.logits)
    assert torch.equal(found.weight, bank.weight)
    assert found.head["scale"] == 32.0
    assert TeacherBank.load(tmp_path / "bank.safetensors").key == bank.key


def test_a_bank_holds_what_the_teacher_says(bank):
    network, dataset = teacher().eval(), Pictures()
    with torch.no_grad():
        wanted = network((dataset.inputs("image", list(range(12))) - 0.5) / 0.25)
    torch.testing.assert_close(bank.outputs.embedding, wanted.embedding)
    torch.testing.assert_close(bank.outputs.logits, wanted.logits)
    assert not bank.outputs.embedding.requires_grad
    assert torch.equal(bank.weight, network.head.weight.detach())
    assert bank_of(dataset, teacher(head=LinearHead)).scale == 1.0


def test_another_key_is_refused(bank, tmp_path):
    bank.save(tmp_path / "bank.safetensors")
    with pytest.raises(UserError, match=rf"bank\.safetensors.*{bank.key}.*needed is other"):
        TeacherBank.load(tmp_path / "bank.safetensors", "other")


def test_files_that_are_no_banks_are_named(bank, tmp_path):
    path = tmp_path / "bank.safetensors"
    bank.save(path)
    whole = path.read_bytes()
    for content in (whole[:-20], whole[:40], b"", b"no bank at all"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"bank\.safetensors: no readable teacher bank"):
            TeacherBank.load(path)
    weights = {name: torch.ones(2, 2) for name in ("embedding", "logits", "weight")}
    for tensors, header in ((weights, None), (weights, {"ids": "[]"}), ({"other": torch.ones(1)}, {"key": "k"})):
        save_file(tensors, path, metadata=header)
        with pytest.raises(UserError, match=r"bank\.safetensors: no readable teacher bank"):
            TeacherBank.load(path)
    with pytest.raises(UserError, match="missing"):
        TeacherBank.load(tmp_path / "missing.safetensors")


def alone(bank, **changes):
    """The bank's embeddings without logits and classifier."""
    return dataclasses.replace(
        bank, **{"outputs": Outputs(bank.outputs.embedding), "weight": None, "scale": None, **changes}
    )


def test_a_bank_may_hold_embeddings_alone(bank, tmp_path):
    path = tmp_path / "bank.safetensors"
    alone(bank).save(path)
    found = TeacherBank.load(path, bank.key)
    assert (found.outputs.logits, found.weight, found.scale, found.head) == (None, None, None, {})
    assert torch.equal(found.take(["p3"]).embedding, bank.outputs.embedding[3:4])
    assert found.take(["p3"]).logits is None
    alone(bank, weight=bank.weight).save(path)
    assert list(TeacherBank.load(path).head) == ["weight"]  # the loss's own scale is used


@pytest.mark.parametrize("part", ["embedding", "logits", "weight"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_none_are_refused(bank, tmp_path, part, value):
    tensors = {**bank.outputs._asdict(), "weight": bank.weight}
    tensors[part] = tensors[part].clone()
    tensors[part][[0, -1] if part == "weight" else [4, 7]] = value
    broken = dataclasses.replace(
        bank, outputs=Outputs(tensors["embedding"], tensors["logits"]), weight=tensors["weight"]
    )
    broken.save(tmp_path / "bank.safetensors")
    words = (
        "weight holds NaN" if part == "weight" else rf"{part} of 2 of 12 samples hold NaN or infinity, first of 'p4'"
    )
    with pytest.raises(UserError, match=rf"bank\.safetensors: .*{words}"):
        TeacherBank.load(tmp_path / "bank.safetensors")


def test_a_teacher_that_answers_nan_makes_no_bank():
    network = teacher()
    with torch.no_grad():
        network.encoder[1].weight[0, 0] = float("nan")
    with pytest.raises(UserError, match=r"Teacher bank \w+: embedding of 12 of 12 samples .* 'p0'"):
        bank_of(Pictures(), network)


def test_random_centres_are_one_unit_vector_per_label():
    dataset = Pictures([11, 0, 5, 7, *range(1, 5), 6, 8, 9, 10])
    found = TeacherBank.random_centres(dataset, dim=5, scale=8.0, seed=3)
    labels = torch.from_numpy(dataset.table.label.to_numpy(copy=True))
    embedding = found.outputs.embedding
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(12))
    same = (embedding[:, None] == embedding[None]).all(2)
    assert torch.equal(same, labels[:, None] == labels[None])
    assert dataset.num_classes == len(found.weight) == 2
    for row, label in enumerate(labels.tolist()):
        for other in range(2):
            centre = embedding[labels == other][0]
            assert torch.equal(found.weight[other], centre)
            assert float(found.outputs.logits[row, other]) == pytest.approx(
                8 * float(embedding[row] @ centre), abs=1e-5
            )
        if label < 2:
            assert found.outputs.logits[row].argmax() == label
    assert found.head["scale"] == 8.0
    again = TeacherBank.random_centres(dataset, dim=5, scale=8.0, seed=3)
    assert again.key == found.key
    assert torch.equal(again.outputs.embedding, embedding)
    others = [(6, 8.0, 3), (5, 9.0, 3), (5, 8.0, 4)]
    keys = {TeacherBank.random_centres(dataset, *chosen).key for chosen in others}
    dataset.fingerprint = "second"
    keys.add(TeacherBank.random_centres(dataset, 5, 8.0, 3).key)
    assert len(keys | {found.key, bank_of(dataset).key}) == 6


def test_outputs_are_taken_by_id(bank):
    taken = bank.take(["p7", "p0", "p7"])
    assert torch.equal(taken.embedding, bank.outputs.embedding[[7, 0, 7]])
    assert torch.equal(taken.logits, bank.outputs.logits[[7, 0, 7]])
    assert bank.take([]).embedding.shape == (0, 4)
    with pytest.raises(UserError, match=r"2 of 3 ids are missing, first 'p12'"):
        bank.take(["p1", "p12", "x"])


def test_rows_follow_their_ids_when_the_table_is_shuffled(bank):
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0)).tolist()
    shuffled = Pictures(order)
    assert list(shuffled.table.id) != bank.ids
    built = bank_of(shuffled)
    torch.testing.assert_close(bank.take(list(shuffled.table.id)).embedding, built.outputs.embedding)
    torch.testing.assert_close(built.take(bank.ids).logits, bank.outputs.logits)


def test_the_key_is_of_weights_preprocessing_and_data(monkeypatch):
    dataset, weights = Pictures(), teacher().state_dict()
    key = bank_key(weights, dataset, "image")
    assert bank_key(teacher().state_dict(), Pictures(), "image") == key
    assert bank_key(dict(reversed(weights.items())), dataset, "image") == key
    keys = {key, bank_key(teacher(seed=1).state_dict(), dataset, "image"), bank_key(weights, dataset, "speech")}
    nudged = {name: value.clone() for name, value in weights.items()}
    nudged["head.weight"][0, 0] += 1e-6
    keys.add(bank_key(nudged, dataset, "image"))
    other = Pictures()
    other.fingerprint = "second"
    keys.add(bank_key(weights, other, "image"))
    monkeypatch.setattr(teachers, "preprocessing", lambda dataset, modality: {"mean": 0.4})
    keys.add(bank_key(weights, dataset, "image"))
    assert len(keys) == 6


def test_inference_needs_no_gradient_and_no_batch_statistics():
    network = Network(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.BatchNorm1d(3)), LinearHead(3, 2)).train()
    x = torch.randn(10, 3, 1, generator=torch.Generator().manual_seed(0))
    whole, parts = infer(network, x), infer(network, x, chunk=3)
    assert not network.training
    torch.testing.assert_close(parts.embedding, whole.embedding)
    assert not whole.logits.requires_grad
    assert torch.equal(network.encoder[1].running_mean, torch.zeros(3))


def test_a_bank_does_not_change(bank):
    with pytest.raises(dataclasses.FrozenInstanceError):
        bank.key = "other"


# -- what is measured of outputs ----------------------------------------------------------------------------------


def outputs(embedding, logits=None):
    return Outputs(embedding, torch.zeros(len(embedding), 2) if logits is None else logits)


def measure(dataset, outputs):
    return assess(dataset, outputs, "speech")


def test_collapsed_embeddings_have_an_eer_of_one_half():
    dataset = Pictures()
    dataset.table.loc[9, "label"] = 9  # a second identity in the test split
    for point in (torch.ones(1, 4), torch.zeros(1, 4), torch.tensor([[0.1, -3e4, 7.7, 1e-6]])):
        found = measure(dataset, {"train": outputs(point.repeat(6, 1)), "test": outputs(point.repeat(3, 1))})
        assert found["train_eer"] == found["test_eer"] == 0.5
        assert found["test_min_dcf_0.01"] == 1


def test_accuracy_exists_where_labels_are_training_classes():
    order = [0, 1, 2, 3, 4, 5, 6, 9, 7, 10, 8, 11]
    dataset = Pictures(order)
    dataset.table["split"] = ["train"] * 6 + ["val"] * 2 + ["test"] * 4
    dataset.table.loc[8:, "label"] = [0, 0, 1, 1]
    logits = torch.tensor([[0.0, 1.0]] * 4)
    found = measure(
        dataset,
        {
            "train": outputs(torch.randn(6, 4), torch.eye(2).repeat_interleave(3, 0)),
            "test": outputs(torch.randn(4, 4), logits),
        },
    )
    assert found["train_accuracy"] == 1
    assert found["test_accuracy"] == 0.5
    assert {"test_min_dcf_0.01", "test_min_dcf_0.05"} <= set(found)
    halves = {"test": outputs(torch.randn(4, 4)), "train": outputs(torch.eye(2, 4).repeat_interleave(3, 0))}
    assert measure(dataset, halves) == measure(dataset, dict(reversed(halves.items())))  # minDCF is the test split's
    without = {split: Outputs(found.embedding) for split, found in halves.items()}
    wanted = {name: value for name, value in measure(dataset, halves).items() if "accuracy" not in name}
    assert measure(dataset, without) == wanted
    assert len(wanted) < len(measure(dataset, halves))
    dataset.table.loc[8:, "label"] = [2, 2, 3, 3]
    found = measure(dataset, {"train": outputs(torch.randn(6, 4)), "test": outputs(torch.randn(4, 4))})
    assert "test_accuracy" not in found
    assert "train_min_dcf_0.01" not in found


def test_scores_are_centred_on_the_training_mean():
    dataset = Pictures()
    dataset.table["label"] = [0, 0, 0, 1, 1, 1, *[2] * 3, *[3] * 3]
    generator = torch.Generator().manual_seed(0)
    centres = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]).repeat_interleave(3, 0)
    near = centres + 0.05 * torch.randn(6, 2, generator=generator)
    assert measure(dataset, {"train": outputs(near)})["train_eer"] == 0
    # far from the origin all cosines are near 1: only the centring keeps the two identities apart
    assert measure(dataset, {"train": outputs(near + 1000)})["train_eer"] == 0


def test_the_distance_is_of_unit_vectors():
    a = torch.tensor([[2.0, 0.0], [0.0, 3.0], [1.0, 0.0]])
    b = torch.tensor([[5.0, 0.0], [4.0, 0.0], [-1.0, 0.0]])
    assert distance(a, b) == pytest.approx((0 + 2 + 4) / 3)


def test_the_task_chooses_by_its_own_error():
    dataset = Pictures()
    metrics = {"val_eer": 0.25, "val_accuracy": 0.9}
    assert val_error(dataset, metrics) == 0.25
    dataset.task = "classification"
    assert val_error(dataset, metrics) == pytest.approx(0.1)


# -- what a network reads ---------------------------------------------------------------------------------------------


def test_images_are_standardised_by_constants(monkeypatch):
    dataset = Pictures()
    found = feature_module.extract(dataset, "image", "cpu")
    torch.testing.assert_close(found, (dataset.inputs("image", list(range(12))) - 0.5) * 4)
    monkeypatch.setattr(feature_module, "CHUNK", 5)
    assert torch.equal(feature_module.extract(dataset, "image", "cpu"), found)
    with pytest.raises(UserError, match="Did you mean 'image'"):
        feature_module.extract(dataset, "imag", "cpu")


def test_shifted_images_are_moved_and_edges_repeated():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(40, 3, 5, 6, generator=generator)
    moved = feature_module.shifted(images, torch.Generator().manual_seed(1), most=1)
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1), mode="replicate")
    offsets = []
    for image, wide in zip(moved, padded, strict=True):
        fits = [(i, j) for i in range(3) for j in range(3) if torch.equal(image, wide[:, i : i + 5, j : j + 6])]
        assert len(fits) == 1
        offsets += fits
    assert len(set(offsets)) == 9  # all directions occur
    assert torch.equal(feature_module.shifted(images, generator, most=0), images)
    assert torch.equal(feature_module.shifted(images, torch.Generator().manual_seed(1), most=1), moved)
