"""What estimators of the teacher's side accept: the checks, and the errors that name the estimator."""

import torch
from torch import Tensor

from xmkd_lib.errors import UserError
from xmkd_lib.outputs import Outputs
from xmkd_lib.quality.inputs import tensor


def logits_of(outputs: Outputs, estimator: str) -> Tensor:
    """Logits (n, C), float32. UserError naming `estimator` where the teacher has none."""
    if outputs.logits is None:
        raise UserError(f"{estimator}: this teacher has no logits. Use teacher.centre_ratio or teacher.norm.")
    tensor(outputs.logits, estimator)
    return outputs.logits.float()


def own_class(logits: Tensor, labels: Tensor, estimator: str) -> Tensor:
    """Which logit is each row's own, bool (n, C). UserError on a label that is no class of the teacher."""
    tensor(labels, estimator)
    classes = logits.shape[1]
    if len(labels) != len(logits) or not ((labels >= 0) & (labels < classes)).all():
        found = f"{len(labels)} labels" + (f" up to {int(labels.max())}" if len(labels) else "")
        raise UserError(
            f"{estimator}: {found} for {len(logits)} rows of {classes} classes. "
            "Give each row a label that the teacher was trained on."
        )
    return labels[:, None].to(logits.device) == torch.arange(classes, device=logits.device)


def needed(reference: Outputs | None, estimator: str) -> Tensor:
    """Embeddings (m, D) of the reference, float32. UserError where there is none."""
    if reference is None or not len(reference.embedding):
        raise UserError(f"{estimator}: needs the teacher's outputs of reference rows. Give those of its training rows.")
    tensor(reference.embedding, estimator)
    return reference.embedding.float()
