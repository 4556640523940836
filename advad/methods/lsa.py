"""LSA: an autoencoder whose code units are predicted one after the other, each from those before it.

Abati, Porrello, Calderara, Cucchiara: Latent Space Autoregression for Novelty Detection. CVPR 2019.

An image can be novel in two ways: the autoencoder reconstructs it badly, or its code is improbable among the codes of
normal images ("surprise"). For the second, no prior is imposed on the codes. An autoregressive network estimates their
density instead: p(z) = Π p(z_i given z_1 … z_i−1), each factor a histogram over 100 bins of [0, 1]. It is trained
together with the autoencoder, and its loss also pushes the autoencoder towards codes that are easy to predict.

| paper | here |
|---|---|
| f, g (encoder, decoder) | `networks.encoder`, whose last layer is a sigmoid, `networks.decoder` |
| h (estimator of p(z)) | `networks.estimator`, (B, d) -> (B, d, 100) logits |
| MFC of type A, B (masked fully connected) | `MaskedLinear` with own=False, own=True |
| L_REC, L_LLK, λ (Eq. 8) | `reconstruction`, `surprise`, `surprise_weight` |
| norm_S (Eq. 10), NS (Eq. 9) | `buffers_["low"]`, `buffers_["high"]`; −A(x) with score="novelty" |

Departures from the paper, and from the released code for one-class sets, which states more details:
- norm_S scales each term by its extremes over a set S. The released code takes held-out normal images for S; here it is
  the training images, so that `fit` needs no others. The scaling is fixed: a score does not depend on which images are
  scored together. A single contaminating image can set the scale; score="reconstruction" and "surprise" have no scale.
- In the paper a code counts for the bin that it lies in, so that the score jumps at each edge of a bin, where rounding
  decides, and has no slope in between that leads there. density="interpolated", the default, interpolates log p between
  the centres of the two nearest bins: the score is continuous, and `score_tensor` has its true gradient, which attacks
  need. density="histogram" is the paper's.
- As in the released code, the loss does not differentiate the target of a histogram: L_LLK reaches the encoder only
  through the units that others are predicted from. The score differentiates both.
- A dense autoencoder instead of a convolutional one with batch norm; pixels pass a sigmoid. The code has 32 units
  instead of 64, and the estimator two hidden layers of 8 features per unit instead of four of 32, which would have 30
  million weights. λ = 1 is the released code's default.

Known limitation: the code saturates. After training nearly all units of all images lie at 0 or at 1, so that the
estimator sees a binary code and the 100 bins are hardly used. Measured results: data/findings/lsa.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advad.checks import check_choice, check_number, reject
from advad.engine.bases.autoencoder import Autoencoder
from advad.engine.training import Networks, TrainingState, Update, apply_to_all

BINS = 100  # Sec. 3.1


class MaskedLinear(nn.Linear):
    """A linear layer over ordered units, each with several features; a unit sees the units before it.

    (B, units · n_in) -> (B, units · n_out); the features of a unit are adjacent.

    Parameters
    ----------
    units : int
        Number of units.
    n_in, n_out : int
        Features of each unit in the input and in the output.
    own : bool
        Whether a unit also sees its own input. The first layer must not: there, that input is the value to predict.

    Source : Abati et al. 2019, Sec. 3.2 (MFC, type A and B).
    """

    mask: Tensor

    def __init__(self, units: int, n_in: int, n_out: int, own: bool):
        super().__init__(units * n_in, units * n_out)
        seen = torch.ones(units, units).tril(0 if own else -1)  # (unit out, unit in)
        self.register_buffer("mask", seen.repeat_interleave(n_out, 0).repeat_interleave(n_in, 1), persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight * self.mask, self.bias)


def estimator(latent_dim: int, widths: tuple[int, ...]) -> nn.Sequential:
    """Return h, codes (B, latent_dim) -> logits (B, latent_dim, BINS); unit i depends on units before i only."""
    layers: list[nn.Module] = []
    features = [1, *widths, BINS]
    for position, (n_in, n_out) in enumerate(zip(features[:-1], features[1:], strict=True)):
        layers += [MaskedLinear(latent_dim, n_in, n_out, own=position > 0), nn.LeakyReLU()]
    return nn.Sequential(*layers[:-1], nn.Unflatten(1, (latent_dim, BINS)))


@dataclass(kw_only=True, eq=False, repr=False)
class LSA(Autoencoder):
    """Latent space autoregression; A(x) is the sum of the scaled reconstruction error and the scaled surprise.

    Parameters
    ----------
    surprise_weight : float, at least 0
        λ, the weight of L_LLK in the loss.
    estimator_widths : tuple of int
        Features of each code unit in the estimator's hidden layers.
    density : {"interpolated", "histogram"}
        How log p of a code unit is read from the 100 bins: interpolated between their centres, or that of the unit's
        bin, as in the paper. See Departures.
    score : {"novelty", "reconstruction", "surprise"}
        Both terms, scaled and added (Eq. 9), or one of them without scaling. It may be changed after `fit`.
    network, widths, activation, conv_width, epochs, batch_size, learning_rate, latent_dim, seed, device, precision
        See `Autoencoder`; `activation` cannot be "sigmoid", which follows the code here in any case.
    """

    latent_dim: int = 32  # see Departures
    surprise_weight: float = 1.0
    estimator_widths: tuple[int, ...] = (8, 8)  # see Departures
    density: str = "interpolated"  # paper: "histogram"
    score: str = "novelty"  # Eq. 9

    former_values = {**Autoencoder.former_values, "density": "interpolated"}
    _paper_settings = {  # released code; epochs are not given
        "MNIST": {
            **{"network": "conv", "latent_dim": 64, "estimator_widths": (32, 32, 32, 32), "density": "histogram"},
        },
    }

    optimised = {"model": ("encoder", "decoder", "estimator")}

    def check(self) -> None:
        super().check()
        check_choice("LSA", "activation", self.activation, ["relu", "leaky_relu"])
        check_number("LSA", "surprise_weight", self.surprise_weight, 0, remedy="It is λ; 1 in the released code.")
        check_choice("LSA", "density", self.density, ["interpolated", "histogram"])
        check_choice("LSA", "score", self.score, ["novelty", "reconstruction", "surprise"])
        widths, remedy = self.estimator_widths, "For example (8, 8)."
        if not isinstance(widths, (tuple, list)) or not widths:
            reject("LSA", "estimator_widths", "be a tuple of whole numbers", widths, remedy, TypeError)
        for width in widths:
            check_number("LSA", "each of estimator_widths", width, 1, integer=True)

    def build(self, image_shape: tuple[int, int, int]) -> dict[str, nn.Module]:
        networks = super().build(image_shape)
        encoder = networks["encoder"]
        assert isinstance(encoder, nn.Sequential)
        networks["encoder"] = nn.Sequential(*encoder, nn.Sigmoid())
        return networks | {"estimator": estimator(self.latent_dim, tuple(self.estimator_widths))}

    # ------------------------------------------------------------------ training

    def reconstruction(self, networks: Networks, x: Tensor, z: Tensor) -> Tensor:
        """Eq. 8: L_REC = ‖x − g(z)‖², a sum over the pixels; (B, C, H, W) and (B, d) -> (B,)."""
        return (x - networks.decoder(z)).square().flatten(1).sum(1)

    def surprise(self, networks: Networks, z: Tensor, target: Tensor) -> Tensor:
        """Eq. 8: L_LLK = −log p(z) = −Σ log p(z_i given z_<i), in nats; (B, d) -> (B,).

        Parameters
        ----------
        networks : Networks
            With the `estimator`.
        z : Tensor of shape (B, d)
            The codes that the estimator predicts from.
        target : Tensor of shape (B, d)
            The same codes, whose probability it is: `z` itself in the score, `z.detach()` in the loss.
        """
        log_p = networks.estimator(z)
        log_p = log_p.to(torch.promote_types(log_p.dtype, torch.float32)).log_softmax(2)  # (B, d, BINS)
        place = (target.to(log_p.dtype) * BINS - 0.5).clamp(0, BINS - 1)  # 0 at the first bin's centre
        if self.density == "histogram":
            inside = (target.detach() * BINS).long().clamp(0, BINS - 1)
            return -log_p.gather(2, inside[..., None])[..., 0].sum(1)
        lower = place.detach().long().clamp_max(BINS - 2)
        beside = log_p.gather(2, torch.stack([lower, lower + 1], 2))  # (B, d, 2)
        return -torch.lerp(beside[..., 0], beside[..., 1], place - lower).sum(1)

    def loss(self, networks: Networks, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. 8: L = L_REC + λ L_LLK, means over the batch."""
        z = networks.encoder(x)
        reconstruction = self.reconstruction(networks, x, z).mean()
        surprise = self.surprise(networks, z, z.detach()).mean()
        terms = {"reconstruction": reconstruction, "surprise": surprise}
        return reconstruction + self.surprise_weight * surprise, terms

    def step(self, update: Update, x: Tensor) -> None:
        update("model", self.loss, x)

    def on_fit_end(self, run: TrainingState, images: Tensor) -> None:
        """Keep the extremes of both terms over the training images, the S of Eq. 10."""
        terms = apply_to_all(self.both_terms, run, images, self.batch_size)
        run.buffers["low"], run.buffers["high"] = terms.amin(0), terms.amax(0)  # (2,)

    # ------------------------------------------------------------------ score

    def term_images(self, networks: Networks, x: Tensor) -> dict[str, Tensor]:
        """Return L_REC and L_LLK, not scaled, each (B,)."""
        z = networks.encoder(x)
        return {"reconstruction": self.reconstruction(networks, x, z), "surprise": self.surprise(networks, z, z)}

    def both_terms(self, networks: Networks, x: Tensor) -> Tensor:
        """Return L_REC and L_LLK in this order, (B, C, H, W) -> (B, 2)."""
        return torch.stack(list(self.term_images(networks, x).values()), 1)

    def score_images(self, networks: Networks, x: Tensor) -> Tensor:
        """Eq. 9 with the sign of an anomaly score: A(x) = norm_S(L_REC) + norm_S(L_LLK), or one term alone."""
        if self.score != "novelty":
            return self.term_images(networks, x)[self.score]
        low, high = self.buffers_["low"], self.buffers_["high"]
        return ((self.both_terms(networks, x) - low) / (high - low).clamp_min(1e-12)).sum(1)
