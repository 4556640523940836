"""Base class of all detectors: scikit-learn interface, thresholding, saving and loading.

`Detector` is the base class of the trained methods, `engine/bases/library.py` that of scikit-learn's and PyOD's.
"""

from __future__ import annotations

import copy
import functools
import importlib
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, NoReturn, Self, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.exceptions import NotFittedError
from torch import Tensor

from advad.checks import LONGEST_SIDE, as_images, check_choice, check_number, reject
from advad.engine import anomaly_maps
from advad.engine.training import choose_device
from advad.files import expanded, read_state, write_state
from advad.thresholds import lowest_threshold

D = TypeVar("D", bound="BaseDetector")


def renamed(**names: str) -> Callable[[type], type]:
    """Return a class decorator that keeps old parameter names alive for one version, `renamed(old="new")`.

    It stands above `@dataclass`. An old name given to the constructor or to `set_params` raises a FutureWarning and
    sets the new parameter; `get_params` knows new names only; a file that was saved under the old name loads silently.
    """

    def decorate(cls: type) -> type:
        construct = cls.__init__

        @functools.wraps(construct)  # also keeps the signature, from which scikit-learn reads the parameters
        def __init__(self: Any, **arguments: Any) -> None:
            construct(self, **_with_new_names(cls.__name__, names, arguments))

        cls.__init__ = __init__  # type: ignore[assignment]
        cls.renamed_parameters = {**cls.renamed_parameters, **names}  # type: ignore[attr-defined]
        for old, new in names.items():
            setattr(cls, old, _alias(cls.__name__, old, new))
        return cls

    return decorate


