"""Maps of codes: the same for a seed, true to hand numbers, random at chance, every error message."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import manifold
from sklearn.datasets import load_digits

import advad
from advad.analysis.latent import (
    atlas,
    embed,
    lay_out,
    nearest,
    neighbourhood_preservation,
    origin_distance,
    separation,
    trustworthiness,
)
from tests.errors import one_line_errors

DIGITS, CLASSES = load_digits(return_X_y=True)
CODES = DIGITS[:150]


@pytest.fixture(scope="module")
def maps():
    """One map a method: UMAP compiles for some 20 s at its first use."""
    return {method: embed(CODES, method, seed=3) for method in ("pca", "tsne", "umap")}


@pytest.mark.parametrize("method", ["pca", "tsne", "umap"])
def test_maps_are_the_same_for_a_seed_and_show_neighbours(maps, method):
    layout = maps[method]
    assert layout.shape == (150, 2)
    assert layout.dtype == np.float32
    assert np.array_equal(layout, embed(torch.tensor(CODES), method, seed=3))
    assert np.array_equal(layout, embed(CODES, method, seed=4)) == (method == "pca")
    # a random map scores about 0.5 and 10 / 149
    assert trustworthiness(CODES, layout) > 0.75
    assert neighbourhood_preservation(CODES, layout) > 0.2


def test_nonlinear_maps_keep_neighbours_better_than_pca(maps):
    kept = {method: neighbourhood_preservation(CODES, layout) for method, layout in maps.items()}
    assert min(kept["tsne"], kept["umap"]) > kept["pca"] + 0.1


def test_pca_is_the_projection_on_the_leading_directions():
    centred = DIGITS - DIGITS.mean(axis=0)
    directions = np.linalg.svd(centred, full_matrices=False)[2][:2]
    expected = centred @ directions.T
    assert np.abs(embed(DIGITS)) == pytest.approx(np.abs(expected), abs=1e-3)  # a direction's sign is free


def test_options_reach_the_method_and_small_sets_are_taken():
    assert not np.array_equal(embed(CODES, "tsne", perplexity=5), embed(CODES, "tsne"))
    assert not np.array_equal(embed(CODES, "pca", whiten=True), embed(CODES))
    assert np.isfinite(embed(CODES[:4], "tsne")).all()


@pytest.mark.parametrize("mebibytes", [64, 0.01])
def test_trustworthiness_is_scikit_learns(maps, mebibytes, monkeypatch):
    monkeypatch.setattr("advad.analysis.latent.MEBIBYTES", mebibytes)
    expected = manifold.trustworthiness(CODES, maps["pca"].astype(float), n_neighbors=7)
    assert trustworthiness(CODES, maps["pca"], 7) == pytest.approx(expected)


def test_an_atlas_has_each_map_with_its_worth():
    codes = {"a": CODES[:60], "b": CODES[60:120]}
    maps = atlas(codes, ("pca", "tsne"), seed=3)
    assert list(maps) == [("a", "pca"), ("a", "tsne"), ("b", "pca"), ("b", "tsne")]
    for (name, method), layout in maps.items():
        assert np.array_equal(layout.points, embed(codes[name], method, seed=3))
        assert layout.trustworthiness == trustworthiness(codes[name], layout.points)
        assert layout.neighbourhood_preservation == neighbourhood_preservation(codes[name], layout.points)
    assert not np.array_equal(lay_out(codes["a"], "tsne", perplexity=5).points, maps["a", "tsne"].points)


def test_neighbourhood_preservation_by_hand():
    codes = np.array([[0.0], [1.0], [3.0], [7.0]])  # nearest: 1, 0, 1, 2
    layout = np.array([[0.0, 0], [1, 0], [7, 0], [3, 0]])  # nearest: 1, 0, 3, 1
    assert neighbourhood_preservation(codes, layout, 1) == 0.5
    # two nearest of the codes: {1,2} {0,2} {1,0} {2,1}; of the map: {1,3} {0,3} {3,1} {1,0}
    assert neighbourhood_preservation(codes, layout, 2) == 0.5
    assert neighbourhood_preservation(codes, layout, 3) == 1.0
    assert neighbourhood_preservation(codes, 5 - 2 * codes, 2) == 1.0


def test_random_maps_are_at_chance():
    layout = np.random.default_rng(0).normal(size=(len(CODES), 2))
    assert neighbourhood_preservation(CODES, layout, 10) == pytest.approx(10 / 149, abs=0.02)
    assert trustworthiness(CODES, layout) == pytest.approx(0.5, abs=0.05)


def test_nearest_by_hand():
    codes = np.array([[0.0, 0], [3, 4], [0, 1], [0, -1]])
    assert nearest(codes, [0, 0], 3).tolist() == [0, 2, 3]  # of equals, the first
    assert nearest(codes, torch.tensor([3.0, 3.0]), 1).tolist() == [1]
    assert sorted(nearest(codes, [9, 9], 4)) == [0, 1, 2, 3]


def test_separation_of_two_clouds_and_of_one():
    generator = np.random.default_rng(0)
    truth = np.arange(200) < 50
    cloud = generator.normal(size=(200, 2))
    assert separation(cloud + 20 * truth[:, None], truth) == 1.0
    assert separation(cloud, truth) == pytest.approx(0.45, abs=0.08)


def test_origin_distance_by_hand():
    assert origin_distance(torch.tensor([[3.0, 4.0], [0.0, -2.0]])) == pytest.approx([5, 2])


VALUE_ERRORS = {  # how the message begins: what causes it
    "embed: method must be one of 'pca', 'tsne', 'umap'; got 'mds'": lambda: embed(CODES, "mds"),
    "embed: codes must have shape (N, d), one row per image; got ndarray of shape (64,)": lambda: embed(CODES[0]),
    "embed: codes must have shape (N, d), one row per image; got ndarray of shape (5, 2, 3)": lambda: embed(
        np.ones((5, 2, 3))
    ),
    "embed: codes must have at least 4 rows and 2 columns; got ndarray of shape (3, 64)": lambda: embed(CODES[:3]),
    "embed: codes must have at least 4 rows and 2 columns; got ndarray of shape (150, 1)": lambda: embed(CODES[:, :1]),
    "embed: codes must be finite; got 9600 of 9600 values NaN or infinite": lambda: embed(CODES * np.nan),
    "embed: an option of tsne must be one of 'angle', ": lambda: embed(CODES, "tsne", perplexty=5),
    "embed: an option of pca must be one of 'copy', ": lambda: embed(CODES, random_state=5),
    "embed: perplexity must be in (0, 150); got 150": lambda: embed(CODES, "tsne", perplexity=150),
    "trustworthiness: embedding must have 150 rows, one per code; got ndarray of shape": lambda: trustworthiness(
        CODES, CODES[:9]
    ),
    "trustworthiness: n_neighbors must be in [1, 75); got 75": lambda: trustworthiness(CODES, CODES, 75),
    "neighbourhood_preservation: n_neighbors must be in [1, 150); got 150": lambda: neighbourhood_preservation(
        CODES, CODES, 150
    ),
    "nearest: k must be in [1, 150]; got 151": lambda: nearest(CODES, CODES[0], 151),
    "nearest: point must have shape (64,), as each code; got ndarray of shape (2,)": lambda: nearest(CODES, [1, 2]),
    "separation: is_anomaly must mark at least one image of each class; got 150 normal and 0 anomalous": lambda: (
        separation(CODES, [0] * 150)
    ),
    "separation: n_neighbors must be in [1, 150); got 0": lambda: separation(CODES, CLASSES[:150] == 8, 0),
    "origin_distance: codes must have shape (N, d)": lambda: origin_distance([1, 2]),
}
TYPE_ERRORS = {  # how the message begins: what causes it
    "embed: seed must be a whole number; got 0.5": lambda: embed(CODES, seed=0.5),
}


test_errors_say_what_rule_and_got_in_one_line = one_line_errors(VALUE_ERRORS, TYPE_ERRORS)


@pytest.mark.parametrize(
    "denied", ["InTreeCacheLocator UserWideCacheLocator", pytest.param("_CacheLocator", marks=pytest.mark.slow)]
)
def test_umap_loads_where_numba_can_write_nowhere(denied, tmp_path):
    """In a process of its own, as where site-packages and home are read-only; then not even a cache folder helps."""
    program = f"""
import numba.core.caching as caching
def deny(self): raise PermissionError("read-only")
for name in {denied.split()}: setattr(getattr(caching, name), "ensure_cache_path", deny)
from advad.cli import doctor
print(*doctor.examine(doctor.umap, None))
"""
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment |= {"TMPDIR": str(tmp_path), "PYTHONPATH": str(Path(advad.__file__).parents[1])}
    result = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert result.stdout.startswith("warn numba can write neither beside its packages nor at home"), result.stderr
    assert str(tmp_path) in result.stdout
    assert any((tmp_path / f"advad_numba_{os.getuid()}").rglob("*.nbi")) == (denied != "_CacheLocator")
