"""Losses: `create(name, **params)` gives `loss(student, teacher, labels) -> (N,)`, `soften` puts a margin on it."""

from xmkd_lib.losses import (  # noqa: F401  they register themselves
    angular,
    cc,
    centres,
    cosine,
    crd,
    dist,
    distance,
    dkd,
    fd,
    gram,
    hint,
    infonce,
    kd,
    l2,
    logit_margin,
    mlld,
    nkd,
    ntkl,
    pkt,
    rank,
    rkd_angle,
    rkd_distance,
    simkd,
    sp,
    srrl,
    teacher_head,
    vid,
    wsld,
)
from xmkd_lib.losses.auto_margin import auto_margin, fit_ridge
from xmkd_lib.losses.base import LOSSES, Loss, unit
from xmkd_lib.losses.soften import Softened, soften

__all__ = ["Loss", "Softened", "auto_margin", "create", "fit_ridge", "names", "register", "soften", "unit"]

create = LOSSES.create
register = LOSSES.register


def names() -> list[str]:
    """Names of all losses, sorted.

    >>> {"l2", "kd"} <= set(names())
    True
    """
    return sorted(LOSSES)
