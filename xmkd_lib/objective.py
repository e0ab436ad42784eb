"""A method is a list of terms; the objective adds them to cross-entropy and says what each contributed."""

import inspect
import json
from collections import Counter
from typing import Annotated, Any, Literal

import torch.nn.functional as F
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from xmkd_lib import losses
from xmkd_lib.errors import UserError, unknown_name
from xmkd_lib.losses.base import LOSSES
from xmkd_lib.losses.soften import MODES
from xmkd_lib.outputs import Outputs


def _as_json(value: dict[str, Any]) -> dict[str, Any]:
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except TypeError as error:
        raise ValueError(f"must be JSON ({error})") from None


Margin = Annotated[float, Field(ge=0)] | Literal["auto"]
JsonDict = Annotated[dict[str, Any], AfterValidator(_as_json)]  # tuples become lists, as they will be read back


class Term(BaseModel):
    """One distillation term: weight · loss, softened where a margin is set.

    margin: None is the hard constraint, a number the margin in the loss's units, "auto" the held-out distance, which is
    measured before the run (METHOD §2: our reading). `str(term)` is one line for people, `term.model_dump()` is JSON.

    >>> str(Term(loss="l2", margin="auto", weight=4))
    '4·l2 (hinge, margin auto)'
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    loss: str
    params: JsonDict = Field(default_factory=dict)
    margin: Margin | None = None
    mode: str = "hinge"
    weight: float = Field(1.0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _known_names(cls, given: Any) -> Any:
        for name in given if isinstance(given, dict) else ():
            if name not in cls.model_fields:
                raise unknown_name("entry of a term", name, cls.model_fields)
        return given

    def check_names(self) -> None:
        """UserError with the nearest valid name when there is no such loss or mode."""
        if self.loss not in LOSSES:
            raise unknown_name("loss", self.loss, losses.names())
        if self.mode not in MODES:
            raise unknown_name("mode", self.mode, MODES)

    def build(self, teacher_head: dict[str, Any] | None = None) -> nn.Module:
        """The loss as a module. `teacher_head` (weight, scale) goes to losses that read the teacher's classifier."""
        self.check_names()
        accepted = inspect.signature(LOSSES[self.loss]).parameters
        from_teacher = {name: value for name, value in (teacher_head or {}).items() if name in accepted}
        loss = losses.create(self.loss, **{**from_teacher, **self.params})
        return loss if self.margin is None else losses.soften(loss, margin=self.margin, mode=self.mode)

    def __str__(self) -> str:
        margin = self.margin if isinstance(self.margin, str) else f"{self.margin or 0:.3g}"
        constraint = "hard" if self.margin is None else f"{self.mode}, margin {margin}"
        return f"{self.weight:g}·{self.loss} ({constraint})"


def names_of(terms: list[Term]) -> list[str]:
    """A name for each term's figures: its loss, and a number where the loss occurs again.

    >>> names_of([Term(loss="l2"), Term(loss="kd"), Term(loss="l2", margin=1.0)])
    ['l2', 'kd', 'l2_2']
    """
    seen: Counter[str] = Counter()
    names = []
    for term in terms:
        seen[term.loss] += 1
        names.append(term.loss if seen[term.loss] == 1 else f"{term.loss}_{seen[term.loss]}")
    return names


class Objective(nn.Module):
    """Σ_i w_ce,i CE_i / N + Σ_k λ_k Σ_i w_kd,i S_k(ℓ_k,i) / N (METHOD §1).

    The sums are divided by the batch size, never by the active samples or the sum of the weights: that would undo the
    softness. Terms must come with margins that are numbers; UserError on "auto".
    """

    def __init__(self, terms: list[Term], teacher_head: dict[str, Any] | None = None):
        super().__init__()
        self.terms = terms
        self.losses = nn.ModuleList(term.build(teacher_head) for term in terms)

    def forward(
        self,
        student: Outputs,
        training_logits: Tensor,
        labels: Tensor,
        teacher: Outputs | None = None,
        w_ce: Tensor | None = None,
        w_kd: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The scalar to minimise and, detached, each part: `ce`, and per term its hard value and active share.

        student: in the teacher's embedding space. training_logits (N, C): with the head's margin. w_ce, w_kd (N,) or
        None.
        """
        ce = F.cross_entropy(training_logits.float(), labels, reduction="none")
        total = _weighted_mean(ce, w_ce)
        parts = {"ce": ce.detach().mean()}
        for name, term, loss in zip(names_of(self.terms), self.terms, self.losses, strict=True):
            if teacher is None:
                raise UserError(f"Term {term} compares with a teacher, and no teacher outputs were given.")
            hard = (loss.loss if term.margin is not None else loss)(student, teacher, labels)
            values = loss.soft(hard, teacher, labels) if term.margin is not None else hard
            total = total + term.weight * _weighted_mean(values, w_kd)
            parts[name] = hard.detach().mean()
            parts[f"{name}_active"] = (values.detach() > 0).float().mean()
        return total, parts


def _weighted_mean(values: Tensor, weights: Tensor | None) -> Tensor:
    return (values if weights is None else values * weights).mean()
