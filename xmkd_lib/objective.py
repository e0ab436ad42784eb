"""A method is a list of terms; the objective adds them to cross-entropy and says what each contributed."""

import itertools
import json
import math
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from xmkd_lib import losses
from xmkd_lib.errors import UserError, unknown_name
from xmkd_lib.losses.base import LOSSES, Loss
from xmkd_lib.losses.margins import ClassSpreadMargin, QuantileMargin
from xmkd_lib.losses.soften import MODES, check_softenable
from xmkd_lib.outputs import Outputs
from xmkd_lib.registry import signature_of


def _as_json(value: dict[str, Any]) -> dict[str, Any]:
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except TypeError as error:
        raise ValueError(f"must be JSON ({error})") from None


class LoudModel(BaseModel):
    """Settings that are loud: a UserError on a wrong name, with the nearest valid one, and on a wrong value."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, protected_namespaces=())
    kind: ClassVar[str]

    def __init__(self, /, **given: Any):
        for name in given:
            if name not in type(self).model_fields:
                raise unknown_name(self.kind, name, type(self).model_fields)
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise UserError(explain(error, self.kind)) from None


def explain(error: ValidationError, kind: str = "setting") -> str:
    """pydantic's findings, one line each, with the name, the value seen and what would be valid."""
    lines = []
    for found in error.errors():
        setting, *inner = found["loc"] or ("",)  # inner also has pydantic's names of a union's branches
        name = ".".join(
            str(part) for part in (setting, *(p for p in inner if isinstance(p, int) or p in Term.model_fields))
        )
        if found["type"] == "missing":
            lines.append(f"{kind.capitalize()} {name!r} is missing: it is required.")
            continue
        problem = found["msg"].removeprefix("Value error, ").rstrip(".")
        lines.append(f"{kind.capitalize()} {name!r} is {found['input']!r}: {problem[0].lower()}{problem[1:]}.")
    return "\n".join(dict.fromkeys(lines))


class Quantile(LoudModel):
    """A margin that follows the batch: a quantile of its hard values, averaged over batches (`QuantileMargin`)."""

    kind: ClassVar[str] = "entry of a quantile margin"
    quantile: float = Field(gt=0, lt=1)
    momentum: float = Field(0.9, ge=0, lt=1)

    def __str__(self) -> str:
        return f"{self.quantile:g}-quantile"


class ClassSpread(LoudModel):
    """A margin per sample: this many times the loss of the teacher's own class mean (`ClassSpreadMargin`)."""

    kind: ClassVar[str] = "entry of a class-spread margin"
    class_spread: float = Field(gt=0)

    def __str__(self) -> str:
        return f"{self.class_spread:g} × class spread"


def _margin(value: Any) -> Any:
    """One clear message, where a union of types would complain once for each."""
    if isinstance(value, Quantile | ClassSpread) or value == "auto":
        return value
    if isinstance(value, dict) and value.keys() & {"quantile", "class_spread"}:
        return (Quantile if "quantile" in value else ClassSpread)(**value)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf:
        return float(value)
    raise ValueError('give a number from 0, "auto", {"quantile": 0.5} or {"class_spread": 1.0}')


Margin = Annotated[float | str | Quantile | ClassSpread, BeforeValidator(_margin)]
JsonDict = Annotated[dict[str, Any], AfterValidator(_as_json)]  # tuples become lists, as they will be read back


class Context(NamedTuple):
    """What losses and margins may take from teacher and student when they are built; None where there is none.

    weight (C, D_t), scale: the teacher's classifier. student_weight (C, D_s): the student's, the parameter itself.
    student_dim, teacher_dim: widths of the embeddings. class_means: the teacher's, Outputs of C rows.
    """

    weight: Tensor | None = None
    scale: float | None = None
    student_weight: Tensor | None = None
    student_dim: int | None = None
    teacher_dim: int | None = None
    class_means: Outputs | None = None


