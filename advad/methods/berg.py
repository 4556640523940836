"""Berg's GAN: a progressively growing GAN with an encoder that is trained alongside, to survive contaminated data.

Berg, Felsberg, Ahlberg: Unsupervised Adversarial Learning of Anomaly Detection in the Wild. ECAI 2020.

A generator G learns to draw images like the training images, from 4×4 pixels upwards, against a critic D; an encoder E
learns, in the same steps, to find a code from which G draws the same image again. It is judged by the images (d_I),
not by the codes (d_z). An image is anomalous if G(E(x)) looks different (L_n) or if its code is short (L_o): normal
images, the paper says, have codes in clusters far from the origin, and anomalies, of which G knows nothing, are left
near the origin even where some of them were in the training set.

| paper | here |
|---|---|
| G, D, E | `networks.generator`, `networks.critic`, `networks.encoder` |
| Gs in the code (moving average of G; it scores) | `networks.smoothed`, `smooth` |
| z ~ 0.1·N(0, I) | `z`, `draw` |
| q(D(X)) + q(1 − D(G(z))) (Eq. 1) | `critic_loss`, `generator_loss` |
| d_I, d_z (Eq. 6, 7) | `encoder_loss="image"`, `"latent"` |
| L_n, w (Eq. 2, 3) | `residual`, `minmax` |
| L_o (Eq. 4) | `L_o` |
| a, λ (Eq. 5) | `score_images`, `residual_weight` |

Departures (where the paper and the released code disagree, we follow the code, with which the figures were made):
- Eq. 1 has G and E share the cycle term; the code updates **E alone** by it, and G by −D(G(z)) alone. z ~ N(0, I) in
  the paper, 0.1·N(0, I) in the code; and G normalises z first, so that G ignores ‖z‖. With d_I, therefore, *nothing
  trains ‖E(x)‖*, which is all of L_o: the origin distance is a by-product of how E's last layer happens to respond.
- Eq. 6 sums |G(z) − G(E(G(z)))|, the code takes its mean. E's last layer is a leaky ReLU, as in the code.
- Both D and E contain a minibatch standard deviation in the code, so that its scores depend on batch-mates. Here only
  D, which no score uses, has it (over the whole batch instead of groups of four).
- With N_X pixels, L_n ≤ 1/√N_X (0.018 for CIFAR-10): at λ = 0.05 the score is L_o almost alone. `score_terms` has both.
- Adam's state is not reset at each level, and the batch size is the same at all; β₂ = 0.99 forgets in a hundred steps.
- Holds and fades share `growth_epochs` evenly; the last level then trains for `epochs`. Sides that are no power of two
  are resized to the next one, bilinearly, and reconstructions back (28 → 32 → 28).
- Defaults are a laptop's: `width` 16 and `latent_dim` 64 instead of 512; a thousand steps instead of a hundred
  thousand, for which Adam's 1e-3 and the average's 0.999 are too slow. `Berg(**PAPER)` is the paper's.

Measured (CIFAR-10's automobile, protocol 2, defaults, seeds 0 to 2, one CPU thread, four minutes a seed; `python -m
tests.bench_methods Berg`): AUROC 0.624 ± 0.030, published 0.72. Also (8×8 digits, one class normal, latent_dim 32,
growth_epochs 6, epochs 24, batch_size 32, learning_rate 1e-2, ema_decay 0.95, one seed, one CPU thread), AUROC of L_n
/ of L_o for class 0 and 8 at width 8, then at width 16: by d_I 0.993 / 0.325, 0.908 / 0.575, 0.998 / 0.757, 0.942 /
0.449; by d_z 0.968 / 0.050, 0.888 / 0.476, 0.998 / 0.082, 0.870 / 0.199.
So the paper's "anomalies end up closer to the origin" (L_o 0.70 on CIFAR-10, 0.89 on cells) is clearly so in one of
these eight: nothing trains the length. Of "a good d_I implies a good d_z but the opposite is not true" only the latter
holds (class 0, width 8): by d_z, E says z = 0 (d_z 0.080, as for E = 0; d_I 0.285, unrelated drawings 0.239); by d_I,
d_I is 0.178 and d_z 0.185, with cos(z, E(G(z))) = 0.00: many codes give much the same drawing.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from advad.checks import check_choice, check_number
from advad.engine.detector import Detector
from advad.engine.training import Networks, Stage, Update
from advad.networks.growing import GrowingCritic, GrowingEncoder, GrowingGenerator, depth_at, faded, levels_of, resized
from advad.networks.losses import wasserstein_loss

# Released code: 6 phases of 600,000 images (5,000 here), of which the last is 4/32 of the "epochs" of Sec. 4.2: those
# cannot be passes, which would take minutes and not 12 hours
PAPER = dict(width=512, latent_dim=512, growth_epochs=720, epochs=103, learning_rate=1e-3, ema_decay=0.999)


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
    residual_weight : float in [0, 1]
        λ, of L_n against L_o; it may be changed after `fit`. 1 is the residual alone, 0 the origin distance.
    penalty_weight, drift_weight : float
        Of the critic's gradient penalty, and of D(x)².
    ema_decay : float in [0, 1)
        What is left of the smoothed generator at each step. Choose it so that 1/(1 − ema_decay) steps are few.
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
    residual_weight: float = 0.05  # Sec. 4.2
    penalty_weight: float = 10.0  # Karras et al. 2018, Appendix A.1
    drift_weight: float = 1e-3  # the same
    ema_decay: float = 0.99  # see Departures

    optimised = {"critic": ("critic",), "generator": ("generator",), "encoder": ("encoder",)}

    def check(self) -> None:
        super().check()
        check_number("Berg", "growth_epochs", self.growth_epochs, 1, integer=True)
        check_number("Berg", "width", self.width, 1, integer=True)
        check_choice("Berg", "encoder_loss", self.encoder_loss, ["image", "latent"])
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
            "smoothed": copy.deepcopy(generator).requires_grad_(False),
            "critic": GrowingCritic(channels, levels, self.width),
            "encoder": GrowingEncoder(channels, levels, self.latent_dim, self.width),
        }

    def optimiser(self, player: str, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=self.learning_rate, betas=(0.0, 0.99), fused=True)  # released code

    # ------------------------------------------------------------------ growth

    def stages(self) -> list[Stage]:
        return [Stage("grow", self.growth_epochs, self.step), Stage("train", self.epochs, self.step)]

    def grow(self, update: Update) -> float:
        """Set the depth of all networks to what this step asks for, and return it."""
        progress = (update.epoch + update.batch / update.batches) / self.growth_epochs
        depth = depth_at(progress, levels_of(*self.image_shape_[1:]))
        for name in ("generator", "smoothed", "critic", "encoder"):
            getattr(update.networks, name).depth = depth
        return depth

    @torch.no_grad()
    def smooth(self, networks: Networks) -> None:
        """Move the smoothed generator towards G: θ̄ ← β θ̄ + (1 − β) θ."""
        for slow, fast in zip(networks.smoothed.parameters(), networks.generator.parameters(), strict=True):
            slow.lerp_(fast, 1 - self.ema_decay)

    # ------------------------------------------------------------------ training

    def draw(self, update: Update, n: int) -> Tensor:
        """Return n latents z ~ 0.1·N(0, I)."""
        rng = update.generator
        return 0.1 * torch.randn(n, self.latent_dim, generator=rng, device=rng.device)

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
        depth = self.grow(update)
        x = faded(self.square(x), depth)  # [−1, 1], (B, C, 4·2ᵏ, 4·2ᵏ)
        n = len(x)
        epsilon = torch.rand(n, 1, 1, 1, generator=update.generator, device=x.device)
        update("critic", self.critic_loss, x, self.draw(update, n), epsilon)
        update("generator", self.generator_loss, self.draw(update, n))
        self.smooth(update.networks)
        update("encoder", self.cycle_loss, self.draw(update, n))

    # ------------------------------------------------------------------ scores

    def square(self, x: Tensor) -> Tensor:
        """Return images in [0, 1] as G draws them: in [−1, 1], the side a power of two."""
        side = 4 * 2 ** levels_of(*x.shape[2:])
        return 2 * resized(x, (side, side)) - 1

    def encode_images(self, networks: Networks, x: Tensor) -> Tensor:
        return networks.encoder(faded(self.square(x), networks.encoder.depth))

    def decode_codes(self, networks: Networks, z: Tensor) -> Tensor:
        return resized((networks.smoothed(z) + 1) / 2, self.image_shape_[1:])

    def minmax(self, x: Tensor) -> Tensor:
        """Eq. 3: w(x) = (x − min x) / (max x − min x) for each image; of a constant image, 0."""
        low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
        return (x - low) / (high - low).clamp_min(1e-6)

    def residual(self, x: Tensor, x_hat: Tensor) -> Tensor:
        """Eq. 2: L_n = ‖w(x) − w(x̂)‖₂ / N_X, (B, C, H, W) -> (B,)."""
        return (self.minmax(x) - self.minmax(x_hat)).flatten(1).norm(dim=1) / x[0].numel()

    def L_o(self, z_hat: Tensor) -> Tensor:
        """Eq. 4: L_o = −‖ẑ‖₂ / √N_z, (B, N_z) -> (B,): minus the distance from the origin, so higher = shorter."""
        return -z_hat.norm(dim=1) / z_hat.shape[1] ** 0.5

    def terms_images(self, networks: Networks, x: Tensor) -> Tensor:
        """Return L_n and L_o, (B, C, H, W) -> (B, 2)."""
        z_hat = self.encode_images(networks, x)
        return torch.stack([self.residual(x, self.decode_codes(networks, z_hat)), self.L_o(z_hat)], 1)

    def score_images(self, networks: Networks, x: Tensor) -> Tensor:
        """Eq. 5: a = λ L_n + (1 − λ) L_o."""
        L_n, L_o = self.terms_images(networks, x).unbind(1)
        return self.residual_weight * L_n + (1 - self.residual_weight) * L_o

    def term_images(self, networks: Networks, x: Tensor) -> dict[str, Tensor]:
        """Return L_n, in [0, 1/√N_X], and L_o, at most 0, each (B,)."""
        L_n, L_o = self.terms_images(networks, x).unbind(1)
        return {"normalised_residual": L_n, "origin": L_o}
