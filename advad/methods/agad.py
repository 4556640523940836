"""AGAD: a generator that reconstructs normal images, and is trained to fail on its own reconstructions.

Shi, Zhang: AGAD: Adversarial Generative Anomaly Detection. 2023.

A reconstructing network is trained to reconstruct, not to detect. AGAD takes the reconstruction of a normal image for
an anomaly ("pseudo-anomaly"): G must reconstruct x, but must not reconstruct its own x̂ = G(x) ("contextual adversarial
information"). If a few anomalies are labelled, they take part with inverted losses: G must fail on them. A
discriminator D judges whether reconstructions look real, and a distance between its features is one of the losses.

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

Departures from the paper, and contradictions within it:
- **Signs.** Eq. 10 divides by L_adv of Eq. 5, which is negative: its reciprocal has no lower bound. Algorithm 1 divides
  by the cross-entropy l_adv(ŷ, 0) > 0, so that the x̂ of an anomaly must pass for real, and we follow it. λ/(−L_adcon)
  in Eq. 10 and −λ/l_adcon in Algorithm 1 are the same, since L_adcon is negative (Eq. 8).
- **What must fail on an anomaly.** Eq. 3 maximises |x − x̂|, as Sec. 3.2 says, but Eq. 10 and Algorithm 1 have
  |x̂ − x̂'| in its place. `fail_on="reconstruction"` is as printed, `fail_on="input"` is Eq. 3.
- **Bounds.** −λ|x̂ − x̂'| has no lower bound unless pixels are bounded: a sigmoid bounds them, so |x̂ − x̂'| ≤ 1; in
  Table 7 the output is linear. The reciprocals are 1/(l + ε) with ε = 0.01. L_lat is divided by √n for n features, so
  that λ_lat has the same effect at all sizes.
- **Resetting D.** Algorithm 1 requires a threshold δ "to reset θ_d", gives no value, and never uses it. There is no
  reset here: it would erase the features of L_lat. GANomaly's code resets at a loss of 1e-5.
- **Batch norm.** Normal images and anomalies pass G in one batch (Sec. 3.3.2), x̂ in a second one, and D sees each
  kind apart. `auxiliary_norm` (Table 5, "Adv Prop") gives x̂ statistics and scales of its own; `freeze_norm` ("Freeze
  BN") lets anomalies pass by the running statistics. Scores use the running statistics, in evaluation mode.
- **Size of the images.** The paper resizes all images to 32×32 (Sec. 4.1): `load("MNIST", size=32)`. At 28×28 the
  networks have one level less. At 32×32, with three channels and the settings of `paper_settings`, the generators have
  2.14, 7.76 and 9.05 million parameters; Table 8 says 2.04 (2.04 · 2²⁰ is 2.14 million), 7.76 and 9.04.
- **UNets.** Table 8's 7.76 and 9.04 million are those of Zhou et al. 2018, two 3×3 convolutions a node, which are built
  here with batch norm after each convolution and without dropout; Fig. 5 shows other nodes (ReLU, Conv, BatchNorm).
- The default generator is the naive one for all data, and its `conv_width` and `batch_size` are 16 and 64 instead of 64
  and 256, chosen so that training fits on a laptop; the paper has UNet++ outside MNIST. β₁ = 0.5 as in DCGAN. Pixels
  stay in [0, 1]; the paper normalises them.

Measured results, first of all that AUROC on MNIST 8 is best after one epoch: data/findings/agad.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from advad.checks import check_choice, check_number, reject
from advad.engine.bases.reconstruction_gan import ReconstructionGAN
from advad.engine.training import Networks, Update
from advad.networks.batch_norm import AuxiliaryBatchNorm2d, auxiliary_norm, frozen_norm
from advad.networks.dcgan import Discriminator, dcgan_generator
from advad.networks.losses import binary_loss, feature_distance, pixel_distance
from advad.networks.unet import UNet

ANOMALIES = 32  # Sec. 3.3.2: "at least 32 anomaly data" in a batch
EPSILON = 1e-2  # of the reciprocals; see Departures
BLOCKS = 2  # of D; Sec. 3.3.1

Loss = tuple[Tensor, dict[str, Tensor]]  # the scalar to minimise, and terms to log


def reciprocal(loss: Tensor) -> Tensor:
    """Eq. 10: 1 / loss, but finite where the loss is 0."""
    return 1 / (loss + EPSILON)


@dataclass(kw_only=True, eq=False, repr=False)
class AGAD(ReconstructionGAN):
    """Adversarial generative anomaly detection; A(x) = ‖x − G(x)‖₂. It learns from labelled anomalies, if given.

    Parameters
    ----------
    generator : {"naive", "unet", "unet++"}
        An encoder and a decoder, U-Net or U-Net++. The last two cannot `decode`, and their code has `latent_dim` units
        because their smallest level has so many maps (512 in the paper).
    contextual : bool
        Whether the losses include x̂' = G(x̂), the contextual adversarial loss (Tables 3 and 4, with and without).
    fail_on : {"reconstruction", "input"}
        Which error labelled anomalies maximise: |x̂ − G(x̂)| as printed (needs `contextual`), or |x − x̂|.
    adversarial_weight, reconstruction_weight, contextual_weight, latent_weight : float
        λ_adv, λ_con, λ_adcon, λ_lat, at least 0.
    auxiliary_norm : bool
        Whether G normalises x̂ by separate statistics and scales; needs `contextual`.
    freeze_norm : bool
        Whether G normalises labelled anomalies by its running statistics, which they then do not change.
    conv_width, epochs, batch_size, learning_rate, latent_dim, seed, device, precision
        See `ReconstructionGAN` and `Detector`.
    """

    generator: str = "naive"  # Appendix B.1, for MNIST; "unet++" for the other data sets
    contextual: bool = True
    fail_on: str = "reconstruction"  # Algorithm 1
    adversarial_weight: float = 1.0  # Sec. 4.2
    reconstruction_weight: float = 50.0
    contextual_weight: float = 15.0
    latent_weight: float = 5.0
    auxiliary_norm: bool = False  # Table 5
    freeze_norm: bool = False  # Table 5

    uses_labels = True
    auto_bfloat16 = False  # no faster in bfloat16: data/findings/precision.md
    # Sec. 4.2, Table 7, Appendix B.1, for images resized to 32×32; epochs are not given
    _paper_settings = {
        "MNIST": {"generator": "naive", "conv_width": 64, "batch_size": 256},
        **{
            name: {"generator": "unet++", "conv_width": 64, "latent_dim": 512, "batch_size": 256}
            for name in ("FashionMNIST", "CIFAR10", "CIFAR100")
        },
    }

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
        norm = AuxiliaryBatchNorm2d if self.auxiliary_norm else nn.BatchNorm2d
        layout = (image_shape, self.latent_dim, self.conv_width, norm)
        if self.generator == "naive":
            generator: nn.Module = dcgan_generator(*layout)
        else:
            generator = UNet(*layout, nested=self.generator == "unet++")
        discriminator = Discriminator(image_shape, self.conv_width, blocks=BLOCKS, first_norm=True)
        return {"generator": generator, "discriminator": discriminator}

    def reconstructions(self, networks: Networks, x: Tensor, *a: Tensor) -> list[Tensor]:
        """Return x̂ = G(x), and G(a) of labelled anomalies a, if given: in one batch, or in two with `freeze_norm`."""
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
        """Eq. 11: L_n of normal images plus L_a of labelled anomalies, if given; each is a mean over its own images."""
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
        if labelled is not None:  # on average all of them in an epoch, and at least 32 in a batch
            a = [update.anomalies(max(ANOMALIES, math.ceil(len(labelled) / update.batches)))]
        with torch.no_grad():
            x_hat = self.reconstructions(update.networks, x, *a)[0]  # line 3: with the weights from before line 12
        update("generator", self.generator_loss, x, *a)  # line 12
        update("discriminator", self.discriminator_loss, x_hat, x, *a)  # line 13

    @property
    def decodes(self) -> bool:
        return self.generator == "naive"

    def score_images(self, networks: Networks, x: Tensor) -> Tensor:
        """Sec. 3.3.3: A(x) = ‖x − x̂‖₂, (B, C, H, W) -> (B,)."""
        return (x - networks.generator(x)).flatten(1).norm(dim=1)

    # ------------------------------------------------------------------ on disk

    @classmethod
    def from_state(cls, tensors: dict[str, Tensor], metadata: dict[str, Any], device: str | None = None) -> Self:
        """Load as every detector does, and files of version 0.1, whose D had no batch norm in its first block.

        Such a file gets an untrained D, which no score uses. Its U-Nets were built of DCGAN's blocks; those of the
        paper's Table 8 have 7.76 M and 9.04 M weights, as the original ones have, and so they were exchanged.
        """
        if "networks.discriminator.features.0.1.weight" not in tensors:
            if metadata["parameters"].get("generator") != "naive":
                raise ValueError(
                    "AGAD: the U-Nets of version 0.1 were built of DCGAN's blocks. Now they are the original ones, as "
                    "in the paper, and the file's weights fit no network. Version 0.1 of advad loads it still"
                )
            shape, width = tuple(metadata["image_shape"]), metadata["parameters"]["conv_width"]
            untrained = Discriminator(shape, width, blocks=BLOCKS, first_norm=True).state_dict()
            tensors = {name: t for name, t in tensors.items() if not name.startswith("networks.discriminator.")}
            tensors |= {f"networks.discriminator.{name}": tensor for name, tensor in untrained.items()}
        return super().from_state(tensors, metadata, device)
