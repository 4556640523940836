"""LSA: an autoencoder whose code is read unit by unit, each guessed from those before it.

Abati, Porrello, Calderara, Cucchiara: Latent Space Autoregression for Novelty Detection. CVPR 2019.

An image can be novel in two ways: it cannot be remembered (the autoencoder reconstructs it badly), or it surprises
(its code is improbable among normal codes). For the second, no prior is imposed on the codes. An autoregressive
network estimates their density instead: p(z) = Π p(z_i given z_1 … z_i−1), each factor a histogram over 100 bins of
[0, 1]. It is trained beside the autoencoder, which its loss also pushes towards codes that are easy to predict.

| paper | here |
|---|---|
| f, g (encoder, decoder) | `networks.encoder`, whose last layer is a sigmoid, `networks.decoder` |
| h (estimator of p(z)) | `networks.estimator`, (B, d) -> (B, d, 100) logits |
| MFC of type A, B (masked fully connected) | `MaskedLinear` with own=False, own=True |
| L_REC, L_LLK, λ (Eq. 8) | `reconstruction`, `surprise`, `surprise_weight` |
| norm_S (Eq. 10), NS (Eq. 9) | `buffers_["low"]`, `buffers_["high"]`; −A(x) with score="novelty" |

Departures from the paper, where the released code is (for one-class sets) what tells most:
- norm_S scales each term by its extremes over a set S. The released code takes held-out normal images for S; here it is
  the training images, so that `fit` needs no others. It is a fixed scaling: a score does not depend on what else is
  scored. One contaminating image can set the scale, though; score="reconstruction" and "surprise" have none.
- A code between the centres of two bins counts for both, in proportion. In the paper it counts for the bin that it is
  in, and the score jumps at each edge, where rounding decides. As in the code, the target of the histograms is not
  differentiated: L_LLK reaches the encoder only through the units that others are predicted from.
- A dense autoencoder instead of a convolutional one with batch norm; pixels pass a sigmoid. 32 codes for 64, and two
  hidden layers of 8 units a code in the estimator for four of 32, whose 30 million weights are a GPU's. λ = 1 is the
  released code's default.

Measured (`python -m tests.bench_methods LSA`: protocol 2, epochs=20, seeds 0 to 2, one CPU thread, last epoch): AUROC
0.855 ± 0.055 on MNIST class 8 (published 0.953, by a convolutional network trained for far longer; PCA with 32
components 0.849) and 0.763 ± 0.067 on Fashion-MNIST's T-shirt.
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
PAPER = {"network": "conv", "latent_dim": 64, "estimator_widths": (32, 32, 32, 32)}  # released code


class MaskedLinear(nn.Linear):
    """A linear layer over units in order, some features each: a unit sees those before it, and itself if `own`.

    Parameters
    ----------
    units : int
        Number of units.
    n_in, n_out : int
        Features of each; those of a unit stand together.
    own : bool
        Whether a unit sees its own input: not in the first layer, where that is what is to be guessed.

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
    """Return h: codes (B, latent_dim) -> logits (B, latent_dim, BINS), the i-th of the codes before it alone."""
    layers: list[nn.Module] = []
    features = [1, *widths, BINS]
    for position, (n_in, n_out) in enumerate(zip(features[:-1], features[1:], strict=True)):
        layers += [MaskedLinear(latent_dim, n_in, n_out, own=position > 0), nn.LeakyReLU()]
    return nn.Sequential(*layers[:-1], nn.Unflatten(1, (latent_dim, BINS)))


@dataclass(kw_only=True, eq=False, repr=False)
class LSA(Autoencoder):
    """Latent space autoregression; A(x) is the reconstruction error and the code's surprise, each scaled, or one.

    Parameters
    ----------
    surprise_weight : float, at least 0
        λ.
    estimator_widths : tuple of int
        Features of each code unit in the estimator's hidden layers.
    score : {"novelty", "reconstruction", "surprise"}
        Both terms, or one: see the table in the file. It may be changed after `fit`.
    network, widths, activation, conv_width, epochs, batch_size, learning_rate, latent_dim, seed, device, precision
        See `Autoencoder`; `activation` cannot be "sigmoid", which follows the code here in any case.
    """

    latent_dim: int = 32  # see Departures
    surprise_weight: float = 1.0
    estimator_widths: tuple[int, ...] = (8, 8)  # see Departures
    score: str = "novelty"  # Eq. 9

    optimised = {"model": ("encoder", "decoder", "estimator")}

    def check(self) -> None:
        super().check()
        check_choice("LSA", "activation", self.activation, ["relu", "leaky_relu"])
        check_number("LSA", "surprise_weight", self.surprise_weight, 0, remedy="It is λ; 1 in the released code.")
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

    def surprise(self, networks: Networks, z: Tensor) -> Tensor:
        """Eq. 8: L_LLK = −log p(z) = −Σ log p(z_i given z_<i), in nats; (B, d) -> (B,)."""
        place = (z.detach().float() * BINS - 0.5).clamp(0, BINS - 1)  # 0 at the first bin's centre
        lower = place.long().clamp_max(BINS - 2)
        log_p = networks.estimator(z).float().log_softmax(2)  # (B, d, BINS)
        beside = log_p.gather(2, torch.stack([lower, lower + 1], 2))  # (B, d, 2)
        return -torch.lerp(beside[..., 0], beside[..., 1], place - lower).sum(1)

    def loss(self, networks: Networks, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. 8: L = L_REC + λ L_LLK, means over the batch."""
        z = networks.encoder(x)
        reconstruction, surprise = self.reconstruction(networks, x, z).mean(), self.surprise(networks, z).mean()
        terms = {"reconstruction": reconstruction, "surprise": surprise}
        return reconstruction + self.surprise_weight * surprise, terms

    def step(self, update: Update, x: Tensor) -> None:
        update("model", self.loss, x)

    def on_fit_end(self, run: TrainingState, images: Tensor) -> None:
        """Keep the extremes of both terms over the training images, the S of Eq. 10."""
        terms = apply_to_all(self.terms, run, images, self.batch_size)
        run.buffers["low"], run.buffers["high"] = terms.amin(0), terms.amax(0)  # (2,)

    # ------------------------------------------------------------------ score

    def terms(self, networks: Networks, x: Tensor) -> Tensor:
        """Return both terms of an image, L_REC and L_LLK, (B, C, H, W) -> (B, 2)."""
        z = networks.encoder(x)
        return torch.stack([self.reconstruction(networks, x, z), self.surprise(networks, z)], 1)

    def score_images(self, networks: Networks, x: Tensor) -> Tensor:
        """Eq. 9, turned over: A(x) = norm_S(L_REC) + norm_S(L_LLK), or one of them as it is."""
        terms = self.terms(networks, x)
        if self.score != "novelty":
            return terms[:, ["reconstruction", "surprise"].index(self.score)]
        low, high = self.buffers_["low"], self.buffers_["high"]
        return ((terms - low) / (high - low).clamp_min(1e-12)).sum(1)
