"""Cost of a sweep itself, beside plain papermill in a shell loop on the same notebooks in one call.

    python tests/benchmarks/bench_sweeps.py [--quick] [--rounds 3]

`short` and `busy` do a fixed piece of work of about 0.2 and 2 s; `05` is the experiment's notebook in the smoke preset
with teachers and references cached. Overhead of a run: from the end of one run to the end of the next, with one
worker, less the work's own time, timed in the kernel, and less a kernel's start and end: an empty notebook, executed in
one process by the same engine with the same modules preloaded. Throughput: runs in a second while every worker is busy,
from when each has ended its first run until the first finds nothing more to do; a run partly inside counts partly.
Ways take turns within a round, so that a machine's drift meets all.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import nbformat
import psutil
import yaml
from rich.console import Console

from xmkd_lib.cache import source_digest
from xmkd_lib.records import Result
from xmkd_lib.sweep import Sweep
from xmkd_lib.sweep.attempt import Outcome
from xmkd_lib.sweep.folder import Status, result_digest
from xmkd_lib.sweep.live import report_sweep
from xmkd_lib.sweep.parameters import read_notebook
from xmkd_lib.sweep.plan import keep_notebook, plan, tasks, write_plan
from xmkd_lib.sweep.runner import Seats, execute
from xmkd_lib.sweep.seat import THREADS

EXPERIMENT = Path(__file__).parents[2] / "notebooks" / "05_experiment.ipynb"
PARAMETERS = """
dataset: str = "people"
method: str = "none"
seed: int = 0
preset: str = "smoke"
settings: dict = {}
out: str = ""
"""
WORK = """
import time
begun = time.perf_counter()
from xmkd_lib.records import Result
sum(range(%d))
timings = {"own": time.perf_counter() - begun}
Result(metrics={"test_eer": 0.1, "test_eer_best": 0.1}, timings=timings).save(f"{out}/result.json")
"""
KERNELS = """
import json, sys, time
import papermill
import xmkd_lib.sweep.kernels
from xmkd_lib.sweep import forks
notebook, count, modules = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
if forks.can_fork():
    forks.start_server(modules)
for _ in range(count):
    begun = time.perf_counter()
    papermill.execute_notebook(notebook, notebook + ".out", engine_name="xmkd", kernel_name="python3",
                               language="python", progress_bar=False, forked=forks.can_fork())
    print(time.perf_counter() - begun, flush=True)
"""
MB = 1e6


@dataclass(frozen=True)
class Timed:
    """A sweep: seconds of the whole command; when each run began and ended, by its end; each run's own seconds."""

    whole: float
    runs: list[tuple[float, float]]
    own: list[float]

    def steady(self, workers: int) -> float:
        """Seconds of wall time for each run while all workers are busy."""
        begin, end = self.runs[workers - 1][1], self.runs[-workers][1]
        inside = (max(0.0, min(end, last) - max(begin, first)) / (last - first) for first, last in self.runs)
        return (end - begin) / sum(inside)


def write_notebook(path: Path, *sources: str) -> Path:
    """A notebook of these cells, the first of which has the parameters."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    for cell in book.cells[:1]:
        cell.metadata["tags"] = ["parameters"]
    nbformat.write(book, path)
    return path


def write_specification(folder: Path, notebook: Path, seeds: int, **grid: list[Any]) -> Path:
    content = {"name": "bench", "title": "Bench", "notebook": str(notebook), "preset": "smoke"}
    path = folder / f"{notebook.stem}-{seeds}.yaml"
    path.write_text(yaml.safe_dump({**content, "grid": grid, "seeds": list(range(seeds)), "baselines": []}))
    return path


def steps_for(seconds: float) -> int:
    """How many steps of the notebooks' loop take about so long here."""
    begun = time.perf_counter()
    sum(range(10**7))
    return round(10**7 * seconds / (time.perf_counter() - begun))


