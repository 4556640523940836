"""What the detectors of the GANomaly family share: a generator that reconstructs images, and a discriminator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from advad.checks import check_number
from advad.engine.detector import Detector
from advad.engine.training import Networks, Update
from advad.networks.losses import binary_loss


@dataclass(kw_only=True, eq=False, repr=False)
class ReconstructionGAN(Detector, ABC):
    """A detector with a generator G that reconstructs images and a discriminator D that tells the two apart.

    `networks.generator` is x -> x̂, with an `encoder`, and with a `decoder` where x̂ is a function of the code alone;
    `networks.discriminator` is `networks.dcgan.Discriminator`.

    Parameters
    ----------
    conv_width : int
        Feature maps of the first level of both networks.
    epochs, batch_size, learning_rate, latent_dim, seed, device, precision
        See `Detector`; both networks have the same learning rate.
    """

    batch_size: int = 64  # GANomaly's released code
    learning_rate: float = 2e-4  # the same; AGAD, Sec. 4.2
    latent_dim: int = 100  # the same; AGAD, Table 7
    conv_width: int = 16  # both: 64; ours is chosen so that training fits on a laptop

    optimised = {"generator": ("generator",), "discriminator": ("discriminator",)}

    def check(self) -> None:
        super().check()
        check_number(type(self).__name__, "conv_width", self.conv_width, 1, integer=True)

    @property
    def smallest_side(self) -> int:
        return 8

    def optimiser(self, player: str, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        """Return Adam with DCGAN's β₁ = 0.5."""
        return torch.optim.Adam(parameters, lr=self.learning_rate, betas=(0.5, 0.999), fused=True)

    @abstractmethod
    def generator_loss(self, networks: Networks, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss that G minimises, and its terms to log."""

    def discriminator_loss(self, networks: Networks, x_hat: Tensor, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return −log D(x) − log(1 − D(x̂)): D tells images from reconstructions."""
        (y, _), (y_hat, _) = networks.discriminator(x), networks.discriminator(x_hat)
        return binary_loss(y_hat, real=False) + binary_loss(y, real=True), {}

    def step(self, update: Update, x: Tensor) -> None:
        """Train G against D, then D on the x̂ from before G's update, as the released code of the family does."""
        with torch.no_grad():
            x_hat = update.networks.generator(x)
        update("generator", self.generator_loss, x)
        update("discriminator", self.discriminator_loss, x_hat, x)

    def encode_images(self, networks: Networks, x: Tensor) -> Tensor:
        return networks.generator.encoder(x)

    def decode_codes(self, networks: Networks, z: Tensor) -> Tensor:
        return networks.generator.decoder(z)

    def reconstruct_images(self, networks: Networks, x: Tensor) -> Tensor:
        return networks.generator(x)
