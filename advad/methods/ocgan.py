"""OCGAN: an autoencoder in which every code, not only those of its images, must decode to a normal image.

Perera, Nallapati, Xiang: OCGAN: One-class Novelty Detection Using GANs with Constrained Latent Representations.
CVPR 2019.

An autoencoder can reconstruct anomalies if some codes decode to them. Here no such codes remain. Codes lie in the
cube (−1, 1)^d; a latent discriminator makes the codes of normal images fill it evenly, and a visual discriminator makes
the decoder's images look normal for codes from anywhere in it. Random codes seldom hit the regions where they do not: a
classifier of good and bad images leads there by its gradient (informative-negative mining). Then an anomaly's code,
too, can only decode to a normal image, and the reconstruction is far from the anomaly.

| paper | here |
|---|---|
| En (with tanh), De | `networks.encoder`, `networks.decoder` |
| D_l, D_v, C (latent, visual discriminator, classifier) | `networks.latent`, `networks.visual`, `networks.classifier` |
| n ~ N(0, σ² I) | `noise_level`, which is σ |
| s, l_2 ~ U(−1, 1)^d | `s`; `informative` once it has been moved |
| l_MSE, l_latent, l_visual (Eqs. 1 to 3) | `autoencoder_loss`, `latent_loss`, `visual_loss` |
| λ (10 in front of l_latent in the code) | `reconstruction_weight`, `latent_weight` |

Departures from the paper, and from the released code where only that is specific:
- Informative negatives are kept in the cube by clipping. The code takes their tanh, after which they are no longer
  uniform and stay away from the corners. The code takes one step along the gradient (η = 2), the paper several;
  here it is one. In the code mining begins after 150 of 200 epochs; here after `mining_start`.
- λ = 1000 on a mean over pixels in [0, 1] is the code's 500 on half of a mean over pixels in [−1, 1].
- Noise: the paper has a variance of 0.2; the code takes its 0.2 for the deviation, of pixels in [−1, 1], as we do.
- A dense autoencoder, with batch norm in the encoder up to its tanh; the code has it everywhere but there. Without any,
  all codes end in one corner of the cube, where the tanh is flat. D_v and C have none, so that the gradient of C at one
  code does not depend on the others.
- D_l has one output; the code's has 16, with a sigmoid that the loss repeats.
- The score is that of the image as it is; the code adds noise when testing, too, which makes scores random.

Measured results: data/findings/ocgan.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from advad.checks import check_choice, check_number, reject
from advad.engine.bases.autoencoder import Autoencoder, batch_normalised, require_pairs
from advad.engine.training import Networks, Stage, TrainingState, Update
from advad.networks.autoencoders import dense_encoder
from advad.networks.dcgan import Discriminator
from advad.networks.losses import binary_loss, squared_error


@dataclass(kw_only=True, eq=False, repr=False)
class OCGAN(Autoencoder):
    """One-class GAN with a constrained latent space; A(x) is the mean squared reconstruction error.

    Parameters
    ----------
    noise_level : float, at least 0
        σ of the noise on the encoder's input, in pixel units of [0, 1].
    reconstruction_weight, latent_weight, visual_weight : float, at least 0
        Weights of the autoencoder's three losses; if the last two are 0, it is a denoising autoencoder.
    mining_start : int
        Epochs before informative negatives replace random codes.
    mining_steps : int
        Gradient steps that move a random code; 0 means no mining.
    mining_rate : float
        η, the length of such a step in units of the gradient.
    critic_widths : tuple of int
        Hidden units of D_l.
    critic_width : int
        Feature maps of D_v's and C's first level.
    network, widths, activation, conv_width, epochs, batch_size, learning_rate, latent_dim, seed, device, precision
        See `Autoencoder`; `activation` cannot be "sigmoid", which would squash the code.
    """

    epochs: int = 20
    learning_rate: float = 5e-4  # released code: 2e-4, in batches of 512
    latent_dim: int = 16  # released code, for MNIST
    noise_level: float = 0.1  # released code: 0.2 in pixels of [−1, 1]; see Departures
    reconstruction_weight: float = 1000.0  # see Departures
    latent_weight: float = 10.0  # released code
    visual_weight: float = 1.0
    mining_start: int = 10  # see Departures
    mining_steps: int = 1
    mining_rate: float = 2.0  # released code
    critic_widths: tuple[int, ...] = (128, 64, 32)  # released code
    critic_width: int = 12  # released code, for MNIST

    _paper_settings = {  # released code
        "MNIST": {"network": "conv", "conv_width": 64, "epochs": 200, "mining_start": 150, "batch_size": 512},
    }

    optimised = {
        "latent": ("latent",),
        "visual": ("visual",),
        "classifier": ("classifier",),
        "autoencoder": ("encoder", "decoder"),
    }

    def check(self) -> None:
        super().check()
        check_choice("OCGAN", "activation", self.activation, ["relu", "leaky_relu"])
        for name in ("noise_level", "reconstruction_weight", "latent_weight", "visual_weight", "mining_rate"):
            check_number("OCGAN", name, getattr(self, name), 0)
        for name in ("mining_start", "mining_steps"):
            check_number("OCGAN", name, getattr(self, name), 0, integer=True)
        check_number("OCGAN", "critic_width", self.critic_width, 1, integer=True)
        if not isinstance(self.critic_widths, (tuple, list)):
            remedy = "For example (128, 64, 32)."
            reject("OCGAN", "critic_widths", "be a tuple of whole numbers", self.critic_widths, remedy, TypeError)
        for width in self.critic_widths:
            check_number("OCGAN", "each of critic_widths", width, 1, integer=True)

    def build(self, image_shape: tuple[int, int, int]) -> dict[str, nn.Module]:
        networks = super().build(image_shape)
        encoder = networks["encoder"]
        assert isinstance(encoder, nn.Sequential)
        return {
            "encoder": nn.Sequential(*batch_normalised(encoder, "all"), nn.Tanh()),
            "decoder": networks["decoder"],
            "latent": dense_encoder((1, 1, self.latent_dim), self.critic_widths, 1, "relu"),
            "visual": Discriminator(image_shape, self.critic_width, nn.Identity),
            "classifier": Discriminator(image_shape, self.critic_width, nn.Identity),
        }

    def stages(self) -> list[Stage]:
        return [Stage("train", self.epochs, self.step, self.look_at_batches)]

    def look_at_batches(self, run: TrainingState, images: Tensor) -> None:
        """Raise ValueError where the encoder's batch normalisation would meet a single image."""
        require_pairs("OCGAN", len(images), self.batch_size, "Batch normalisation needs 2 at least.")

    def optimiser(self, player: str, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=self.learning_rate, betas=(0.5, 0.999), fused=True)

    # ------------------------------------------------------------------ training

    def latent_loss(self, networks: Networks, z: Tensor, s: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. 2, for D_l: −E log D_l(s) − E log(1 − D_l(En(x + n))), halved."""
        return (binary_loss(networks.latent(s), real=True) + binary_loss(networks.latent(z), real=False)) / 2, {}

    def visual_loss(self, networks: Networks, x: Tensor, drawn: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. 3, for D_v: −E log D_v(x) − E log(1 − D_v(De(s))), halved."""
        real, fake = networks.visual(x)[0], networks.visual(drawn)[0]
        return (binary_loss(real, real=True) + binary_loss(fake, real=False)) / 2, {}

    def classifier_loss(self, networks: Networks, x_hat: Tensor, drawn: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Sec. 3.2, for C: cross-entropy of reconstructions, which are in the class, and draws, which are not."""
        inside, outside = networks.classifier(x_hat)[0], networks.classifier(drawn)[0]
        return (binary_loss(inside, real=True) + binary_loss(outside, real=False)) / 2, {}

    def informative(self, networks: Networks, s: Tensor) -> Tensor:
        """Sec. 3.2: codes moved to where C rejects the decoded image; (B, d) -> (B, d), in the cube.

        Each step ascends −log C(De(s)), by η times its gradient.
        """
        for _ in range(self.mining_steps):
            s = s.detach().requires_grad_()
            logits = networks.classifier(networks.decoder(s))[0]
            (gradient,) = torch.autograd.grad(len(s) * binary_loss(logits, real=True), s)
            s = (s.detach() + self.mining_rate * gradient).clamp(-1, 1)
        return s

    def autoencoder_loss(
        self, networks: Networks, x: Tensor, noisy: Tensor, s: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Eqs. 1 to 3, for En and De: λ l_MSE − 10 E log D_l(En(x + n)) − E log D_v(De(s)).

        Parameters
        ----------
        networks : Networks
            All of them.
        x, noisy : Tensor of shape (B, C, H, W)
            Images, and the same with noise.
        s : Tensor of shape (B, latent_dim)
            Codes to draw from: random, or informative.
        """
        z = networks.encoder(noisy)
        mse = squared_error(x, networks.decoder(z)).mean()
        latent = binary_loss(networks.latent(z), real=True)
        visual = binary_loss(networks.visual(networks.decoder(s))[0], real=True)
        total = self.reconstruction_weight * mse + self.latent_weight * latent + self.visual_weight * visual
        return total, {"mse": mse, "latent_adversarial": latent, "visual_adversarial": visual}

    def cube(self, update: Update, x: Tensor) -> Tensor:
        """Return draws of U(−1, 1)^d, (B, d)."""
        return 2 * torch.rand(len(x), self.latent_dim, generator=update.generator, device=x.device) - 1

    def step(self, update: Update, x: Tensor) -> None:  # Algorithm 1
        networks = update.networks
        noisy = x + self.noise_level * torch.randn(x.shape, generator=update.generator, device=x.device)
        s = self.cube(update, x)
        with torch.no_grad():
            z = networks.encoder(noisy)
            x_hat, drawn = networks.decoder(z), networks.decoder(s)
        update("latent", self.latent_loss, z, self.cube(update, x))
        update("visual", self.visual_loss, x, drawn)
        update("classifier", self.classifier_loss, x_hat, drawn)
        s = self.cube(update, x)
        if update.epoch >= self.mining_start:
            s = self.informative(networks, s)
        update("autoencoder", self.autoencoder_loss, x, noisy, s)
