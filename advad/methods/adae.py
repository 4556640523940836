"""ADAE: the discriminator is an autoencoder, too, and fails on purpose on what the generator has drawn.

Vu, Ueta, Hashimoto, Maeno, Pranata, Shen: Anomaly Detection with Adversarial Dual Autoencoders. 2019, arXiv:1902.06924.

Of a GAN's two players one usually wins, because they do different things. Here both do the same: each is an autoencoder
of normal images. D gives back true images and is to spoil what G has drawn; G gives back images such that D does not
spoil them, which it does not as long as they pass for normal. An anomaly goes through both, x → G(x) → D(G(x)): what G
cannot draw well looks drawn, and D spoils it once more. The score is what then differs from x.

| paper | here |
|---|---|
| G | `networks.encoder`, `networks.decoder`; `G` |
| D | `networks.critic_encoder`, `networks.critic_decoder`; `D` |
| ‖·‖₁ | `pixel_distance`, a mean over pixels |
| L_D = ‖X − D(X)‖₁ − ‖G(X) − D(G(X))‖₁ | `discriminator_loss` |
| L_G = ‖X − G(X)‖₁ + ‖G(X) − D(G(X))‖₁ | `generator_loss` |
| A(x̂) = ‖x̂ − D(G(x̂))‖₂ | `score_images` |

The paper's text was not at hand; its equations and settings are as others report them. Departures:
- **Bounds.** −‖G(X) − D(G(X))‖₁ falls without end unless pixels are bounded: a sigmoid bounds them in [0, 1] (paper:
  images in [−1, 1]), and the norms are means over pixels, so that L_D ≥ −`fake_weight`.
- **The fake term's weight** is `fake_weight` = 0.5, not 1 (which is the paper's). D does nearly the same to x and to
  G(x), where those are close. With weight 1 the slope of L_D in a pixel d of D's output is then sign(d − x) −
  sign(d − g): 0 unless d lies *between* x and g. A pixel that is once outside stays: nothing teaches D to copy, and it
  drifts to where sigmoids saturate (see Measured). With a smaller weight copying pays everywhere.
- **Balance.** The paper's learning rates follow the players' losses by a sigmoid without a formula; ours are constant.
- **No batch norm.** D sees two kinds of images, which would share running statistics that fit neither, and scores are
  taken in evaluation mode. Networks are those of our AE: a block a halving instead of the paper's for 32×32 pixels.
- Adam at 1e-3 with β₁ = 0.5 (paper: 1e-5, for 100 epochs of ten times as many images), `conv_width` 16: a laptop's.

Measured (one CPU thread of a busy machine, last epoch):
- MNIST class 8, protocol 2, 5,266 images, `conv_width=8`, seeds 0 to 2 (`python -m tests.bench_methods ADAE`): AUROC
  **0.851 ± 0.027** after 20 epochs, 0.656 ± 0.174 (0.458, 0.726, 0.783) after 6; PCA with 32 components 0.849.
  Published is leave-one-out only (mean 0.86). What is missing after 6 epochs shows on held-out normals. With seeds 0
  and 2, D(G(x)) is one picture for all: 0.165, 0.160 off x, and 0.166, 0.161 off *another* normal image; the training
  median is 0.114, 0.112 off. With seed 1 it has begun to tell them apart: 0.126, 0.154. So 500 steps are too few at
  this width. Fashion-MNIST class 0, the same, 20 epochs: 0.900 ± 0.015.
- Weight 1 or 0.5, training images of 8×8 digits (class 0, 113 images, conv_width 8, latent_dim 8, batches of 16, rate
  2e-3, 60 epochs, seed 0): D(x) is 0.421 or 0.101 off, where the median image is 0.093 off and G(x) 0.142 or 0.102.
  MNIST class 8 with weight 1 (2 epochs, seed 0), held-out normals: D(x) is 0.666 off, the median image 0.114. Batch
  norm, or the absolute value of L_D, as one re-implementation has it, did not cure it on digits.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from advad.checks import check_number
from advad.engine.bases.autoencoder import Autoencoder
from advad.engine.training import Networks, Update
from advad.networks.losses import pixel_distance

PAPER = {"conv_width": 64, "learning_rate": 1e-5, "epochs": 100, "fake_weight": 1.0}  # as reported; width: DCGAN's

Loss = tuple[Tensor, dict[str, Tensor]]  # the scalar to minimise, and terms to log


@dataclass(kw_only=True, eq=False, repr=False)
class ADAE(Autoencoder):
    """Adversarial dual autoencoders; A(x) = ‖x − D(G(x))‖₂. `encode` gives G's code, `reconstruct` D(G(x)).

    Parameters
    ----------
    fake_weight : float in [0, 1]
        Of ‖G(x) − D(G(x))‖ in the discriminator's loss: 1 is the paper's, and with 0 D is a plain autoencoder.
    network, widths, activation, conv_width, epochs, batch_size, learning_rate, latent_dim, seed, device, precision
        See `Autoencoder`; for both optimised.
    """

    batch_size: int = 64  # Sec. 4, as reported
    latent_dim: int = 32  # the same, for MNIST; 128 for CIFAR-10
    network: str = "conv"  # the same: no fully connected layers
    conv_width: int = 16
    fake_weight: float = 0.5  # see Departures

    optimised = {"discriminator": ("critic_encoder", "critic_decoder"), "generator": ("encoder", "decoder")}

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
