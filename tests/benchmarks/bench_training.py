"""Cost of the kit itself: a training step beside the same step by hand, and `import xmkd_lib` beside `import torch`.

    python tests/benchmarks/bench_training.py [--device cuda]

The two loops take turns on the same data, model, optimiser and schedule, so that a machine's drift meets both. A
ratio of 1 means that the library's loop (accelerate, objective, diagnostics, batches) costs nothing.
"""

import argparse
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as F
from accelerate import Accelerator

from xmkd_lib.models import AAMHead, Network, create
from xmkd_lib.objective import Objective, Term
from xmkd_lib.outputs import Outputs
from xmkd_lib.training import Schedule, TrainingSet, fit

N, CLASSES, SIZE, EPOCHS, TURNS = 512, 60, 64, 4, 7


def network(device: torch.device) -> Network:
    torch.manual_seed(0)
    encoder = create("tdnn", input_shape=(40, 81), embedding_dim=32, width=0.75)
    return Network(encoder, AAMHead(32, CLASSES, 16.0, 0.0)).to(device)


def data(device: torch.device) -> TrainingSet:
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(0, CLASSES, (N,), generator=draw)
    teacher = Outputs(torch.randn(N, 32, generator=draw).to(device))
    return TrainingSet(torch.randn(N, 40, 81, generator=draw).to(device), labels.to(device), teacher)


def by_library(accelerator: Accelerator, training: TrainingSet) -> None:
    model = network(accelerator.device)
    schedule = Schedule(EPOCHS, SIZE, 0.003, 1e-4, 0.05, EPOCHS, 0)
    objective = Objective([Term(loss="l2", margin=1.5, weight=4.0)])
    fit(model, objective, training, schedule, accelerator, lambda _: {"val_error": 0.0}, "val_error")


def by_hand(device: torch.device, training: TrainingSet) -> None:
    model = network(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), 0.003, weight_decay=1e-4, fused=True)
    schedule = Schedule(EPOCHS, SIZE, 0.003, 1e-4, 0.05, EPOCHS, 0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: schedule.factor(step, EPOCHS * N // SIZE))
    generator = torch.Generator().manual_seed(0)
    for _ in range(EPOCHS):
        for rows in torch.randperm(N, generator=generator).to(device).split(SIZE):
            z = model.encoder(training.features[rows])
            loss = F.cross_entropy(model.head(z), training.labels[rows])
            distance = (F.normalize(z) - F.normalize(training.teacher.embedding[rows])).square().sum(1)
            (loss + 4 * F.relu(distance - 1.5).mean()).backward()
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()


def seconds(call, device: torch.device) -> float:
    started = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def importing(module: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    torch.set_num_threads(1)
    accelerator = Accelerator(cpu=parser.parse_args().device == "cpu")
    device = accelerator.device
    training = data(device)
    calls = (lambda: by_library(accelerator, training), lambda: by_hand(device, training))
    for call in calls:
        call()  # warm
    pairs = [tuple(seconds(call, device) for call in calls) for _ in range(TURNS)]
    steps = EPOCHS * N // SIZE
    library, hand = (1000 * statistics.median(side) / steps for side in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    print(
        f"training step on {device}: library {library:.2f} ms, by hand {hand:.2f} ms, "
        f"ratio {ratio:.3f} (medians of {TURNS})"
    )
    imports = [(importing("xmkd_lib"), importing("torch")) for _ in range(TURNS)]
    ours, theirs = (statistics.median(side) for side in zip(*imports, strict=True))
    print(
        f"import xmkd_lib {ours:.2f} s, import torch {theirs:.2f} s, "
        f"ratio {statistics.median(a / b for a, b in imports):.3f}"
    )


if __name__ == "__main__":
    main()
