"""A training step of several seeds together beside the same seeds one by one: how many times as fast it is.

    python tests/benchmarks/bench_together.py [--device cuda] [--rounds 5]

Above 1 it pays to train the seeds of one condition together. Both ways take turns on the same batches, so that a
machine's drift meets both; the figure is the median over rounds. Speech is of the size of the demo on `people`
(40 mel bands, 81 frames), images are 48x48; the method is cross-entropy with a soft l2.
"""

import argparse
import itertools

import torch
from accelerate import Accelerator

from xmkd_lib.models import AAMHead, Network, create
from xmkd_lib.objective import Objective, Term
from xmkd_lib.outputs import Outputs
from xmkd_lib.together import Fit, try_together
from xmkd_lib.training import Schedule, TrainingSet

CLASSES, DIM, BATCHES = 60, 32, 2
SHAPES = {"tdnn": (40, 81), "resnet_small": (3, 48, 48)}
SEEDS, WIDTHS, SIZES = (2, 5, 10), (0.25, 0.75), (16, 64)


def one_seed(seed: int, model: str, width: float, size: int, device: torch.device) -> Fit:
    torch.manual_seed(seed)
    encoder = create(model, input_shape=SHAPES[model], embedding_dim=DIM, width=width)
    network = Network(encoder, AAMHead(DIM, CLASSES, 16.0, 0.0)).to(device, memory_format=torch.channels_last)
    n = BATCHES * size
    features, labels = torch.randn(n, *SHAPES[model]), torch.randint(0, CLASSES, (n,))
    data = TrainingSet(features.to(device), labels.to(device), Outputs(torch.randn(n, DIM).to(device)))
    objective = Objective([Term(loss="l2", margin=1.5 + 0.01 * seed, weight=4.0)])
    return Fit(network, objective, data, Schedule(1, size, 0.003, 1e-4, 0.05, 1, seed), lambda _: {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--rounds", default=5, type=int)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    accelerator = Accelerator(cpu=chosen.device == "cpu")
    device = accelerator.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, one thread"
    print(
        f"{name}; {chosen.rounds} rounds\n\n| model | width | batch | " + " | ".join(f"S = {s}" for s in SEEDS) + " |"
    )
    print("|---" * (3 + len(SEEDS)) + "|")
    for model, width, size in itertools.product(SHAPES, WIDTHS, SIZES):
        fits = [one_seed(seed, model, width, size, device) for seed in range(max(SEEDS))]
        trials = [try_together(fits[:count], accelerator, chosen.rounds) for count in SEEDS]
        cells = " | ".join(trial.obstacle or f"{trial.speedup:.2f}" for trial in trials)
        print(f"| {model} | {width} | {size} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
