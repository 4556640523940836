"""ADAE: the discriminator is an autoencoder, too, and is trained to fail on the images of the generator.

Vu, Ueta, Hashimoto, Maeno, Pranata, Shen: Anomaly Detection with Adversarial Dual Autoencoders. 2019, arXiv:1902.06924.

In a GAN one of the two networks usually wins, because they have different tasks. Here both have the same: each is an
autoencoder of normal images. D must reconstruct true images and fail on those of G; G must reconstruct images such that
D does not fail on them. An anomaly passes through both, x → G(x) → D(G(x)): G reconstructs it badly, so that G(x) does
not look like a true image, and D adds a further error. The score is the distance of the result from x.

| paper | here |
|---|---|
| G | `networks.encoder`, `networks.decoder`; `G` |
| D | `networks.critic_encoder`, `networks.critic_decoder`; `D` |
| ‖·‖₁ | `pixel_distance`, a mean over pixels |
| L_D = ‖X − D(X)‖₁ − ‖G(X) − D(G(X))‖₁ | `discriminator_loss` |
| L_G = ‖X − G(X)‖₁ + ‖G(X) − D(G(X))‖₁ | `generator_loss` |
| A(x̂) = ‖x̂ − D(G(x̂))‖₂ | `score_images` |

We did not have the paper's text; its equations and settings are as others report them. Departures:
- **Bounds.** −‖G(X) − D(G(X))‖₁ has no lower bound unless pixels are bounded: a sigmoid bounds them in [0, 1] (paper:
  images in [−1, 1]), and the norms are means over pixels, so that L_D ≥ −`fake_weight`.
- **The fake term's weight** is `fake_weight` = 0.5, not 1 (which is the paper's). D does nearly the same to x and to
  G(x), where those are close. With weight 1 the slope of L_D in a pixel d of D's output is then sign(d − x) −
  sign(d − g): 0 unless d lies *between* x and g. A pixel that has left this interval stays outside: no
  gradient teaches D to copy, and it drifts to where sigmoids saturate. With a smaller weight copying lowers the loss
  everywhere.
- **Balance.** The paper's learning rates follow the players' losses by a sigmoid without a formula; ours are constant.
- **No batch norm.** D sees two kinds of images, which would share running statistics that fit neither, and scores are
  taken in evaluation mode. Networks are those of our AE: a block a halving instead of the paper's for 32×32 pixels.
- Adam at 1e-3 with β₁ = 0.5 (paper: 1e-5, for 100 epochs of ten times as many images), `conv_width` 16, chosen so
  that training fits on a laptop.

Measured results: data/findings/adae.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from advad.checks import check_number
from advad.engine.bases.autoencoder import Autoencoder
from advad.engine.training import Networks, Update
from advad.networks.losses import pixel_distance

Loss = tuple[Tensor, dict[str, Tensor]]  # the scalar to minimise, and terms to log


@dataclass(kw_only=True, eq=False, repr=False)
class ADAE(Autoencoder):
    """Adversarial dual autoencoders; A(x) = ‖x − D(G(x))‖₂. `encode` gives G's code, `reconstruct` D(G(x)).

    Parameters
    ----------
    fake_weight : float in [0, 1]
        Weight of ‖G(x) − D(G(x))‖ in the discriminator's loss: 1 in the paper; with 0, D is a plain autoencoder.
    network, widths, activation, conv_width, epochs, batch_size, learning_rate, latent_dim, seed, device, precision
        See `Autoencoder`; for both optimised.
    """

    batch_size: int = 64  # Sec. 4, as reported
    latent_dim: int = 32  # as reported, for MNIST; 128 for CIFAR-10
    network: str = "conv"  # as reported: no fully connected layers
    conv_width: int = 16
    fake_weight: float = 0.5  # see Departures

    _paper_settings = {  # as reported; the width is DCGAN's
        "MNIST": {"conv_width": 64, "learning_rate": 1e-5, "epochs": 100, "fake_weight": 1.0},
        "CIFAR10": {"conv_width": 64, "learning_rate": 1e-5, "epochs": 100, "fake_weight": 1.0, "latent_dim": 128},
    }

    optimised = {"discriminator": ("critic_encoder", "critic_decoder"), "generator": ("encoder", "decoder")}
    auto_bfloat16 = False  # AUROC differs by more than 0.005: data/findings/precision.md

    def check(self) -> None:
        super().check()
        check_number("ADAE", "fake_weight", self.fake_weight, 0, 1, remedy="It is 1 in the paper.")

    def build(self, image_shape: tuple[int, int, int]) -> dict[str, nn.Module]:
        critic = {f"critic_{name}": network for name, network in super().build(image_shape).items()}
        return super().build(image_shape) | critic

    def optimiser(self, player: str, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=self.learning_rate, betas=(0.5, 0.999), fused=True)

    def G(self, networks: Networks, x: Tensor) -> Tensor:
        """Return G(x), (B, C, H, W) -> the same."""
        return networks.decoder(networks.encoder(x))

    def D(self, networks: Networks, x: Tensor) -> Tensor:
        """Return D(x), (B, C, H, W) -> the same."""
        return networks.critic_decoder(networks.critic_encoder(x))

    def discriminator_loss(self, networks: Networks, x: Tensor) -> Loss:
        """Return L_D = ‖x − D(x)‖₁ − w ‖G(x) − D(G(x))‖₁ with w = `fake_weight`; at least −w."""
        with torch.no_grad():
            x_hat = self.G(networks, x)
        real, fake = pixel_distance(x, self.D(networks, x)), pixel_distance(x_hat, self.D(networks, x_hat))
        return real - self.fake_weight * fake, {"D_real": real, "D_fake": fake}

    def generator_loss(self, networks: Networks, x: Tensor) -> Loss:
        """Return L_G = ‖x − G(x)‖₁ + ‖G(x) − D(G(x))‖₁."""
        x_hat = self.G(networks, x)
        reconstruction = pixel_distance(x, x_hat)
        return reconstruction + pixel_distance(x_hat, self.D(networks, x_hat)), {"reconstruction": reconstruction}

    def step(self, update: Update, x: Tensor) -> None:
        update("discriminator", self.discriminator_loss, x)
        update("generator", self.generator_loss, x)

    def decode_codes(self, networks: Networks, z: Tensor) -> Tensor:
        return self.D(networks, networks.decoder(z))

    def score_images(self, networks: Networks, x: Tensor) -> Tensor:
        """Return A(x) = ‖x − D(G(x))‖₂, (B, C, H, W) -> (B,)."""
        return (x - self.D(networks, self.G(networks, x))).flatten(1).norm(dim=1)