def _with_new_names(owner: str, names: Mapping[str, str], arguments: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(arguments)
    for old, new in names.items():
        if old in result:
            if new in result:
                raise TypeError(f"{owner}: {old} is the old name of {new}; got both. Give {new} alone.")
            _warn_old_name(owner, old, new)
            result[new] = result.pop(old)
    return result


def _alias(owner: str, old: str, new: str) -> property:
    def read(self: Any) -> Any:
        _warn_old_name(owner, old, new)
        return getattr(self, new)

    return property(read, doc=f"Old name of `{new}`.")


def _warn_old_name(owner: str, old: str, new: str) -> None:
    text = f"{owner}: {old} is now called {new}; the old name will be gone in the next version."
    warnings.warn(text, FutureWarning, stacklevel=4)


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
    residual_power: ClassVar[int] = 2  # p of the method's own |x − x̂|^p, which `anomaly_map` shows
    renamed_parameters: ClassVar[Mapping[str, str]] = {}  # old name -> new name, set by `renamed`
    # Published settings by data set: those of the method's own paper, and by paper those that others use it with.
    _paper_settings: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    _settings_in: ClassVar[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {}
    _laptop_settings: ClassVar[Mapping[str, Mapping[str, Any]]] = {}  # by data set; ours, not a paper's

    # ------------------------------------------------------------------ settings

    @classmethod
    def paper_settings(cls, dataset: str, paper: str | None = None) -> dict[str, Any]:
        """Return published settings as arguments of the constructor: `ARAE(**ARAE.paper_settings("MNIST"))`.

        Parameters
        ----------
        dataset : str
            Name of a data set as in data/published.csv, for example "MNIST", "FashionMNIST", "CIFAR10".
        paper : str, optional
            A paper that compares itself with this method and states its settings, as in the column `paper` of
            data/published.csv, for example "itsr"; the method's own paper unless given.

        Returns
        -------
        dict
            A fresh copy. What the paper does not state is left at its default; the method's file says what.

        Raises
        ------
        ValueError
            The paper gives no settings for this data set, or the paper is not known here.
        """
        owner = f"{cls.__name__}.paper_settings"
        settings = cls._paper_settings
        if paper is not None:
            check_choice(owner, "paper", paper, sorted(cls._settings_in), "None stands for the method's own paper.")
            settings = cls._settings_in[paper]
        if not settings:
            raise ValueError(f"{owner}: no published settings are known of this method. Its defaults are all there is.")
        check_choice(owner, "dataset", dataset, settings, "The paper gives no settings for others.")
        return copy.deepcopy(dict(settings[dataset]))

    @classmethod
    def laptop_settings(cls, dataset: str) -> dict[str, Any]:
        """Return settings of ours that reach the published level within minutes on one thread of a processor.

        They are kept apart from `paper_settings` because they are not the paper's: fewer steps, larger learning rates,
        fewer epochs. The method's file gives the reason for each, and says on which task it was first seen.

        Parameters
        ----------
        dataset : str
            Name of a data set, as in `paper_settings`.

        Returns
        -------
        dict
            A fresh copy, with all that differs from the defaults, for the constructor.

        Raises
        ------
        ValueError
            There are no such settings for this data set or method.
        """
        owner = f"{cls.__name__}.laptop_settings"
        if not cls._laptop_settings:
            raise ValueError(f"{owner}: there are none for this method. Use its defaults, or paper_settings.")
        check_choice(owner, "dataset", dataset, cls._laptop_settings, "Use the defaults, or paper_settings.")
        return copy.deepcopy(dict(cls._laptop_settings[dataset]))

    def set_params(self, **params: Any) -> Self:
        """Set parameters; an old name of a parameter still works, with a warning."""
        return super().set_params(**_with_new_names(type(self).__name__, self.renamed_parameters, params))

    @classmethod
    def _new_names(cls, stored: Mapping[str, Any]) -> dict[str, Any]:
        """Return stored parameters under their new names, without a warning."""
        return {cls.renamed_parameters.get(name, name): value for name, value in stored.items()}

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
        >>> detector = advad.PCA(n_components=4).fit(images[:100])
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

    def map_images(self, x: Tensor) -> Tensor:
        """Return the method's own anomaly map of float images on the CPU; (B, C, H, W) -> (B, H, W)."""
        return anomaly_maps.residual_map(self, x) if self.reconstructs else anomaly_maps.occlusion_map(self, x)

    def anomaly_map(self, X: ArrayLike | Tensor, *, kind: str = "own", smoothing: float = 0.0) -> np.ndarray:
        """Return where each image is anomalous: a value for each pixel, higher = more anomalous.

        Parameters
        ----------
        X : array of shape (N, C, H, W) or (N, H, W)
            As in `fit`.
        kind : {"own", "residual", "ssim", "occlusion"}
            "own" is what fits the method: its residual in its own norm if it reconstructs, else "occlusion", by how
            much the score falls without a place. "ssim" compares the structure of image and reconstruction on several
            scales, for photographs.
        smoothing : float
            Deviation of a Gaussian that the map is smoothed with, in pixels; 0 leaves it as it is.

        Returns
        -------
        ndarray of shape (N, H, W), float32
            Values of different images can be compared, those of different kinds or methods cannot. A map depends on
            its own image only.

        Raises
        ------
        ValueError
            A kind that needs a reconstruction, and the method gives none.

        Examples
        --------
        >>> import advad
        >>> images = advad.load("digits").images
        >>> detector = advad.PCA(n_components=4).fit(images[:100])
        >>> detector.anomaly_map(images[100:103], smoothing=1).shape
        (3, 8, 8)
        """
        return anomaly_maps.anomaly_map(self, self._images(X), kind, smoothing)

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
        >>> detector = advad.PCA(n_components=4).fit(split.train).calibrate(split.holdout, 0.05)
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

    def decisions(
        self, X: ArrayLike | Tensor, training_images: ArrayLike | Tensor, share: float = 0.1
    ) -> dict[str, np.ndarray]:
        """Return the alarms of each decision rule that the method's paper states beside a threshold on the score.

        Parameters
        ----------
        X : array of shape (N, C, H, W) or (N, H, W)
            The images to decide about.
        training_images : array of shape (M, C, H, W) or (M, H, W)
            The images that the thresholds are taken from.
        share : float in (0, 1)
            Share of the training images beyond each single threshold.

        Returns
        -------
        dict of str to ndarray of shape (N,), bool
            By the name of the rule; True = anomalous. Empty where the paper decides by its score alone.
        """
        return {}

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
            content = (
                metadata.get("method")
                if "image_shape" in metadata
                else "a checkpoint (fit with its run_dir resumes it)"
            )
            raise ValueError(f"{cls.__name__}: {path} holds {content}. advad.load_detector finds the method itself.")
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
            detector = cls._from_unchecked(tensors, metadata, device)
            score = detector.anomaly_score(np.zeros((1, *detector.image_shape_), np.uint8))
            if np.isnan(score).any():
                reject(owner, "the score of a black image", "be a number", score.tolist())
            return detector
        except Exception as error:  # whatever an edited file leads to
            text = f"no entry {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
            text = text.removeprefix(f"{owner}: ").rstrip(".")
            raise ValueError(
                f"{owner}: {path} cannot be loaded ({text[:300] or type(error).__name__}). Fit and save it again."
            ) from error

    @classmethod
    def _from_unchecked(cls, tensors: dict[str, Tensor], metadata: dict[str, Any], device: str | None) -> Self:
        """Return the detector of a state that may have been edited; raises whatever an edit leads to."""
        owner, threshold, shape = cls.__name__, metadata["threshold"], metadata["image_shape"]
        if threshold is not None:
            check_number(owner, "threshold", threshold)
        sides = isinstance(shape, list) and len(shape) == 3 and all(type(side) is int for side in shape)
        if not sides or shape[0] not in (1, 3) or not all(1 <= side <= LONGEST_SIDE for side in shape[1:]):
            reject(owner, "image_shape", f"be [1 or 3, H, W] with sides of at most {LONGEST_SIDE}", shape)
        if not isinstance(metadata["parameters"], dict):
            reject(owner, "parameters", "be a mapping", metadata["parameters"])
        return cls.from_state(tensors, metadata, device)

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


def inner_state(name: str, detector: BaseDetector) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the state of a detector that is a part of another one: its tensors' names begin with `name` and a dot."""
    tensors, metadata = detector.state()
    return {f"{name}.{key}": tensor for key, tensor in tensors.items()}, metadata | {"home": type(detector).__module__}


def inner_detector(
    owner: str, name: str, base: type[D], tensors: Mapping[str, Tensor], metadata: dict[str, Any], device: str | None
) -> D:
    """Return the detector that `inner_state` described; ValueError unless it is a method of ours, of class `base`."""
    home, method = metadata["home"], metadata["method"]
    kind = getattr(importlib.import_module(home), method, None) if home.startswith("advad.methods.") else None
    if not (isinstance(kind, type) and issubclass(kind, base)):
        reject(owner, name, "be one of advad's methods, to be saved and loaded", f"{home}.{method}")
    own = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
    return kind._from_unchecked(own, metadata, device)
