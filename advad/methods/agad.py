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
| L_con, −L_adcon (Eqs. 6, 8) | `pixel_distance` |
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

Measured (MNIST class 8, protocol 2, last epoch, evaluation mode, one CPU thread of a busy machine):
- Defaults with epochs=10, 5,266 images, seeds 0 to 2: AUROC **0.567 ± 0.273**; published 0.958, PCA with 32 components
  0.849. Two causes. A code of 100 copies: on 2,000 test images seed 0 falls from 0.871 after 2 epochs to 0.726, without
  `contextual` to 0.611 (`auxiliary_norm` 0.711; with latent_dim=16, 0.846). And x̂ comes so near to x that G takes one
  for the other: from epoch 8 to 10 of seed 2, A(x) of normal test images rises from 6.0 to 13.1, A(x̂) falls from 12.0
  to 7.6, and AUROC from 0.70 to 0.27. It is not batch norm: in training mode it is 0.27, too.
- Pseudo-anomalies do fail: A(x̂) is 17.2 where A(x) of normals is 6.1; without `contextual` 1.0 and 3.7 (seed 0).
- UNet (1,000 images, width 8, 16 codes, 15 epochs): 0.26, below chance: it copies, and errors grow with the ink.
- Labels (1,200 images, width 8, 16 codes, batches of 32, 10 epochs, seed 0; lesson 07): 60 of the digits 0 to 2 take
  AUROC against these from 0.746 to 0.973 and against the others from 0.860 to 0.894; without `contextual` from 0.745
  to 0.930 and from 0.915 to 0.726; fail_on="input" 0.989 and 0.895; logistic regression on pixels 0.979 and 0.797.
- The lowest mean loss of D in an epoch was 0.006: a reset at 1e-5 would have been far off.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from advad.checks import check_choice, check_number, reject
from advad.engine.bases.reconstruction_gan import ReconstructionGAN
from advad.engine.training import Networks, Update
from advad.networks.batch_norm import TwinBatchNorm2d, auxiliary_norm, frozen_norm
from advad.networks.dcgan import Discriminator, dcgan_generator
from advad.networks.losses import binary_loss, feature_distance, pixel_distance
from advad.networks.unet import UNet

ANOMALIES = 32  # Sec. 3.3.2: "at least 32 anomaly data" in a batch
EPSILON = 1e-2  # of the reciprocals; see Departures
PAPER = {"conv_width": 64, "batch_size": 256}  # Table 7; Sec. 4.2. Epochs are not given

Loss = tuple[Tensor, dict[str, Tensor]]  # the scalar to minimise, and terms to log


def reciprocal(loss: Tensor) -> Tensor:
    """Eq. 10: 1 / loss, but finite where the loss is 0."""
    return 1 / (loss + EPSILON)


