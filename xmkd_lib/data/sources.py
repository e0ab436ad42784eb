"""Where real data is, and the manifests that describe it."""

import os
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

import pandas as pd

from xmkd_lib.errors import UserError, unknown_name


class Source(NamedTuple):
    """Where a data set comes from, for the message that says how to get it."""

    title: str
    url: str
    licence: str


SOURCES = {
    "emoji": Source(
        "emoji art of EmojiOne 2 and Noto Emoji",
        "https://github.com/bonusly/gemojione/tree/v3.3.0 and https://github.com/googlefonts/noto-emoji",
        "CC BY 4.0 (EmojiOne 2), Apache 2.0 (Noto), MIT (names and keywords)",
    ),
    "fsdd": Source(
        "Free Spoken Digit Dataset", "https://github.com/Jakobovski/free-spoken-digit-dataset", "CC BY-SA 4.0"
    ),
    "mnist": Source("MNIST test images", "https://github.com/fgnt/mnist", "commonly given as CC BY-SA 3.0"),
    "noise": Source(
        "noise clips of ESC-10", "https://github.com/karolpiczak/ESC-10", "CC0 for each clip, the collection CC BY 3.0"
    ),
}


def folders() -> list[Path]:
    """Folders that are searched for real data: XMKD_DATA where it is set, then `data/` of the repository.

    Read only: nothing is ever written to them. Outside a checkout `data/` is taken from the current folder.
    """
    repository = Path(__file__).parents[2]
    home = repository if (repository / "pyproject.toml").is_file() else Path.cwd()
    named = os.environ.get("XMKD_DATA")
    return ([Path(named).expanduser()] if named else []) + [home / "data"]


def find(name: str) -> Path:
    """The folder of a real data set, known by its `manifest.csv`.

    UserError says what is missing, where it was looked for, and where to get it.
    """
    if name not in SOURCES:
        raise unknown_name("data source", name, SOURCES)
    tried = [folder / name for folder in folders()]
    for folder in tried:
        if (folder / "manifest.csv").is_file():
            return folder
    source = SOURCES[name]
    raise UserError(
        f"{name}/manifest.csv is missing ({source.title}). Looked in: {', '.join(map(str, tried))}. "
        f"Get the data from {source.url} (licence: {source.licence}), lay it out as data/README.md shows, and put "
        "it there or name its parent folder in the environment variable XMKD_DATA."
    )


def read_manifest(folder: Path, columns: dict[str, type], unique: list[str]) -> pd.DataFrame:
    """The manifest of a data folder with the named columns, converted to the named types.

    `path` must be among the columns. UserError names manifest and value where it is unreadable or empty, lacks a
    column, has a value of another type, repeats a combination of the `unique` columns, or points out of the folder.
    """
    manifest = folder / "manifest.csv"
    try:
        table = pd.read_csv(manifest, dtype=str, keep_default_na=False, index_col=False)
    except (OSError, ValueError) as error:  # pandas' parser errors are ValueErrors
        raise UserError(f"{manifest}: not a readable CSV table ({error}). Restore the file.") from None
    missing = [column for column in columns if column not in table]
    if missing:
        raise UserError(f"{manifest}: column {', '.join(missing)} is missing. Needed: {', '.join(columns)}.")
    if table.empty:
        raise UserError(f"{manifest}: no rows. Restore the file.")
    for column, kind in columns.items():
        table[column] = [_convert(manifest, row, column, text, kind) for row, text in enumerate(table[column])]
    repeated = table.loc[table.duplicated(unique), unique]
    if len(repeated):
        first = ", ".join(f"{column} {value}" for column, value in repeated.iloc[0].items())
        raise UserError(f"{manifest}: {len(repeated)} entries occur twice, first {first}. Keep one of each.")
    for path in table.path.unique():
        parts = PureWindowsPath(path)  # splits at / and at \
        if parts.anchor or ".." in parts.parts:
            raise UserError(f"{manifest}: path {path!r} leads out of {folder}. Use paths relative to the folder.")
    return table[list(columns)]


def _convert(manifest: Path, row: int, column: str, text: str, kind: type) -> str | int | float:
    try:
        value = kind(text)
    except ValueError:
        value = ""
    if value == "" or (kind is int and not -(2**63) <= value < 2**63):
        raise UserError(
            f"{manifest}: line {row + 2}, column {column}: {text!r} is no {kind.__name__}. Correct the manifest."
        )
    return value
