"""f-AnoGAN: a Wasserstein GAN, and then an encoder that finds the code of an image at once.

Schlegl, Seeböck, Waldstein, Langs, Schmidt-Erfurth: f-AnoGAN: Fast Unsupervised Anomaly Detection with Generative
Adversarial Networks. Medical Image Analysis 54, 2019.

A generator G that has only ever made normal images can make nothing else. AnoGAN (`anogan.py`) searches, image by
image, for the code whose image comes closest; here an encoder E learns that search once, on the training images,
after the GAN is finished and frozen. Its loss compares pixels, and the features of the GAN's critic, which hold what
distinguishes images (izi_f). The anomaly score is what remains of that loss on a new image.

| paper | here |
|---|---|
| G, D, E | `networks.generator`, `networks.critic`, `networks.encoder` |
| f(·) (an intermediate layer of D) | `features` |
| WGAN-GP, critic and generator (Sec. 2.1) | `critic_loss`, `generator_loss`, `gan_step` |
| L_izi_f = ‖x − G(E(x))‖²/n + κ‖f(x) − f(G(E(x)))‖²/n_d (Sec. 2.2) | `izi_f`, `encoder_loss`, `encoder_step` |
| A(x) = A_R(x) + κ A_D(x) (Sec. 2.3) | `score_images`, `term_images` |
| κ | `feature_weight` |
| L_r, L_n, L_o (Berg et al. 2020, Table 2, rows b to d) | `score` |
| "tanh" and "linear" encoder (Appendix A.2; Z_REG_TYPE in the code) | `encoder_head` |

Departures from the paper, whose released code we follow where it says more:
- The code has four residual blocks, for 64×64 grey images; here each halving has a block, for 8 to 256 pixels a side.
- The encoder's optimiser is RMSProp at 5e-5 (code), over 50,000 steps; here it is Adam at `encoder_learning_rate`,
  because a laptop has time for a few thousand steps. The GAN's is Adam with β = (0, 0.9) as in the code, by default at
  a rate ten times larger, and `critic_steps` batches go to the critic for one to the generator, as there.
- The critic's features in E's loss and in the score are those before its last layer; the GAN is in evaluation mode
  then, so that no score depends on the other images of the batch.
- z ~ N(0, I), but a tanh encoder only reaches the hypercube (−1, 1)^n: of 128 Gaussian coordinates 41 are outside. The
  first version of the code had a linear encoder, the last says of tanh "DEFAULT (paper version)".
- The defaults, `width` 8 instead of 64 and `latent_dim` 64 instead of 128, are chosen so that training fits on a
  laptop: the generator takes some 170 steps on a class of CIFAR-10, too few to compare its AUROC with print.

Measurements: data/findings/fanogan.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from advad.checks import check_choice, check_number
from advad.engine.detector import Detector
from advad.engine.training import Networks, Stage, Update
from advad.networks.losses import normalised_residual, plain_residual, squared_error, wasserstein_loss
from advad.networks.residual import residual_critic, residual_generator

SCORES = ("izi_f", "residual", "normalised_residual", "origin")


@dataclass(kw_only=True, eq=False, repr=False)
class FAnoGAN(Detector):
    """WGAN-GP, then an encoder on the frozen generator; A(x) = image error + κ · feature error.

    Parameters
    ----------
    gan_epochs, epochs : int
        Epochs of the GAN, and of the encoder after it.
    width : int
        Feature maps at the full size of the images.
    critic_steps : int
        Batches for the critic per batch for the generator.
    penalty_weight : float
        Weight of the gradient penalty.
    encoder_head : {"tanh", "linear"}
        The last layer of the encoder: "tanh" keeps the code in the hypercube (−1, 1)^latent_dim.
    encoder_learning_rate : float
        Learning rate of Adam for the encoder; `learning_rate` is that of the GAN.
    feature_weight : float
        κ, the weight of the feature error.
    score : {"izi_f", "residual", "normalised_residual", "origin"}
        A(x): the paper's A_R + κ A_D, or one of Berg et al. 2020, Table 2: L_r = ‖x − G(E(x))‖₂ (row b), L_n, the same
        after min-max normalisation of each image, over N_X (c), or L_o = −‖E(x)‖₂/√N_z (d). It may be changed after
        `fit`.
    epochs, batch_size, learning_rate, latent_dim, seed, device, precision
        See `Detector`.
    """

    epochs: int = 8
    batch_size: int = 64  # released code
    gan_epochs: int = 12  # released code: 7, of a million images
    width: int = 8  # released code: 64
    critic_steps: int = 5  # released code
    penalty_weight: float = 10.0  # released code
    encoder_head: str = "tanh"  # released code: "DEFAULT (paper version)"
    encoder_learning_rate: float = 1e-3  # see Departures
    feature_weight: float = 1.0  # Sec. 2.2
    score: str = "izi_f"  # Sec. 2.3

    optimised = {"critic": ("critic",), "generator": ("generator",), "encoder": ("encoder",)}
    auto_bfloat16 = False  # at chance in the comparison: data/findings/precision.md
    former_values = {"score": "izi_f"}
    # Released code, for a million images: 7 epochs of the GAN, 50,000 steps of 64 images for the encoder
    _paper_settings: ClassVar[dict[str, dict[str, Any]]] = {
        "OCT": {
            "width": 64,
            "latent_dim": 128,
            "learning_rate": 1e-4,
            "encoder_learning_rate": 5e-5,
            "gan_epochs": 7,
            "epochs": 3,
        }
    }
    # Berg et al., Sec. 4.2.2: "the default f-AnoGAN implementation"; as many images, in passes over a class of 5,000
    _settings_in: ClassVar[dict[str, dict[str, dict[str, Any]]]] = {
        "berg": {"CIFAR10": {**_paper_settings["OCT"], "gan_epochs": 1400, "epochs": 640}}
    }

    def check(self) -> None:
        super().check()
        check_number("FAnoGAN", "gan_epochs", self.gan_epochs, 1, integer=True)
        check_number("FAnoGAN", "width", self.width, 1, integer=True)
        check_number("FAnoGAN", "critic_steps", self.critic_steps, 1, integer=True)
        check_number("FAnoGAN", "penalty_weight", self.penalty_weight, 0)
        check_choice("FAnoGAN", "encoder_head", self.encoder_head, ["tanh", "linear"])
        check_number("FAnoGAN", "encoder_learning_rate", self.encoder_learning_rate, 0, ends="()")
        check_number("FAnoGAN", "feature_weight", self.feature_weight, 0, remedy="It is κ; 1 in the paper.")
        check_choice("FAnoGAN", "score", self.score, SCORES)

    def build(self, image_shape: tuple[int, int, int]) -> dict[str, nn.Module]:
        encoder = residual_critic(image_shape, self.latent_dim, self.width, "batch")
        return {
            "generator": residual_generator(image_shape, self.latent_dim, self.width),
            "critic": residual_critic(image_shape, 1, self.width, "layer"),
            "encoder": encoder.append(nn.Tanh()) if self.encoder_head == "tanh" else encoder,
        }

    def optimiser(self, player: str, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        if player == "encoder":
            return torch.optim.Adam(parameters, lr=self.encoder_learning_rate, fused=True)
        return torch.optim.Adam(parameters, lr=self.learning_rate, betas=(0.0, 0.9), fused=True)  # released code

    def stages(self) -> list[Stage]:
        return [Stage("gan", self.gan_epochs, self.gan_step), Stage("encoder", self.epochs, self.encoder_step)]

    # ------------------------------------------------------------------ Sec. 2.1, the GAN

    def draw(self, update: Update, n: int) -> Tensor:
        """Return n latents z ~ N(0, I)."""
        rng = update.generator
        return torch.randn(n, self.latent_dim, generator=rng, device=rng.device)

    def critic_loss(
        self, networks: Networks, x: Tensor, z: Tensor, epsilon: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return D(G(z)) − D(x) + λ · gradient penalty, x in [−1, 1]."""
        fake = networks.generator(z).detach()
        return wasserstein_loss(networks.critic, x, fake, epsilon, self.penalty_weight)

    def generator_loss(self, networks: Networks, z: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return −D(G(z))."""
        return -networks.critic(networks.generator(z)).mean(), {}

    def gan_step(self, update: Update, x: Tensor) -> None:
        epsilon = torch.rand(len(x), 1, 1, 1, generator=update.generator, device=x.device)
        update("critic", self.critic_loss, 2 * x - 1, self.draw(update, len(x)), epsilon)
        if (update.epoch * update.batches + update.batch) % self.critic_steps == 0:
            update("generator", self.generator_loss, self.draw(update, len(x)))

    # ------------------------------------------------------------------ Sec. 2.2, the encoder

    def features(self, networks: Networks, x: Tensor) -> Tensor:
        """Return f(x), what the critic's last layer is given, (B, C, H, W) -> (B, n_d)."""
        return networks.critic[:-1](x)

    def izi_f(self, networks: Networks, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return A_R = ‖x − G(E(x))‖²/n and A_D = ‖f(x) − f(G(E(x)))‖²/n_d, each (B,), for x in [−1, 1]."""
        x_hat = networks.generator(networks.encoder(x))
        return squared_error(x, x_hat), squared_error(self.features(networks, x), self.features(networks, x_hat))

    def encoder_loss(self, networks: Networks, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return L_izi_f = A_R + κ A_D, a mean over the batch."""
        A_R, A_D = self.izi_f(networks, x)
        return (A_R + self.feature_weight * A_D).mean(), {"image_error": A_R.mean(), "feature_error": A_D.mean()}

    def encoder_step(self, update: Update, x: Tensor) -> None:
        update.networks.generator.eval()  # frozen, its batch statistics too
        update("encoder", self.encoder_loss, 2 * x - 1)

    def step(self, update: Update, x: Tensor) -> None:
        """Train the GAN on one batch; the encoder's stage has a step of its own."""
        self.gan_step(update, x)

    # ------------------------------------------------------------------ Sec. 2.3, the score

    def encode_images(self, networks: Networks, x: Tensor) -> Tensor:
        return networks.encoder(2 * x - 1)

    def decode_codes(self, networks: Networks, z: Tensor) -> Tensor:
        return (networks.generator(z) + 1) / 2

    def score_images(self, networks: Networks, x: Tensor) -> Tensor:
        """Return A(x) = A_R(x) + κ A_D(x), or the row of Berg et al.'s Table 2 that `score` names."""
        if self.score == "izi_f":
            A_R, A_D = self.izi_f(networks, 2 * x - 1)
            return A_R + self.feature_weight * A_D
        z_hat = self.encode_images(networks, x)
        if self.score == "origin":
            return -z_hat.norm(dim=1) / z_hat.shape[1] ** 0.5  # Berg et al., Eq. 4
        x_hat = self.decode_codes(networks, z_hat)
        return plain_residual(x, x_hat) if self.score == "residual" else normalised_residual(x, x_hat)

    def term_images(self, networks: Networks, x: Tensor) -> dict[str, Tensor]:
        """Return A_R, of the pixels in [−1, 1], and A_D, of the features, each (B,) and at least 0."""
        A_R, A_D = self.izi_f(networks, 2 * x - 1)
        return {"reconstruction": A_R, "features": A_D}
