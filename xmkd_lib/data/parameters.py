"""Checks of a data set's parameters, which come from JSON: errors name data set, parameter, value and remedy."""

from xmkd_lib.errors import UserError


def whole(dataset: str, name: str, value: object, least: int, most: int = 10**6) -> int:
    """A whole number from `least` to `most`, else UserError."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise bad(dataset, name, value, f"a whole number from {least} to {most}")
    return value


def real(dataset: str, name: str, value: object, least: float, most: float) -> float:
    """A number from `least` to `most`, else UserError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise bad(dataset, name, value, f"a number from {least} to {most}")
    return float(value)


def interval(dataset: str, name: str, value: object, least: float, most: float) -> tuple[float, float]:
    """Two numbers from `least` to `most`, the lower one first, else UserError."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise bad(dataset, name, value, "two numbers, lowest and highest")
    low, high = (real(dataset, name, end, least, most) for end in value)
    if low > high:
        raise bad(dataset, name, value, "two numbers, the lowest first")
    return low, high


def bad(dataset: str, name: str, value: object, wanted: str) -> UserError:
    """The error itself."""
    return UserError(f"data set {dataset!r}: {name} is {value!r} ({type(value).__name__}); give {wanted}.")
