"""EGBAD: a GAN that learns its own inverse, so that no code has to be searched for.

Zenati, Foo, Lecouat, Manek, Chandrasekhar: Efficient GAN-Based Anomaly Detection. 2018, arXiv:1802.06222 ("Z."); the
GAN is that of Donahue, Krähenbühl, Darrell: Adversarial Feature Learning. ICLR 2017, arXiv:1605.09782 (BiGAN, "D.").

AnoGAN (`anogan.py`) searches for the code of each image by hundreds of gradient steps. Here an encoder E is trained
along with the generator G, although neither sees the output of the other: the discriminator D gets *pairs*, (x, E(x))
of a true image or (G(z), z) of a random code, and tells which kind a pair is. E and G can only fool it together, by
making the two kinds of pairs alike; where these are alike, E and G are inverse to each other (D., Theorem 2). An image
with x ≠ G(E(x)), in its pixels or in the features of D, is anomalous.

| papers | here |
|---|---|
| E, G | `networks.encoder`, `networks.generator` |
| D(x, z); f_D (the layer before the logits) | `networks.discriminator`, which returns logits and features |
| V(D, E, G) (Z., Sec. 3; D., Eq. 3) | `discriminator_loss`, `generator_loss`, `encoder_loss` |
| z ~ p(z) | `step`: N(0, I) |
| L_G(x) = ‖x − G(E(x))‖₁ | `term_images` |
| L_D(x) = σ(D(x, E(x)), 1), or ‖f_D(x, E(x)) − f_D(G(E(x)), E(x))‖₁ | `term_images`; `score` says which |
| A(x) = α L_G + (1 − α) L_D | `score_images` |
| α | `reconstruction_weight` |

Departures from Z. and its released code (we had the code, not the text):
- With the cross-entropy the code judges (G(E(x)), E(x)), the paper (x, E(x)), as the formula above has it; we follow
  the paper. A pair's likeness to true pairs is what D was trained to judge.
- **No batch norm in D** (code: in one layer). In training each kind of pair would have its own statistics, and the
  score a mixture that fits neither. E and G have it: each sees one kind only.
- **D learns at a quarter of the others' rate.** At one rate for all (code: 1e-5) D wins and stays ahead.
- The code scores moving averages of all weights (decay 0.999); here it is the last weights, as for all our methods.
- G ends in a sigmoid, pixels stay in [0, 1] (code: [−1, 1], which doubles L_G). Networks are DCGAN's, for 8 to 256
  pixels a side. They are smaller than the code's and learn faster, so that training fits on a laptop.

Measured results: data/findings/egbad.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advad.checks import check_choice, check_number
from advad.engine.detector import Detector
from advad.engine.training import Networks, Update
from advad.networks.autoencoders import conv_encoder
from advad.networks.dcgan import dcgan_decoder, dcgan_encoder
from advad.networks.losses import binary_loss

Loss = tuple[Tensor, dict[str, Tensor]]  # the scalar to minimise, and terms to log


class PairDiscriminator(nn.Module):
    """D: `logits, features = discriminator(x, z)`; convolutions take x, one layer takes z, and one takes both.

    Parameters
    ----------
    image_shape, latent_dim, width
        As in `dcgan_encoder`.
    units : int
        Units of the layers for z and for both; the features.
    dropout : float
        Share of units dropped in training, before each layer that sees both.

    Source : Z., released code; there the layer for z has half as many units.
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
        Learning rate of D; `learning_rate` is that of G and E.
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

    _paper_settings = {  # released code, whose number of epochs is an argument without a default: 100 is ours
        "MNIST": {
            **{"learning_rate": 1e-5, "discriminator_learning_rate": 1e-5, "latent_dim": 200, "batch_size": 100},
            **{"width": 64, "units": 1024, "epochs": 100},
        },
    }

    residual_power = 1
    optimised = {"discriminator": ("discriminator",), "generator": ("generator",), "encoder": ("encoder",)}
    auto_bfloat16 = False  # AUROC differs by more than 0.005: data/findings/precision.md

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

    @property
    def smallest_side(self) -> int:
        return 8

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

    def term_images(self, networks: Networks, x: Tensor) -> dict[str, Tensor]:
        """Return L_G(x) and L_D(x), each (B,) and at least 0."""
        z = networks.encoder(x)
        x_hat = networks.generator(z)
        y, f = networks.discriminator(x, z)
        L_G = (x - x_hat).abs().flatten(1).sum(1)
        L_D = F.softplus(-y) if self.score == "sigmoid" else (f - networks.discriminator(x_hat, z)[1]).abs().sum(1)
        return {"reconstruction": L_G, "discriminator": L_D}

    def score_images(self, networks: Networks, x: Tensor) -> Tensor:
        """Return A(x) = α L_G(x) + (1 − α) L_D(x)."""
        L_G, L_D = self.term_images(networks, x).values()
        return self.reconstruction_weight * L_G + (1 - self.reconstruction_weight) * L_D
