"""Base of the classical detectors of a library: our interface, codes or pixels, and a file without a pickle.

They have no epochs, no optimiser and no device: a `Classical` is a `BaseDetector`, not a `Detector`.

Libraries store a fitted estimator as a pickle, which can run any code when it is opened, so we store none. The file
holds what the estimator was fitted on (*the training images themselves*, or their codes) and its parameters. `load`
fits again, which is deterministic, and refuses if another version of the library gives other scores.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import sklearn
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from advad.checks import as_images, reject
from advad.engine.base import BaseDetector, inner_detector, inner_state
from advad.engine.detector import Detector
from advad.images import as_float

PROBES = 16  # number of training images whose scores a file holds, to see whether fitting again gave the same


@dataclass(kw_only=True, eq=False, repr=False)
class Classical(BaseDetector, ABC):
    """A library's detector with our interface.

    Parameters
    ----------
    codes_of : Detector, optional
        A *fitted* detector on whose codes this one works, instead of the pixels. `clone` does not reset it.

    Attributes
    ----------
    estimator_ : object
        The library's fitted detector.
    features_ : Tensor of shape (N, D)
        What it was fitted on: pixels as they were given, or codes.
    image_shape_, threshold_
        See `BaseDetector`.
    """

    codes_of: Detector | None = None

    def check(self) -> None:
        """Check the parameters; raises ValueError or TypeError with one clear line."""
        fitted = isinstance(self.codes_of, Detector) and hasattr(self.codes_of, "networks_")
        if self.codes_of is not None and not fitted:
            reject(type(self).__name__, "codes_of", "be a fitted detector", self.codes_of, "Fit it first.", TypeError)

    @abstractmethod
    def build(self, features: np.ndarray) -> Any:
        """Return the library's unfitted detector for features of shape (N, D), float64."""

    def score_features(self, features: np.ndarray) -> np.ndarray:
        """Return A of each row of features, (N, D) -> (N,), higher = more anomalous: −score_samples unless overridden.

        scikit-learn's `score_samples` is higher = more normal.
        """
        return -self.estimator_.score_samples(features)

    def fit(self, X: ArrayLike | Tensor, y: ArrayLike | Tensor | None = None, *, progress: bool = True) -> Self:
        """Fit on images.

        Parameters
        ----------
        X : array of shape (N, C, H, W) or (N, H, W)
            As in `Detector.fit`.
        y, progress
            Ignored: none of these detectors learns from labels, and the libraries show no progress.

        Returns
        -------
        self
        """
        self.check()
        images = as_images(type(self).__name__, X)
        return self._settle(self._features(images), (images.shape[1], images.shape[2], images.shape[3]))

    def anomaly_score(self, X: ArrayLike | Tensor) -> np.ndarray:
        return self._score(self._features(self._images(X)))

    def encode(self, X: ArrayLike | Tensor) -> np.ndarray:
        """Return the features that it works on, pixels or codes: ndarray of shape (N, D), float32."""
        return as_array(self._features(self._images(X))).astype(np.float32)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {"features": self.features_, "probes": torch.from_numpy(self._score(self.features_[:PROBES]))}
        metadata = {
            "method": type(self).__name__,
            "parameters": self._stored(),
            "image_shape": self.image_shape_,
            "threshold": getattr(self, "threshold_", None),
            "library": self._library(),
            "codes_of": None,
        }
        if self.codes_of is not None:
            inner, metadata["codes_of"] = inner_state("codes_of", self.codes_of)
            tensors |= inner
        return tensors, metadata

    @classmethod
    def from_state(cls, tensors: dict[str, Tensor], metadata: dict[str, Any], device: str | None = None) -> Self:
        inner = metadata["codes_of"]
        codes_of = None if inner is None else inner_detector(cls.__name__, "codes_of", Detector, tensors, inner, device)
        detector = cls(**cls._restored(cls._new_names(metadata["parameters"])), codes_of=codes_of)
        detector._settle(tensors["features"], tuple(metadata["image_shape"]))
        again = detector._score(tensors["features"][:PROBES])
        if not np.allclose(again, tensors["probes"], rtol=1e-3, atol=1e-6):
            raise ValueError(
                f"{cls.__name__}: this file was written with {metadata['library']}; "
                f"{detector._library()} gives other scores. Fit it again."
            )
        if metadata["threshold"] is not None:
            detector.threshold_ = metadata["threshold"]
        return detector

    def __sklearn_clone__(self) -> Self:
        return type(self)(**self.get_params(deep=False))  # codes_of stays fitted

    def _features(self, images: Tensor) -> Tensor:
        return images.cpu().flatten(1) if self.codes_of is None else torch.from_numpy(self.codes_of.encode(images))

    def _settle(self, features: Tensor, image_shape: tuple[int, int, int]) -> Self:
        """Fit the library's detector on features of shape (N, D)."""
        array = as_array(features)
        self.estimator_ = self.build(array).fit(array)
        self.features_, self.image_shape_ = features, image_shape
        if hasattr(self, "threshold_"):
            del self.threshold_  # it belonged to the fit before
        return self

    def _score(self, features: Tensor) -> np.ndarray:
        return self.score_features(as_array(features)).astype(np.float32)

    def _stored(self) -> dict[str, Any]:
        return {name: value for name, value in self.get_params(deep=False).items() if name != "codes_of"}

    @classmethod
    def _restored(cls, stored: dict[str, Any]) -> dict[str, Any]:
        return stored

    def _library(self) -> str:
        return f"scikit-learn {sklearn.__version__}"


def as_array(features: Tensor) -> np.ndarray:
    """Return features as the libraries expect them: float64, pixels in [0, 1]."""
    return as_float(features).double().numpy()
