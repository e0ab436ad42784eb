"""A dictionary that a decorator fills, so that a notebook cell can add an entry of its own."""

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

from xmkd_lib.errors import UserError, unknown_name


class Registry(dict):
    """Names to factories.

    >>> models = Registry("model")
    >>> @models.register("tiny")
    ... def tiny(width=1):
    ...     return f"tiny x {width}"
    >>> models.create("tiny", width=2)
    'tiny x 2'
    """

    def __init__(self, kind: str):
        super().__init__()
        self.kind = kind

    def register(self, name: str) -> Callable:
        """Decorator: enter a class or function under `name`. A later entry replaces an earlier one."""

        def enter(factory: Callable) -> Callable:
            self[name] = factory
            return factory

        return enter

    def create(self, name: str, /, **params: Any) -> Any:
        """Call the factory called `name`. UserError on an unknown name or an unfitting parameter."""
        if name not in self:
            raise unknown_name(self.kind, name, self)
        signature = signature_of(self[name])
        open_ended = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
        for param in params:
            if param not in signature.parameters and not open_ended:
                raise unknown_name(f"parameter of {self.kind} {name!r}", param, signature.parameters)
        try:
            signature.bind(**params)
        except TypeError as error:
            raise UserError(f"{self.kind} {name!r}: {error}") from None
        return self[name](**params)


@cache
def signature_of(factory: Callable) -> inspect.Signature:
    """What a factory takes. Kept: a sweep of thousands of conditions asks for the same ones again and again."""
    return inspect.signature(factory)
