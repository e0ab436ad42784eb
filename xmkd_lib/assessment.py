"""What is measured of a network on each split."""

from torch import Tensor

from xmkd_lib.data import PairedDataset
from xmkd_lib.errors import UserError
from xmkd_lib.evaluation import accuracy, eer, min_dcf, trial_scores
from xmkd_lib.losses import unit
from xmkd_lib.outputs import Outputs

P_TARGETS = (0.01, 0.05)


def distance(student: Tensor, teacher: Tensor) -> float:
    """Mean squared distance of unit vectors, rows of (n, D): 0 equal, 2 unrelated, 4 opposite."""
    return float((unit(student) - unit(teacher)).square().sum(1).mean())


def assess(dataset: PairedDataset, outputs: dict[str, Outputs], modality: str) -> dict[str, float]:
    """Figures named `<split>_<metric>` of every split in `outputs`, among them always "train".

    outputs: per split, of the split's rows in table order. modality: what was read. EER and, on the test split, minDCF
    come from all pairs of different inputs of a split, by cosine after subtracting the training embeddings' mean.
    Accuracy exists where there are logits and all labels are training classes.
    """
    centre = outputs["train"].embedding.double().mean(0).cpu().numpy()
    found = {}
    for split, (embedding, logits) in outputs.items():
        labels = dataset.table.label.to_numpy()[dataset.rows(split)]
        tried = dataset.distinct(split, modality)
        scores, targets = trial_scores(embedding.cpu().numpy()[tried], labels[tried], centre)
        found[f"{split}_eer"] = eer(scores, targets)
        if logits is not None and labels.max() < dataset.num_classes:
            found[f"{split}_accuracy"] = accuracy(logits.cpu().numpy(), labels)
        if split == "test":
            found |= {f"test_min_dcf_{p:g}": min_dcf(scores, targets, p_target=p) for p in P_TARGETS}
    return found


def check_trials(dataset: PairedDataset) -> None:
    """UserError naming a split of which no EER exists, or, in classification, classes that training lacks."""
    if dataset.task == "classification":
        known = set(dataset.table.label[dataset.table.split == "train"])
        unseen = sorted(set(dataset.table.label) - known)
        if unseen or len(known) != dataset.num_classes:
            raise UserError(
                f"Data set {dataset.name!r}: training has the labels {sorted(known)}, other splits also {unseen}. "
                "Give every class from 0 on to the training split."
            )
    for split in dataset.table.split.unique():
        for modality in (dataset.teacher_modality, dataset.student_modality):
            labels = dataset.table.label.iloc[dataset.rows(split)[dataset.distinct(split, modality)]]
            if labels.nunique() < 2 or not labels.duplicated().any():
                raise UserError(
                    f"Data set {dataset.name!r}: split {split!r} has {len(labels)} different inputs ({modality}) of "
                    f"{labels.nunique()} labels. An EER needs two labels, and two inputs of one of them: ask for more "
                    "utterances or concepts, or leave a held-out split out."
                )


def val_error(dataset: PairedDataset, metrics: dict[str, float]) -> float:
    """What chooses the epoch, lower is better: EER in verification, share of wrong classes in classification."""
    return metrics["val_eer"] if dataset.task == "verification" else 1 - metrics["val_accuracy"]
