"""Deep SVDD: map normal images into as small a sphere as possible; what lands outside is anomalous.

Ruff, Vandermeulen, Görnitz, Deecke, Siddiqui, Binder, Müller, Kloft: Deep One-Class Classification. ICML 2018.

Support vector data description puts the smallest sphere around the data in a fixed feature space. Here a network
learns the space: its weights are trained to bring the codes of normal images close to a centre c that is set once and
never trained. To do so, it must find what normal images have in common. The hard objective penalises every distance;
the soft one lets a share ν of the images lie outside a radius R. Three rules keep the network from mapping everything
to c: no bias, no bounded activation, no coordinate of c near zero (see `Hypersphere`).

| paper | here |
|---|---|
| φ(x; W) | `networks.encoder`, without any bias |
| c | `buffers_["centre"]`, from a pass of the pre-trained network |
| R | `buffers_["radius"]` |
| ν, λ | `nu`, `weight_decay` |
| soft-boundary Deep SVDD (Eq. 3) | `soft_loss` |
| One-Class Deep SVDD (Eq. 4) | `hard_loss` |
| s(x) (Eq. 5) | `score_images` |

Departures from the paper:
- One learning rate, 1e-4; the paper goes on at 1e-5 for the last 100 epochs of either stage. The default epochs are
  fewer, so that training fits on a laptop; `paper_settings` has the paper's.
- R: the paper solves for it every few epochs over all images, the released code after each batch, as the quantile
  of the batch. We do the latter, but before the network's step, from a first R over all images; the released code
  begins with R = 0. In both, no gradient flows through R.
- Images stay in [0, 1]; the paper normalises each image's contrast (its mean absolute deviation), then the range.
- The released code leaves a coordinate of c at zero if it is exactly zero. Here no coordinate is nearer than 0.1.
- The decoder begins with a linear layer; the released code folds the code vector itself into small maps. The decoder
  is used in pre-training only.
- s(x) does not subtract R² in the soft case: it would shift all scores alike.

Measured results: data/findings/deep_svdd.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from advad.checks import check_choice, check_number
from advad.engine.bases.hypersphere import Hypersphere
from advad.engine.training import Networks, TrainingState, Update, apply_to_all


@dataclass(kw_only=True, eq=False, repr=False)
class DeepSVDD(Hypersphere):
    """Deep support vector data description; A(x) is the squared distance of the code from the centre.

    Parameters
    ----------
    boundary : {"hard", "soft"}
        "hard": every distance counts (Eq. 4); "soft": only what lies outside R (Eq. 3).
    nu : float in (0, 1]
        ν, the share of the training images that the soft boundary leaves outside. Not used by "hard".
    pretrain_epochs, epochs, conv_widths, weight_decay
        See `Hypersphere`.
    batch_size, learning_rate, latent_dim, seed, device, precision
        See `Detector`.
    """

    boundary: str = "hard"  # the better one in Table 1
    nu: float = 0.1  # Sec. 4: 0.01 or 0.1

    _paper_settings = {  # Sec. 4; the paper runs the last 100 epochs of each stage at a tenth of the learning rate
        "MNIST": {"pretrain_epochs": 350, "epochs": 250},
        "CIFAR10": {"pretrain_epochs": 350, "epochs": 250, "conv_widths": (32, 64, 128), "latent_dim": 128},
    }
    _laptop_settings = {  # the defaults: 100 s on one thread of a processor
        "MNIST": {"pretrain_epochs": 40, "epochs": 60},
        "FashionMNIST": {"pretrain_epochs": 40, "epochs": 60},
    }

    def check(self) -> None:
        super().check()
        check_choice("DeepSVDD", "boundary", self.boundary, ["hard", "soft"])
        check_number("DeepSVDD", "nu", self.nu, 0, 1, ends="(]", remedy="It is the share left outside.")

    def find_centre(self, run: TrainingState, images: Tensor) -> None:
        super().find_centre(run, images)
        codes = apply_to_all(self.encode_images, run, images, self.batch_size)
        run.buffers["radius"] = self.radius((codes - run.buffers["centre"]).square().sum(1))

    def radius(self, distance: Tensor) -> Tensor:
        """Return the R that minimises Eq. 3 for given weights: R² is the (1 − ν)-quantile of the squared distances."""
        return distance.detach().float().quantile(1 - self.nu).sqrt()

    def soft_loss(self, networks: Networks, x: Tensor, c: Tensor, R: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. 3: R² + (1/ν) mean of max(0, ‖φ(x; W) − c‖² − R²); the optimiser adds λ/2 ‖W‖²."""
        outside = (self.distance(networks, x, c) - R.square()).clamp_min(0)
        return R.square() + outside.mean() / self.nu, {"radius": R, "outside": (outside > 0).float().mean()}

    def hard_loss(self, networks: Networks, x: Tensor, c: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. 4: the mean of ‖φ(x; W) − c‖²; the optimiser adds λ/2 ‖W‖²."""
        return self.distance(networks, x, c).mean(), {}

    def step(self, update: Update, x: Tensor) -> None:
        buffers = update.run.buffers
        if self.boundary == "hard":
            update("encoder", self.hard_loss, x, buffers["centre"])
        else:  # Sec. 3.2: in turn R, given the weights, and the weights, given R
            with torch.no_grad():
                buffers["radius"] = self.radius(self.distance(update.networks, x, buffers["centre"]))
            update("encoder", self.soft_loss, x, buffers["centre"], buffers["radius"])
