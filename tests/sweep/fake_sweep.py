"""Invented run folders: numbers shaped like a study, made without training."""

import json
from pathlib import Path

import numpy as np

from xmkd_lib.records import Result

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
    extra = "-".join(f"{name}={value}" for name, value in settings.items())
    run = write_status(folder, f"{method}-s{seed}{extra}-0a1b2c3d".replace("/", "_"), "ok", method=method, seed=seed)
    result.save(run / "result.json")
    return run


def write_status(folder: Path, name: str, state: str, reason: str | None = None, **more: object) -> Path:
    """A run's folder with its status alone."""
    run = folder / name
    run.mkdir(parents=True, exist_ok=True)
    (run / "status.json").write_text(json.dumps({"state": state, "reason": reason, **more}))
    return run


def write_sweep(folder: Path, seeds: int = 4, methods: tuple[str, ...] = tuple(WORLD), **settings: object) -> Path:
    """All methods at all seeds."""
    for method in methods:
        for seed in range(seeds):
            write_run(folder, method, seed, **settings)
    return folder
