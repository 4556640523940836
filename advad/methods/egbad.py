"""EGBAD: a GAN that learns its own inverse, so that no code has to be searched for.

Zenati, Foo, Lecouat, Manek, Chandrasekhar: Efficient GAN-Based Anomaly Detection. 2018, arXiv:1802.06222 ("Z."); the
GAN is that of Donahue, Krähenbühl, Darrell: Adversarial Feature Learning. ICLR 2017, arXiv:1605.09782 (BiGAN, "D.").

AnoGAN (`anogan.py`) searches for the code of each image by hundreds of steps. Here an encoder E is trained along with
the generator G, and never sees what G makes of its codes: the discriminator D is shown *pairs*, (x, E(x)) of a true
image or (G(z), z) of a drawn code, and tells which it is. Both players can only fool it together, by making the two
kinds of pairs alike; where they are, E and G are each other's inverse (D., Theorem 2). An image that does not come
back, x ≠ G(E(x)), in its pixels or in D's features, is anomalous.

| papers | here |
|---|---|
| E, G | `networks.encoder`, `networks.generator` |
| D(x, z); f_D (the layer before the logits) | `networks.discriminator`, which returns logits and features |
| V(D, E, G) (Z., Sec. 3; D., Eq. 3) | `discriminator_loss`, `generator_loss`, `encoder_loss` |
| z ~ p(z) | `step`: N(0, I) |
| L_G(x) = ‖x − G(E(x))‖₁ | `score_terms` |
| L_D(x) = σ(D(x, E(x)), 1), or ‖f_D(x, E(x)) − f_D(G(E(x)), E(x))‖₁ | `score_terms`; `score` says which |
| A(x) = α L_G + (1 − α) L_D | `score_images` |
| α | `reconstruction_weight` |

Departures from Z. and its released code; its text was not at hand, the code was:
- With the cross-entropy the code judges (G(E(x)), E(x)), the paper (x, E(x)), as the formula above has it; we follow
  the paper. A pair's likeness to true pairs is what D was trained to judge.
- **No batch norm in D** (code: in one layer). It would see the two kinds of pairs apart, each by its own statistics,
  and in the score both by a mixture that fits neither. E and G have it: each sees one kind only.
- **D learns at a quarter of the others' rate.** At one rate for all (code: 1e-5) D wins and stays ahead; see Measured.
- The code scores moving averages of all weights (decay 0.999); here it is the last weights, as for all our methods.
- G ends in a sigmoid, pixels stay in [0, 1] (code: [−1, 1], which doubles L_G). Networks are DCGAN's, for 8 to 256
  pixels a side, smaller than the code's: a laptop's, like the learning rate.

Measured (one CPU thread of a busy machine, last epoch, evaluation mode):
- MNIST class 8, protocol 2, 5,266 images, `width=8`, seeds 0 to 2 (`python -m tests.bench_methods EGBAD`): AUROC
  **0.677 ± 0.216** after 20 epochs, 0.635 ± 0.163 (0.633, 0.473, 0.799) after 8; PCA with 32 components 0.849.
  Published is leave-one-out only: mean 0.50, which is chance. The cause shows on held-out normals after 8 epochs: E
  has not learned which image it sees. G(E(x)) is 0.148, 0.143, 0.158 off x in each pixel, and as far, 0.148, 0.144,
  0.157, off *another* normal image; the training median is 0.114, 0.114, 0.112 off. z and E(G(z)) correlate by less
  than 0.01. In 660 steps only the marginals meet: E(x) has a standard deviation of 0.8 to 1.0. D still tells the
  pairs apart (0.64 to 0.86 against 0.15 to 0.36 in the last epoch).
- Balance, on training images of 8×8 digits (class 0, 113 images, latent_dim 8, width 8, units 64): with both rates at
  1e-3, batches of 32 and 60 epochs, D gives true pairs 0.92 and drawn ones 0.10, and G(E(x)) is 0.20 and 0.27 off
  (seeds 0, 1; the median image 0.09); with the default rates, batches of 16 and 100 epochs, 0.50, 0.48 and 0.14 (seed
  0). AUROC there is 0.999, since G draws zeros only; but z and E(G(z)) correlate by 0.04: no inverse there, either.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional as F

from advad.checks import check_choice, check_number
from advad.engine.detector import Detector
from advad.engine.training import Networks, Update
from advad.networks.autoencoders import conv_encoder
from advad.networks.dcgan import dcgan_decoder, dcgan_encoder
from advad.networks.losses import binary_loss

# Released code; its number of epochs is an argument without a default
PAPER = {"learning_rate": 1e-5, "discriminator_learning_rate": 1e-5, "latent_dim": 200, "batch_size": 100}
PAPER |= {"width": 64, "units": 1024, "epochs": 100}

Loss = tuple[Tensor, dict[str, Tensor]]  # the scalar to minimise, and terms to log


class PairDiscriminator(nn.Module):
    """D: `logits, features = discriminator(x, z)`; convolutions look at x, one layer at z, one at both.

    Parameters
    ----------
    image_shape : (C, H, W)
        Shape of one image.
    latent_dim : int
        Units of the code.
    width : int
        Feature maps of the first convolution.
    units : int
        Units of the layers for z and for both; the features.
    dropout : float
        Share of units dropped in training, before each layer that sees both.

    Source : Z., released code, where the layer for z has half as many units.
    """

    def __init__(self, image_shape: tuple[int, int, int], latent_dim: int, width: int, units: int, dropout: float):
        super().__init__()
        *convolutions, last = conv_encoder(image_shape, 1, width)
        assert isinstance(last, nn.Linear)
        self.image = nn.Sequential(*convolutions)
        self.code = nn.Sequential(nn.Linear(latent_dim, units), nn.LeakyReLU(0.2))
        n_inputs = last.in_features + units
        self.joint = nn.Sequential(nn.Dropout(dropout), nn.Linear(n_inputs, units), nn.LeakyReLU(0.2))
        self.verdict = nn.Sequential(nn.Dropout(dropout), nn.Linear(units, 1))

    def forward(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of "image first, code from it", (B,), and f_D, (B, units)."""
        features = self.joint(torch.cat([self.image(x), self.code(z)], 1))
        return self.verdict(features)[:, 0], features


