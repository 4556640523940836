"""Latent codes on a plane, and how far to trust such a map.

PCA projects the codes: what is far apart on the map is far apart in the code. t-SNE and UMAP keep neighbours together,
but their distances, gaps and sizes mean nothing. Each map therefore belongs beside `trustworthiness` (are neighbours
on the map true?) and `neighbourhood_preservation` (are true neighbours on the map?), and beside maps of other seeds.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from advad.analysis.inputs import as_anomalous, as_numbers
from advad.analysis.metrics import auroc
from advad.checks import check_choice, check_number, reject
from advad.environment import private_folder

MEBIBYTES = 64  # of distances at a time
EXACT = 4096  # codes up to which UMAP compares all pairs anyway


def embed(codes: Any, method: str = "pca", *, seed: int = 0, **options: Any) -> np.ndarray:
    """Lay out latent codes on a plane, the same way for the same seed.

    Everything runs on one thread: the sums of several come in another order each time, and t-SNE and UMAP blow such
    rounding errors up into other maps.

    Parameters
    ----------
    codes : array-like of shape (N, d), N >= 4, d >= 2
        Say, `detector.encode(X)`.
    method : {"pca", "tsne", "umap"}
        UMAP takes some 10 s to load and compile at its first use in a process. 10,000 codes take t-SNE about 95 s of
        a processor's core and UMAP 40 s, and 1.1 GB.
    seed : int
        Of t-SNE and UMAP; PCA is the same for all seeds, and t-SNE too when it starts from PCA (`init="pca"`).
    **options
        Of scikit-learn's `PCA` or `TSNE`, or of `umap.UMAP`. Small sets get a smaller neighbourhood by default:
        t-SNE a perplexity of min(30, (N - 1) / 3), UMAP min(15, N - 1) neighbours.

    Returns
    -------
    ndarray of shape (N, 2), float32
        Axes and units mean nothing for t-SNE and UMAP.

    Raises
    ------
    ValueError
        Too few codes or dimensions, NaN, an unknown method, an option that the method does not know.

    Source : Hotelling 1933 (PCA), van der Maaten and Hinton 2008 (t-SNE), McInnes et al. 2018 (UMAP).
    """
    check_choice("embed", "method", method, ("pca", "tsne", "umap"))
    check_number("embed", "seed", seed, 0, 2**32 - 1, integer=True)
    codes = as_numbers("embed", "codes", codes, 2)
    if codes.shape[0] < 4 or codes.shape[1] < 2:
        reject("embed", "codes", "have at least 4 rows and 2 columns", codes, "One column needs a histogram, no map.")
    estimator, fixed, defaults = _estimator(method, len(codes))
    known = sorted(set(estimator().get_params()) - {"n_components", "random_state", "n_jobs"})
    for name in options:
        check_choice("embed", f"an option of {method}", name, known)
    if method == "tsne":
        check_number("embed", "perplexity", options.get("perplexity", 1), 0, len(codes), ends="()")
    from threadpoolctl import threadpool_limits

    if method == "umap" and len(codes) <= EXACT and not {"metric", "metric_kwds", "precomputed_knn"} & set(options):
        defaults |= _exact_neighbours(codes, options.get("n_neighbors", defaults["n_neighbors"]))
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "precomputed_knn", UserWarning)  # "transform will be unavailable"
        layout = estimator(n_components=2, random_state=seed, **fixed, **(defaults | options)).fit_transform(codes)
    return np.asarray(layout, dtype=np.float32)


def _estimator(method: str, n: int) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """Return the class, what is not the caller's to choose, and what follows from the number of codes."""
    if method == "pca":
        from sklearn.decomposition import PCA

        return PCA, {}, {"svd_solver": "full"}  # scikit-learn's own choice may be a random approximation
    if method == "tsne":
        from sklearn.manifold import TSNE

        # From scikit-learn's start, PCA, all seeds give one map, and "it looks the same for every seed" proves nothing.
        return TSNE, {"n_jobs": 1}, {"perplexity": min(30.0, (n - 1) / 3), "init": "random"}
    return load_umap(), {"n_jobs": 1}, {"n_neighbors": min(15, n - 1)}


