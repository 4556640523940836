"""AGAD: a generator that reconstructs normal images, and is to fail on what it has drawn itself.

Shi, Zhang: AGAD: Adversarial Generative Anomaly Detection. 2023.

A reconstructing network is trained to reconstruct, not to detect. Here what it draws is taken for an anomaly, made
from a normal image ("pseudo-anomaly"): G must give back x, yet make of its own x̂ = G(x) something else ("contextual
adversarial information"). Real anomalies, where a few are labelled, join in with losses turned over: G is to fail on
them. A discriminator sees to it that what G draws of normal images looks real, and lends its features to a distance.

| paper | here |
|---|---|
| G: naive encoder-decoder, UNet, UNet++ | `networks.generator`; `generator` says which |
| D; y, z = D(x) | `networks.discriminator`, which returns logits and features |
| x in S_n, x in S_a (y = 0, 1 in Eq. 11) | `x`, `a` |
| x̂ = G(x), x̂' = G(x̂) | `x_hat`, `x_hat2` (`a_hat`, `a_hat2`) |
| l_adv(y, 1), l_adv(y, 0) (Eq. 5) | `binary_loss(y, real=True)`, `real=False` |
| L_con, −L_adcon (Eqs. 6, 8) | `distance` |
| L_lat (Eq. 7) | `feature_distance` |
| λ_adv, λ_con, λ_adcon, λ_lat | `adversarial_weight`, `reconstruction_weight`, `contextual_weight`, `latent_weight` |

Departures from the paper, and where it departs from itself:
- **Signs.** Eq. 10 divides by L_adv of Eq. 5, which is negative: its reciprocal has no lower bound. Algorithm 1 divides
  by the cross-entropy l_adv(ŷ, 0) > 0, so that an anomaly's x̂ is to pass for real, and we follow it. λ/(−L_adcon) in
  Eq. 10 and −λ/l_adcon in Algorithm 1 are the same, since L_adcon is negative (Eq. 8).
- **What fails on an anomaly.** Eq. 3 maximises |x − x̂| and Sec. 3.2 promises it, but Eq. 10 and Algorithm 1 have
  |x̂ − x̂'| in its place. `fail_on="reconstruction"` is as printed, `fail_on="input"` is Eq. 3.
- **Bounds.** −λ|x̂ − x̂'| falls without end unless pixels are bounded: a sigmoid bounds them, so |x̂ − x̂'| ≤ 1. The
  reciprocals are 1/(l + ε) with ε = 0.01. L_lat is divided by √n for n features: one λ_lat for all sizes.
- **Resetting D.** Algorithm 1 requires a threshold δ "to reset θ_d", gives no value, and never uses it. There is no
  reset here: it would throw away the features of L_lat. GANomaly's code resets at a loss of 1e-5; see Measured.
- **Batch norm.** Normal images and anomalies pass G in one batch (Sec. 3.3.2), x̂ in a second one, and D sees each
  kind apart. `auxiliary_norm` (Table 5, "Adv Prop") gives x̂ statistics and scales of its own; `freeze_norm` ("Freeze
  BN") lets anomalies pass by the running statistics. Scores use those, in evaluation mode, whatever is scored beside.
- Images stay in [0, 1] and keep their size; both UNets are built of the naive generator's blocks, so that nothing but
  the skip connections differs. β₁ = 0.5 as in DCGAN; batches of 64 and width 16 instead of 256 and 64: a laptop's.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from advad.checks import check_choice, check_number, reject
from advad.engine.adversarial import (
    Discriminator,
    TwinBatchNorm2d,
    auxiliary_norm,
    binary_loss,
    dcgan_decoder,
    dcgan_encoder,
    feature_distance,
    frozen_norm,
)
from advad.engine.detector import Detector
from advad.engine.training import Networks, Update
from advad.engine.unets import UNet

ANOMALIES = 32  # Sec. 3.3.2: "at least 32 anomaly data" in a batch
EPSILON = 1e-2  # of the reciprocals; see Departures
PAPER = {"conv_width": 64, "batch_size": 256}  # Table 7; Sec. 4.2. Epochs are not given

Terms = dict[str, Tensor]


def distance(x: Tensor, x_hat: Tensor) -> Tensor:
    """Eqs. 6 and 8: E|x − x̂|₁, a mean over pixels and images."""
    return (x - x_hat).abs().mean()


def reciprocal(loss: Tensor) -> Tensor:
    """Eq. 10: 1 / loss, but finite where the loss is 0."""
    return 1 / (loss + EPSILON)


@dataclass(kw_only=True, eq=False, repr=False)
class AGAD(Detector):
    """Adversarial generative anomaly detection; A(x) = ‖x − G(x)‖₂. Learns from labelled anomalies, if there are any.

    Parameters
    ----------
    generator : {"naive", "unet", "unet++"}
        An encoder and a decoder; the same with skip connections; with nested ones. The UNets have codes, but their
        images are no functions of them, so they cannot `decode`.
    contextual : bool
        Whether losses look at x̂' = G(x̂): the contextual adversarial loss (Tables 3 and 4, with and without).
    fail_on : {"reconstruction", "input"}
        What labelled anomalies make large: |x̂ − G(x̂)| as printed (not without `contextual`), or |x − x̂|.
    adversarial_weight, reconstruction_weight, contextual_weight, latent_weight : float
        λ_adv, λ_con, λ_adcon, λ_lat, at least 0.
    auxiliary_norm : bool
        Whether x̂ has batch norm of its own on its way through G; needs `contextual`.
    freeze_norm : bool
        Whether labelled anomalies pass G by the running statistics of batch norm, and leave those as they are.
    conv_width : int
        Feature maps of the first level, of generator and discriminator.
    epochs, batch_size, learning_rate, latent_dim, seed, device, precision
        See `Detector`; one learning rate for both players.
    """

    batch_size: int = 64
    learning_rate: float = 2e-4  # Sec. 4.2
    latent_dim: int = 100  # Table 7
    generator: str = "naive"  # Appendix B.1, for MNIST; "unet++" for the rest
    contextual: bool = True
    fail_on: str = "reconstruction"  # Algorithm 1
    adversarial_weight: float = 1.0  # Sec. 4.2
    reconstruction_weight: float = 50.0
    contextual_weight: float = 15.0
    latent_weight: float = 5.0
    auxiliary_norm: bool = False  # Table 5
    freeze_norm: bool = False  # Table 5
    conv_width: int = 16  # Table 7: 64

    players = {"generator": ("generator",), "discriminator": ("discriminator",)}
    uses_labels = True

    def check(self) -> None:
        super().check()
        check_choice("AGAD", "generator", self.generator, ["naive", "unet", "unet++"])
        check_choice("AGAD", "fail_on", self.fail_on, ["reconstruction", "input"])
        for name in ("contextual", "auxiliary_norm", "freeze_norm"):
            check_choice("AGAD", name, getattr(self, name), [True, False])
        for name in ("adversarial_weight", "reconstruction_weight", "contextual_weight", "latent_weight"):
            check_number("AGAD", name, getattr(self, name), 0)
        check_number("AGAD", "conv_width", self.conv_width, 1, integer=True)
        if self.auxiliary_norm and not self.contextual:
            reject("AGAD", "auxiliary_norm", "be False without contextual", True, "It is for x̂, which G is not shown.")

    def build(self, image_shape: tuple[int, int, int]) -> dict[str, nn.Module]:
        norm = TwinBatchNorm2d if self.auxiliary_norm else nn.BatchNorm2d
        layout = (image_shape, self.latent_dim, self.conv_width, norm)
        if self.generator == "naive":
            parts: list[tuple[str, nn.Module]] = [
                ("encoder", dcgan_encoder(*layout)),
                ("decoder", dcgan_decoder(*layout)),
            ]
            generator: nn.Module = nn.Sequential(OrderedDict(parts))
        else:
            generator = UNet(*layout, nested=self.generator == "unet++")
        return {"generator": generator, "discriminator": Discriminator(image_shape, self.conv_width)}

    def optimiser(self, player: str, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=self.learning_rate, betas=(0.5, 0.999), fused=True)

    # ------------------------------------------------------------------ training

    def reconstructions(self, networks: Networks, x: Tensor, *a: Tensor) -> list[Tensor]:
        """Return x̂ = G(x), and G(a) of labelled anomalies, if given: in one batch, or apart with `freeze_norm`."""
        G = networks.generator
        if not (a and self.freeze_norm):
            return list(G(torch.cat([x, *a])).split([len(images) for images in (x, *a)]))
        with frozen_norm(G):
            a_hat = G(*a)
        return [G(x), a_hat]

    def normality_loss(
        self, networks: Networks, x: Tensor, x_hat: Tensor, x_hat2: Tensor | None
    ) -> tuple[Tensor, Terms]:
        """Eq. 9, Algorithm 1, line 6: λ_adv l_adv(ŷ, 1) + λ_con |x − x̂| + λ_lat |z − ẑ| − λ_adcon |x̂ − x̂'|."""
        (_, z), (y_hat, z_hat) = networks.discriminator(x), networks.discriminator(x_hat)
        L_adv, L_con, L_lat = binary_loss(y_hat, real=True), distance(x, x_hat), feature_distance(z, z_hat)
        L_n = self.adversarial_weight * L_adv + self.reconstruction_weight * L_con + self.latent_weight * L_lat
        terms = {"adversarial": L_adv, "reconstruction": L_con, "latent": L_lat}
        if x_hat2 is not None:
            terms["contextual"] = distance(x_hat, x_hat2)
            L_n = L_n - self.contextual_weight * terms["contextual"]  # Eq. 8
        return L_n, terms

    def anomaly_loss(self, networks: Networks, a: Tensor, a_hat: Tensor, a_hat2: Tensor | None) -> tuple[Tensor, Terms]:
        """Algorithm 1, line 9: λ_adv / l_adv(ŷ, 0) + λ_lat / |z − ẑ| + λ_adcon / |x̂ − x̂'|, or / |x − x̂| (Eq. 3)."""
        (_, z), (y_hat, z_hat) = networks.discriminator(a), networks.discriminator(a_hat)
        L_adv, L_lat = binary_loss(y_hat, real=False), feature_distance(z, z_hat)
        L_a = self.adversarial_weight * reciprocal(L_adv) + self.latent_weight * reciprocal(L_lat)
        terms = {"anomaly_adversarial": L_adv, "anomaly_latent": L_lat, "anomaly_reconstruction": distance(a, a_hat)}
        if a_hat2 is not None:
            terms["anomaly_contextual"] = distance(a_hat, a_hat2)
        failing = terms.get("anomaly_contextual" if self.fail_on == "reconstruction" else "anomaly_reconstruction")
        if failing is not None:
            L_a = L_a + self.contextual_weight * reciprocal(failing)
        return L_a, terms

    def generator_loss(self, networks: Networks, x: Tensor, *a: Tensor) -> tuple[Tensor, Terms]:
        """Eq. 11: L_n of normal images, and L_a of labelled anomalies, if given; each a mean over its own."""
        x_hat, *a_hat = self.reconstructions(networks, x, *a)
        x_hat2, a_hat2 = None, [None] * len(a)
        if self.contextual:
            with auxiliary_norm(networks.generator):
                x_hat2, *a_hat2 = self.reconstructions(networks, x_hat, *a_hat)
        L, terms = self.normality_loss(networks, x, x_hat, x_hat2)
        for labelled in zip(a, a_hat, a_hat2, strict=True):
            L_a, more = self.anomaly_loss(networks, *labelled)
            L, terms = L + L_a, terms | more
        return L, terms

    def discriminator_loss(self, networks: Networks, x_hat: Tensor, x: Tensor, *a: Tensor) -> tuple[Tensor, Terms]:
        """Algorithm 1, lines 7 and 10: l_adv(ŷ, 0) + l_adv(y, 1), and l_adv(y, 0) of labelled anomalies."""
        (y, _), (y_hat, _) = networks.discriminator(x), networks.discriminator(x_hat)
        L_d = binary_loss(y_hat, real=False) + binary_loss(y, real=True)
        for anomalies in a:
            L_d = L_d + binary_loss(networks.discriminator(anomalies)[0], real=False)
        return L_d, {}

    def step(self, update: Update, x: Tensor) -> None:  # Algorithm 1
        a, labelled = [], update.run.anomalies
        if labelled is not None:  # all of them in an epoch, and 32 in a batch at least
            a = [update.anomalies(max(ANOMALIES, math.ceil(len(labelled) / update.batches)))]
        with torch.no_grad():
            x_hat = self.reconstructions(update.networks, x, *a)[0]  # line 3: by the weights before line 12
        update("generator", self.generator_loss, x, *a)  # line 12
        update("discriminator", self.discriminator_loss, x_hat, x, *a)  # line 13

    # ------------------------------------------------------------------ using it

    @property
    def decodes(self) -> bool:
        return self.generator == "naive"

    def encode_images(self, networks: Networks, x: Tensor) -> Tensor:
        return networks.generator.encoder(x)

    def decode_codes(self, networks: Networks, z: Tensor) -> Tensor:
        return networks.generator.decoder(z)

    def reconstruct_images(self, networks: Networks, x: Tensor) -> Tensor:
        return networks.generator(x)

    def score_images(self, networks: Networks, x: Tensor) -> Tensor:
        """Sec. 3.3.3: A(x) = ‖x − x̂‖₂, (B, C, H, W) -> (B,)."""
        return (x - networks.generator(x)).flatten(1).norm(dim=1)
