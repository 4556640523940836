"""Maps of latent codes for the explorers: the latent plane itself, PCA, t-SNE and UMAP, each laid out once.

Each map states how many of the codes' nearest neighbours are also neighbours on it. The latent plane and PCA
can be read backwards, from a place to a code; t-SNE and UMAP cannot.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from advad.analysis.latent import embed, neighbourhood_preservation
from advad.checks import check_choice, reject

NAMES = {"latent": "latent plane", "pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}
NEIGHBOURS, SAMPLE = 10, 1000  # neighbours of each code, and codes at most, for this share


@dataclass(frozen=True)
class Map:
    """Codes on a plane.

    Parameters
    ----------
    method : str
        Key of `NAMES`.
    points : ndarray of shape (N, 2), float32
        Where each code lies.
    axes : (str, str)
        Titles of the axes.
    preserved : float in [0, 1]
        Share of each code's nearest neighbours that are among its nearest on the map.
    centre : ndarray of shape (d,), optional
        The code at the map's origin; None where the map has no inverse.
    directions : ndarray of shape (2, d), optional
        What one step along each axis does to a code.
    """

    method: str
    points: np.ndarray
    axes: tuple[str, str]
    preserved: float
    centre: np.ndarray | None = None
    directions: np.ndarray | None = None

    @property
    def name(self) -> str:
        """The map's name, as shown."""
        return NAMES[self.method]

    @property
    def has_inverse(self) -> bool:
        """Whether each place belongs to a code."""
        return self.centre is not None

    def code_at(self, place: np.ndarray) -> np.ndarray:
        """Return the code of a place, shape (2,); on PCA's plane all other directions at their mean."""
        assert self.centre is not None
        assert self.directions is not None
        return (self.centre + place @ self.directions).astype(np.float32)

    def places_of(self, codes: np.ndarray) -> np.ndarray:
        """Return where codes of shape (n, d) lie, (n, 2)."""
        assert self.centre is not None
        assert self.directions is not None
        return (codes - self.centre) @ np.linalg.pinv(self.directions)


class Maps:
    """The maps of one set of codes, made when first asked for.

    Parameters
    ----------
    owner : str
        Who asks; opens the messages.
    codes : ndarray of shape (N, d)
    seed : int
        Seed of t-SNE and UMAP.
    """

    def __init__(self, owner: str, codes: np.ndarray, seed: int = 0):
        if codes.ndim != 2 or codes.shape[1] < 2 or len(codes) < 4:
            reject(owner, "the detector's codes", "have at least 4 rows and 2 columns", codes)
        self.owner, self.codes, self.seed = owner, codes, seed
        self.methods = [method for method in NAMES if method != "latent" or codes.shape[1] == 2]
        self._made: dict[str, Map] = {}

    def __contains__(self, method: str) -> bool:
        return method in self._made

    def __getitem__(self, method: str) -> Map:
        check_choice(self.owner, "map", method, self.methods)
        if method not in self._made:
            self._made[method] = self._make(method)
        return self._made[method]

    def _make(self, method: str) -> Map:
        codes = self.codes.astype(np.float64)
        if method == "latent":
            return Map(method, self.codes, ("z₁", "z₂"), 1.0, np.zeros(2), np.eye(2))
        points = embed(codes, method, seed=self.seed)
        sample = np.random.default_rng(self.seed).permutation(len(codes))[:SAMPLE]
        preserved = neighbourhood_preservation(codes[sample], points[sample], min(NEIGHBOURS, len(sample) - 1))
        if method != "pca":
            return Map(method, points, (f"{NAMES[method]} 1 (no unit)", f"{NAMES[method]} 2 (no unit)"), preserved)
        centre = codes.mean(axis=0)
        directions = np.linalg.lstsq(points, codes - centre, rcond=None)[0]  # the components, from their scores
        shares = points.var(axis=0) / max(float((codes - centre).var(axis=0).sum()), 1e-30)
        axes = (f"component 1 ({shares[0]:.0%} of the variance)", f"component 2 ({shares[1]:.0%})")
        return Map(method, points, axes, preserved, centre, directions)