def by_loop(notebook: Path, folder: Path, runs: int) -> float:
    """Seconds a run of plain papermill in a shell loop."""
    given = {
        "dataset": "people",
        "method": "soft_feature",
        "preset": "smoke",
        "seed": "$seed",
        "out": f"{folder}/$seed",
    }
    options = " ".join(f"-p {name} {value}" for name, value in given.items())
    command = (
        f"set -e; for seed in $(seq 0 {runs - 1}); do mkdir -p {folder}/$seed; {sys.executable} -m papermill "
        f"{notebook} {folder}/$seed.ipynb -k python3 -l python --no-progress-bar {options}; done"
    )
    begun = time.perf_counter()
    subprocess.run(["bash", "-c", command], check=True, capture_output=True)
    return (time.perf_counter() - begun) / runs


def by_sweep(notebook: Path, folder: Path, runs: int, workers: int) -> Timed:
    """The same by `xmkd sweep run`."""
    spec = write_specification(notebook.parent, notebook, runs, method=["soft_feature"])
    command = [sys.executable, "-m", "xmkd_lib.cli", "sweep", "run", spec, "--out", folder, "--workers", str(workers)]
    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    whole = time.perf_counter() - begun
    ends = sorted((file.stat().st_mtime, file.parent) for file in folder.glob("*/status.json"))
    lasted = [json.loads((run / "status.json").read_text())["seconds"] for _, run in ends]
    own = [Result.load(run / "result.json").timings.get("own", 0.0) for _, run in ends]
    return Timed(whole, [(end - seconds, end) for (end, _), seconds in zip(ends, lasted, strict=True)], own)


def kernel_starts(notebook: Path, empty: Path, count: int) -> list[float]:
    """Seconds of each empty notebook, less the first two, which wait for the server."""
    command = [sys.executable, "-c", KERNELS, empty, str(count + 2), json.dumps(read_notebook(notebook).preload)]
    env = {**os.environ, **dict.fromkeys(THREADS, "1")}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env)
    return [float(line) for line in done.stdout.split()][2:]


def executions(folder: Path, quick: bool, rounds: int) -> None:
    """Overhead of a run, and sweeps beside plain papermill."""
    short, busy = (
        write_notebook(folder / f"{name}.ipynb", PARAMETERS, WORK % steps_for(seconds))
        for name, seconds in (("short", 0.2), ("busy", 2.0))
    )
    empty, experiment = write_notebook(folder / "empty.ipynb"), folder / "05.ipynb"
    experiment.write_bytes(EXPERIMENT.read_bytes())
    counts = {short: 6 if quick else 20, busy: 6 if quick else 12, experiment: 5 if quick else 12}
    loop_runs = 2 if quick else 4
    by_sweep(experiment, folder / "cached", counts[experiment], 2)
    loops: dict[Path, list[float]] = {short: [], experiment: []}
    sweeps: dict[tuple[Path, int], list[Timed]] = {(notebook, workers): [] for notebook in counts for workers in (1, 2)}
    kernels: list[list[float]] = []
    for turn in range(rounds):
        for notebook, runs in counts.items():
            if notebook == short:
                kernels.append(kernel_starts(short, empty, 4 if quick else 10))
            for workers in (1, 2):
                place = folder / f"{notebook.stem}-{workers}-{turn}"
                sweeps[notebook, workers].append(by_sweep(notebook, place, runs, workers))
            if notebook in loops:
                loops[notebook].append(by_loop(notebook, folder / f"{notebook.stem}-loop-{turn}", loop_runs))
    print_overhead(kernels, sweeps[short, 1])
    print_ways(counts, loop_runs, loops, sweeps)


def print_overhead(kernels: list[list[float]], found: list[Timed]) -> None:
    print("\n## Overhead of a run: notebook `short`, one worker, without the worker's first run (seconds)\n")
    print("| | best | median | worst | number |\n|---|---|---|---|---|")
    walls = [[b[1] - a[1] for a, b in zip(timed.runs, timed.runs[1:], strict=False)] for timed in found]
    over = [
        [wall - own - statistics.median(starts) for wall, own in zip(turn, timed.own[1:], strict=True)]
        for turn, timed, starts in zip(walls, found, kernels, strict=True)
    ]
    for name, rows in (
        ("a run, from end to end", walls),
        ("the work itself", [timed.own[1:] for timed in found]),
        ("a kernel's start and end (empty notebook)", kernels),
        ("**overhead**, with the median kernel of its round", over),
    ):
        values = list(itertools.chain(*rows))
        print(f"| {name} | {min(values):.3f} | {statistics.median(values):.3f} | {max(values):.3f} | {len(values)} |")


