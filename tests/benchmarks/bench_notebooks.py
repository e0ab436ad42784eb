"""What the notebooks cost a person who waits: each executed from an empty cache, every slider, UMAP in a new kernel.

Run: python tests/benchmarks/bench_notebooks.py [--preset demo] [00 02 ...]. 06 shows a sweep in the smoke preset, which
is made first. Bounds, on 2 cores: 00 has its first figure in 20 s and ends in 60 s, the others in 90 s; a figure
follows its slider in 300 ms (median, in the kernel, from the control's change to the finished output); UMAP of 1,000
new points takes 4 s in a kernel that is not the machine's first.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

import nbformat
import papermill
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "notebooks"
MOVES = """
import asyncio as _a, json as _j, time as _t
from xmkd_lib.widgets import Explorer as _E
_found = {}
for _name, _view in [(n, v) for n, v in list(globals().items()) if isinstance(v, _E) and not n.startswith("_")]:
    for _control_name, _control in _view.controls.items():
        _options, _at_first = getattr(_control, "options", None), _control.value
        _values = (
            [v[1] if isinstance(v, tuple) else v for v in _options][:8] if _options is not None
            else [_control.min + k * (_control.max - _control.min) / 8 for k in range(1, 8)]
        )
        for _value in _values:
            _before, _begun = _view._output.outputs, _t.perf_counter()
            _control.value = type(_control.value)(_value) if _options is None else _value
            while _view._output.outputs is _before and _t.perf_counter() - _begun < 20:
                await _a.sleep(0.002)
            if _view._output.outputs is not _before:
                _found.setdefault(f"{_name}.{_control_name}", []).append(_t.perf_counter() - _begun)
        _control.value = _at_first
        await _a.sleep(1)
print("MOVES" + _j.dumps(_found))
"""
UMAP = """
import sys, time
import numpy as np
from xmkd_lib.explore import projection
points = np.random.default_rng(int(sys.argv[1])).normal(size=(1000, 32))
begun = time.perf_counter()
projection.umap(points)
print(time.perf_counter() - begun)
"""


def main() -> None:
    """Measure what is asked for and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("notebooks", nargs="*", help="beginnings of names; all if none is given")
    parser.add_argument("--preset", default="demo")
    chosen = parser.parse_args()
    names = [path.stem for path in sorted(NOTEBOOKS.glob("*.ipynb"))]
    names = [n for n in names if not chosen.notebooks or n.startswith(tuple(chosen.notebooks))]
    print(f"load {os.getloadavg()[0]:.1f}, preset {chosen.preset}")
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["XMKD_CACHE"] = f"{folder}/cache"
            measure(name, chosen.preset, Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XMKD_CACHE"] = f"{folder}/cache"
        seconds = [run(sys.executable, "-c", UMAP, str(seed)) for seed in range(3)]
        print("UMAP of 1,000 new points, kernel by kernel: " + ", ".join(f"{float(s):.1f} s" for s in seconds))


def measure(name: str, preset: str, folder: Path) -> None:
    """Execute a notebook and print its seconds, those to the first figure, and those of its sliders."""
    parameters = {"preset": preset}
    if name.startswith("06"):
        spec = str(NOTEBOOKS / "sweeps" / "quick.yaml")
        run("xmkd", "sweep", "run", spec, "--preset", "smoke", "--out", f"{folder}/sweep")
        parameters = {"folder": f"{folder}/sweep"}
    begun = time.time()
    source, target = str(NOTEBOOKS / f"{name}.ipynb"), str(folder / "executed.ipynb")
    book = papermill.execute_notebook(source, target, parameters, kernel_name="python3", progress_bar=False)
    whole = time.time() - begun
    ends = [cell.metadata.papermill["end_time"] for cell in book.cells if has_figure(cell)]
    first = datetime.fromisoformat(ends[0]).timestamp() - begun if ends else float("nan")
    print(f"{name:24} first figure {first:5.1f} s, whole {whole:5.1f} s")
    for slider, seconds in moves(book).items():
        middle = sorted(seconds)[len(seconds) // 2]
        print(
            f"    {slider:30} median {1000 * middle:4.0f} ms, worst {1000 * max(seconds):4.0f} of {len(seconds)} moves"
        )


def moves(book: nbformat.NotebookNode) -> dict[str, list[float]]:
    """Execute again, now with caches that are warm, and move every control of every explorer."""
    book.cells = [cell for cell in book.cells if cell.cell_type == "code"]
    book.cells.append(nbformat.v4.new_code_cell(MOVES))
    NotebookClient(book, kernel_name="python3", timeout=600).execute()
    text = "".join(output.get("text", "") for output in book.cells[-1].outputs)
    return json.loads(text.split("MOVES")[1])


def has_figure(cell: nbformat.NotebookNode) -> bool:
    """Whether a cell shows a picture."""
    return any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))


def run(*command: str) -> str:
    """A command's output; its error where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


if __name__ == "__main__":
    main()