@dataclass(kw_only=True, eq=False, repr=False)
class EGBAD(Detector):
    """Bidirectional GAN; A(x) = α ‖x − G(E(x))‖₁ + (1 − α) L_D(x).

    Parameters
    ----------
    score : {"features", "sigmoid"}
        L_D: the difference of D's features between x and G(E(x)), or the cross-entropy of D's verdict on (x, E(x)). It
        may be changed after `fit`.
    reconstruction_weight : float in [0, 1]
        α, of L_G; L_D has the rest.
    width : int
        Feature maps of the networks' first level.
    units : int
        Of D's layers that see the code.
    dropout : float in [0, 1)
        Share of D's units dropped in training.
    discriminator_learning_rate : float
        Adam's, of D; `learning_rate` is that of G and E.
    epochs, batch_size, learning_rate, latent_dim, seed, device, precision
        See `Detector`.
    """

    epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 1e-3  # released code: 1e-5
    latent_dim: int = 64  # released code: 200
    score: str = "features"  # released code: "fm"
    reconstruction_weight: float = 0.9  # released code: 1 − w with w = 0.1, after AnoGAN
    width: int = 16  # released code: 32 to 128
    units: int = 128  # released code: 1,024
    dropout: float = 0.5  # released code
    discriminator_learning_rate: float = 2.5e-4  # see Departures

    optimised = {"discriminator": ("discriminator",), "generator": ("generator",), "encoder": ("encoder",)}

    def check(self) -> None:
        super().check()
        check_choice("EGBAD", "score", self.score, ["features", "sigmoid"])
        remedy = "It is α; 0.9 in the paper."
        check_number("EGBAD", "reconstruction_weight", self.reconstruction_weight, 0, 1, remedy=remedy)
        check_number("EGBAD", "width", self.width, 1, integer=True)
        check_number("EGBAD", "units", self.units, 1, integer=True)
        check_number("EGBAD", "dropout", self.dropout, 0, 1, ends="[)")
        check_number("EGBAD", "discriminator_learning_rate", self.discriminator_learning_rate, 0, ends="()")

    def build(self, image_shape: tuple[int, int, int]) -> dict[str, nn.Module]:
        layout = (image_shape, self.latent_dim, self.width)
        return {
            "encoder": dcgan_encoder(*layout),
            "generator": dcgan_decoder(*layout),
            "discriminator": PairDiscriminator(*layout, self.units, self.dropout),
        }

    def optimiser(self, player: str, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        rate = self.discriminator_learning_rate if player == "discriminator" else self.learning_rate
        return torch.optim.Adam(parameters, lr=rate, betas=(0.5, 0.999), fused=True)  # released code

    # ------------------------------------------------------------------ V(D, E, G)

    def discriminator_loss(self, networks: Networks, x: Tensor, z: Tensor) -> Loss:
        """Return −log D(x, E(x)) − log(1 − D(G(z), z)); the terms are the mean of both D."""
        with torch.no_grad():
            z_hat, x_hat = networks.encoder(x), networks.generator(z)
        (real, _), (fake, _) = networks.discriminator(x, z_hat), networks.discriminator(x_hat, z)
        terms = {"D_real": real.sigmoid().mean(), "D_fake": fake.sigmoid().mean()}
        return binary_loss(real, real=True) + binary_loss(fake, real=False), terms

    def generator_loss(self, networks: Networks, z: Tensor) -> Loss:
        """Return −log D(G(z), z): labels turned over instead of the sign, as in D., Sec. 3.4."""
        return binary_loss(networks.discriminator(networks.generator(z), z)[0], real=True), {}

    def encoder_loss(self, networks: Networks, x: Tensor) -> Loss:
        """Return −log(1 − D(x, E(x))), for the same reason."""
        return binary_loss(networks.discriminator(x, networks.encoder(x))[0], real=False), {}

    def step(self, update: Update, x: Tensor) -> None:
        rng = update.generator
        z = torch.randn(2, len(x), self.latent_dim, generator=rng, device=rng.device)
        update("discriminator", self.discriminator_loss, x, z[0])
        update("generator", self.generator_loss, z[1])  # neither sees the other: their order does not matter
        update("encoder", self.encoder_loss, x)

    # ------------------------------------------------------------------ the score

    def decode_codes(self, networks: Networks, z: Tensor) -> Tensor:
        return networks.generator(z)

    def terms(self, networks: Networks, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return L_G(x) and L_D(x), each (B,)."""
        z = networks.encoder(x)
        x_hat = networks.generator(z)
        y, f = networks.discriminator(x, z)
        L_G = (x - x_hat).abs().flatten(1).sum(1)
        L_D = F.softplus(-y) if self.score == "sigmoid" else (f - networks.discriminator(x_hat, z)[1]).abs().sum(1)
        return L_G, L_D

    def score_images(self, networks: Networks, x: Tensor) -> Tensor:
        """Return A(x) = α L_G(x) + (1 − α) L_D(x)."""
        L_G, L_D = self.terms(networks, x)
        return self.reconstruction_weight * L_G + (1 - self.reconstruction_weight) * L_D

    def score_terms(self, X: ArrayLike | Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return L_G and L_D of each image, ndarrays of shape (N,), float32; both at least 0.

        Parameters
        ----------
        X : array of shape (N, C, H, W) or (N, H, W)
            As in `fit`.
        """
        both = self._in_batches(lambda networks, x: torch.stack(self.terms(networks, x), 1), self._images(X))
        return both[:, 0], both[:, 1]