def print_ways(
    counts: dict[Path, int],
    loop_runs: int,
    loops: dict[Path, list[float]],
    sweeps: dict[tuple[Path, int], list[Timed]],
) -> None:
    print("\n## Seconds a run: best and median over rounds; `whole` includes start, plan and report\n")
    print("| notebook | way | runs | whole | papermill ÷ whole | all workers busy | throughput ÷ one worker's |")
    print("|---|---|---|---|---|---|---|")
    for notebook, runs in counts.items():
        loop = loops.get(notebook)
        if loop:
            print(f"| {notebook.stem} | papermill in a shell loop | {loop_runs} | {both(loop)} | 1 | | |")
        alone = [timed.steady(1) for timed in sweeps[notebook, 1]]
        for workers in (1, 2):
            whole = [timed.whole / runs for timed in sweeps[notebook, workers]]
            steady = [timed.steady(workers) for timed in sweeps[notebook, workers]]
            times = both(ratios(loop, whole), best=max) if loop else ""
            gain = both(ratios(alone, steady), best=max) if workers > 1 else "1"
            name = f"sweep, {workers} worker{'s' * (workers > 1)}"
            print(f"| {notebook.stem} | {name} | {runs} | {both(whole)} | {times} | {both(steady)} | {gain} |")


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(above, below, strict=True)]


def both(values: Sequence[float], best: Callable = min) -> str:
    return f"{best(values):.2f}, {statistics.median(values):.2f}"


def elsewhere(function: Callable, *given: Any) -> Any:
    """Call a function in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *given).result()


def grid_of(conditions: int) -> dict[str, list[Any]]:
    """So many conditions, no two with the same margins."""
    side = round(conditions**0.5)
    while conditions % side:
        side -= 1
    values = [[step / 1000 for step in range(count)] for count in (side, conditions // side)]
    return {"method": ["soft"], "feature_margin": values[0], "classifier_margin": values[1]}


def finish_all(spec: Path, folder: Path) -> None:
    """Folders as finished runs leave them, of a demo's size: 30 metrics, 8 curves of 6 evaluated epochs."""
    sweep = Sweep.read(spec)
    for run in sweep.runs():
        place, settings = folder / run.name, sweep.full_settings(run)
        place.mkdir(parents=True)
        result = Result(
            settings=settings,
            metrics={f"metric_{k}": (run.seed + k) / 97 for k in range(28)} | {"test_eer": 0.1, "test_eer_best": 0.1},
            curves={f"curve_{k}": [(k + epoch) / 31 for epoch in range(6)] for k in range(8)},
            timings={"seconds": 10.0},
        )
        (place / "result.json").write_text(result.model_dump_json(indent=1))
        status = Status(
            state="ok",
            seed=run.seed,
            settings=settings,
            seconds=12.0,
            code=source_digest(),
            notebook=sweep.notebook_file.digest,
            result=result_digest(place),
        )
        (place / "status.json").write_text(status.model_dump_json(indent=1))


def plan_once(spec: Path, folder: Path, runs: int) -> tuple[float, float, float]:
    """Seconds to read and check the specification, to compare it with the folder, and to write plan.json."""
    times = [time.perf_counter()]
    sweep = Sweep.read(spec)
    times.append(time.perf_counter())
    found = plan(sweep, folder)
    times.append(time.perf_counter())
    write_plan(sweep, folder)
    times.append(time.perf_counter())
    if len(found.done) != runs:
        raise SystemExit(f"{folder}: {len(found.done)} of {runs} runs count as done.")
    return times[1] - times[0], times[2] - times[1], times[3] - times[2]


def timed_plans(spec: Path, small: Path, folder: Path, runs: int) -> tuple[list[tuple[float, ...]], float]:
    """Three times, and how much resident memory the first took (bytes), what any sweep needs left out."""
    plan(Sweep.read(small), folder / "none")
    before = psutil.Process().memory_info().rss
    times = [plan_once(spec, folder, runs)]
    grown = psutil.Process().memory_info().rss - before
    return [*times, *(plan_once(spec, folder, runs) for _ in range(2))], grown