def load_umap() -> Any:
    """Return the class `umap.UMAP`, also where numba can write nowhere.

    numba compiles UMAP, and keeps the result beside the package or in the user's cache folder. Where it can write to
    neither (in a container, on a course server), it refuses: UMAP cannot even be imported. Then numba is given a folder
    of this user's among the temporary files (NUMBA_CACHE_DIR). Where that fails, too, it compiles anew in each process.
    """
    from unittest.mock import patch

    from numba.core.config import reload_config
    from numba.core.dispatcher import Dispatcher
    from numba.np.ufunc.ufuncbuilder import UFuncDispatcher

    try:
        return _import_umap()
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
    with contextlib.suppress(OSError, RuntimeError):
        os.environ["NUMBA_CACHE_DIR"] = str(private_folder("numba"))
        reload_config()
        return _import_umap()
    with patch.object(Dispatcher, "enable_caching"), patch.object(UFuncDispatcher, "enable_caching"):
        return _import_umap()


def _import_umap() -> Any:
    from umap import UMAP

    return UMAP


def _exact_neighbours(codes: np.ndarray, k: int) -> dict[str, Any]:
    """Return UMAP's options that give it the true neighbours: its own search compiles for 8 s in each process."""
    from sklearn.neighbors import NearestNeighbors

    distances, indices = NearestNeighbors(n_neighbors=k).fit(codes).kneighbors(codes)
    neighbors = indices.astype(np.int32), distances.astype(np.float32)
    # UMAP ignores neighbours that it is given for a small set, unless the second option is set.
    return {"precomputed_knn": neighbors, "force_approximation_algorithm": True}


@dataclass(frozen=True, eq=False)
class Layout:
    """A map of codes, and how far to trust it.

    Attributes
    ----------
    points : ndarray of shape (N, 2), float32
    trustworthiness : float in [0, 1]
        `trustworthiness`: are neighbours on the map true?
    neighbourhood_preservation : float in [0, 1]
        `neighbourhood_preservation` of ten neighbours: are true neighbours on the map?
    """

    points: np.ndarray
    trustworthiness: float
    neighbourhood_preservation: float


def lay_out(codes: Any, method: str = "pca", *, seed: int = 0, **options: Any) -> Layout:
    """Return the map that `embed` makes, with its two quality measures. Parameters: see `embed`; N >= 12."""
    points = embed(codes, method, seed=seed, **options)
    return Layout(points, trustworthiness(codes, points), neighbourhood_preservation(codes, points))


def atlas(
    codes: Mapping[str, Any], methods: Sequence[str] = ("pca", "tsne", "umap"), *, seed: int = 0
) -> dict[tuple[str, str], Layout]:
    """Return a map of each set of codes by each method, under the key (name of the codes, method)."""
    return {(name, method): lay_out(z, method, seed=seed) for name, z in codes.items() for method in methods}


def trustworthiness(codes: Any, embedding: Any, n_neighbors: int = 5) -> float:
    """How far neighbours on the map are neighbours in the codes; low = the map shows groups that do not exist.

    Each intruder among a point's neighbours on the map costs the more the further down it ranks in the codes.

    Parameters
    ----------
    codes : array-like of shape (N, d)
    embedding : array-like of shape (N, 2)
    n_neighbors : int
        At least 1 and below N / 2.

    Returns
    -------
    float in [0, 1]
        Higher = better; 1 when all neighbours are true, about 0.5 for a random map.

    Source : Venna and Kaski 2001; scikit-learn's `sklearn.manifold.trustworthiness`.
    """
    from sklearn.metrics import pairwise_distances_chunked
    from sklearn.neighbors import NearestNeighbors

    codes, embedding = _pair("trustworthiness", codes, embedding)
    check_number("trustworthiness", "n_neighbors", n_neighbors, 1, len(codes) / 2, ends="[)", integer=True)
    n, k = len(codes), int(n_neighbors)
    on_map = NearestNeighbors(n_neighbors=k).fit(embedding).kneighbors(return_distance=False)  # (N, k)

    def intrusions(distances: np.ndarray, first: int) -> np.ndarray:
        """Return by how much each code's neighbours on the map rank too low; (B, N) -> (B,)."""
        rows = np.arange(len(distances))
        distances[rows, first + rows] = np.inf  # a code is no neighbour of its own
        order = distances.argsort(axis=1)
        ranks = np.empty_like(order)
        np.put_along_axis(ranks, order, np.arange(n)[None], axis=1)  # 0 = nearest
        beyond = np.take_along_axis(ranks, on_map[first : first + len(rows)], axis=1) - (k - 1)
        return beyond.clip(0).sum(axis=1)

    parts = pairwise_distances_chunked(codes, reduce_func=intrusions, working_memory=MEBIBYTES)
    total = sum(float(part.sum()) for part in parts)
    return 1 - total * 2 / (n * k * (2 * n - 3 * k - 1))


