"""Checks of a loss's parameters, which may come from JSON: errors name loss, parameter, value and remedy."""

import math

from torch import Tensor

from xmkd_lib.errors import UserError


def number(loss: str, least: float = -math.inf, most: float = math.inf, /, **values: object) -> None:
    """UserError unless every value is a finite number from `least` to `most`."""
    for name, value in values.items():
        if not _is(value, int | float) or not math.isfinite(value) or not least <= value <= most:
            wanted = f"from {least:g}" + (f" to {most:g}" if math.isfinite(most) else "")
            raise UserError(f"Loss {loss!r}: {name} is {value!r}. Give a finite number {wanted}.")


def above(loss: str, limit: float, /, **values: object) -> None:
    """UserError unless every value is a finite number above `limit`."""
    for name, value in values.items():
        if not _is(value, int | float) or not limit < value < math.inf:
            raise UserError(f"Loss {loss!r}: {name} is {value!r}. It must be a finite number above {limit:g}.")


def whole(loss: str, least: int, /, **values: object) -> None:
    """UserError unless every value is a whole number from `least`."""
    for name, value in values.items():
        if not _is(value, int) or value < least:
            raise UserError(f"Loss {loss!r}: {name} is {value!r}. Give a whole number from {least}.")


def flag(loss: str, /, **values: object) -> None:
    """UserError unless every value is true or false."""
    for name, value in values.items():
        if not isinstance(value, bool):
            raise UserError(f"Loss {loss!r}: {name} is {value!r}. Give true or false.")


def classifier(loss: str, width: int | None = None, /, **values: object) -> None:
    """UserError unless every value is a tensor (classes, width)."""
    for name, value in values.items():
        fits = isinstance(value, Tensor) and value.ndim == 2 and width in (None, value.shape[1])
        if not fits:
            seen = tuple(value.shape) if isinstance(value, Tensor) else repr(value)
            raise UserError(
                f"Loss {loss!r}: {name} is {seen}. Give classifier rows as a tensor (classes, {width or 'width'})."
            )


def _is(value: object, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