class Term(LoudModel):
    """One distillation term: weight · loss, softened where a margin is set, ramped up over the first steps.

    margin: None is the hard constraint, a number the margin in the loss's units, "auto" the held-out distance, which is
    measured before the run (our reading), {"quantile": 0.5} one that follows the batch,
    {"class_spread": 1.0} one per sample. warmup: the share of all steps over which the weight grows from 0. `str(term)`
    is one line for people, `term.model_dump()` is JSON.

    >>> str(Term(loss="l2", margin="auto", weight=4, warmup=0.1))
    '4·l2 (hinge, margin auto, warm-up 10 %)'
    """

    kind: ClassVar[str] = "entry of a term"
    loss: str
    params: JsonDict = Field(default_factory=dict)
    margin: Margin | None = None
    mode: str = "hinge"
    weight: float = Field(1.0, ge=0)
    warmup: float = Field(0.0, ge=0, le=1)

    def check_names(self) -> None:
        """UserError with the nearest valid name when there is no such loss or mode, or the loss takes no margin."""
        if self.loss not in LOSSES:
            raise unknown_name("loss", self.loss, losses.names())
        if self.mode not in MODES:
            raise unknown_name("mode", self.mode, MODES)
        if self.margin is not None:
            check_softenable(self.loss, getattr(LOSSES[self.loss], "minimum", 0.0))

    def check(self) -> None:
        """`check_names`, and UserError on parameters or a margin that the loss refuses: it is built on trial."""
        if self.margin is None and self.mode != "hinge":
            raise UserError(f"Term {self}: mode {self.mode!r} softens by a margin, and there is none. Give a margin.")
        self.check_names()
        same = {"weight": 1.0, "warmup": 0.0} | ({"margin": 0.0} if isinstance(self.margin, float | str) else {})
        _try(LOSSES[self.loss], self.model_copy(update=same).model_dump_json())

    def build(self, context: Context = Context()) -> Loss:  # noqa: B008  an immutable default
        """The loss as a module; `context` provides what its constructor asks for and `params` do not set."""
        hard = self.build_hard(context)
        if self.margin is None:
            return hard
        margin = self.margin
        if isinstance(margin, Quantile):
            margin = QuantileMargin(margin.quantile, margin.momentum)
        elif isinstance(margin, ClassSpread):
            if context.class_means is None:
                raise UserError(f"Term {self}: a margin by class spread needs the teacher's class means.")
            margin = ClassSpreadMargin(hard, context.class_means, margin.class_spread)
        return losses.soften(hard, margin=margin, mode=self.mode)

    def build_hard(self, context: Context = Context()) -> Loss:  # noqa: B008
        """The loss without its margin. UserError where it needs something that the teacher lacks."""
        self.check_names()
        accepted = signature_of(LOSSES[self.loss]).parameters
        provided = {name: value for name, value in context._asdict().items() if name in accepted and value is not None}
        missing = [
            name
            for name, parameter in accepted.items()
            if name in Context._fields and parameter.default is parameter.empty and name not in provided | self.params
        ]
        if missing:
            raise UserError(
                f"Loss {self.loss!r} needs {', '.join(missing)}, which this teacher or student does not have: "
                "train a teacher with a classifier, or choose a loss that compares embeddings."
            )
        return losses.create(self.loss, **{**provided, **self.params})

    def weight_at(self, progress: float) -> float:
        """The weight when this share of all steps is done."""
        return self.weight * min(1.0, progress / self.warmup) if self.warmup else self.weight

    def __str__(self) -> str:
        margin = f"{self.margin:.3g}" if isinstance(self.margin, float | int) else self.margin
        facts = ["hard"] if self.margin is None else [self.mode, f"margin {margin}"]
        if self.warmup:
            facts.append(f"warm-up {self.warmup:.0%}".replace("%", " %"))
        return f"{self.weight:g}·{self.loss} ({', '.join(facts)})"


@cache  # the conditions of a large sweep differ in weights and margins, which no loss sees when it is built
def _try(factory: Callable[..., Loss], term: str) -> None:
    """Build a term, given as JSON, for widths of 2. factory: its loss, which a notebook may replace by another."""
    rows = torch.zeros(2, 2)
    with torch.random.fork_rng(devices=[]):  # a loss's own layers are drawn at random
        Term(**json.loads(term)).build(Context(rows, 1.0, rows, 2, 2, Outputs(rows, rows)))


def describe(terms: list[Term]) -> str:
    """A method as one line.

    >>> describe([Term(loss="l2", margin="auto", weight=4), Term(loss="kd")])
    'cross-entropy + 4·l2 (hinge, margin auto) + 1·kd (hard)'
    """
    return " + ".join(["cross-entropy", *map(str, terms)])


def names_of(terms: list[Term]) -> list[str]:
    """A name for each term's figures: its loss, and a number where the loss occurs again.

    >>> names_of([Term(loss="l2"), Term(loss="kd"), Term(loss="l2", margin=1.0)])
    ['l2', 'kd', 'l2_2']
    """
    names = ["ce"]  # taken by cross-entropy
    for term in terms:
        candidates = itertools.chain([term.loss], (f"{term.loss}_{number}" for number in itertools.count(2)))
        names.append(next(name for name in candidates if name not in names))
    return names[1:]


