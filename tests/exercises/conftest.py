"""Stubs and solutions, from the one file that has both."""

import ast
import json

import pytest


@pytest.fixture(scope="session")
def attempts(repository):
    """A notebook's name -> what its exercise defines: (by the stub, by the solution), as namespaces.

    Both see what the cells before have imported, and nothing else.
    """

    def read(name):
        cells = json.loads((repository / "notebooks" / f"{name}.ipynb").read_text("utf-8"))["cells"]
        (place,) = (place for place, cell in enumerate(cells) if "solution" in cell["metadata"])
        before = "\n\n".join("".join(cell["source"]) for cell in cells[:place] if cell["cell_type"] == "code")
        imports = [node for node in ast.parse(before).body if isinstance(node, ast.Import | ast.ImportFrom)]
        found = []
        for lines in (cells[place]["source"], cells[place]["metadata"]["solution"]):
            namespace = {}
            exec(compile(ast.Module(imports, []), name, "exec"), namespace)
            exec("".join(lines), namespace)
            found.append(namespace)
        return found

    return read
