"""Distance to the nearest training features of a frozen encoder: the yardstick from features that nobody trained here.

Roth, Pemula, Zepeda, Schölkopf, Brox, Gehler: Towards Total Recall in Industrial Anomaly Detection. CVPR 2022.
Bergman, Cohen, Hoshen: Deep Nearest Neighbor Anomaly Detection. arXiv:2002.10445, 2020.

A frozen encoder turns a normal image into features, one vector at each place or one for the image, and a bank keeps
them. A(x) is how far x's features are from the nearest ones in the bank, at the worst place. There is no training.
With weights of ImageNet this is hard to beat on photographs; with random weights, the default, which needs no download,
it says what the form of a convolutional network is worth by itself.

| PatchCore | here |
|---|---|
| φ_j(x), levels j of the network | `networks.encoder`, the outputs named by `layers` |
| P_{s,p}, the neighbourhood of p×p features | `FeatureMaps.forward`: means over 3×3 |
| M, the memory bank | `bank_` |
| s*, the largest distance of a patch (Eq. 7) | `score_images`, `level="patch"` |

Departures from PatchCore: the bank is a random choice of at most `bank_size` features, the same number of each image,
in place of a greedy coreset; A(x) is the distance itself, without the re-weighting of Eq. 7; the mean over
`n_neighbors` is Bergman et al.'s. `level="image"` is their method: one vector an image, the means of each layer.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional as F

from advad.checks import as_images, check_choice, check_number, reject
from advad.engine.anomaly_maps import PIXELS
from advad.engine.base import BaseDetector
from advad.engine.training import choose_device, seeded
from advad.images import as_float
from advad.networks.frozen import FeatureMaps, random_encoder, torchvision_encoder

DISTANCES = 2**24  # of patches and bank in one matrix, 64 MB


@dataclass(kw_only=True, eq=False, repr=False)
class FeatureKNN(BaseDetector):
    """Nearest neighbours among a frozen encoder's features; A(x) is the distance, at the worst place of the image.

    Parameters
    ----------
    encoder : str or nn.Module
        "random": a small convolutional encoder with random weights. A name of torchvision's, such as "resnet18", which
        needs `weights`. Or a module of yours, (B, C, H, W) in [0, 1] -> (B, D, h, w) or (B, D); it is copied, and
        cannot be saved.
    weights : str or Path, optional
        File with the state of torchvision's network, .pth or .safetensors. Nothing is downloaded.
    layers : tuple of str
        Names of the encoder's parts whose outputs are the features; () is its output. By default those of the kind.
    level : {"patch", "image"}
        Whether places of the image are compared, or whole images.
    n_neighbors : int
        Number of nearest features whose mean distance counts.
    bank_size : int
        Maximum number of features in the bank.
    seed : int
        Of the random weights, and of the choice of the bank.
    device : str
        See `Detector`.

    Attributes
    ----------
    networks_ : ModuleDict
        The frozen "encoder".
    bank_ : Tensor of shape (M, D), float32
    device_, image_shape_, threshold_
        See `Detector`.

    Examples
    --------
    >>> import advad
    >>> split = advad.one_class(advad.load("digits"), normal=0)
    >>> detector = advad.FeatureKNN(device="cpu").fit(split.train)
    >>> advad.auroc(split.test_is_anomaly, detector.anomaly_score(split.test)) > 0.9
    True
    """

    encoder: Any = "random"
    weights: str | Path | None = None
    layers: tuple[str, ...] | None = None
    level: str = "patch"
    n_neighbors: int = 1  # Roth et al. 2022, Eq. 6
    bank_size: int = 10_000  # ours: about 5 % of bottle's patches at 128 pixels, as PatchCore keeps 1 to 25 %
    seed: int = 0
    device: str = "auto"

    def check(self) -> None:
        """Check the parameters; raises ValueError or TypeError with one clear line."""
        owner = "FeatureKNN"
        if not isinstance(self.encoder, (str, nn.Module)):
            rule = "be 'random', a name of torchvision's, or an nn.Module"
            reject(owner, "encoder", rule, self.encoder, error=TypeError)
        if self.weights is not None and (not isinstance(self.encoder, str) or self.encoder == "random"):
            reject(owner, "weights", "be given for a network of torchvision's only", self.weights)
        check_choice(owner, "level", self.level, ["patch", "image"])
        check_number(owner, "n_neighbors", self.n_neighbors, 1, integer=True)
        check_number(owner, "bank_size", self.bank_size, 1, integer=True)
        check_number(owner, "seed", self.seed, 0, integer=True)

    def build(self, image_shape: tuple[int, int, int]) -> FeatureMaps:
        """Return the frozen encoder for images of shape (C, H, W)."""
        if isinstance(self.encoder, nn.Module):
            return FeatureMaps(copy.deepcopy(self.encoder), self.layers or ())  # which is frozen, and moved
        if self.encoder == "random":
            with seeded(self.seed, torch.device("cpu")):
                return random_encoder(image_shape, self.layers)
        return torchvision_encoder("FeatureKNN", self.encoder, self.weights, self.layers)

    def fit(self, X: ArrayLike | Tensor, y: ArrayLike | Tensor | None = None, *, progress: bool = True) -> Self:
        """Fill the bank with features of images.

        Parameters
        ----------
        X : array of shape (N, C, H, W) or (N, H, W)
            As in `Detector.fit`: normal images, perhaps contaminated.
        y, progress
            Ignored: there is no training.

        Returns
        -------
        self
        """
        self.check()
        images = as_images("FeatureKNN", X)
        image_shape = (images.shape[1], images.shape[2], images.shape[3])
        device = choose_device(self.device, "FeatureKNN")
        self._adopt(self.build(image_shape), image_shape, device)
        self.bank_ = torch.cat(list(self._bank(images)))
        return self

    def _adopt(self, encoder: FeatureMaps, image_shape: tuple[int, int, int], device: torch.device) -> None:
        """Make the encoder this detector's, frozen."""
        self.networks_ = nn.ModuleDict({"encoder": encoder}).to(device).eval().requires_grad_(False)
        self.image_shape_, self.device_ = image_shape, device
        if hasattr(self, "threshold_"):
            del self.threshold_  # it belonged to the fit before

    @torch.no_grad()
    def _bank(self, images: Tensor) -> Iterator[Tensor]:
        """Yield the features that the bank keeps, some images at a time."""
        generator = torch.Generator().manual_seed(self.seed)
        chosen = images[torch.randperm(len(images), generator=generator)[: self.bank_size].sort().values]
        each = self.bank_size // len(chosen)
        for part in chosen.split(max(1, PIXELS // images[0].numel())):
            features = self.features(as_float(part.to(self.device_))).flatten(1, 2)  # (B, P, D)
            for image in features:
                yield image[torch.randperm(len(image), generator=generator)[:each].to(image.device)]

    # ------------------------------------------------------------------ score

    def features(self, x: Tensor) -> Tensor:
        """Return the features at each place, (B, C, H, W) -> (B, h, w, D); h = w = 1 at the level of images."""
        maps = self.networks_["encoder"](x)
        if self.level == "image":
            maps = maps.mean((2, 3), keepdim=True)
        return maps.permute(0, 2, 3, 1)

    def distances(self, x: Tensor) -> Tensor:
        """Return the distance of each place to the bank, (B, C, H, W) -> (B, h, w)."""
        features = self.features(x)
        rows = features.flatten(0, 2)  # (B·h·w, D)
        parts = [self._nearest(part) for part in rows.split(max(1, DISTANCES // len(self.bank_)))]
        return torch.cat(parts).view(features.shape[:3])

    def _nearest(self, rows: Tensor) -> Tensor:
        """Return the mean distance to the nearest features of the bank, (P, D) -> (P,)."""
        k = min(self.n_neighbors, len(self.bank_))
        with torch.no_grad():
            nearest = torch.cdist(rows, self.bank_).topk(k, largest=False).indices  # (P, k)
        # Once more, exactly: cdist's matrix product rounds differently in batches of different sizes.
        return (rows[:, None] - self.bank_[nearest]).norm(dim=2).mean(1)

    def score_tensor(self, x: Tensor) -> Tensor:
        """Return A(x), the largest distance, as a tensor that can be differentiated; (B, C, H, W) -> (B,)."""
        self._require_fit()
        return self.distances(x).amax((1, 2))

    def anomaly_score(self, X: ArrayLike | Tensor) -> np.ndarray:
        return self._in_batches(self.score_tensor, self._images(X))

    def encode(self, X: ArrayLike | Tensor) -> np.ndarray:
        """Return the mean features of each image, ndarray of shape (N, D), float32."""
        return self._in_batches(lambda x: self.features(x).mean((1, 2)), self._images(X))

    def map_images(self, x: Tensor) -> Tensor:
        """Return the places' distances at the images' size, smooth between them; by occlusion for whole images."""
        if self.level == "image":
            return super().map_images(x)
        with torch.no_grad():
            distances = self.distances(x.to(self.device_))[:, None]
        return F.interpolate(distances, x.shape[-2:], mode="bilinear", align_corners=False)[:, 0].cpu()

    def _in_batches(self, function: Any, images: Tensor) -> np.ndarray:
        """Apply a function to batches of images, without gradients."""
        n = max(1, PIXELS // images[0].numel())
        with torch.no_grad():
            return torch.cat([function(as_float(part.to(self.device_))).cpu() for part in images.split(n)]).numpy()

    # ------------------------------------------------------------------ on disk

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        if not isinstance(self.encoder, str):
            remedy = "Only the encoders that a name builds again can be saved."
            reject("FeatureKNN", "encoder", "be a name, to be saved and loaded", type(self.encoder).__name__, remedy)
        parameters = self.get_params(deep=False) | {"weights": None if self.weights is None else str(self.weights)}
        metadata = {
            "method": "FeatureKNN",
            "parameters": parameters,
            "image_shape": self.image_shape_,
            "threshold": getattr(self, "threshold_", None),
        }
        tensors = {f"networks.{name}": tensor for name, tensor in self.networks_.state_dict().items()}
        return tensors | {"bank": self.bank_}, metadata

    @classmethod
    def from_state(cls, tensors: dict[str, Tensor], metadata: dict[str, Any], device: str | None = None) -> Self:
        stored: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in metadata["parameters"].items()}
        detector = cls(**stored)
        detector.check()
        image_shape, target = tuple(metadata["image_shape"]), choose_device(device or detector.device, cls.__name__)
        weights, detector.weights = detector.weights, None  # they are in the file
        detector._adopt(detector.build(image_shape), image_shape, target)
        detector.weights = weights
        own = {k.removeprefix("networks."): v for k, v in tensors.items() if k.startswith("networks.")}
        detector.networks_.load_state_dict(own)
        detector.bank_ = tensors["bank"].to(target)
        if metadata["threshold"] is not None:
            detector.threshold_ = metadata["threshold"]
        return detector
