"""How students stand noise that is added to their test voices."""

from collections.abc import Mapping, Sequence

import pandas as pd
from torch import Tensor

from xmkd_lib.data import PairedDataset
from xmkd_lib.errors import UserError
from xmkd_lib.evaluation import eer, trial_scores
from xmkd_lib.explore.corruption import normal, pairs
from xmkd_lib.features import front_end
from xmkd_lib.modalities.corruption import add_noise
from xmkd_lib.models import Network
from xmkd_lib.study import Study
from xmkd_lib.teachers import infer


def chosen_students(study: Study, methods: Sequence[str]) -> dict[str, Network]:
    """Students by their method, at the validation-chosen epoch, all with the study's settings but for the method."""
    students = {}
    # the undistilled one first: the others measure their margins with it
    for method in sorted(methods, key=lambda name: name != "none"):
        own = (
            study
            if method == study.experiment.method
            else Study(study.experiment.model_copy(update={"method": method}))
        )
        network, fitted = own.train(own.terms())
        network.load_state_dict(fitted.best)
        if not own.experiment.terms():
            own.offer_reference(network)
        students[method] = network
    return {method: students[method] for method in methods}


def noise_robustness(
    study: Study, students: Mapping[str, Network], people: PairedDataset, levels: Sequence[float]
) -> pd.DataFrame:
    """EER in % of each student (a column) on test voices with white noise at each SNR in dB (the index).

    people: the study's data set without noise (`without_noise`). Trials and centring as in `assess`.
    UserError without a student.
    """
    if not students:
        raise UserError("There is no student to compare in noise. Name one method or more.")
    voices = pairs(people, people.rows("test"))
    noise = normal(voices.waveforms, seed=study.experiment.seed)
    read = front_end(people, "speech", study.device)
    centres = {name: study.outputs(net, ("train",))["train"].embedding.mean(0).cpu() for name, net in students.items()}

    def error(network: Network, centre: Tensor, features: Tensor) -> float:
        embedding = infer(network, features).embedding.cpu()
        return 100 * eer(*trial_scores(embedding.numpy(), voices.labels.numpy(), centre.numpy()))

    rows = {}
    for level in levels:
        features = read(add_noise(voices.waveforms, noise, level).to(study.device))
        rows[level] = {name: error(network, centres[name], features) for name, network in students.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("SNR (dB)")
