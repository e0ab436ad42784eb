"""The parts of an experiment, each made when it is first needed: for exploration, and for `run`."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial, wraps
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from safetensors.torch import save_file
from torch import Tensor, nn

from xmkd_lib import data, losses, models, weighting
from xmkd_lib.assessment import assess, check_trials, distance, val_error
from xmkd_lib.cache import CHECKPOINTS, artefact, code_of, digest, read_tensors
from xmkd_lib.checkpoint import Checkpoint
from xmkd_lib.data.pairing import pair
from xmkd_lib.errors import UserError
from xmkd_lib.features import extract, preprocessing, shifted, tokenizer
from xmkd_lib.losses.base import LOSSES
from xmkd_lib.models import Network
from xmkd_lib.objective import Context, Objective, Term
from xmkd_lib.outputs import Outputs
from xmkd_lib.settings import Experiment
from xmkd_lib.teachers import Fold, TeacherBank, infer
from xmkd_lib.teaching import Assess, Teaching
from xmkd_lib.training import Fitted, Schedule, TrainingSet, fit

DEFAULT_MODEL = {"image": "resnet_small", "speech": "tdnn", "text": "text_ngram"}
# What a cached teacher and a cached reference student depend on.
BOTH = ("dataset", "dataset_params", "seed", "head_scale", "batch_size", "learning_rate", "weight_decay", "warmup",
        "evaluate_every", "device", "precision", "threads")  # fmt: skip
TEACHER_SETTINGS = (*BOTH, "teacher", "teacher_model", "teacher_width", "teacher_epochs")
STUDENT_SETTINGS = (*BOTH, "student_model", "student_width", "embedding_dim", "head_margin", "label_smoothing",
                    "epochs")  # fmt: skip
OnEpoch = Callable[[dict[str, float]], None]


def _own_threads(method: Callable[..., Any]) -> Callable[..., Any]:
    """Compute with the experiment's threads: sums in another order differ in the last bits, and training grows them."""

    @wraps(method)
    def with_threads(self: "Study", *args: Any, **kwargs: Any) -> Any:
        torch.set_num_threads(self.experiment.threads)
        return method(self, *args, **kwargs)

    return with_threads


