"""The classical detectors of scikit-learn, on pixels or on the codes of a fitted detector (for PyOD see `pyod.py`).

The library does the work; here each gets the interface of our own methods. γ and h are in units that the training data
set themselves:

| class | A(x) | source |
|---|---|---|
| `PCA` | mean of (x − x̂)², x̂ the projection of x on the leading principal components | Pearson 1901 |
| `OCSVM` | ρ − Σ α_i exp(−γ‖x − x_i‖²) | Schölkopf et al. 2001 |
| `LOF` | local density of x's neighbours over that of x | Breunig et al. 2000 |
| `IForest` | 2^(−E[h(x)] / c(ψ)), h the depth at which random splits isolate x | Liu, Ting, Zhou 2008 |
| `KDE` | −log of the mean of N(x; x_i, h² I) over the training images | Parzen 1962 |

None of them learns from labels. What they share, and how they are saved without a pickle: `engine/bases/library.py`.

`PCA(n_components=32)`, `LOF()` and `KDE()` on pixels are the yardsticks of this project: a deep method that does not
beat them has learned nothing that a table shows. `PCA()` itself takes 95 % of the variance, 137 components on MNIST's
eights, and then copies.

Measured results: data/findings/classical.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp
from sklearn.decomposition import PCA as SkPCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import pairwise_distances_chunked
from sklearn.neighbors import KernelDensity, LocalOutlierFactor
from sklearn.svm import OneClassSVM
from torch import Tensor

from advad.checks import check_number, reject
from advad.engine.base import renamed
from advad.engine.bases.library import Classical, as_array

CHUNK = 64  # MiB of distances at a time


@renamed(components="n_components")
@dataclass(kw_only=True, eq=False, repr=False)
class PCA(Classical):
    """Principal components; A(x) is the mean squared error of the projection.

    Parameters
    ----------
    n_components : int or float in (0, 1)
        Number of components, or the share of the variance that they must explain. Without any (0) each image is
        compared with the mean of the training images, the cheapest yardstick.
    codes_of
        See `Classical`.
    """

    n_components: int | float = 0.95  # Ruff et al. 2018, Sec. 4, before their shallow methods

    @property
    def reconstructs(self) -> bool:
        return self.codes_of is None or self.codes_of.decodes

    def check(self) -> None:
        super().check()
        if not (isinstance(self.n_components, float) and 0 < self.n_components < 1):
            remedy = "Or a share of the variance in (0, 1)."
            check_number("PCA", "n_components", self.n_components, 0, integer=True, remedy=remedy)

    def build(self, features: np.ndarray) -> SkPCA:
        if self.n_components > min(features.shape):
            rule = f"be at most {min(features.shape)}, the lesser of images and features"
            reject("PCA", "n_components", rule, self.n_components)
        # both are exact; of a tall matrix, the small square one is decomposed sooner
        tall = features.shape[0] >= features.shape[1]
        return SkPCA(self.n_components, svd_solver="covariance_eigh" if tall else "full")

    def projected(self, features: np.ndarray) -> np.ndarray:
        """Return x̂, (N, D) -> (N, D)."""
        if self.n_components == 0:  # scikit-learn refuses codes without a number
            return np.broadcast_to(self.estimator_.mean_, features.shape)
        return self.estimator_.inverse_transform(self.estimator_.transform(features))

    def score_features(self, features: np.ndarray) -> np.ndarray:
        return np.square(features - self.projected(features)).mean(1)

    def reconstruct(self, X: ArrayLike | Tensor) -> np.ndarray:
        flat = self.projected(as_array(self._features(self._images(X)))).astype(np.float32)
        if self.codes_of is not None:
            return self.codes_of.decode(flat)
        return flat.reshape(-1, *self.image_shape_).clip(0, 1)


@dataclass(kw_only=True, eq=False, repr=False)
class OCSVM(Classical):
    """One-class support vector machine with a Gaussian kernel; A(x) is the distance outside its boundary.

    Parameters
    ----------
    nu : float in (0, 1)
        ν, an upper bound of the share of training images outside, and a lower one of the support vectors.
    gamma : float
        γ, in units of 1 / (D · variance of the features): 1 is scikit-learn's "scale".
    codes_of
        See `Classical`.
    """

    nu: float = 0.1  # Ruff et al. 2018, Sec. 4: the better of 0.01 and 0.1
    gamma: float = 1.0

    def check(self) -> None:
        super().check()
        check_number("OCSVM", "nu", self.nu, 0, 1, ends="()", remedy="It is the share left outside.")
        check_number("OCSVM", "gamma", self.gamma, 0, ends="()", remedy='1 is scikit-learn\'s "scale".')

    def build(self, features: np.ndarray) -> OneClassSVM:
        scale = features.shape[1] * max(float(features.var()), 1e-12)
        return OneClassSVM(kernel="rbf", nu=self.nu, gamma=self.gamma / scale)

    def score_features(self, features: np.ndarray) -> np.ndarray:
        return -self.estimator_.decision_function(features)


@renamed(neighbours="n_neighbors")
@dataclass(kw_only=True, eq=False, repr=False)
class LOF(Classical):
    """Local outlier factor; about 1 for an image in a cluster, more outside.

    Parameters
    ----------
    n_neighbors : int
        Number of images in a neighbourhood; all others, where there are fewer.
    codes_of
        See `Classical`.
    """

    n_neighbors: int = 20

    def check(self) -> None:
        super().check()
        check_number("LOF", "n_neighbors", self.n_neighbors, 1, integer=True)

    def build(self, features: np.ndarray) -> LocalOutlierFactor:
        if len(features) < 2:
            reject("LOF", "X", "hold at least two images", len(features))
        return LocalOutlierFactor(n_neighbors=min(self.n_neighbors, len(features) - 1), novelty=True)


@renamed(trees="n_estimators")
@dataclass(kw_only=True, eq=False, repr=False)
class IForest(Classical):
    """Isolation forest; A(x) in (0, 1), large where few random splits isolate x.

    Parameters
    ----------
    n_estimators : int
        Number of trees.
    seed : int
        Seed of the random splits.
    codes_of
        See `Classical`.
    """

    n_estimators: int = 100  # Liu, Ting, Zhou 2008
    seed: int = 0

    def check(self) -> None:
        super().check()
        check_number("IForest", "n_estimators", self.n_estimators, 1, integer=True)
        check_number("IForest", "seed", self.seed, 0, 2**32 - 1, integer=True)

    def build(self, features: np.ndarray) -> IsolationForest:
        return IsolationForest(n_estimators=self.n_estimators, random_state=self.seed)


@dataclass(kw_only=True, eq=False, repr=False)
class KDE(Classical):
    """Kernel density estimate; A(x) is −log p(x), in nats.

    Parameters
    ----------
    bandwidth : float
        h of the Gaussian kernel, in units of Scott's rule, N^(−1/(D + 4)) · (deviation of the features).
    codes_of
        See `Classical`.
    """

    bandwidth: float = 1.0

    def check(self) -> None:
        super().check()
        check_number("KDE", "bandwidth", self.bandwidth, 0, ends="()", remedy="1 is Scott's rule.")

    def build(self, features: np.ndarray) -> KernelDensity:
        n, d = features.shape
        width = self.bandwidth * n ** (-1 / (d + 4)) * max(float(features.std()), 1e-6)
        return KernelDensity(bandwidth=width, leaf_size=n)

    def score_features(self, features: np.ndarray) -> np.ndarray:
        # Not by `score_samples`: in hundreds of dimensions the tree's bounds prune nothing, and their rounding errors
        # spoil log p (scikit-learn 1.9, MNIST: 125 nats instead of −118); in a tree of one leaf, every distance is
        # taken in a loop. A matrix product needs less than a tenth of that time.
        fitted, width = np.asarray(self.estimator_.tree_.data), float(self.estimator_.bandwidth_)
        n, d = fitted.shape
        constant = np.log(n) + d * np.log(width * np.sqrt(2 * np.pi))
        chunks = pairwise_distances_chunked(
            features,
            fitted,
            reduce_func=lambda squared, _: constant - logsumexp(-squared / (2 * width**2), axis=1),
            squared=True,
            working_memory=CHUNK,
        )
        return np.concatenate(list(chunks))