@dataclass(kw_only=True, eq=False, repr=False)
class AGAD(ReconstructionGAN):
    """Adversarial generative anomaly detection; A(x) = ‖x − G(x)‖₂. Learns from labelled anomalies, if there are any.

    Parameters
    ----------
    generator : {"naive", "unet", "unet++"}
        An encoder and a decoder; the same with skip connections, or nested ones, which cannot `decode`.
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
    conv_width, epochs, batch_size, learning_rate, latent_dim, seed, device, precision
        See `ReconstructionGAN` and `Detector`.
    """

    generator: str = "naive"  # Appendix B.1, for MNIST; "unet++" for the rest
    contextual: bool = True
    fail_on: str = "reconstruction"  # Algorithm 1
    adversarial_weight: float = 1.0  # Sec. 4.2
    reconstruction_weight: float = 50.0
    contextual_weight: float = 15.0
    latent_weight: float = 5.0
    auxiliary_norm: bool = False  # Table 5
    freeze_norm: bool = False  # Table 5

    uses_labels = True

    def check(self) -> None:
        super().check()
        check_choice("AGAD", "generator", self.generator, ["naive", "unet", "unet++"])
        check_choice("AGAD", "fail_on", self.fail_on, ["reconstruction", "input"])
        for name in ("contextual", "auxiliary_norm", "freeze_norm"):
            check_choice("AGAD", name, getattr(self, name), [True, False])
        for name in ("adversarial_weight", "reconstruction_weight", "contextual_weight", "latent_weight"):
            check_number("AGAD", name, getattr(self, name), 0)
        if self.auxiliary_norm and not self.contextual:
            reject("AGAD", "auxiliary_norm", "be False without contextual", True, "It is for x̂, which G is not shown.")

    def build(self, image_shape: tuple[int, int, int]) -> dict[str, nn.Module]:
        norm = TwinBatchNorm2d if self.auxiliary_norm else nn.BatchNorm2d
        layout = (image_shape, self.latent_dim, self.conv_width, norm)
        if self.generator == "naive":
            generator: nn.Module = dcgan_generator(*layout)
        else:
            generator = UNet(*layout, nested=self.generator == "unet++")
        return {"generator": generator, "discriminator": Discriminator(image_shape, self.conv_width)}

    def reconstructions(self, networks: Networks, x: Tensor, *a: Tensor) -> list[Tensor]:
        """Return x̂ = G(x), and G(a) of labelled anomalies, if given: in one batch, or apart with `freeze_norm`."""
        G = networks.generator
        if not (a and self.freeze_norm):
            return list(G(torch.cat([x, *a])).split([len(images) for images in (x, *a)]))
        with frozen_norm(G):
            a_hat = G(*a)
        return [G(x), a_hat]

    def normality_loss(self, networks: Networks, x: Tensor, x_hat: Tensor, x_hat2: Tensor | None) -> Loss:
        """Eq. 9, Algorithm 1, line 6: λ_adv l_adv(ŷ, 1) + λ_con |x − x̂| + λ_lat |z − ẑ| − λ_adcon |x̂ − x̂'|."""
        (_, z), (y_hat, z_hat) = networks.discriminator(x), networks.discriminator(x_hat)
        L_adv, L_con, L_lat = (
            binary_loss(y_hat, True),
            pixel_distance(x, x_hat),
            feature_distance(z, z_hat),
        )
        L_n = self.adversarial_weight * L_adv + self.reconstruction_weight * L_con + self.latent_weight * L_lat
        terms = {"adversarial": L_adv, "reconstruction": L_con, "latent": L_lat}
        if x_hat2 is not None:
            terms["contextual"] = pixel_distance(x_hat, x_hat2)
            L_n = L_n - self.contextual_weight * terms["contextual"]  # Eq. 8
        return L_n, terms

    def anomaly_loss(self, networks: Networks, a: Tensor, a_hat: Tensor, a_hat2: Tensor | None) -> Loss:
        """Algorithm 1, line 9: λ_adv / l_adv(ŷ, 0) + λ_lat / |z − ẑ| + λ_adcon / |x̂ − x̂'|, or / |x − x̂| (Eq. 3)."""
        (_, z), (y_hat, z_hat) = networks.discriminator(a), networks.discriminator(a_hat)
        L_adv, L_lat = binary_loss(y_hat, real=False), feature_distance(z, z_hat)
        L_a = self.adversarial_weight * reciprocal(L_adv) + self.latent_weight * reciprocal(L_lat)
        terms = {
            "anomaly_adversarial": L_adv,
            "anomaly_latent": L_lat,
            "anomaly_reconstruction": pixel_distance(a, a_hat),
        }
        if a_hat2 is not None:
            terms["anomaly_contextual"] = pixel_distance(a_hat, a_hat2)
        failing = terms.get("anomaly_contextual" if self.fail_on == "reconstruction" else "anomaly_reconstruction")
        if failing is not None:
            L_a = L_a + self.contextual_weight * reciprocal(failing)
        return L_a, terms

    def generator_loss(self, networks: Networks, x: Tensor, *a: Tensor) -> Loss:
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

    def discriminator_loss(self, networks: Networks, x_hat: Tensor, x: Tensor, *a: Tensor) -> Loss:
        """Algorithm 1, lines 7 and 10: l_adv(ŷ, 0) + l_adv(y, 1), and l_adv(y, 0) of labelled anomalies."""
        L_d, _ = super().discriminator_loss(networks, x_hat, x)
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

    @property
    def decodes(self) -> bool:
        return self.generator == "naive"

    def score_images(self, networks: Networks, x: Tensor) -> Tensor:
        """Sec. 3.3.3: A(x) = ‖x − x̂‖₂, (B, C, H, W) -> (B,)."""
        return (x - networks.generator(x)).flatten(1).norm(dim=1)