class Objective(nn.Module):
    """Σ_i w_ce,i CE_i / N + Σ_k λ_k Σ_i w_kd,i S_k(ℓ_k,i) / N.

    The sums are divided by the batch size, never by the active samples or the sum of the weights: that would undo the
    softness. Terms must come with margins that are fixed; UserError on "auto". Layers that a loss brings of its own are
    parameters of the objective: train them along. label_smoothing: share of the label given to all classes alike.
    """

    def __init__(self, terms: list[Term], context: Context = Context(), label_smoothing: float = 0.0):  # noqa: B008
        super().__init__()
        self.terms, self.label_smoothing = terms, label_smoothing
        self.losses = nn.ModuleList(term.build(context) for term in terms)

    def forward(
        self,
        student: Outputs,
        training_logits: Tensor,
        labels: Tensor,
        teacher: Outputs | None = None,
        w_ce: Tensor | None = None,
        w_kd: Tensor | None = None,
        projected: Outputs | None = None,
        progress: float = 1.0,
        diagnose: bool = False,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The scalar to minimise and, detached, its parts: `ce`, and per term the hard value, active share and margin.

        training_logits (N, C): with the head's margin. w_ce, w_kd (N,) or None. projected: the student in the teacher's
        embedding space, where widths differ, for losses that need one width. progress: share of all steps done, for the
        warm-up. diagnose: also give `<part>_gradient`, each part's share of the gradients' lengths at the student's
        embedding (N, D), which then must require a gradient.
        """
        weighted, parts = self.weighted(student, training_logits, labels, teacher, w_ce, w_kd, projected, progress)
        if diagnose:
            parts |= gradient_shares(weighted, student.embedding)
        return sum(weighted.values()), parts

    def weighted(
        self,
        student: Outputs,
        training_logits: Tensor,
        labels: Tensor,
        teacher: Outputs | None = None,
        w_ce: Tensor | None = None,
        w_kd: Tensor | None = None,
        projected: Outputs | None = None,
        progress: float = 1.0,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The summands of the scalar by name, and its parts as `forward` gives them without diagnosis."""
        ce = F.cross_entropy(training_logits.float(), labels, reduction="none", label_smoothing=self.label_smoothing)
        weighted = {"ce": _weighted_mean(ce, w_ce)}
        parts = {"ce": ce.detach().mean()}
        for name, term, loss in zip(names_of(self.terms), self.terms, self.losses, strict=True):
            if teacher is None:
                raise UserError(f"Term {term} compares with a teacher, and no teacher outputs were given.")
            seen = projected if projected is not None and loss.same_width else student
            values, found = _values(loss, seen, teacher, labels)
            weighted[name] = term.weight_at(progress) * _weighted_mean(values, w_kd)
            parts |= {name: found["hard"], f"{name}_active": (values.detach() > 0).float().mean()}
            if "margin" in found:
                parts[f"{name}_margin"] = found["margin"]
        return weighted, parts


def _values(loss: Loss, student: Outputs, teacher: Outputs, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss (N,), and the means of its hard values and its margins."""
    if not isinstance(loss, losses.Softened):
        values = loss(student, teacher, labels)
        return values, {"hard": values.detach().mean()}
    loss.check(student, teacher, labels)
    hard = loss.loss(student, teacher, labels)
    margin = loss.margin_of(hard, teacher, labels)
    values = loss.constrain(hard, margin, teacher, labels)
    most = torch.finfo(hard.dtype).max
    mean_margin = hard.new_full((), min(margin, most)) if isinstance(margin, float) else margin.mean()
    return values, {"hard": hard.detach().mean(), "margin": mean_margin}


def gradient_shares(weighted: dict[str, Tensor], embedding: Tensor) -> dict[str, Tensor]:
    """Each summand's share of the gradients' lengths at an embedding (..., N, D), one value (...) per summand."""
    lengths = []
    for value in weighted.values():
        (gradient,) = torch.autograd.grad(value.sum(), embedding, retain_graph=True, allow_unused=True)
        if gradient is None:
            gradient = torch.zeros_like(embedding)
        lengths.append(torch.linalg.vector_norm(gradient, dim=(-2, -1)))
    lengths = torch.stack(lengths)
    shares = (lengths / lengths.sum(0).clamp_min(1e-12)).nan_to_num(0)  # of gradients that overflow
    return {f"{name}_gradient": share for name, share in zip(weighted, shares.detach(), strict=True)}


def _weighted_mean(values: Tensor, weights: Tensor | None) -> Tensor:
    return (values if weights is None else values * weights).mean()
