"""YAML that says what it means: no key twice, and `no`, `on`, `yes` are words."""

import json
from pathlib import Path
from typing import Any

import yaml

from xmkd_lib.errors import UserError


class _Loader(yaml.SafeLoader):
    """Booleans are true and false alone, as in YAML 1.2: `precision: no` is a text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool" or first in "tTfF"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    for key in keys:
        if not isinstance(key, str):
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is not a text", node.start_mark)
        if keys.count(key) > 1:
            raise yaml.constructor.ConstructorError(None, None, f"{key!r} is given twice", node.start_mark)
    return dict(zip(keys, (loader.construct_object(value, deep=True) for _, value in node.value), strict=True))


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. UserError naming the file, and the line of what is wrong.

    >>> import tempfile; path = Path(tempfile.mkdtemp()) / "a.yaml"
    >>> _ = path.write_text("precision: no")
    >>> read_yaml(path)
    {'precision': 'no'}
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
        json.dumps(content, allow_nan=False)
    except TypeError as error:
        raise UserError(f"{path}: has a date, a set or bytes ({error}). Put a text in quotes.") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: no valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: is no mapping of names to values.")
    return content
