"""The embedding explorer, executed headless with changed parameters."""

import papermill


def texts(book):
    for cell in book.cells:
        for output in cell.get("outputs", []):
            yield output.get("text", "") + output.get("data", {}).get("text/plain", "")


def test_embedding_explorer_with_changed_parameters(repository, tmp_path):
    source, target, out = (
        repository / "notebooks" / "04_embedding_explorer.ipynb",
        tmp_path / "out.ipynb",
        tmp_path / "kept",
    )
    suspects = {"lost": {"teacher": "untrained", "feature_weight": 100.0}}
    parameters = {
        "preset": "smoke", "methods": ["none", "hard_feature"], "suspects": suspects, "split": "val", "seed": 1, "out": str(out)
    }  # fmt: skip
    book = papermill.execute_notebook(str(source), str(target), parameters, kernel_name="python3", progress_bar=False)
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "error"]
    states = book.metadata.get("widgets", {}).get("application/vnd.jupyter.widget-state+json", {}).get("state", {})
    shown = [output for state in states.values() for output in state["state"].get("outputs", [])]
    assert [output["output_type"] for output in shown] == ["display_data"] * 3
    assert "<audio" in str(shown)
    assert "val-0000-000" in str(shown)
    said = "\n".join(texts(book))
    for part in ("lost: ", "hard_feature: ", "Effective rank: not yet."):
        assert part in said
    kept = sorted(path.stem for path in (out / "figures").iterdir())
    assert kept == ["det", "scores", "spaces", "spaces lost", "spread"]
