"""The settings of an experiment: flat, typed, JSON, and loud about a wrong name or value."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field

from xmkd_lib import data, losses, methods, models, quality
from xmkd_lib.errors import UserError, unknown_name
from xmkd_lib.objective import JsonDict, LoudModel, Margin, Term

# What a preset changes of the defaults below, which are the demo on `people`.
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "people": {
        "smoke": {
            "dataset_params": {
                "identities": 8, "utterances": 4, "val_identities": 6, "test_identities": 6,
                "eval_utterances": 3, "heldout_utterances": 2,
            },
            "epochs": 4, "teacher_epochs": 3, "batch_size": 16, "evaluate_every": 2,
        },
        "demo": {},
        "full": {
            "dataset_params": {"identities": 600, "utterances": 20, "val_identities": 100, "test_identities": 200,
                               "image_size": 64, "sample_rate": 16000, "seconds": 1.5},
            "student_model": "resnet34", "student_width": 0.5, "teacher_model": "resnet34", "teacher_width": 0.5,
            "embedding_dim": 256, "batch_size": 128, "epochs": 90, "teacher_epochs": 60, "learning_rate": 0.002,
        },
    },
    "digits": {
        "smoke": {"dataset_params": {"utterances": 2}, "epochs": 2, "teacher_epochs": 2, "batch_size": 16},
        "demo": {"dataset_params": {"utterances": 30}, "epochs": 25, "teacher_epochs": 10},
        "full": {"epochs": 60, "teacher_epochs": 30},
    },
    "emoji": {
        "smoke": {"dataset_params": {"concepts": 20, "image_size": 16}, "epochs": 2, "teacher_epochs": 2,
                  "batch_size": 16},
        "demo": {"student_width": 0.25, "epochs": 20, "teacher_epochs": 6},
        "full": {"dataset_params": {"image_size": 64}, "student_width": 1.0, "teacher_width": 0.5, "embedding_dim": 64,
                 "epochs": 60, "teacher_epochs": 20},
    },
}  # fmt: skip


def _method(value: Any) -> str | list[Term]:
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise ValueError("give a method's name or a list of terms")
    terms = []
    for place, term in enumerate(value):
        if not isinstance(term, dict | Term):
            raise ValueError(f'term {place} is {term!r}: give a mapping such as {{"loss": "l2"}}')
        try:
            terms.append(term if isinstance(term, Term) else Term(**term))
        except UserError as error:
            raise ValueError(f"term {place}: {error}") from None
    return terms


class Experiment(LoudModel):
    """All that determines a run. Unknown names and wrong types are a UserError with the nearest valid name.

    The defaults are the demo on `people`; `Experiment.preset("smoke", dataset="digits")` starts from another size.

    >>> Experiment(method="soft_feature", seed=3).epochs == Experiment().epochs
    True
    """

    kind: ClassVar[str] = "setting"
    dataset: str = Field("people", description="see `xmkd data list`")
    dataset_params: JsonDict = Field({}, description="parameters of the data set; its seed is the experiment's")
    pairing: Literal["true", "shuffled", "shuffled_within_class"] = Field(
        "true", description="whose teacher input teaches a sample; the shuffled ones are controls"
    )
    teacher: Literal["trained", "same_modality", "untrained", "random_centres"] = Field(
        "trained",
        description="who teaches. Controls, by what a student's equal gain from them would mean: same_modality (reads "
        "what the student reads): no second modality was needed; untrained (initial weights): nothing that a teacher "
        "learns was needed; random_centres (a random vector per label): only the labels were",
    )
    teacher_bank: str | None = Field(
        None, description="file of embeddings by sample id (.npz, .parquet, .safetensors) to use as the teacher"
    )
    method: Annotated[str | list[Term], BeforeValidator(_method)] = Field(
        "soft", description="preset, loss name, or list of terms"
    )
    seed: int = Field(0, ge=0, lt=2**32, description="data, initial weights and batch order")

    teacher_model: str | None = Field(
        None, description="None: resnet_small for images, tdnn for speech, text_ngram for text"
    )
    teacher_width: float = Field(0.25, gt=0)
    teacher_epochs: int = Field(20, ge=1)
    student_model: str | None = Field(None, description="None: as for the teacher, by its modality")
    student_width: float = Field(0.75, gt=0)
    embedding_dim: int = Field(32, ge=2, description="of the student")
    teacher_embedding_dim: int | None = Field(
        None, ge=2, description="None: the student's; else a projector is trained"
    )
    head_scale: float = Field(16.0, gt=0, description="of both cosine softmax heads")
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="of the student's cross-entropy: a control without a teacher"
    )
    head_margin: float = Field(0.0, ge=0, lt=1.5, description="additive angular margin, radians")

    feature_loss: str = Field("l2", description="what the feature constraint compares")
    feature_margin: Margin = Field("auto", description="of the soft feature constraint")
    feature_weight: float = Field(4.0, ge=0, description="λ of the feature constraint, hard or soft")
    classifier_loss: str = Field("teacher_head", description="what the classifier constraint compares")
    classifier_margin: Margin = Field("auto", description="of the soft classifier constraint")
    classifier_weight: float = Field(1.0, ge=0, description="λ of the classifier constraint, hard or soft")
    margin_mode: Literal["hinge", "squared", "smooth", "bounded"] = Field("hinge", description="how a margin softens")
    ce_quality: list[str] = Field(
        [],
        description="soft_quality and its controls: estimators for cross-entropy, multiplied; []: a default",
    )
    kd_quality: list[str] = Field(
        [],
        description="the same for distillation, of teacher and pair; []: a default",
    )
    quality_mapping: Literal["linear", "softmax", "power", "gate"] = Field(
        "linear", description="from quality to weight, in soft_quality and its controls"
    )
    quality_strength: float = Field(0.5, ge=0, description="0: all weights are 1")

    epochs: int = Field(30, ge=1, description="of the student")
    batch_size: int = Field(64, ge=2)
    learning_rate: float = Field(0.007, gt=0, description="peak, of AdamW, for teacher and student")
    weight_decay: float = Field(1e-4, ge=0)
    warmup: float = Field(0.05, ge=0, lt=1, description="share of all steps")
    evaluate_every: int = Field(5, ge=1, description="epochs between evaluations; one of them is chosen")
    image_shift: int = Field(2, ge=0, description="training images are moved by up to this many pixels")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: CUDA where there is one")
    precision: Literal["no", "bf16"] = Field("no", description="no: float32; bf16: autocast to bfloat16")
    threads: int = Field(1, ge=1, description="of the CPU; the last bits of every number depend on it")

    def __init__(self, /, **settings: Any):
        super().__init__(**settings)
        self._check_names()

    def _check_names(self) -> None:
        if self.dataset not in data.names():
            raise unknown_name("data set", self.dataset, data.names())
        if isinstance(self.method, str) and self.method not in methods.names():
            raise unknown_name("method", self.method, methods.names())
        for loss in (self.feature_loss, self.classifier_loss):
            if loss not in losses.names():
                raise unknown_name("loss", loss, losses.names())
        for setting in ("ce_quality", "kd_quality"):
            _check_estimators(setting, getattr(self, setting))
        if self.quality_mapping in ("linear", "gate") and self.quality_strength > 1:
            raise UserError(
                f"Setting 'quality_strength' is {self.quality_strength}: with the mapping {self.quality_mapping!r} it "
                "goes from 0 (all weights 1) to 1."
            )
        for model in (self.teacher_model, self.student_model):
            if model is not None and model not in models.names():
                raise unknown_name("model", model, models.names())
        if self.teacher_bank is not None and (self.teacher != "trained" or self.teacher_embedding_dim is not None):
            raise UserError(
                f"Setting 'teacher_bank' is {self.teacher_bank!r}: the file is the teacher and has its own width. "
                "Leave out 'teacher' and 'teacher_embedding_dim'."
            )
        if "seed" in self.dataset_params:
            raise UserError("dataset_params: 'seed' is the experiment's own setting; give seed= instead.")
        for term in self.terms():
            term.check()

    def terms(self) -> list[Term]:
        """The method as a list of terms, with margins as they are set ("auto" not yet measured)."""
        return methods.terms(
            self.method, methods.Constraints(**{name: getattr(self, name) for name in methods.Constraints._fields})
        )

    @property
    def quality_variant(self) -> str | None:
        """What the method's quality weights come from (`methods.QUALITY`); None for a method without weights."""
        return methods.QUALITY.get(self.method) if isinstance(self.method, str) else None

    @classmethod
    def preset(cls, preset: str = "demo", /, **settings: Any) -> Self:
        """The preset's sizes (smoke, demo or full) for `settings["dataset"]`, with `settings` on top.

        >>> Experiment.preset("smoke", method="none").epochs
        4
        """
        dataset = settings.get("dataset", "people")
        sizes = PRESETS.get(dataset if isinstance(dataset, str) else "", {"smoke": {}, "demo": {}, "full": {}})
        if preset not in sizes:
            raise unknown_name("preset", preset, sizes)
        chosen = sizes[preset]
        given = settings.get("dataset_params", {})
        params = {**chosen.get("dataset_params", {}), **given} if isinstance(given, dict) else given
        return cls(**{**chosen, **settings, "dataset_params": params})


def _check_estimators(setting: str, names: list[str]) -> None:
    known = [name for name in quality.names() if name != "external"]
    for name in names:
        if name not in known and not name.startswith("external."):
            raise unknown_name(f"quality estimator in setting {setting!r}", name, [*known, "external.COLUMN"])
        if setting == "ce_quality" and name.startswith(("teacher.", "pair.")):
            raise UserError(
                f"Setting 'ce_quality' has {name!r}, but cross-entropy is weighted by the student's input alone. "
                "Move it to kd_quality."
            )
