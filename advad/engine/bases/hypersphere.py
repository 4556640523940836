"""Base of detectors that map normal images into a small sphere: the network, its pre-training, the centre.

A network that may choose any map can choose a constant one, with every image at the centre (hypersphere collapse).
Three rules of Ruff et al. 2018, Sec. 3.3, exclude the simplest constant maps: no layer has a bias (Prop. 2), no
activation is bounded (Prop. 3), and no coordinate of the centre is near zero, which zero weights would reach (Prop. 1).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from advad.checks import check_number, reject
from advad.engine.detector import Detector
from advad.engine.training import Networks, Stage, TrainingState, Update, apply_to_all
from advad.networks.lenet import lenet_decoder, lenet_encoder
from advad.networks.losses import squared_error

AWAY = 0.1  # minimum distance of each coordinate of the centre from zero; the authors' released code


def centre(codes: Tensor) -> Tensor:
    """Return the mean of codes, each coordinate at least `AWAY` from zero; (N, latent_dim) -> (latent_dim,)."""
    c = codes.mean(0)
    return torch.where(c.abs() < AWAY, torch.where(c < 0, -AWAY, AWAY), c)  # a coordinate of exactly 0, too


@dataclass(kw_only=True, eq=False, repr=False)
class Hypersphere(Detector, ABC):
    """A detector whose score is the squared distance of the code from a fixed centre.

    Training has two stages: pre-training as an autoencoder, then the method's own `step`. The decoder is used in the
    first stage only. Afterwards the codes are no longer those that it was trained on, so it gives no images back.

    Parameters
    ----------
    pretrain_epochs, epochs : int
        Epochs of the autoencoder, and of the method.
    conv_widths : tuple of int
        Feature maps of each level; each level halves the image's sides.
    weight_decay : float
        λ, the weight decay of both stages.
    batch_size, learning_rate, latent_dim, seed, device, precision
        See `Detector`.
    """

    pretrain_epochs: int = 40  # Ruff et al. 2018, Sec. 4: 250 + 100, see Departures of the methods
    epochs: int = 60  # the same: 150 + 100
    batch_size: int = 200  # the same
    learning_rate: float = 1e-4  # the same, then 1e-5
    latent_dim: int = 32  # the same, MNIST
    conv_widths: tuple[int, ...] = (8, 4)  # the same, MNIST
    weight_decay: float = 1e-6  # the same

    optimised = {"autoencoder": ("encoder", "decoder"), "encoder": ("encoder",)}
    reconstructs = False

    def check(self) -> None:
        super().check()
        owner = type(self).__name__
        remedy = "Without one there is no centre."
        check_number(owner, "epochs", self.epochs, 1, integer=True, remedy=remedy)
        check_number(owner, "pretrain_epochs", self.pretrain_epochs, 0, integer=True)
        check_number(owner, "weight_decay", self.weight_decay, 0, remedy="It is λ; 1e-6 in the paper.")
        if not isinstance(self.conv_widths, (tuple, list)) or not self.conv_widths:
            reject(owner, "conv_widths", "be a tuple of whole numbers", self.conv_widths, "As (8, 4).", TypeError)
        for width in self.conv_widths:
            check_number(owner, "each of conv_widths", width, 1, integer=True)

    def build(self, image_shape: tuple[int, int, int]) -> dict[str, nn.Module]:
        if min(image_shape[1:]) < 2 ** len(self.conv_widths):
            remedy = "Each level halves the image's sides."
            reject(type(self).__name__, "conv_widths", f"fit {image_shape[1:]} pixels", self.conv_widths, remedy)
        layout = (image_shape, self.conv_widths, self.latent_dim)
        return {"encoder": lenet_encoder(*layout), "decoder": lenet_decoder(*layout)}

    def optimiser(self, player: str, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=self.learning_rate, weight_decay=self.weight_decay, fused=True)

    def stages(self) -> list[Stage]:
        pretrain = Stage("pretrain", self.pretrain_epochs, self.pretrain_step, self.find_centre)
        return [pretrain, Stage("train", self.epochs, self.step, self.find_centre)]

    def find_centre(self, run: TrainingState, images: Tensor) -> None:
        """Set c to the mean code of all images: before pre-training, so that there is a score, and again after it."""
        run.buffers["centre"] = centre(apply_to_all(self.encode_images, run, images, self.batch_size))

    def reconstruction_loss(self, networks: Networks, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mean of (x − g(φ(x)))²."""
        return squared_error(x, networks.decoder(networks.encoder(x))).mean(), {}

    def pretrain_step(self, update: Update, x: Tensor) -> None:
        """Train on one batch as an autoencoder."""
        update("autoencoder", self.reconstruction_loss, x)

    @abstractmethod
    def step(self, update: Update, x: Tensor) -> None: ...

    def distance(self, networks: Networks, x: Tensor, c: Tensor) -> Tensor:
        """Return ‖φ(x; W) − c‖², a sum over the code's units, (B,)."""
        return (networks.encoder(x) - c).square().sum(1)

    def score_images(self, networks: Networks, x: Tensor) -> Tensor:
        """Return s(x) = ‖φ(x; W) − c‖²."""
        return self.distance(networks, x, self.buffers_["centre"])