def traced_plan(spec: Path, small: Path, folder: Path, runs: int) -> int:
    """The most bytes that Python held more than before."""
    plan(Sweep.read(small), folder / "none")
    tracemalloc.start()
    plan_once(spec, folder, runs)
    return tracemalloc.get_traced_memory()[1]


def plannings(folder: Path, quick: bool) -> None:
    """Planning and resume check of finished runs."""
    print("\n## Plan and resume check of finished runs: seconds, best and median of 3; MB more than for one run\n")
    print("| conditions × seeds | specification | resume check | both | plan.json | resident | Python's peak |")
    print("|---|---|---|---|---|---|---|")
    small = write_specification(folder, EXPERIMENT, 1, method=["soft"])
    shapes = ((100, 10), (1000, 1)) if quick else ((100, 10), (1000, 1), (1000, 10), (10_000, 1))
    for conditions, seeds in shapes:
        runs, place = conditions * seeds, folder / f"{conditions}x{seeds}"
        place.mkdir()
        spec = write_specification(place, EXPERIMENT, seeds, **grid_of(conditions))
        elsewhere(finish_all, spec, place)
        times, grown = elsewhere(timed_plans, spec, small, place, runs)
        peak = elsewhere(traced_plan, spec, small, place, runs)
        read, check, wrote = zip(*times, strict=True)
        total = [a + b for a, b in zip(read, check, strict=True)]
        print(
            f"| {conditions:,} × {seeds} | {both(read)} | {both(check)} | {both(total)} | {both(wrote)} | "
            f"{grown / MB:.0f} | {peak / MB:.1f} |",
            flush=True,
        )


class Scales:
    """Watches a sweep: resident memory of this process after each run, in bytes."""

    def __init__(self):
        self.held: list[int] = []

    def finished(self, outcome: Outcome, again: bool) -> None:
        if outcome.state != "ok":
            raise SystemExit(f"{outcome.name}: {outcome.state}, {outcome.reason}")
        self.held.append(psutil.Process().memory_info().rss)

    def tick(self, under_way: list[str]) -> None:
        pass


def weigh(spec: Path, folder: Path) -> tuple[list[int], int]:
    """Resident memory after each run, and after the report."""
    folder.mkdir()
    sweep, scales = Sweep.read(spec), Scales()
    keep_notebook(sweep, folder)
    write_plan(sweep, folder)
    with Seats(1) as seats:
        execute(seats, tasks(sweep, folder, plan(sweep, folder).todo), scales)
    with open(os.devnull, "w") as nowhere:
        report_sweep(folder, Console(file=nowhere))
    return scales.held, psutil.Process().memory_info().rss


def parents(folder: Path, quick: bool) -> None:
    """Memory of the process that runs a sweep."""
    print("\n## Resident memory of the sweep's own process, MB\n")
    print("| runs | after run 1 | after the last | KB a run, from run 5 | with the report |\n|---|---|---|---|---|")
    notebook = write_notebook(folder / "tiny.ipynb", PARAMETERS, WORK % 1)
    for runs in (6, 12) if quick else (10, 40):
        spec = write_specification(folder, notebook, runs, method=["none"])
        held, after = elsewhere(weigh, spec, folder / f"weighed-{runs}")
        slope = (held[-1] - held[4]) / (runs - 5) / 1e3
        print(f"| {runs} | {held[0] / MB:.1f} | {held[-1] / MB:.1f} | {slope:.0f} | {after / MB:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round of few runs; no 10,000 runs")
    parser.add_argument("--rounds", default=3, type=int)
    chosen = parser.parse_args()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{os.cpu_count()} cores; load averages at the start {load}; Python {sys.version.split()[0]}")
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        os.environ["XMKD_CACHE"] = f"{place}/cache"
        plannings(Path(place), chosen.quick)
        parents(Path(place), chosen.quick)
        executions(Path(place), chosen.quick, 1 if chosen.quick else chosen.rounds)


if __name__ == "__main__":
    main()