def neighbourhood_preservation(codes: Any, embedding: Any, n_neighbors: int = 10) -> float:
    """Share of each code's nearest neighbours that are among its nearest on the map, in the mean over the codes.

    Parameters
    ----------
    codes : array-like of shape (N, d)
    embedding : array-like of shape (N, 2)
    n_neighbors : int
        At least 1 and below N.

    Returns
    -------
    float in [0, 1]
        Higher = better; 1 when all are kept, n_neighbors / (N - 1) for a random map.
    """
    codes, embedding = _pair("neighbourhood_preservation", codes, embedding)
    check_number("neighbourhood_preservation", "n_neighbors", n_neighbors, 1, len(codes), ends="[)", integer=True)
    true, shown = _neighbours(codes, n_neighbors), _neighbours(embedding, n_neighbors)
    return float(np.mean([len(np.intersect1d(*rows)) for rows in zip(true, shown, strict=True)]) / n_neighbors)


def nearest(codes: Any, point: Any, k: int = 5) -> np.ndarray:
    """Return the indices of the k codes nearest to a point, the nearest first (of equals, the first).

    Parameters
    ----------
    codes : array-like of shape (N, d)
        Codes, or points on a map.
    point : array-like of shape (d,)
        Need not be one of them: a click on a map, a search's result.
    k : int
        At least 1 and at most N.

    Returns
    -------
    ndarray of shape (k,), int64

    Examples
    --------
    >>> nearest([[0.0, 0.0], [3.0, 0.0], [1.0, 0.0]], [0.9, 0.0], k=2)
    array([2, 0])
    """
    codes, point = as_numbers("nearest", "codes", codes, 2), as_numbers("nearest", "point", point, 1)
    check_number("nearest", "k", k, 1, len(codes), integer=True)
    if len(point) != codes.shape[1]:
        reject("nearest", "point", f"have shape ({codes.shape[1]},), as each code", point)
    return np.argsort(np.linalg.norm(codes - point, axis=1), kind="stable")[:k]


def separation(points: Any, is_anomaly: Any, n_neighbors: int = 10) -> float:
    """How far anomalies lie apart from normal images: AUROC of the share of anomalies among a point's neighbours.

    Take it of the codes and of the map: a map that separates better than its codes shows a gap that is not real.

    Parameters
    ----------
    points : array-like of shape (N, d)
        Codes, or points on a map.
    is_anomaly : array-like of shape (N,)
        1 = anomalous, 0 = normal. The truth is used, so this evaluates a map; it cannot be used for detection.
    n_neighbors : int
        At least 1 and below N.

    Returns
    -------
    float in [0, 1]
        1 = apart, 0.5 = mixed (a little below in small sets, since no point counts itself).
    """
    points = as_numbers("separation", "points", points, 2)
    anomalous = as_anomalous("separation", is_anomaly, len(points))
    check_number("separation", "n_neighbors", n_neighbors, 1, len(points), ends="[)", integer=True)
    return auroc(anomalous, anomalous[_neighbours(points, n_neighbors)].mean(axis=1))


def origin_distance(codes: Any) -> np.ndarray:
    """Return ‖z‖₂ of each code, shape (N,): below chance as a score when anomalies gather near the origin.

    Parameters
    ----------
    codes : array-like of shape (N, d)

    Returns
    -------
    ndarray of shape (N,)
        At least 0. `Berg.L_o`, a score, is minus this distance over √d.

    Source : Berg et al. 2020, L_o; under a Gaussian prior, the likelihood of Beggel et al. 2019.

    Examples
    --------
    >>> origin_distance([[3.0, 4.0], [0.0, 1.0]])
    array([5., 1.])
    """
    return np.linalg.norm(as_numbers("origin_distance", "codes", codes, 2), axis=1)


def _pair(owner: str, codes: Any, embedding: Any) -> tuple[np.ndarray, np.ndarray]:
    codes, embedding = as_numbers(owner, "codes", codes, 2), as_numbers(owner, "embedding", embedding, 2)
    if len(embedding) != len(codes):
        reject(owner, "embedding", f"have {len(codes)} rows, one per code", embedding)
    return codes, embedding


def _neighbours(points: np.ndarray, k: int) -> np.ndarray:
    """Return the k nearest of each point, itself left out, shape (N, k)."""
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=k).fit(points).kneighbors(return_distance=False)
