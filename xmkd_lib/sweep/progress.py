"""How far a run is, from the file that it writes as it goes on."""

from pathlib import Path

from xmkd_lib.errors import UserError
from xmkd_lib.records import read_json

SHOWN = ("val_accuracy", "val_eer")


def progress(run: Path) -> str:
    """Stage or epoch of a run under way, with its last validation figure; "" where nothing is known."""
    try:
        found = read_json(run / "progress.json")
        if "epoch" not in found:
            return str(found.get("stage", ""))
        parts = [f"epoch {found['epoch']:.0f}/{found['epochs']:.0f}"]
        metrics = found.get("metrics", {})
        parts += [f"{name} {metrics[name]:.3f}" for name in SHOWN if name in metrics][:1]
        return ", ".join(parts)
    except (UserError, AttributeError, KeyError, TypeError, ValueError):
        return ""  # no file yet, or a user's own notebook with other habits
