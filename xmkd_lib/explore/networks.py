"""The same question to real networks: students of a study under a hard constraint of several strengths."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import pandas as pd

from xmkd_lib.errors import UserError
from xmkd_lib.evaluation import cka
from xmkd_lib.explore.strength import COLUMNS, axis
from xmkd_lib.losses import unit
from xmkd_lib.models import Network
from xmkd_lib.study import Study

SPLITS = {"train": "training", "test": "held-out"}


class Networks(NamedTuple):
    """What a study's students have learned, at the last and at the validation-chosen epoch.

    last, chosen: a row per strength and split, as `strength.COLUMNS` names them, with the EER in % as the error;
    margin: the auto margin of the constraint, for comparison with the distances.
    """

    last: pd.DataFrame
    chosen: pd.DataFrame
    margin: float


def students(study: Study, strengths: Sequence[float], tell: Callable[[str], None] = print) -> Networks:
    """Train a student under the study's hard constraint at every strength λ, and one, λ = 0, without.

    study: of an experiment whose method has one term, such as "hard_feature"; its other settings hold for all
    students, and all start from the same weights. tell: gets a line after each. UserError on another number of terms,
    on a term with a margin, where `strength.axis` has one, and without a strength above 0.
    """
    terms = study.experiment.terms()
    if len(terms) != 1 or terms[0].margin is not None:
        raise UserError(f"Method {study.experiment.method!r}: needs one hard term. Give method='hard_feature'.")
    if axis(strengths) == [0.0]:
        raise UserError(f"The strengths are {strengths}. Give one above 0 or more.")
    last, chosen = [], []
    for strength in axis(strengths):
        begun = time.perf_counter()
        network, fitted = study.train([terms[0].model_copy(update={"weight": strength})] if strength else [])
        last += _rows(study, network, strength)
        network.load_state_dict(fitted.best)
        chosen += _rows(study, network, strength)
        if not strength:
            study.offer_reference(network)  # of which the margin is measured: no further training
        tell(f"λ = {strength:<5g} EER {last[-1][4]:.1f} % held out, {time.perf_counter() - begun:.0f} s")
    margin = study.auto_margin(terms[0])
    return Networks(pd.DataFrame(last, columns=COLUMNS), pd.DataFrame(chosen, columns=COLUMNS), margin)


def _rows(study: Study, network: Network, strength: float) -> list[tuple[str, float, str, float, float, float]]:
    metrics, outputs = study.assess(network, tuple(SPLITS)), study.outputs(network, tuple(SPLITS))
    rows = []
    for split, name in SPLITS.items():
        pair = (unit(found[split].embedding).cpu() for found in (outputs, study.teacher))
        rows.append(("hard", strength, name, metrics[f"{split}_distance"], 100 * metrics[f"{split}_eer"], cka(*pair)))
    return rows
