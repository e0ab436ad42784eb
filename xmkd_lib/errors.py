"""Errors that are the user's to mend: the command line shows their text alone, without a traceback."""

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType


class UserError(ValueError):
    """A mistake in settings, files or data. The text names what was found, where, and the remedy."""

    def _render_traceback_(self) -> list[str]:
        """What Jupyter shows in place of a wall of frames."""
        return [f"Error: {self}"]


def optional(module: str, package: str, purpose: str) -> ModuleType:
    """A module that not every environment has. UserError with the command that installs it where it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(f"{purpose} needs the package {package} ({error}). Run: pip install {package}") from None


def unknown_name(kind: str, name: object, known: Iterable[str]) -> UserError:
    """The error for a name that does not exist: says the nearest valid one and lists the rest."""
    known = sorted(known)
    nearest = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    return UserError(f"Unknown {kind} {name!r}.{hint} Known: {', '.join(known) or 'none'}.")
