"""Berg's GAN: a progressively growing GAN with an encoder that is trained alongside, to survive contaminated data.

Berg, Felsberg, Ahlberg: Unsupervised Adversarial Learning of Anomaly Detection in the Wild. ECAI 2020.

A generator G learns to make images like the training images, from 4×4 pixels upwards, against a critic D. In the same
steps an encoder E learns to find a code from which G makes the same image again; its loss compares images (d_I), not
codes (d_z). An image is anomalous if G(E(x)) looks different (L_n) or if its code is short (L_o): normal images, the
paper says, have codes far from the origin, and anomalies stay near it even if some were in the training set.

| paper | here |
|---|---|
| G, D, E | `networks.generator`, `networks.critic`, `networks.encoder` |
| Gs in the code (moving average of G, the "EMA generator"; it scores) | `networks.ema_generator`, `update_ema` |
| z ~ 0.1·N(0, I) | `z`, `draw` |
| Eq. 1, max over D, min over G, min over E | split below: `critic_loss`, `generator_loss`, `cycle_loss` |
| d_I, d_z (Eq. 6, 7) | `encoder_loss="image"`, `"latent"` |
| L_n, w, L_r (Eq. 2, 3, 8) | `normalised_residual`, `minmax_normalised`, `plain_residual` in `networks/losses.py` |
| L_o (Eq. 4) | `L_o` |
| a, λ (Eq. 5); the rows e to i of Table 2 | `score="proposed"`, `residual_weight`; `score` |

Departures (where the paper and the released code disagree, we follow the code, which made the published results):
- Eq. 1 has G and E share the cycle term; the code updates **E alone** by it, and G by −D(G(z)) alone. z ~ N(0, I) in
  the paper, 0.1·N(0, I) in the code; and G normalises z first, so that G ignores ‖z‖. With d_I, therefore, *nothing
  trains ‖E(x)‖*, which is all of L_o: the origin distance depends on how E's last layer happens to respond.
- Eq. 6 sums |G(z) − G(E(G(z)))|, the code takes its mean; E's last layer is a leaky ReLU there, as here.
- D and E contain a minibatch standard deviation in the code, so that its scores depend on the other images of a batch.
  Here only D has it (over the whole batch, not groups of four); `score="discriminator"` gives it one image at a time.
- With N_X pixels, L_n ≤ 1/√N_X (0.018 for CIFAR-10): at λ = 0.05 the score is L_o almost alone. `score_terms` has both.
- Adam's state is not reset at each level (β₂ = 0.99 forgets within a hundred steps); the batch size is the same at all.
- Phases at one size and phases that fade in the next share `growth_epochs` evenly; then the last level trains for
  `epochs`. Sides that are no power of two are resized to the next one, and reconstructions back (28 → 32 → 28).
- Defaults that fit on a laptop: `width` 16, `latent_dim` 64; a thousand steps, with a faster rate and average.

Measurements: data/findings/berg.md.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from advad.checks import check_choice, check_number
from advad.engine.detector import Detector
from advad.engine.training import Networks, Stage, Update
from advad.networks.growing import GrowingCritic, GrowingEncoder, GrowingGenerator, depth_at, faded, levels_of, resized
from advad.networks.losses import normalised_residual, plain_residual, squared_error, wasserstein_loss

SCORES = ("proposed", "residual", "normalised_residual", "origin", "discriminator")  # Table 2


@dataclass(kw_only=True, eq=False, repr=False)
class Berg(Detector):
    """Progressively growing WGAN-GP with an encoder alongside; A(x) = λ L_n + (1 − λ) L_o.

    Parameters
    ----------
    growth_epochs : int
        Epochs from 4×4 pixels to the full size: hold, fade in the next level, hold, ...; `epochs` come after.
    width : int
        Feature maps of each layer up to 32 pixels a side, halved with each doubling beyond.
    encoder_loss : {"image", "latent"}
        What E's step makes small: d_I = |G(z) − G(E(G(z)))| or d_z = |z − E(G(z))|.
    score : {"proposed", "residual", "normalised_residual", "origin", "discriminator"}
        A(x), a row of Table 2: a of Eq. 5 (row i), L_r (f), L_n (g), L_o (h), or f-AnoGAN's A (e), the error of images
        plus that of the critic's features. It may be changed after `fit`.
    residual_weight : float in [0, 1]
        λ, the weight of L_n against L_o; it may be changed after `fit`. 1 is L_n alone, 0 is L_o alone.
    penalty_weight, drift_weight : float
        Weights of the gradient penalty and of D(x)² in the critic's loss.
    ema_decay : float in [0, 1)
        Share of the EMA generator that each step keeps; 1/(1 − ema_decay) steps should be few.
    epochs, batch_size, learning_rate, latent_dim, seed, device, precision
        See `Detector`.
    """

    epochs: int = 4
    batch_size: int = 64  # released code, config.py, at 32 px
    learning_rate: float = 5e-3  # see Departures
    latent_dim: int = 64  # Sec. 4.2: 512
    growth_epochs: int = 10
    width: int = 16  # Karras et al.: 512
    encoder_loss: str = "image"  # Sec. 3.2
    score: str = "proposed"  # Eq. 5
    residual_weight: float = 0.05  # Sec. 4.2
    penalty_weight: float = 10.0  # Karras et al. 2018, Appendix A.1
    drift_weight: float = 1e-3  # the same
    ema_decay: float = 0.99  # see Departures

    optimised = {"critic": ("critic",), "generator": ("generator",), "encoder": ("encoder",)}
    auto_bfloat16 = False  # AUROC differs by more than 0.005: data/findings/precision.md
    former_values = {"score": "proposed"}
    # Released code: 6 phases of 600,000 images (5,000 here), the last 4/32 of the "epochs" of Sec. 4.2, which cannot
    # be passes: those would take minutes, not 12 hours. Sizes: Sec. 4.2, Karras et al.
    _paper_settings: ClassVar[dict[str, dict[str, Any]]] = {
        "CIFAR10": dict(width=512, latent_dim=512, growth_epochs=720, epochs=103, learning_rate=1e-3, ema_decay=0.999)
    }

    def check(self) -> None:
        super().check()
        check_number("Berg", "growth_epochs", self.growth_epochs, 1, integer=True)
        check_number("Berg", "width", self.width, 1, integer=True)
        check_choice("Berg", "encoder_loss", self.encoder_loss, ["image", "latent"])
        check_choice("Berg", "score", self.score, SCORES)
        remedy = "It is λ, the share of L_n; 0.05 in the paper."
        check_number("Berg", "residual_weight", self.residual_weight, 0, 1, remedy=remedy)
        for name in ("penalty_weight", "drift_weight"):
            check_number("Berg", name, getattr(self, name), 0)
        check_number("Berg", "ema_decay", self.ema_decay, 0, 1, ends="[)")

    def build(self, image_shape: tuple[int, int, int]) -> dict[str, nn.Module]:
        channels, *size = image_shape
        levels = levels_of(*size)
        generator = GrowingGenerator(channels, levels, self.latent_dim, self.width)
        return {
            "generator": generator,
            "ema_generator": copy.deepcopy(generator).requires_grad_(False),
            "critic": GrowingCritic(channels, levels, self.width),
            "encoder": GrowingEncoder(channels, levels, self.latent_dim, self.width),
        }

    def optimiser(self, player: str, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=self.learning_rate, betas=(0.0, 0.99), fused=True)  # released code

    def stages(self) -> list[Stage]:
        return [Stage("grow", self.growth_epochs, self.step), Stage("train", self.epochs, self.step)]

    def grow(self, update: Update) -> float:
        """Set the depth of all networks to what this step asks for, and return it."""
        progress = (update.epoch + update.batch / update.batches) / self.growth_epochs
        depth = depth_at(progress, levels_of(*self.image_shape_[1:]))
        for name in ("generator", "ema_generator", "critic", "encoder"):
            getattr(update.networks, name).depth = depth
        return depth

    @torch.no_grad()
    def update_ema(self, networks: Networks) -> None:
        """Move the EMA generator towards G: θ̄ ← β θ̄ + (1 − β) θ, β = `ema_decay`."""
        for average, weight in zip(networks.ema_generator.parameters(), networks.generator.parameters(), strict=True):
            average.lerp_(weight, 1 - self.ema_decay)

    # ------------------------------------------------------------------ training

    def draw(self, update: Update, n: int) -> Tensor:
        """Return n latents z ~ 0.1·N(0, I)."""
        return 0.1 * torch.randn(n, self.latent_dim, generator=update.generator, device=update.generator.device)

    def critic_loss(
        self, networks: Networks, x: Tensor, z: Tensor, epsilon: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. 1, max over D, as WGAN-GP: D(G(z)) − D(x) + penalty + drift."""
        fake = networks.generator(z).detach()
        return wasserstein_loss(networks.critic, x, fake, epsilon, self.penalty_weight, self.drift_weight)

    def generator_loss(self, networks: Networks, z: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. 1, min over G: −D(G(z))."""
        return -networks.critic(networks.generator(z)).mean(), {}

    def cycle_loss(self, networks: Networks, z: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. 1, min over E: d_I (Eq. 6) or d_z (Eq. 7), as means; the terms are both, and ‖ẑ‖/√N_z."""
        x = networks.generator(z).detach()  # G(z)
        z_hat = networks.encoder(x)
        d_I = (x - networks.generator(z_hat)).abs().mean()
        d_z = (z - z_hat).abs().mean()
        terms = {"d_I": d_I, "d_z": d_z, "code_norm": -self.L_o(z_hat).mean()}
        return d_I if self.encoder_loss == "image" else d_z, terms

    def step(self, update: Update, x: Tensor) -> None:
        depth = self.grow(update)  # all four networks see and make images of this level k
        x = faded(self.to_network_range(x), depth)  # the images as that level sees them, (B, C, 4·2ᵏ, 4·2ᵏ), [−1, 1]
        n = len(x)
        epsilon = torch.rand(n, 1, 1, 1, generator=update.generator, device=x.device)
        update("critic", self.critic_loss, x, self.draw(update, n), epsilon)
        update("generator", self.generator_loss, self.draw(update, n))
        self.update_ema(update.networks)
        update("encoder", self.cycle_loss, self.draw(update, n))

    # ------------------------------------------------------------------ scores

    def to_network_range(self, x: Tensor) -> Tensor:
        """Return images in [0, 1] in the form that G makes: pixels in [−1, 1], square, the side a power of two."""
        side = 4 * 2 ** levels_of(*x.shape[2:])
        return 2 * resized(x, (side, side)) - 1

    def encode_images(self, networks: Networks, x: Tensor) -> Tensor:
        return networks.encoder(faded(self.to_network_range(x), networks.encoder.depth))

    def decode_codes(self, networks: Networks, z: Tensor) -> Tensor:
        return resized((networks.ema_generator(z) + 1) / 2, self.image_shape_[1:])

    def L_o(self, z_hat: Tensor) -> Tensor:
        """Eq. 4: L_o = −‖ẑ‖₂ / √N_z, (B, N_z) -> (B,): minus the distance from the origin, so higher = shorter."""
        return -z_hat.norm(dim=1) / z_hat.shape[1] ** 0.5

    def terms_images(self, networks: Networks, x: Tensor) -> Tensor:
        """Return L_n and L_o, (B, C, H, W) -> (B, 2)."""
        z_hat = self.encode_images(networks, x)
        return torch.stack([normalised_residual(x, self.decode_codes(networks, z_hat)), self.L_o(z_hat)], 1)

    def score_images(self, networks: Networks, x: Tensor) -> Tensor:
        """Return A(x), the row of Table 2 that `score` names; Eq. 5: a = λ L_n + (1 − λ) L_o."""
        if self.score == "residual":
            return plain_residual(x, self.reconstruct_images(networks, x))  # Eq. 8
        if self.score == "discriminator":
            return self.discriminator_score(networks, x)
        L_n, L_o = self.terms_images(networks, x).unbind(1)
        share = {"normalised_residual": 1.0, "origin": 0.0}.get(self.score, self.residual_weight)
        return share * L_n + (1 - share) * L_o

    def discriminator_score(self, networks: Networks, x: Tensor) -> Tensor:
        """Return A of f-AnoGAN with κ = 1: ‖x − x̂‖²/n + ‖f(x) − f(x̂)‖²/n_d, x̂ = G(E(x)) at the networks' own size."""
        x = faded(self.to_network_range(x), networks.encoder.depth)
        x_hat, f = networks.ema_generator(networks.encoder(x)), networks.critic.features
        return squared_error(x, x_hat) + squared_error(f(x), f(x_hat))

    def term_images(self, networks: Networks, x: Tensor) -> dict[str, Tensor]:
        """Return L_n, in [0, 1/√N_X], and L_o, at most 0, each (B,)."""
        L_n, L_o = self.terms_images(networks, x).unbind(1)
        return {"normalised_residual": L_n, "origin": L_o}

    @classmethod
    def from_state(cls, tensors: dict[str, Tensor], metadata: dict[str, Any], device: str | None = None) -> Self:
        """Load as every detector does, and files in which the EMA generator still has its old name, "smoothed", too."""
        renamed = {name.replace("networks.smoothed.", "networks.ema_generator."): t for name, t in tensors.items()}
        return super().from_state(renamed, metadata, device)
