"""Invented run folders: numbers shaped like a study, made without training."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np

from xmkd_lib.records import Result
from xmkd_lib.sweep.folder import result_digest

# Test EER at the last and at the chosen epoch, training EER, training and test distance.
WORLD = {
    "none": (0.196, 0.168, 0.010, 2.00, 2.00),
    "hard_feature": (0.239, 0.178, 0.012, 0.31, 1.74),
    "soft_feature": (0.178, 0.166, 0.020, 1.42, 1.66),
    "hard_classifier": (0.198, 0.170, 0.011, 1.20, 1.78),
    "soft_classifier": (0.174, 0.167, 0.015, 1.60, 1.75),
    "soft": (0.169, 0.164, 0.021, 1.38, 1.63),
}
EPOCHS = 30
PLAN = {
    "format": 2,
    "name": "fake",
    "title": "An invented study",
    "preset": "demo",
    "notebook": "05_experiment.ipynb",
    "baselines": ["none", "hard_feature"],
    "metric": None,
    "dataset": "people",
    "seeds": [],
    "runs": [],
}


def write_run(folder: Path, method: str, seed: int, shift: float = 0.0, **settings: object) -> Path:
    """One finished run. `shift` is added to its test EER."""
    last, best, train, close, far = WORLD.get(method, WORLD["none"])
    rng = np.random.default_rng([seed, len(method), sum(map(ord, method))])
    common, noise = np.random.default_rng(seed).normal(0, 0.012), rng.normal(0, 0.004, 8)
    metrics = {
        "train_eer": max(train + noise[0], 0.001),
        "test_eer": last + common + noise[1] + shift,
        "val_eer": last + common + noise[2],
        "train_distance": close + noise[3] * 4,
        "test_distance": far + noise[4] * 4,
        "val_distance": far + noise[5] * 4,
        "test_min_dcf_0.01": 0.95,
        "test_min_dcf_0.05": 0.81,
        "best_epoch": float(9 + seed % 4),
        "train_eer_best": train + 0.04 + noise[0],
        "test_eer_best": best + common + noise[6] + shift,
        "train_distance_best": min(close + 0.45, 2.0) + noise[3] * 4,
        "test_distance_best": min(far + 0.02, 2.0) + noise[4] * 4,
    }
    epoch = np.arange(1, EPOCHS + 1)
    fall = np.exp(-epoch / 4)
    rise = (last - best) * np.clip((epoch - 10) / (EPOCHS - 10), 0, None)
    curves = {
        "epoch": epoch.tolist(),
        "train_loss": (3 * fall + 0.2).tolist(),
        "val_eer": (best + common + 0.25 * fall + rise + rng.normal(0, 0.003, EPOCHS)).tolist(),
        "train_distance": (close + (2 - close) * fall).tolist(),
        "val_distance": (far + (2 - far) * fall + rng.normal(0, 0.01, EPOCHS)).tolist(),
    }
    result = Result(
        settings={"dataset": "people", "method": method, "seed": seed, "epochs": EPOCHS, **settings},
        metrics=metrics,
        curves=curves,
        timings={"seconds": 41.0 + seed},
        environment={"python": "3.11.9", "torch": "2.13.0", "device": "cpu"},
    )
    return write_result(folder, result, method=method, seed=seed, **settings)


def write_result(folder: Path, result: Result, seed: int, **settings: object) -> Path:
    """A finished run's folder with any result; settings: what the specification chose."""
    digest = hashlib.sha256(repr((seed, settings)).encode()).hexdigest()[:8]
    name = re.sub(r"[^A-Za-z0-9_.+-]+", "_", f"{settings.get('method', 'run')}-seed{seed}-{digest}").lstrip(".")
    full = result.settings or {**settings, "seed": seed}
    path = result.save(folder / name / "result.json")
    return write_status(
        folder, name, "ok", seed=seed, chosen=settings, settings=full, seconds=50.0, result=result_digest(path.parent)
    )


def change_result(run: Path, **changes: object) -> None:
    """Write a run's result with other entries, and vouch for it."""
    result, status = run / "result.json", run / "status.json"
    result.write_text(json.dumps(json.loads(result.read_text()) | changes))
    status.write_text(json.dumps(json.loads(status.read_text()) | {"result": result_digest(result.parent)}))


def write_status(
    folder: Path,
    name: str,
    state: str,
    reason: str | None = None,
    seed: int = 0,
    method: str = "none",
    chosen: dict[str, object] | None = None,
    **more: object,
) -> Path:
    """A planned run's folder with its status alone; a queued run has not even a folder."""
    run, chosen = folder / name, chosen or {"method": method}
    write_plan(folder, name, seed, chosen)
    if state != "queued":
        run.mkdir(parents=True, exist_ok=True)
        status = {"format": 2, "state": state, "reason": reason, "seed": seed, "attempt": 1, "seconds": None}
        (run / "status.json").write_text(json.dumps(status | {"settings": chosen} | more))
    return run


def write_plan(folder: Path, name: str, seed: int, settings: dict[str, object]) -> None:
    """Add a run to the folder's plan, which the first one makes."""
    plan = json.loads((folder / "plan.json").read_text()) if (folder / "plan.json").is_file() else PLAN
    runs = [run for run in plan["runs"] if run["name"] != name]
    change_plan(folder, plan, runs=[*runs, {"name": name, "seed": seed, "settings": settings}])


def change_plan(folder: Path, plan: dict[str, object] | None = None, **changes: object) -> None:
    """Write the folder's plan with other entries."""
    plan = plan or (json.loads((folder / "plan.json").read_text()) if (folder / "plan.json").is_file() else PLAN)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan.json").write_text(json.dumps(plan | changes))


def write_sweep(folder: Path, seeds: int = 4, methods: tuple[str, ...] = tuple(WORLD), **settings: object) -> Path:
    """All methods at all seeds."""
    for method in methods:
        for seed in range(seeds):
            write_run(folder, method, seed, **settings)
    return folder
