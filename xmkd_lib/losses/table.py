"""The table of all losses, from what each class says of itself."""

import inspect

from xmkd_lib.losses.base import LOSSES, Loss

COLUMNS = ("loss", "level", "per-sample value", "constraint", "needs", "cost", "source")
NEEDS = {
    "weight": "the teacher's classifier",
    "student_weight": "the student's classifier",
    "student_dim": "layers of its own",
}


def rows() -> list[tuple[str, ...]]:
    """One row per registered loss, sorted by level and name, of the texts in `COLUMNS`.

    >>> next(row for row in rows() if row[0] == "l2")[:4]
    ('l2', 'feature', '‖ẑ_s − ẑ_t‖²', 'hard or soft')
    """
    known = sorted(LOSSES.items(), key=lambda entry: (-ord(entry[1].level[0]), entry[0]))
    return [
        (name, loss.level, loss.formula, constraint(loss), needs(loss), loss.cost, loss.source) for name, loss in known
    ]


def constraint(loss: type[Loss]) -> str:
    """Whether a margin applies: only where the minimum is 0."""
    return "hard only" if loss.minimum is None else "hard or soft"


def needs(loss: type[Loss]) -> str:
    """What the loss reads beside the batch's embeddings of one width."""
    found = ["logits"] if "logits" in loss.reads else []
    found += ["labels"] if loss.needs_labels else []
    found += [text for parameter, text in NEEDS.items() if parameter in inspect.signature(loss).parameters]
    found += ["a batch"] if loss.relational else []
    found += ["equal widths"] if loss.same_width and "embedding" in loss.reads else []
    return ", ".join(found) or "embeddings"


def markdown() -> str:
    """The table as Markdown: the content of `xmkd_lib/losses/README.md` below its heading."""
    lines = [COLUMNS, ("---",) * len(COLUMNS), *((f"`{name}`", *rest) for name, *rest in rows())]
    return "\n".join(f"| {' | '.join(cell.replace('|', '∣') for cell in line)} |" for line in lines)
