"""AnoGAN: a GAN, and for each image a search for the code from which it would draw that image.

Schlegl, Seeböck, Waldstein, Schmidt-Erfurth, Langs: Unsupervised Anomaly Detection with Generative Adversarial Networks
to Guide Marker Discovery. IPMI 2017.

A generator G learns to make normal images from random codes; a discriminator D learns to tell these from true images.
G has no inverse, so that a code must be searched for each new image x: from one starting code, a few hundred steps of
gradient descent make G(z) as similar to x as they can, in its pixels and in D's features. What cannot be matched is
anomalous: the loss that remains is the score.

| paper | here |
|---|---|
| G, D | `networks.generator`, `networks.discriminator`, whose output passes a sigmoid inside the losses |
| V(D, G) (Eq. 1) | `discriminator_loss`, `generator_loss` |
| f(·) (intermediate layer of D) | `features` |
| L_R(z) (Eq. 2), L_D(z) (Eq. 4) | `residual`, `discrimination` |
| L(z) = (1 − λ) L_R + λ L_D (Eq. 5), A(x) (Eq. 6) | `loss_of`, `score_images` |
| λ, Γ | `feature_weight`, `search_steps` |
| z ~ U[−1, 1] (Sec. 2.1) | `step` |
| z₁, z_Γ | `start`, `search` |

Departures from the paper:
- z₁ is drawn at random for each image there, so that a score is random. Here it is one draw from the seed, the same for
  every image: a score depends on its image alone. Nothing keeps a code in the prior's cube, there as here.
- The search's optimiser and rate are not given: it is Adam, with a rate that falls to 0 along half a cosine, so that
  the search comes to rest instead of oscillating. (It works on each image apart: the loss is a sum over images.)
- Γ = 500 backpropagation steps there; 100 here by default. Sums over pixels and features (Eq. 2, 4) are means, so that
  λ weighs the same for all sizes and scores compare.
- G ends in a sigmoid, for images in [0, 1]; D has no batch normalisation, so that no feature depends on the other
  images of the batch.
- The paper's networks have 512-256-128-64 feature maps, for patches of 64×64. `width` 64, in `paper_settings`, gives
  256-256-128-64 at that size (our shared networks have 4 · `width` maps at most) and 128-64 at 28×28.
- `score_tensor` holds z_Γ fixed. At a minimum of L that is the whole gradient: ∂L/∂z vanishes there, so that the change
  of the code with x adds nothing (envelope theorem); elsewhere it is an approximation. `encode_tensor` has no gradient.

Measurements: data/findings/anogan.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advad.checks import check_number
from advad.engine.detector import Detector
from advad.engine.training import Networks, Update
from advad.networks.autoencoders import conv_decoder, conv_encoder


@dataclass(kw_only=True, eq=False, repr=False)
class AnoGAN(Detector):
    """GAN with a latent search for each image; A(x) is the loss that the search cannot remove.

    Parameters
    ----------
    width : int
        Feature maps of the convolutional networks' first level.
    search_steps : int
        Γ, steps of the search for each image; with 0, all images are compared with the same generated image.
    search_rate : float
        Learning rate of Adam at the beginning of the search.
    feature_weight : float in [0, 1]
        λ, the weight of the difference of features against that of pixels.
    epochs, batch_size, learning_rate, latent_dim, seed, device, precision
        See `Detector`.
    """

    epochs: int = 20  # Sec. 3
    batch_size: int = 64
    learning_rate: float = 2e-4  # Radford et al. 2016, Sec. 4
    latent_dim: int = 64
    width: int = 16
    search_steps: int = 100  # Sec. 3: 500
    search_rate: float = 0.1
    feature_weight: float = 0.1  # Sec. 3

    residual_power = 1
    optimised = {"discriminator": ("discriminator",), "generator": ("generator",)}
    auto_bfloat16 = False  # at chance in the comparison: data/findings/precision.md
    _paper_settings: ClassVar[dict[str, dict[str, Any]]] = {  # Sec. 3, retinal OCT; Radford et al.: rate, code of 100
        "OCT": {"width": 64, "latent_dim": 100, "search_steps": 500, "learning_rate": 2e-4, "epochs": 20}
    }

    def check(self) -> None:
        super().check()
        check_number("AnoGAN", "width", self.width, 1, integer=True)
        check_number("AnoGAN", "search_steps", self.search_steps, 0, integer=True)
        check_number("AnoGAN", "search_rate", self.search_rate, 0, ends="()")
        check_number("AnoGAN", "feature_weight", self.feature_weight, 0, 1, remedy="It is λ; 0.1 in the paper.")

    def build(self, image_shape: tuple[int, int, int]) -> dict[str, nn.Module]:
        return {
            "generator": normalised(conv_decoder(image_shape, self.latent_dim, self.width, last="sigmoid")),
            "discriminator": conv_encoder(image_shape, 1, self.width),
        }

    def optimiser(self, player: str, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=self.learning_rate, betas=(0.5, 0.999), fused=True)  # Radford et al.

    # ------------------------------------------------------------------ Eq. 1, the GAN

    def discriminator_loss(self, networks: Networks, x: Tensor, z: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return −log D(x) − log(1 − D(G(z))); the terms are the mean of D(x) and of D(G(z))."""
        real, fake = networks.discriminator(x), networks.discriminator(networks.generator(z).detach())
        terms = {"D_real": real.sigmoid().mean(), "D_fake": fake.sigmoid().mean()}
        return F.softplus(-real).mean() + F.softplus(fake).mean(), terms

    def generator_loss(self, networks: Networks, z: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return −log D(G(z)), Goodfellow's non-saturating form."""
        return F.softplus(-networks.discriminator(networks.generator(z))).mean(), {}

    def step(self, update: Update, x: Tensor) -> None:
        rng = update.generator
        z = 2 * torch.rand(2, len(x), self.latent_dim, generator=rng, device=x.device) - 1
        update("discriminator", self.discriminator_loss, x, z[0])
        update("generator", self.generator_loss, z[1])

    # ------------------------------------------------------------------ Eq. 2 to 6, the search

    def features(self, networks: Networks, x: Tensor) -> Tensor:
        """Return f(x), what the discriminator's last layer is given, (B, C, H, W) -> (B, n)."""
        return networks.discriminator[:-1](x)

    def residual(self, x: Tensor, x_hat: Tensor) -> Tensor:
        """Eq. 2: L_R = |x − G(z)|, a mean over the pixels; (B,)."""
        return (x - x_hat).abs().flatten(1).mean(1)

    def discrimination(self, networks: Networks, x: Tensor, x_hat: Tensor) -> Tensor:
        """Eq. 4: L_D = |f(x) − f(G(z))|, a mean over the features; (B,)."""
        return (self.features(networks, x) - self.features(networks, x_hat)).abs().mean(1)

    def loss_of(self, networks: Networks, x: Tensor, z: Tensor) -> Tensor:
        """Eq. 5: L(z) = (1 − λ) L_R(z) + λ L_D(z), for each image; (B,)."""
        x_hat = networks.generator(z)
        L_R, L_D = self.residual(x, x_hat), self.discrimination(networks, x, x_hat)
        return (1 - self.feature_weight) * L_R + self.feature_weight * L_D

    def start(self) -> Tensor:
        """Return z₁ ~ U[−1, 1] of shape (latent_dim,), the same on every device."""
        return 2 * torch.rand(self.latent_dim, generator=torch.Generator().manual_seed(self.seed)) - 1

    def search(self, networks: Networks, x: Tensor) -> Tensor:
        """Return z_Γ of each image, without gradient; (B, C, H, W) -> (B, latent_dim)."""
        x, z = x.detach(), self.start().to(x.device).repeat(len(x), 1).requires_grad_()
        adam = torch.optim.Adam([z], lr=self.search_rate)
        to_rest = torch.optim.lr_scheduler.CosineAnnealingLR(adam, max(1, self.search_steps))
        for _ in range(self.search_steps):
            with torch.enable_grad():  # also for callers under no_grad
                (z.grad,) = torch.autograd.grad(self.loss_of(networks, x, z).sum(), z)
            adam.step()
            to_rest.step()
        return z.detach()

    def encode_images(self, networks: Networks, x: Tensor) -> Tensor:
        return self.search(networks, x)

    def decode_codes(self, networks: Networks, z: Tensor) -> Tensor:
        return networks.generator(z)

    def score_images(self, networks: Networks, x: Tensor) -> Tensor:
        """Eq. 6: A(x) = L(z_Γ)."""
        return self.loss_of(networks, x, self.search(networks, x))


def normalised(decoder: nn.Sequential) -> nn.Sequential:
    """Return the decoder with batch normalisation before each activation but the last (Radford et al. 2016)."""
    layers: list[nn.Module] = []
    for layer in decoder:
        if isinstance(layer, nn.LeakyReLU):
            previous = layers[-1]
            maps = previous.unflattened_size[0] if isinstance(previous, nn.Unflatten) else previous.out_channels
            layers.append(nn.BatchNorm2d(int(maps)))  # type: ignore[arg-type]
        layers.append(layer)
    return nn.Sequential(*layers)