class Study:
    """Data, features, teacher and no-distillation reference of one experiment, and a student's training and assessment.

    Teacher and reference are taken from the cache where another run with the same settings left them.
    """

    def __init__(self, experiment: Experiment):
        self.experiment = experiment
        self.device = _accelerator(experiment.device, experiment.precision).device
        self.timings: dict[str, float] = {}

    @property
    def teacher_dim(self) -> int:
        """Width of the teacher's embedding."""
        imported = self.experiment.teacher_bank is not None
        return self.bank.outputs.embedding.shape[1] if imported else self._teaching.dim

    @property
    def teacher_modality(self) -> str:
        """What the teacher reads: the data set's teacher modality, or the student's for a control teacher."""
        same = self.experiment.teacher == "same_modality"
        return self.dataset.student_modality if same else self.dataset.teacher_modality

    @cached_property
    def dataset(self) -> data.PairedDataset:
        """The paired data set at the experiment's seed."""
        chosen = self.experiment
        dataset = data.create(chosen.dataset, **chosen.dataset_params, seed=chosen.seed)
        check_trials(dataset)
        return dataset

    @cached_property
    def labels(self) -> Tensor:
        """Labels of all rows (n,), on the CPU."""
        return torch.from_numpy(self.dataset.table.label.to_numpy(dtype="int64", copy=True))

    @cached_property
    @_own_threads
    def features(self) -> dict[str, Tensor]:
        """What the student reads, per split, on the device; extracted once for all methods of a seed."""
        modality = self.dataset.student_modality
        recipe = {**self._recipe(()), "modality": modality, "preprocessing": preprocessing(self.dataset, modality)}

        def build(folder: Path) -> None:
            save_file({"features": extract(self.dataset, modality, self.device).cpu()}, folder / "features.safetensors")

        folder = artefact("features", recipe, build)
        return self._by_split(read_tensors(folder / "features.safetensors")["features"].to(self.device))

    @cached_property
    @_own_threads
    def bank(self) -> TeacherBank:
        """The teacher's outputs for every row's own teacher input."""
        with self._timed("teacher_seconds"):
            return self._teaching.bank()

    @cached_property
    @_own_threads
    def teacher_network(self) -> Network:
        """The teacher itself, for inputs that are in no data set. UserError for one that is known by its outputs."""
        return self._teaching.network()

    @cached_property
    @_own_threads
    def views(self) -> Tensor:
        """The teacher's embeddings of augmented views of every training row's own teacher input, (n_train, V, D)."""
        with self._timed("views_seconds"):
            return self._teaching.views(self.bank)

    @cached_property
    @_own_threads
    def folds(self) -> list[Fold]:
        """Teachers trained without a part of the training split, with their outputs for each row's own input."""
        with self._timed("folds_seconds"):
            return self._teaching.folds(self.bank)

    @cached_property
    def taught_by(self) -> np.ndarray:
        """For every row the row whose teacher input teaches it, by the pairing mode."""
        inputs = self.dataset.shared_input.get(self.teacher_modality)
        table = self.dataset.table
        return pair(table, self.experiment.pairing, self.experiment.seed, None if inputs is None else table[inputs])

    @cached_property
    def teacher(self) -> dict[str, Outputs]:
        """Per split, the teacher outputs that the pairing mode gives to each row; on the device."""
        paired = self.bank.take(list(self.dataset.table.id.iloc[self.taught_by]))
        return self._outputs_by_split(paired.map(lambda x: x.to(self.device)))

    @cached_property
    @_own_threads
    def reference(self) -> dict[str, Tensor]:
        """Per split, embeddings of a student trained without distillation, at its chosen epoch; on the CPU."""
        with self._timed("reference_seconds"):
            folder = artefact("references", self._reference_recipe, self._build_reference)
        return read_tensors(folder / "reference.safetensors")

    def offer_reference(self, network: Network) -> None:
        """Let the other methods of this seed use a student that was trained without distillation as their reference."""
        artefact("references", self._reference_recipe, lambda folder: self._save_reference(network, folder))

    def student(self) -> Network:
        """A new student, with the same initial weights for every method of one seed."""
        chosen = self.experiment
        network = self._network(
            self.dataset.student_modality,
            self.features["train"],
            chosen.student_model,
            chosen.student_width,
            chosen.embedding_dim,
            chosen.head_margin,
        )
        if self.teacher_dim != chosen.embedding_dim:
            with _seeded(chosen.seed):
                network.projector = nn.Linear(chosen.embedding_dim, self.teacher_dim).to(self.device)
        return network

    def check(self) -> None:
        """Refuse what can be refused before anything is trained. UserError."""
        if self.experiment.quality_variant:
            weighting.check(self)
        network = self.student()
        for term in self.experiment.terms():
            if term.margin == "auto":
                self._margin_split(term)
            if self.experiment.teacher_bank is not None:  # read in no time, and it may lack what a loss needs
                term.build_hard(self._context(network)).check(*self._sample(network))

    def _sample(self, network: Network) -> tuple[Outputs, Outputs, Tensor]:
        """Two training samples as a loss will see them: student, teacher, labels."""
        student = infer(network, self.features["train"][:2])
        teacher = self.teacher["train"].map(lambda x: x[:2])
        return network.for_teacher(student), teacher, self._train_labels()[:2]

    def terms(self) -> list[Term]:
        """The method's terms, with every "auto" margin measured."""
        return [
            term.model_copy(update={"margin": self.auto_margin(term)}) if term.margin == "auto" else term
            for term in self.experiment.terms()
        ]

    @_own_threads
    def auto_margin(self, term: Term) -> float:
        """The held-out distance in the term's units, from training and validation data alone.

        A loss that needs labels is measured where labels are the teacher's classes: on the validation split, or, where
        that has other identities, on held-out recordings of the training identities.
        """
        split, loss = self._margin_split(term), term.build_hard(self._context())
        train, held_out = (self.teacher[name].map(Tensor.cpu) for name in ("train", split))
        labels = self.labels[self.dataset.rows(split)]
        reference = {name: Outputs(embedding) for name, embedding in self.reference.items()}
        # validation leaves identities out, so the regression is tuned by leaving identities out; `heldout` does not
        identities = torch.from_numpy(self.dataset.table.identity.factorize()[0][self.dataset.rows("train")])
        groups = identities if split == "val" else None
        begun = time.perf_counter()
        margin = losses.auto_margin(
            loss, reference["train"], train, reference[split], held_out, labels, groups,
            batch_size=self.experiment.batch_size, relative=term.mode == "bounded",
        )  # fmt: skip
        self.timings["auto_margin_seconds"] = self.timings.get("auto_margin_seconds", 0) + time.perf_counter() - begun
        return margin

    def _margin_split(self, term: Term) -> str:
        """Where a term's margin is measured. UserError where there is no such split, or nothing to predict."""
        kind = LOSSES[term.loss]
        if not getattr(kind, "reads", True):
            raise UserError(
                f"Loss {term.loss!r} compares no outputs, so nothing can be predicted: give its margin as a number."
            )
        new_identities = self.labels[self.dataset.rows("val")].max() >= self.dataset.num_classes
        split = "heldout" if getattr(kind, "needs_labels", False) and new_identities else "val"
        if not len(self.dataset.rows(split)):
            raise UserError(
                f"The auto margin of {term.loss!r} needs held-out recordings of the training identities, and data set "
                f"{self.dataset.name!r} has none. Give classifier_margin as a number, or set heldout_utterances."
            )
        return split

    @_own_threads
    def train(
        self, terms: list[Term], on_epoch: OnEpoch | None = None, checkpoint: Checkpoint | None = None
    ) -> tuple[Network, Fitted]:
        """Train a new student: the student at the last epoch, and both epochs' weights with the curves.

        checkpoint: where to save to, and to resume from; the caller makes it by `checkpoint` and removes it.
        """
        network, objective, training = self.untrained(terms)
        fitted = self._fit(network, objective, training, self.experiment.epochs, self.assess, on_epoch, checkpoint)
        return network, fitted

    def untrained(self, terms: list[Term]) -> tuple[Network, Objective, TrainingSet]:
        """A new student, what it minimises and what it learns from, on the device."""
        network = self.student()
        teacher = self.teacher["train"]  # also without terms: each assessment measures the distance to it
        weights = self._weights_of(terms)
        augment = self._augmentation(self.dataset.student_modality)
        training = TrainingSet(self.features["train"], self._train_labels(), teacher, *weights, augment)
        with _seeded(self.experiment.seed):  # of layers that losses bring of their own
            context = self._context(network) if terms else Context()
            objective = Objective(terms, context, self.experiment.label_smoothing)
        return network, objective.to(self.device), training

    def checkpoint(self, path: Path, terms: list[Term]) -> Checkpoint:
        """The place of a student's training, its key made of all that the student's numbers depend on."""
        weights = [None if w is None else digest(w.tolist()) for w in self._weights_of(terms)]
        key = {
            **self._training_recipe(tuple(Experiment.model_fields), self.dataset.student_modality),
            "bank": self.bank.key,
            "terms": [term.model_dump(mode="json") for term in terms],  # with measured margins
            "code_of_losses": [code_of(LOSSES[term.loss]) for term in terms],
            "weights": weights,
        }
        return Checkpoint(path, key)

    def _weights_of(self, terms: list[Term]) -> tuple[Tensor, Tensor] | tuple[None, None]:
        """The weights that a student is trained with by these terms."""
        return self.quality_weights() if self.experiment.quality_variant and terms else (None, None)

    def _context(self, network: Network | None = None) -> Context:
        """What losses may take from the teacher and, where there is one already, from the student."""
        return Context(
            **self.bank.head,
            student_weight=network.head.weight if network else None,
            student_dim=self.experiment.embedding_dim,
            teacher_dim=self.teacher_dim,
            class_means=self._class_means(),
        )

    def _class_means(self) -> Outputs:
        """The teacher's mean embedding and logits of each training class."""
        labels, classes = self._train_labels(), self.dataset.num_classes
        count = torch.bincount(labels, minlength=classes)[:, None].clamp_min(1)

        return self.teacher["train"].map(lambda x: x.new_zeros(classes, x.shape[1]).index_add_(0, labels, x) / count)

    @_own_threads
    def outputs(self, network: Network, splits: tuple[str, ...] | None = None) -> dict[str, Outputs]:
        """A student's outputs per split, on the device."""
        return {split: infer(network, self.features[split]) for split in splits or self.features}

    @_own_threads
    @torch.no_grad()
    def assess(self, network: Network, splits: tuple[str, ...] | None = None) -> dict[str, float]:
        """All metrics of a student at its present weights."""
        outputs = self.outputs(network, splits)
        metrics = assess(self.dataset, outputs, self.dataset.student_modality)
        for split, found in outputs.items():
            projected = network.for_teacher(found).embedding
            metrics[f"{split}_distance"] = distance(projected, self.teacher[split].embedding)
        return metrics

    @_own_threads
    def assess_teacher(self) -> dict[str, float]:
        """The teacher's own figures, on its own inputs; of an imported one also how many samples its file matched."""
        metrics = assess(self.dataset, self._outputs_by_split(self.bank.outputs), self.teacher_modality)
        if self.experiment.teacher_bank is not None:
            metrics["matched"] = len(self.bank.ids)
        return {f"teacher_{name}": value for name, value in metrics.items()}

    def quality_weights(self) -> tuple[Tensor, Tensor]:
        """Weights (n_train,) of mean 1, of cross-entropy and of distillation, on the device."""
        w_ce, w_kd = self._weights
        return w_ce.to(self.device), w_kd.to(self.device)

    @cached_property
    @_own_threads
    def _weights(self) -> tuple[Tensor, Tensor]:
        return weighting.quality_weights(self)

    def _fit(
        self,
        network: Network,
        objective: Objective,
        training: TrainingSet,
        epochs: int,
        assess: Assess,
        on_epoch: OnEpoch | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> Fitted:
        with _seeded(self.experiment.seed):  # of models and losses that draw at random while they train
            return fit(
                network, objective, training, self.schedule(epochs), self.accelerator(),
                partial(self.held_out, assess), "val_error", on_epoch, checkpoint,
            )  # fmt: skip

    def accelerator(self) -> Accelerator:
        """Device and precision of the experiment, set for the whole process."""
        return _accelerator(self.experiment.device, self.experiment.precision)

    def schedule(self, epochs: int) -> Schedule:
        """How to train for a number of epochs."""
        names = ("batch_size", "learning_rate", "weight_decay", "warmup", "evaluate_every", "seed")
        return Schedule(epochs=epochs, **{name: getattr(self.experiment, name) for name in names})

    def held_out(self, assess: Assess, network: Network) -> dict[str, float]:
        """What a training is watched by: a network's metrics on training and validation data, and `val_error`."""
        metrics = assess(network, ("train", "val"))
        return {**metrics, "val_error": val_error(self.dataset, metrics)}

    def _build_reference(self, folder: Path) -> None:
        # keyed as the artefact is, without the method: whichever run comes next goes on with it
        checkpoint = Checkpoint(folder / CHECKPOINTS / "reference.safetensors", self._reference_recipe)
        network, fitted = self.train([], checkpoint=checkpoint)
        network.load_state_dict(fitted.best)
        self._save_reference(network, folder)

    def _save_reference(self, network: Network, folder: Path) -> None:
        embeddings = {split: found.embedding.cpu().contiguous() for split, found in self.outputs(network).items()}
        save_file(embeddings, folder / "reference.safetensors")

    def _augmentation(self, modality: str) -> Callable[[Tensor, torch.Generator], Tensor] | None:
        most = self._image_shift(modality)
        return partial(shifted, most=most) if most else None

    def _image_shift(self, modality: str) -> int:
        return self.experiment.image_shift if modality == "image" else 0

    def _network(
        self, modality: str, features: Tensor, name: str | None, width: float, embedding_dim: int, margin: float
    ) -> Network:
        chosen = self.experiment
        of_text = {"vocabulary": tokenizer(self.dataset).vocabulary} if modality == "text" else {}
        with _seeded(chosen.seed):
            encoder = models.create(
                name or DEFAULT_MODEL[modality],
                input_shape=tuple(features.shape[1:]),
                embedding_dim=embedding_dim,
                width=width,
                **of_text,
            )
            head = models.AAMHead(embedding_dim, self.dataset.num_classes, chosen.head_scale, margin)
        # channels last is the faster layout of image convolutions, on CPUs and on CUDA alike
        return Network(encoder, head).to(self.device, memory_format=torch.channels_last)

    def _outputs_by_split(self, outputs: Outputs) -> dict[str, Outputs]:
        embedding, logits = outputs.map(self._by_split)
        return {split: Outputs(embedding[split], logits and logits[split]) for split in embedding}

    def _by_split(self, rows: Tensor) -> dict[str, Tensor]:
        present = [split for split in data.SPLITS if len(self.dataset.rows(split))]
        return {split: rows[torch.from_numpy(self.dataset.rows(split)).to(rows.device)] for split in present}

    def _train_labels(self) -> Tensor:
        return self.labels[self.dataset.rows("train")].to(self.device)

    @cached_property
    def _teaching(self) -> Teaching:
        def train(network: Network, training: TrainingSet, assess: Assess, checkpoint: Checkpoint) -> Fitted:
            epochs = self.experiment.teacher_epochs
            return self._fit(network, Objective([]), training, epochs, assess, checkpoint=checkpoint)

        return Teaching(
            experiment=self.experiment,
            dataset=self.dataset,
            modality=self.teacher_modality,
            labels=self.labels.to(self.device),
            recipe=self._training_recipe(TEACHER_SETTINGS, self.teacher_modality),
            new_network=self._network,
            fit=train,
            augment=self._augmentation(self.teacher_modality),
        )

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.timings[name] = time.perf_counter() - started

    @property
    def _reference_recipe(self) -> dict[str, Any]:
        return self._training_recipe(STUDENT_SETTINGS, self.dataset.student_modality)

    def _training_recipe(self, names: tuple[str, ...], modality: str) -> dict[str, Any]:
        chosen = [getattr(self.experiment, name) for name in ("teacher_model", "student_model") if name in names]
        code = [code_of(models.registry[name]) for name in chosen if name is not None]
        return {**self._recipe(names), "image_shift": self._image_shift(modality), "code_of_models": code}

    def _recipe(self, names: tuple[str, ...]) -> dict[str, Any]:
        """The named settings, with what else changes numbers: the data itself and the device that computes."""
        settings = self.experiment.model_dump(mode="json", include=set(names))
        return {**settings, "device": self.device.type, "data": self.dataset.fingerprint, "torch": torch.__version__}


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Draw from `seed` inside, and leave the caller's random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _accelerator(device: str, precision: str) -> Accelerator:
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("Setting 'device' is 'cuda', and torch sees no CUDA device: use device='auto' or 'cpu'.")
    cpu = device == "cpu" or not torch.cuda.is_available()
    # accelerate's settings are the whole process's; a notebook may hold several studies, so each fit sets its own
    AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(cpu=cpu, mixed_precision=precision)
