"""The notebooks for a class: one file gives the students' version and the one with solutions."""

import json
from pathlib import Path
from typing import Any

from xmkd_lib.cache import PACKAGE
from xmkd_lib.errors import UserError
from xmkd_lib.records import check_writable, write_atomically

SOLUTION = "solution"  # in the metadata of a cell with an exercise: the lines to put in the stub's place


def folder() -> Path:
    """The clone's folder of notebooks. UserError where the package was installed without one."""
    found = PACKAGE.parent / "notebooks"
    if not found.is_dir():
        raise UserError(f"{found}: no such folder. The notebooks come with a clone, not with the package: name theirs.")
    return found


def write_version(source: Path, out: Path, solved: bool) -> list[tuple[Path, int]]:
    """Write each notebook of a folder to `out`, exercises solved or, for students, without their solutions.

    Returns the written files with their numbers of exercises. UserError, before anything is written, where there is no
    notebook, where one cannot be read, where `out` is `source`, and where another file has a notebook's place in `out`:
    somebody may have worked in it.
    """
    if out.resolve() == source.resolve():
        raise UserError(f"{out}: holds the originals. Name another folder with --out.")
    paths = sorted(source.glob("*.ipynb"))
    if not paths:
        raise UserError(f"{source}: no notebook there. Give the folder of the notebooks.")
    check_writable(out)
    books = {out / path.name: _read(path) for path in paths}
    counts = [sum(_set(cell, solved) for cell in book["cells"]) for book in books.values()]
    if solved and not any(counts):
        raise UserError(f"{source}: no notebook there holds a solution. Name the folder of the originals.")
    contents = {path: json.dumps(book, indent=1, ensure_ascii=False) + "\n" for path, book in books.items()}
    for path, content in contents.items():
        if path.exists() and (not path.is_file() or path.read_bytes() != content.encode()):
            raise UserError(f"{path}: is there already, and is another. Name a new folder with --out, or move it away.")
    for path, content in contents.items():
        write_atomically(path, content)
    return list(zip(contents, counts, strict=True))


def _read(path: Path) -> dict[str, Any]:
    try:
        book = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not readable as a notebook ({error}).") from None
    cells = book.get("cells") if isinstance(book, dict) and book.get("nbformat") == 4 else None
    if not isinstance(cells, list) or not all(map(_is_cell, cells)):
        raise UserError(f"{path}: not a notebook of format 4: it has no list of cells with their metadata.")
    return book


def _is_cell(cell: Any) -> bool:
    if not isinstance(cell, dict) or not isinstance(cell.get("metadata", {}), dict):
        return False
    lines = cell.get("metadata", {}).get(SOLUTION, [])
    return isinstance(lines, str) or (isinstance(lines, list) and all(isinstance(line, str) for line in lines))


def _set(cell: dict[str, Any], solved: bool) -> bool:
    """Take outputs away, and the solution out of the metadata, into the source if wanted; whether there was one."""
    if cell.get("cell_type") == "code":
        cell |= {"outputs": [], "execution_count": None}
    lines = cell.get("metadata", {}).pop(SOLUTION, None)
    if lines is not None and solved:
        cell["source"] = lines
    return lines is not None
