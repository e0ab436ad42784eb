"""The embedding explorer, executed headless with changed parameters."""


def test_embedding_explorer_with_changed_parameters(execute):
    suspects = {"lost": {"teacher": "untrained", "feature_weight": 100.0}}
    methods = ["none", "hard_feature"]
    done = execute("04_embedding_explorer", preset="smoke", methods=methods, suspects=suspects, split="val", seed=1)
    done.check(figures=7)
    (shown,) = (state["outputs"] for name, state in done.widgets if name == "OutputModel")
    assert "<audio" in str(shown)
    assert "val-0000-000" in str(shown)
    for part in ("lost: ", "hard_feature: ", "Effective rank: not yet."):
        assert part in done.text
    assert done.saved.keys() == {"det", "scores", "spaces_none", "spaces_hard_feature", "spaces_lost", "spread"}


def test_mistakes_are_one_line(mistake):
    assert "'training'" in mistake("04_embedding_explorer", preset="smoke", methods=["none"], split="training")
