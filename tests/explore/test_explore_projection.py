"""PCA against the covariance's eigenvectors; UMAP: what it is asked for, what is cached, and one real layout."""

import importlib.util
import os
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from xmkd_lib.errors import UserError
from xmkd_lib.explore import compiled, pca, project, projection, umap


@pytest.fixture
def points():
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 6)) * [5, 3, 1, 1, 0.5, 0.1] + 10


def test_pca_against_the_eigenvectors_of_the_covariance(points):
    found = pca(points)
    variances, axes = np.linalg.eigh(np.cov(points.T))
    expected = (points - points.mean(0)) @ axes[:, ::-1][:, :2]
    np.testing.assert_allclose(np.abs(found.points), np.abs(expected), atol=1e-9)
    share = 100 * variances[-1] / variances.sum()
    assert found.axes[0] == f"first direction, {share:.0f} % of the variance"
    assert found.metric


def test_pca_has_fixed_signs(points):
    found = pca(points).points
    assert all(found[np.abs(found).argmax(0), [0, 1]] > 0)
    np.testing.assert_allclose(pca(points + 3).points, found, atol=1e-9)
    np.testing.assert_array_equal(pca(points).points, found)


def test_pca_of_two_dimensions_keeps_all_distances(points):
    flat = points[:, :2]
    found = pca(flat).points
    expected = np.linalg.norm(flat[:, None] - flat, axis=2)
    np.testing.assert_allclose(np.linalg.norm(found[:, None] - found, axis=2), expected, atol=1e-9)


@pytest.mark.parametrize(("shape", "second"), [((5, 1), 0), ((2, 8), 0)])
def test_pca_of_few_dimensions_or_points(shape, second):
    found = pca(np.random.default_rng(1).normal(size=shape)).points
    assert found.shape == (shape[0], 2)
    np.testing.assert_allclose(found[:, 1], second, atol=1e-9)


def test_pca_of_equal_points_is_a_point():
    assert not pca(np.ones((4, 3))).points.any()


@pytest.mark.parametrize("way", [pca, umap])
@pytest.mark.parametrize(
    ("embeddings", "message"),
    [(np.ones((1, 3)), r"shape \(1, 3\)"), (np.ones(4), "need"), (np.full((9, 2), np.inf), "not finite")],
)
def test_bad_embeddings_are_refused(way, embeddings, message):
    with pytest.raises(UserError, match=message):
        way(embeddings)


def test_an_unknown_projection_is_named(points):
    with pytest.raises(UserError, match="Did you mean 'umap'"):
        project(points, "umpa")


@pytest.mark.parametrize("count", [3, 4096])
def test_umap_says_how_many_points_it_takes(count):
    with pytest.raises(UserError, match=f"UMAP of {count} points: it takes 4 to 4095"):
        umap(np.random.default_rng(0).normal(size=(count, 2)))


def test_umap_refuses_points_that_are_all_equal():
    with pytest.raises(UserError, match="equal points"):
        umap(np.ones((9, 3)))


@pytest.fixture
def asked(monkeypatch):
    """A UMAP that notes what it was asked for, and returns where it would have started."""
    calls = []

    class Fake:
        def __init__(self, **chosen):
            calls.append(chosen)

        def fit_transform(self, vectors):
            calls[-1]["vectors"] = vectors
            return calls[-1]["init"]

    monkeypatch.setattr(projection, "load_umap", lambda: SimpleNamespace(UMAP=Fake))
    return calls


def test_umap_is_asked_for_one_thread_a_seed_and_pca_first(asked):
    wide = np.random.default_rng(2).normal(size=(80, 70)) + 4
    found = umap(wide, seed=3)
    (chosen,) = asked
    assert (chosen["random_state"], chosen["n_jobs"], chosen["n_neighbors"]) == (3, 1, 15)
    assert chosen["vectors"].shape == (80, 50)
    np.testing.assert_allclose(chosen["vectors"][:, :2], pca(wide).points, atol=1e-5)
    np.testing.assert_allclose(found.points, pca(wide).points, atol=0.01)
    assert not found.metric


def test_umap_lays_the_same_points_out_once(asked, points):
    first, again = umap(points), umap(points.copy())
    np.testing.assert_array_equal(first.points, again.points)
    assert len(asked) == 1
    umap(points, seed=1)
    umap(points + np.eye(40, 6))
    assert len(asked) == 3


def test_a_layout_that_fails_is_refused_and_not_kept(asked, points, monkeypatch):
    monkeypatch.setattr(projection, "_fit", lambda vectors, seed: np.full((len(vectors), 2), np.nan))
    with pytest.raises(UserError, match="to the order of 1"):
        umap(1e-3 * points)
    monkeypatch.undo()
    monkeypatch.setattr(projection, "_fit", lambda vectors, seed: vectors[:, :2].copy())
    assert np.isfinite(umap(1e-3 * points).points).all()


def test_umap_of_few_points_and_of_a_line(asked):
    umap(np.arange(8.0).reshape(4, 2) ** 2)
    assert asked[-1]["n_neighbors"] == 3
    umap(np.outer(np.arange(9.0), np.ones(3)))
    assert asked[-1]["init"].std(0).min() > 0  # or umap-learn would divide by zero


def test_a_missing_umap_is_a_line_with_the_remedy(monkeypatch, points):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(UserError, match="pip install umap-learn"):
        umap(points * 1.5)


def test_compiled_code_of_umap_is_kept_and_the_users_setting_restored(tmp_path, monkeypatch):
    numba = pytest.importorskip("numba")
    (tmp_path / "umap").mkdir()
    source = "import numba\n\n\n@numba.njit\ndef double(x):\n    return 2 * x\n"
    (tmp_path / "umap" / "__init__.py").write_text("from umap.layouts import double\n")
    (tmp_path / "umap" / "layouts.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "umap"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setenv("XMKD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    module = compiled.load_umap()
    assert isinstance(module, ModuleType)
    assert module.double(21) == 42
    assert list((tmp_path / "cache" / "numba").rglob("*double*.nbi"))
    assert numba.config.CACHE_DIR == ""
    for name in ("umap", "umap.layouts"):
        monkeypatch.delitem(sys.modules, name)


def test_a_real_layout_keeps_two_groups_apart_and_warns_of_nothing(tmp_path):
    if importlib.util.find_spec("umap") is None:
        pytest.skip("umap-learn is not installed")
    program = """
import warnings
warnings.simplefilter("error")
warnings.simplefilter("ignore", ImportWarning)  # umap-learn says so where Tensorflow is missing
import numpy as np
from xmkd_lib.explore import umap
x = np.random.default_rng(0).normal(size=(20, 5))
x[10:] += 20
points = umap(x).points
centres = points[:10].mean(0), points[10:].mean(0)
near = [np.linalg.norm(points - centre, axis=1) for centre in centres]
print(np.isfinite(points).all(), ((near[0] < near[1]) == (np.arange(20) < 10)).all())
"""
    # without numba's compiler, which takes half a minute: slow code, but the same
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "XMKD_CACHE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["True", "True"], done.stderr
