"""How far a run is, from the file that it writes as it goes on."""

from pathlib import Path

from xmkd_lib.errors import UserError
from xmkd_lib.records import read_json

SHOWN = ("val_accuracy", "val_eer", "val_distance")


def progress(run: Path) -> str:
    """Stage or epoch of a run under way, with its last figures; "" where nothing is known."""
    try:
        found = read_json(run / "progress.json")
        if "epoch" not in found:
            return str(found.get("stage", ""))
        metrics = found.get("metrics", {})
        shown = [name for name in SHOWN if name in metrics] or list(metrics)
        parts = [f"epoch {found['epoch']:.0f} of {found['epochs']:.0f}"]
        return ", ".join(parts + [f"{name} {metrics[name]:.3f}" for name in shown[:2]])
    except (UserError, AttributeError, KeyError, TypeError, ValueError):
        return ""  # no file yet, or a user's own notebook with other habits
