"""OLED: an autoencoder that restores what an adversary has covered.

Jewell, Reza Khazaie, Mohsenzadeh: One-Class Learned Encoder-Decoder Network with Adversarial Context Masking for
Novelty Detection. WACV 2022, arXiv:2103.14953. Released code: github.com/jewelltaylor/OLED ("the code").

A context autoencoder restores a covered part of the image, which it cannot do by copying; but random masks mostly
cover unimportant parts. Here a second network chooses the mask of each image: M gives each pixel an activation, and the
pixels with the highest ones are covered. M is trained to maximise the error of the reconstructor R, while R learns to
restore. M learns to cover what is hard to guess (strokes, on digits), and to restore it, R must know the normal class.

| the code | here |
|---|---|
| mask model M, activation map | `networks.mask` |
| encoder and decoder of the reconstructor R | `networks.encoder`, `networks.decoder` |
| percentile 87.5 of each map (threshold) | `mask_share`, the 0.125 above it |
| mask, 0 = covered | `covering` gives c = 1 − mask, 1 = covered |
| masked image, 0 where covered; here x̃ | `cover` |
| L_rec, L_mask = mean (x − R(x))², (x − R(x̃))² | `squared_error`, `restoring` |
| L_context = mean |c(x − R(x̃))|, its weight 12.5 | `restoring`, `context_weight` |
| −(L_mask + 12.5 L_context) of M | `mask_loss` |
| L_rec + L_mask + 12.5 L_context of R | `reconstruct_loss` |

Departures (we did not have the paper's text; what follows is about the released code for MNIST):
- Its images are in [−1, 1], ours in [0, 1]: covering with 0 there is `fill` = 0.5 here, and 12.5 is 6.25, because a
  squared error shrinks fourfold and an absolute one twofold. The loss of R is halved: without a mask it is the AE's.
- Its threshold is a quotient r / (r + 10⁻¹²), whose gradient nearly vanishes except at the threshold. Here
  exactly the share is covered, and M's gradient passes straight through to its map, standardised for each image: only
  the order of the pixels counts, so that scaling the map up has no effect.
- It trains M in every third epoch of 400 (CIFAR-10: every fourth, M on L_mask alone, weight 30); `mask_every` is 1
  here, because with 3 the few epochs that fit on a laptop are too few for M: on digits all images get the same mask.
- No batch norm, so that a mask does not depend on the other images of a batch; M ends without a ReLU, which makes
  ties, and is narrower. R has the same layers as our AE, DAE and ALCN. Adam has β = (0.9, 0.999), not (0.5, 0.9).
- The code scores in four ways: L_mask, L_rec and L_context of an image, and their mean after each was scaled by its
  extremes over the test set. That mean depends on the other test images, and is left out. The code keeps the epoch that
  is best on 300 normal and 90 anomalous images, for each score; we keep the last.
- The mask of a score is found in double precision on the CPU: in single precision, rounding, which depends on
  the batch, would decide between pixels with nearly equal activations.

Measured results: data/findings/oled.md.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from advad.checks import check_choice, check_number
from advad.engine.bases.autoencoder import Autoencoder
from advad.engine.training import Networks, Update
from advad.networks.losses import squared_error


def mask_module(image_shape: tuple[int, int, int], width: int) -> nn.Sequential:
    """Return M, (B, C, H, W) -> (B, 1, H, W): convolutions that halve the sides twice and upsample twice."""
    channels, height, across = image_shape
    half = ((height + 1) // 2, (across + 1) // 2)
    return nn.Sequential(
        *(nn.Conv2d(channels, width, 5, 2, 2), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(width, 2 * width, 5, 2, 2), nn.LeakyReLU(0.2)),
        *(nn.Upsample(half), nn.Conv2d(2 * width, width, 5, padding=2), nn.LeakyReLU(0.2)),
        *(nn.Upsample((height, across)), nn.Conv2d(width, 1, 5, padding=2)),
    )


@dataclass(kw_only=True, eq=False, repr=False)
class OLED(Autoencoder):
    """Autoencoder that restores adversarially covered images; A(x) is the error of the restored image.

    Parameters
    ----------
    mask_share : float
        Share of the pixels that a mask covers, in [0, 1); rounded to whole pixels. With 0 the detector is an AE.
    fill : float
        Value of covered pixels, in [0, 1].
    context_weight : float
        λ, the weight of the absolute error of the covered pixels; the squared error of all pixels has weight 1.
    mask_every : int
        M is trained in one of so many epochs, the first of them; in the others only R is, with the masks of that M.
    mask_width : int
        Feature maps of M's first level.
    score : {"masked", "clean", "covered"}
        L_mask, L_rec or L_context of an image. It may be changed after `fit`.
    network, widths, activation, conv_width, epochs, batch_size, learning_rate, latent_dim, seed, device, precision
        See `Autoencoder`; one learning rate for both optimised.
    """

    latent_dim: int = 64  # the code, for MNIST
    mask_share: float = 0.125
    fill: float = 0.5
    context_weight: float = 6.25
    mask_every: int = 1  # see Departures
    mask_width: int = 8  # the code: 32
    score: str = "masked"

    _paper_settings = {  # the code
        "MNIST": {
            **{"network": "conv", "conv_width": 64, "learning_rate": 5e-4, "epochs": 400, "batch_size": 1024},
            **{"mask_every": 3, "mask_width": 32},
        },
        "CIFAR10": {
            **{"network": "conv", "conv_width": 128, "latent_dim": 256, "learning_rate": 5e-4},
            **{"context_weight": 15.0, "mask_every": 4, "mask_width": 32},
        },
    }

    optimised = {"mask": ("mask",), "reconstructor": ("encoder", "decoder")}

    @property
    def smallest_side(self) -> int:
        return 2  # a mask needs pixels to leave uncovered

    def check(self) -> None:
        super().check()
        check_number("OLED", "mask_share", self.mask_share, 0, 1, ends="[)", remedy="It is the share that is covered.")
        check_number("OLED", "fill", self.fill, 0, 1, remedy="It is in pixel units of [0, 1].")
        check_number("OLED", "context_weight", self.context_weight, 0)
        check_number("OLED", "mask_every", self.mask_every, 1, integer=True)
        check_number("OLED", "mask_width", self.mask_width, 1, integer=True)
        check_choice("OLED", "score", self.score, ["masked", "clean", "covered"])

    def build(self, image_shape: tuple[int, int, int]) -> dict[str, nn.Module]:
        reconstructor = super().build(image_shape)  # first, so that it gets the initial weights of an AE
        return reconstructor | {"mask": mask_module(image_shape, self.mask_width)}

    def covering(self, activation: Tensor) -> Tensor:
        """Return c, 1 on the `mask_share` highest pixels of each map and 0 elsewhere; (B, 1, H, W), like the map.

        Forwards it is a constant; backwards ∂c/∂a is that of the map a, standardised for each image.
        """
        a = activation.flatten(1)
        covered = a.topk(round(self.mask_share * a.shape[1]), 1).indices
        c = torch.zeros_like(a).scatter(1, covered, 1.0)
        standard = (a - a.mean(1, keepdim=True)) / (a.std(1, keepdim=True) + 1e-6)
        return (c + (standard - standard.detach())).view_as(activation)

    def cover(self, x: Tensor, c: Tensor) -> Tensor:
        """Return x̃: `fill` where c is 1, x where it is 0; like x."""
        return x + c * (self.fill - x)

    def restoring(self, networks: Networks, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Return L_mask and L_context of each image, (B,) both: mean (x − R(x̃))² and mean |c(x − R(x̃))|."""
        y = self.reconstruct_images(networks, self.cover(x, c))
        return squared_error(x, y), (c * (x - y)).abs().flatten(1).mean(1)

    def mask_loss(self, networks: Networks, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return −(L_mask + λ L_context), and how far a pixel's c deviates from image to image.

        "mask_spread" is 0 where all images of a batch get one mask, √(share (1 − share)) where masks have nothing
        in common.
        """
        c = self.covering(networks.mask(x))
        L_mask, L_context = self.restoring(networks, x, c)
        spread = c.detach().var(0, correction=0).mean().sqrt()
        return -(L_mask + self.context_weight * L_context).mean(), {"mask_spread": spread}

    def reconstruct_loss(self, networks: Networks, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return (L_rec + L_mask + λ L_context) / 2, under the masks as they are now, and its three parts."""
        L_rec = squared_error(x, self.reconstruct_images(networks, x)).mean()
        each = self.restoring(networks, x, self.covering(networks.mask(x)).detach())
        L_mask, L_context = each[0].mean(), each[1].mean()
        terms = {"clean_error": L_rec, "masked_error": L_mask, "covered_error": L_context}
        return (L_rec + L_mask + self.context_weight * L_context) / 2, terms

    def step(self, update: Update, x: Tensor) -> None:
        if update.epoch % self.mask_every == 0:
            update("mask", self.mask_loss, x)
        update("reconstructor", self.reconstruct_loss, x)

    @torch.no_grad()
    def _covering_exactly(self, networks: Networks, x: Tensor) -> Tensor:
        """Return c, found in double precision; see Departures."""
        mask = copy.deepcopy(networks.mask).cpu().double()
        few = x.cpu().double().split(8)  # a convolution in double unfolds all images at once: 9 times as fast as 1,000
        return self.covering(torch.cat([mask(images) for images in few])).float().to(x.device)

    def term_images(self, networks: Networks, x: Tensor) -> dict[str, Tensor]:
        """Return L_mask, L_rec and L_context under the image's own mask, each (B,), by the names that `score` takes."""
        L_mask, L_context = self.restoring(networks, x, self._covering_exactly(networks, x))
        return {"masked": L_mask, "clean": super().score_images(networks, x), "covered": L_context}

    def score_images(self, networks: Networks, x: Tensor) -> Tensor:
        """Return A(x): L_mask, L_rec or L_context, as `score` says."""
        if self.score == "clean":  # needs no mask
            return super().score_images(networks, x)
        return self.term_images(networks, x)[self.score]

    def masks(self, X: ArrayLike | Tensor) -> np.ndarray:
        """Return each image's learned mask, ndarray of shape (N, 1, H, W), float32: 1 = covered, 0 = shown."""
        return self._in_batches(self._covering_exactly, self._images(X))

    def masked(self, X: ArrayLike | Tensor) -> np.ndarray:
        """Return the images under their learned masks, ndarray of shape (N, C, H, W), float32 in [0, 1]."""
        covered = lambda networks, x: self.cover(x, self._covering_exactly(networks, x))  # noqa: E731
        return self._in_batches(covered, self._images(X))
