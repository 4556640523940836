"""Base class of all detectors: scikit-learn interface, thresholding, saving and loading.

`Detector` is the base class of the trained methods, `engine/classical.py` that of scikit-learn's and PyOD's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, NoReturn, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.exceptions import NotFittedError
from torch import Tensor

from advad.checks import as_images, check_number, reject
from advad.engine.training import choose_device
from advad.files import expanded, read_state, write_state
from advad.thresholds import lowest_threshold

LONGEST_SIDE = 2**14  # pixels of an image that a loaded detector may be for; a larger number is a damaged file's


class BaseDetector(OutlierMixin, BaseEstimator, ABC):
    """Something that is fitted on images and scores images, higher = more anomalous.

    Attributes
    ----------
    image_shape_ : (C, H, W)
        Shape of the images it was fitted on.
    threshold_ : float
        Set by `calibrate`; an image with a score above it is called anomalous.
    """

    image_shape_: tuple[int, int, int]
    reconstructs: ClassVar[bool] = False  # whether `reconstruct` gives images back

    # ------------------------------------------------------------------ what a subclass implements

    @abstractmethod
    def fit(self, X: ArrayLike | Tensor, y: ArrayLike | Tensor | None = None, *, progress: bool = True) -> Self:
        """Fit on images."""

    @abstractmethod
    def anomaly_score(self, X: ArrayLike | Tensor) -> np.ndarray:
        """Return the method's anomaly score of each image, higher = more anomalous.

        Parameters
        ----------
        X : array of shape (N, C, H, W) or (N, H, W)
            As in `fit`.

        Returns
        -------
        ndarray of shape (N,), float32
            A score depends on its own image only, not on the others in X.

        Examples
        --------
        >>> import advad
        >>> images = advad.load("digits").images
        >>> detector = advad.PCA(components=4).fit(images[:100])
        >>> scores = detector.anomaly_score(images[100:103])
        >>> scores.shape, scores.dtype
        ((3,), dtype('float32'))
        """

    def reconstruct(self, X: ArrayLike | Tensor) -> np.ndarray:
        """Return the reconstructions, ndarray of shape (N, C, H, W), float32 in [0, 1].

        Raises
        ------
        NotImplementedError
            The method gives no images back: its `reconstructs` is False.
        """
        self._refuse_to_reconstruct()

    @abstractmethod
    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return all that a fitted detector is made of: tensors by name, and metadata that JSON can hold."""

    @classmethod
    @abstractmethod
    def from_state(cls, tensors: dict[str, Tensor], metadata: dict[str, Any], device: str | None = None) -> Self:
        """Return the detector that `state` described, on `device` instead of where its parameter says."""

    # ------------------------------------------------------------------ threshold and prediction

    def score_samples(self, X: ArrayLike | Tensor) -> np.ndarray:
        """Return −anomaly_score, higher = more normal: scikit-learn's convention."""
        return -self.anomaly_score(X)

    def calibrate(self, X: ArrayLike | Tensor, false_alarm_rate: float = 0.05) -> Self:
        """Set the lowest threshold that at most `false_alarm_rate` of these normal images exceed.

        Parameters
        ----------
        X : array of shape (N, C, H, W) or (N, H, W)
            Normal images that were *not* trained on: a training image scores too low.
        false_alarm_rate : float in (0, 1)
            Share of normal images to score above the threshold.

        Returns
        -------
        self

        Examples
        --------
        >>> import advad
        >>> split = advad.one_class(advad.load("digits"), normal=0, holdout=0.2)
        >>> detector = advad.PCA(components=4).fit(split.train).calibrate(split.holdout, 0.05)
        >>> int((detector.anomaly_score(split.holdout) > detector.threshold_).sum()), len(split.holdout)
        (1, 25)
        """
        check_number(type(self).__name__, "false_alarm_rate", false_alarm_rate, 0, 1, ends="()")
        self.threshold_ = lowest_threshold(self.anomaly_score(X), false_alarm_rate)
        return self

    def decision_function(self, X: ArrayLike | Tensor) -> np.ndarray:
        """Return threshold − anomaly_score (the threshold is 0 before `calibrate`): negative = anomalous."""
        return getattr(self, "threshold_", 0.0) - self.anomaly_score(X)

    def predict(self, X: ArrayLike | Tensor) -> np.ndarray:
        """Return +1 for normal and −1 for anomalous images; `calibrate` must have set the threshold."""
        self._require_fit()
        if not hasattr(self, "threshold_"):
            raise NotFittedError(
                f"{type(self).__name__}: predict needs a threshold. Call calibrate(holdout) with normal images first."
            )
        return np.where(self.decision_function(X) < 0, -1, 1)

    def fit_predict(self, X: ArrayLike | Tensor, y: Any = None, **settings: Any) -> np.ndarray:
        """Refuse: a threshold taken from the training images themselves would be too low."""
        raise TypeError(f"{type(self).__name__}: fit_predict has no held-out normals. Use fit, calibrate, predict.")

    # ------------------------------------------------------------------ on disk

    def save(self, path: str | Path) -> Path:
        """Write the detector as one file, `path` with the ending .safetensors; return the file's path."""
        self._require_fit()
        return write_state(saved_path(path), *self.state())

    @classmethod
    def load(cls, path: str | Path, device: str | None = None) -> Self:
        """Read a detector that `save` wrote; `device` moves it elsewhere than where its parameter says.

        Raises
        ------
        FileNotFoundError, ValueError
            No such file, a damaged one, or another method's.
        """
        tensors, metadata = read_state(saved_path(path))
        if metadata.get("method") != cls.__name__ or "image_shape" not in metadata:
            found = (
                metadata.get("method")
                if "image_shape" in metadata
                else "a checkpoint (fit with its run_dir resumes it)"
            )
            raise ValueError(f"{cls.__name__}: {path} holds {found}. advad.load_detector finds the method itself.")
        return cls._from_file(path, tensors, metadata, device)

    @classmethod
    def _from_file(
        cls, path: str | Path, tensors: dict[str, Tensor], metadata: dict[str, Any], device: str | None
    ) -> Self:
        """Return the detector that a file's content describes.

        A file may have been edited, so whatever does not fit becomes a ValueError in one line.
        """
        owner = cls.__name__
        if device is not None:
            choose_device(device, owner)  # the caller's mistake, not the file's
        for name, tensor in tensors.items():
            if tensor.is_complex() or (tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())):
                raise ValueError(f"{owner}: {path} holds {name} with values that are no finite numbers. Fit it again.")
        try:
            threshold = metadata["threshold"]
            if threshold is not None:
                check_number(owner, "threshold", threshold)
            shape = metadata["image_shape"]
            sides = isinstance(shape, list) and len(shape) == 3 and all(type(side) is int for side in shape)
            if not sides or shape[0] not in (1, 3) or not all(1 <= side <= LONGEST_SIDE for side in shape[1:]):
                reject(owner, "image_shape", f"be [1 or 3, H, W] with sides of at most {LONGEST_SIDE}", shape)
            if not isinstance(metadata["parameters"], dict):
                reject(owner, "parameters", "be a mapping", metadata["parameters"])
            return cls.from_state(tensors, metadata, device)
        except Exception as error:  # whatever an edited file leads to
            text = f"no entry {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
            raise ValueError(
                f"{owner}: {path} cannot be loaded ({text[:300] or type(error).__name__}). Fit and save it again."
            ) from error

    # ------------------------------------------------------------------ helpers

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "image_shape_")

    def _require_fit(self) -> None:
        if not hasattr(self, "image_shape_"):
            raise NotFittedError(f"{type(self).__name__}: this detector is not fitted. Call fit(images) first.")

    def _images(self, X: ArrayLike | Tensor) -> Tensor:
        self._require_fit()
        return as_images(type(self).__name__, X, image_shape=self.image_shape_)

    def _refuse_to_reconstruct(self) -> NoReturn:
        raise NotImplementedError(
            f"{type(self).__name__}: it gives no images back, it only scores them. "
            "Call anomaly_score, or take a method that reconstructs, such as advad.AE."
        )


def saved_path(path: str | Path) -> Path:
    """Return `path` with the ending .safetensors, and ~ replaced by the home folder."""
    path = expanded(path)
    return path if path.suffix == ".safetensors" else path.with_name(path.name + ".safetensors")
