"""Time and peak memory of every loss, forward and backward, beside the nearest installable implementation.

    pip install --no-deps pytorch-metric-learning torchdistill
    python tests/benchmarks/bench_losses.py [--device cuda] [--threads 1]

Embeddings (N, 256), logits (N, 1000), the same tensors for both sides, in turns, so that a machine's drift meets both:
medians, and the median of the ratios turn by turn. Memory on a CPU is the growth of the process's peak in a fork of its
own, on CUDA the allocator's peak. Without the two packages only the kit's own figures are printed.
"""

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xmkd_lib import losses
from xmkd_lib.losses.base import LOSSES
from xmkd_lib.objective import Context, Term
from xmkd_lib.outputs import Outputs

WIDTH, CLASSES, SIZES, TURNS = 256, 1000, (256, 512), 9
Sides = tuple[Outputs, Outputs, Tensor]
OPTIONS = {"pkt": {"form": "code"}, "crd": {"memory": 4096}}  # as the peer computes


def sides(n: int, device: torch.device) -> Sides:
    draw = torch.Generator().manual_seed(0)
    tensors = [torch.randn(n, width, generator=draw).to(device) for width in (WIDTH, CLASSES) * 2]
    tensors[1] *= 3
    tensors[3] *= 3
    labels = torch.randint(0, CLASSES, (n,), generator=draw).to(device)
    return Outputs(*(x.requires_grad_() for x in tensors[:2])), Outputs(*tensors[2:]), labels


def ours(name: str, device: torch.device) -> Callable[[Sides], Tensor]:
    torch.manual_seed(0)
    weight = torch.randn(CLASSES, WIDTH)
    context = Context(weight, 16.0, nn.Parameter(torch.randn(CLASSES, WIDTH)), WIDTH, WIDTH)
    loss = Term(loss=name, params=OPTIONS.get(name, {})).build(context).to(device)
    return lambda batch: loss(*batch).mean()


def peers(device: torch.device) -> dict[str, tuple[str, Callable[[Sides], Tensor]]]:
    """By the kit's name: the peer's name, and its scalar on the same batch."""
    found = {
        "hint": ("torch mse_loss", lambda b: F.mse_loss(b[0].embedding, b[1].embedding)),
        "cosine": ("torch cosine_similarity", lambda b: 1 - F.cosine_similarity(b[0].embedding, b[1].embedding).mean()),
    }
    try:
        from pytorch_metric_learning.losses import NTXentLoss
        from torchdistill.losses import mid_level
    except ImportError as error:
        print(f"Without peers ({error}): pip install --no-deps pytorch-metric-learning torchdistill")
        return found

    def wrap(loss: nn.Module, field: str) -> Callable[[Sides], Tensor]:
        return lambda b: loss({"m": {"output": getattr(b[0], field)}}, {"m": {"output": getattr(b[1], field)}})

    ntxent = NTXentLoss(temperature=0.07)

    def contrast(batch: Sides) -> Tensor:
        n = torch.arange(len(batch[2]), device=device)
        return ntxent(batch[0].embedding, n, ref_emb=batch[1].embedding, ref_labels=n)

    torch.manual_seed(0)
    connector = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH)).to(device)
    raw = nn.Parameter(torch.full((WIDTH,), 5.0, device=device))
    vid_loss = mid_level.VIDLoss(
        {"p": {"teacher": {"io": "output", "path": "t"}, "student": {"io": "output", "path": "s"}}}
    )

    def vid(b: Sides) -> Tensor:
        student = connector(b[0].embedding), F.softplus(raw) + 1e-5
        return vid_loss({"s": {"output": student}}, {"t": {"output": b[1].embedding}})

    torchdistill = {
        "kd": wrap(mid_level.KDLoss("m", "output", "m", "output", temperature=4.0, alpha=0.5), "logits"),
        "pkt": wrap(mid_level.PKTLoss("m", "output", "m", "output"), "embedding"),
        "rkd_distance": wrap(mid_level.RKDLoss("m", "m", 1.0, 0.0, "mean"), "embedding"),
        "rkd_angle": wrap(mid_level.RKDLoss("m", "m", 0.0, 1.0, "mean"), "embedding"),
        "sp": wrap(mid_level.SPKDLoss("m", "m", "batchmean"), "embedding"),
        "cc": wrap(mid_level.CCKDLoss("m", "m", {"type": "bilinear"}, "batchmean"), "embedding"),
        "dist": wrap(mid_level.DISTLoss("m", "output", "m", "output"), "logits"),
        "vid": vid,
    }
    found |= {name: ("torchdistill", call) for name, call in torchdistill.items()}
    return found | {"infonce": ("pytorch-metric-learning NTXentLoss", contrast)}


def seconds(call: Callable[[Sides], Tensor], batch: Sides) -> float:
    """One forward and backward."""
    for x in batch[0]:
        x.grad = None
    wait = torch.cuda.synchronize if batch[2].is_cuda else lambda: None
    wait()
    started = time.perf_counter()
    value = call(batch)
    if value.requires_grad:
        value.backward()
    wait()
    return time.perf_counter() - started


def peak_megabytes(call: Callable[[Sides], Tensor], batch: Sides) -> float:
    if batch[2].is_cuda:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        seconds(call, batch)
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    receive, send = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_measure, args=(call, batch, send))
    child.start()
    found = receive.recv()
    child.join()
    return found


def _measure(call: Callable[[Sides], Tensor], batch: Sides, send: multiprocessing.connection.Connection) -> None:
    torch.set_num_threads(1)  # a fork of a process with threads must not use its pool
    before = _status("VmRSS")
    seconds(call, batch)
    send.send((_status("VmHWM") - before) / 1024)


def _status(field: str) -> int:
    """A line of /proc/self/status in kB."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(field))


def row(name: str, n: int, device: torch.device, peer: tuple[str, Callable[[Sides], Tensor]] | None) -> list[str]:
    batch, call = sides(n, device), ours(name, device)
    sides_timed = [call, peer[1]] if peer else [call]
    megabytes = [peak_megabytes(each, batch) for each in sides_timed]
    warm_up = [seconds(each, batch) for each in sides_timed]
    turns = TURNS if max(warm_up) < 1 else 3
    times = [[seconds(each, batch) for each in sides_timed] for _ in range(turns)]
    medians = [statistics.median(column) for column in zip(*times, strict=True)]
    cells = [name, str(n), f"{1e3 * medians[0]:.2f}", f"{megabytes[0]:.0f}"]
    if not peer:
        return [*cells, "", "", "", ""]
    ratio = statistics.median(mine / theirs for mine, theirs in times)
    return [*cells, peer[0], f"{1e3 * medians[1]:.2f}", f"{megabytes[1]:.0f}", f"{ratio:.2f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=None, help="names of losses")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    device = torch.device(chosen.device)
    known = peers(device)
    print("| loss | N | ms | peak MB | beside | its ms | its MB | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in chosen.only or losses.names():
        assert name in LOSSES, name
        for n in SIZES:
            print(f"| {' | '.join(row(name, n, device, known.get(name)))} |", flush=True)


if __name__ == "__main__":
    main()
