"""What a notebook takes: the names, types and defaults in its cell tagged `parameters`, read without executing it."""

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from pydantic import TypeAdapter, ValidationError

from xmkd_lib.cache import digest
from xmkd_lib.errors import UserError, unknown_name

TYPES = {kind.__name__: kind for kind in (str, int, float, bool, list, dict)}
EXPERIMENT = ("dataset", "method", "preset", "settings")  # a notebook that takes these runs an `Experiment`


@dataclass(frozen=True)
class Notebook:
    """A notebook as a sweep sees it. parameters: name -> annotation or None; digest: of its cells' sources."""

    path: Path
    kernel: str
    parameters: dict[str, str | None]
    digest: str

    @property
    def is_experiment(self) -> bool:
        """Whether its runs are experiments of this library, whose settings are checked as such."""
        return self.parameters.keys() >= set(EXPERIMENT)

    def check(self, name: str, value: Any) -> None:
        """UserError where a value does not fit the parameter's annotation, or where there is no such parameter."""
        if name not in self.parameters:
            raise unknown_name(f"parameter of {self.path.name}", name, self.parameters.keys() - {"out"})
        annotation = self.parameters[name]
        if annotation is None:
            return
        try:
            # names of plain types and nothing else can be looked up here
            TypeAdapter(eval(annotation, {"__builtins__": {}}, TYPES)).validate_python(value, strict=True)
        except ValidationError:
            raise UserError(f"Parameter {name!r} of {self.path.name} is {value!r}, which is no {annotation}.") from None


def read_notebook(path: Path) -> Notebook:
    """A notebook's parameters. UserError where a sweep could not run it, naming the file and the remedy."""
    try:
        book = nbformat.read(path, as_version=4)
        tagged = [cell for cell in book.cells if "parameters" in cell.get("metadata", {}).get("tags", [])]
        source = "\n".join(cell["source"] for cell in book.cells)
        kernel = book.metadata.get("kernelspec", {}).get("name", "python3")
        language = book.metadata.get("kernelspec", {}).get("language", "python")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file.") from None
    except (OSError, ValueError, AttributeError, TypeError, KeyError, nbformat.ValidationError) as error:
        raise UserError(f"{path}: no readable notebook ({error}).") from None
    if language.lower() != "python":
        raise UserError(f"{path}: is written in {language}; sweeps run Python notebooks.")
    if len(tagged) != 1:
        raise UserError(f"{path}: needs one cell tagged 'parameters', has {len(tagged)}.")
    found = _declared(path, tagged[0]["source"])
    missing = [name for name in ("seed", "out") if name not in found]
    if missing:
        raise UserError(
            f"{path}: the parameters cell lacks {' and '.join(missing)}. A sweep gives each run its seed, and with out "
            'the folder for result.json: add `seed: int = 0` and `out: str = ""`.'
        )
    return Notebook(path, kernel, found, digest(source))


def _declared(path: Path, source: str) -> dict[str, str | None]:
    try:
        body = ast.parse(source).body
    except SyntaxError as error:
        raise UserError(f"{path}: the parameters cell is no valid Python ({error.msg}, line {error.lineno}).") from None
    found = {}
    for statement in body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value) if value is not None:
                found[name] = ast.unparse(annotation) if _is_plain(annotation) else None
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                found[name] = None
            case ast.Expr(value=ast.Constant()):
                continue
            case _:
                raise UserError(
                    f"{path}: line {statement.lineno} of the parameters cell is no `name: type = value`. Move it to the "
                    "next cell: what is computed there would not see the sweep's values."
                )
        try:
            ast.literal_eval(value)
        except ValueError:
            raise UserError(
                f"{path}: parameter {name!r} is computed. A sweep's values are set after that cell: give a plain value."
            ) from None
    return found


def _is_plain(annotation: ast.expr) -> bool:
    """Whether an annotation is made of plain types, so that values can be checked against it."""
    match annotation:
        case ast.Name(id=name):
            return name in TYPES
        case ast.Constant(value=None):
            return True
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _is_plain(left) and _is_plain(right)
        case ast.Subscript(value=ast.Name(id="list" | "dict"), slice=inner):
            return all(map(_is_plain, inner.elts if isinstance(inner, ast.Tuple) else [inner]))
    return False
