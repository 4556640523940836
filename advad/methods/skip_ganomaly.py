"""Skip-GANomaly: a UNet reconstructs, a discriminator judges, and both errors make the score.

Akçay, Atapour-Abarghouei, Breckon: Skip-GANomaly: Skip Connected and Adversarially Trained Encoder-Decoder Anomaly
Detection. IJCNN 2019.

The authors' GANomaly (`ganomaly.py`) forces an image through a code; here G is a UNet, whose skip connections hand the
encoder's maps to the decoder, for sharper images. The second encoder is gone: the features f of the discriminator D
take its place, in the training and in the score.

| paper | here |
|---|---|
| G, x̂ = G(x) | `networks.generator`, `x_hat` |
| D; f(x), its last convolutional layer | `networks.discriminator`, which returns logits and features |
| L_adv = log D(x) + log(1 − D(x̂)), the GAN's own game | G: `binary_loss`; D: `ReconstructionGAN.discriminator_loss` |
| L_con = ‖x − x̂‖₁ | `pixel_distance` |
| L_lat = ‖f(x) − f(x̂)‖₂, feature matching | `feature_distance` |
| λ_adv, λ_con, λ_lat | `adversarial_weight`, `reconstruction_weight`, `latent_weight` |
| A(x) = λ R(x) + (1 − λ) L(x); R is L_con of x, L is L_lat of x | `score_images`, `score_terms` |
| λ | `score_weight` |

So feature matching is a loss of its own here (L_lat); in GANomaly it *is* L_adv, and D's verdict never reaches G.

Departures from the paper, and from its released code (equations by name: the paper was not at hand, its code was):
- **G's game.** G descends −log D(x̂), as in the code, not log(1 − D(x̂)), whose gradient fades where D wins.
- **D's loss.** The code adds L_lat to D's loss as well, which asks D to see no difference between x and x̂. Not here: D
  plays L_adv alone, as in the paper.
- **Norms.** R and L are mean squares in the code; here they are the paper's norms, R a mean over pixels and L divided
  by √n for n features, so that λ = 0.9 weighs the error of one pixel against that of one feature.
- **λ_con** is 40 in the paper, and 50 by default in the code.
- **Evaluation.** As GANomaly's, the code scores in batch norm's training mode, keeps the best test epoch, resets D
  below a loss of 1e-5 and scales scores by the test set's extremes. Here: evaluation mode, last epoch, none of these.
- The UNet has a code of `latent_dim` under maps of 4 to 7 pixels a side; theirs halves down to one pixel. Pixels stay
  in [0, 1] (a sigmoid, not tanh), images keep their size; width 16 instead of 64: a laptop's.

Measured (one class normal, protocol 2, 5,266 images of MNIST's 8 and 5,400 of Fashion's T-shirt, all test images, last
epoch, epochs=8, conv_width=8, learning_rate=1e-3, seeds 0 to 2, one CPU thread of a busy machine, 39 CPU seconds each;
`python -m tests.bench_methods SkipGANomaly`):
- AUROC **0.377 ± 0.074** on MNIST's 8, below chance; PCA with 32 components has 0.849, GANomaly at the same settings
  0.922. On Fashion 0.777 ± 0.036 (GANomaly 0.875). Published figures are for other data and protocols.
- Why: the UNet copies. On 200 of its own training images (seed 0), a code of zeros raises the mean |x − x̂| from 0.0160
  to 0.0173 only: the image passes beside the code. A copier errs where there is ink: R is 0.0161 for test images of 8,
  and 0.0140 for the other digits, which have less of it; per mean pixel it is 0.114 and 0.116 (AUROC 0.53). Alone, R
  has 0.339 and L 0.565: D's features see a little more than the pixels do.
- It copies strokes, not anything: those 200 images with their 7×7 blocks rearranged have R 0.037, and A tells all of
  them from the originals (AUROC 1.00). Other digits are made of the strokes of an 8, so they pass.
- On 8×8 digits (class 0, 30 epochs, tests/cases.py) three seeds had 0.99 to 1.00.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from advad.checks import check_number
from advad.engine.bases.reconstruction_gan import ReconstructionGAN
from advad.engine.training import Networks
from advad.networks.dcgan import Discriminator
from advad.networks.losses import binary_loss, feature_distance, pixel_distance, squared_error
from advad.networks.unet import UNet

PAPER = {"conv_width": 64, "epochs": 15}  # released code's options


@dataclass(kw_only=True, eq=False, repr=False)
class SkipGANomaly(ReconstructionGAN):
    """A UNet against a discriminator; A(x) = λ · error of the pixels + (1 − λ) · error of D's features. No `decode`.

    Parameters
    ----------
    adversarial_weight, reconstruction_weight, latent_weight : float
        λ_adv, λ_con, λ_lat, at least 0.
    score_weight : float
        λ, in [0, 1]: of the pixels in the score.
    conv_width, epochs, batch_size, learning_rate, latent_dim, seed, device, precision
        See `ReconstructionGAN` and `Detector`.
    """

    epochs: int = 15  # released code
    adversarial_weight: float = 1.0  # paper, as the next three
    reconstruction_weight: float = 40.0
    latent_weight: float = 1.0
    score_weight: float = 0.9

    def check(self) -> None:
        super().check()
        for name in ("adversarial_weight", "reconstruction_weight", "latent_weight"):
            check_number("SkipGANomaly", name, getattr(self, name), 0)
        check_number("SkipGANomaly", "score_weight", self.score_weight, 0, 1, remedy="It is λ; 0.9 in the paper.")

    def build(self, image_shape: tuple[int, int, int]) -> dict[str, nn.Module]:
        return {
            "generator": UNet(image_shape, self.latent_dim, self.conv_width),
            "discriminator": Discriminator(image_shape, self.conv_width),
        }

    def generator_loss(self, networks: Networks, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return L = λ_adv L_adv + λ_con L_con + λ_lat L_lat."""
        x_hat = networks.generator(x)
        (_, f), (y_hat, f_hat) = networks.discriminator(x), networks.discriminator(x_hat)
        L_adv, L_con, L_lat = (
            binary_loss(y_hat, real=True),
            pixel_distance(x, x_hat),
            feature_distance(f, f_hat),
        )
        L = self.adversarial_weight * L_adv + self.reconstruction_weight * L_con + self.latent_weight * L_lat
        return L, {"adversarial": L_adv, "reconstruction": L_con, "latent": L_lat}

    @property
    def decodes(self) -> bool:
        return False  # skip connections carry the image past the code

    def errors(self, networks: Networks, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return R(x) = ‖x − x̂‖₁/n_pixels and L(x) = ‖f(x) − f(x̂)‖₂/√n_features, each (B,)."""
        x_hat = networks.generator(x)
        (_, f), (_, f_hat) = networks.discriminator(x), networks.discriminator(x_hat)
        return (x - x_hat).abs().flatten(1).mean(1), squared_error(f, f_hat).sqrt()

    def score_images(self, networks: Networks, x: Tensor) -> Tensor:
        """Return A(x) = λ R(x) + (1 − λ) L(x)."""
        R, L = self.errors(networks, x)
        return self.score_weight * R + (1 - self.score_weight) * L

    def score_terms(self, X: ArrayLike | Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return R, of the pixels, and L, of D's features, of each image; both at least 0.

        Parameters
        ----------
        X : array of shape (N, C, H, W) or (N, H, W)
            As in `fit`.

        Returns
        -------
        R, L : ndarrays of shape (N,), float32
        """
        both = self._in_batches(lambda networks, x: torch.stack(self.errors(networks, x), 1), self._images(X))
        return both[:, 0], both[:, 1]
