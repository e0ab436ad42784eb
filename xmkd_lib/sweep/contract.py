"""What `ok` means: the notebook ran through without any error, and left the result and the figures it promises."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from xmkd_lib.errors import UserError
from xmkd_lib.records import Result

WIDGETS = "application/vnd.jupyter.widget-state+json"


def violation(book: NotebookNode, run: Path, metrics: list[str], figures: list[str], settings: dict) -> str | None:
    """What of the contract an executed notebook and its folder break, in one line; None where they keep it.

    metrics: names that the result must have. figures: files that must be under figures/. settings: what the result's
    settings must be, where it has them.
    """
    return next(iter(_violations(book, run, metrics, figures, settings)), None)


def _violations(book: NotebookNode, run: Path, metrics: list[str], figures: list[str], settings: dict) -> Iterator[str]:
    yield from _errors(book)
    try:
        result = Result.load(run / "result.json")
    except UserError as error:
        yield str(error)
        return
    for name in metrics:
        if name not in result.metrics:
            yield f"result.json: has no metric {name!r}, only {', '.join(sorted(result.metrics)) or 'none'}"
    for name, value in result.settings.items():
        if name in settings and settings[name] != value:
            yield f"result.json: was made with {name} = {value!r}, and the sweep gave {settings[name]!r}"
    for name in figures:
        yield from _broken_figure(run / "figures" / name)


def _errors(book: NotebookNode) -> Iterator[str]:
    """Errors in outputs and, where `interact` and Output widgets put them, in the widgets' states."""
    for cell in book.cells:
        yield from _error_lines(cell.get("outputs", []), "a cell")
    for model in book.metadata.get("widgets", {}).get(WIDGETS, {}).get("state", {}).values():
        yield from _error_lines(model.get("state", {}).get("outputs", []), "a widget")


def _error_lines(outputs: Any, where: str) -> Iterator[str]:
    for output in outputs if isinstance(outputs, list | tuple) else []:
        if output.get("output_type") == "error":
            yield f"an error in {where}: {output.get('ename')}: {output.get('evalue')}".splitlines()[0]


def _broken_figure(path: Path) -> Iterator[str]:
    from PIL import Image, UnidentifiedImageError

    if not path.is_file() or not path.stat().st_size:
        yield f"figures/{path.name}: is missing or empty"
    elif path.suffix.lower() in (".png", ".jpg", ".jpeg"):
        try:
            with Image.open(path) as image:
                image.load()
        except (OSError, UnidentifiedImageError, SyntaxError) as error:
            yield f"figures/{path.name}: is no whole image ({error})"
