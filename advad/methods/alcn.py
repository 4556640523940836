"""ALCN: a denoising autoencoder whose noise is learned by an adversary.

Barker, Bhowmik, Gaus, Breckon: Robust Semi-Supervised Anomaly Detection via Adversarially Learned Continuous Noise
Corruption. VISAPP 2023.

A denoising autoencoder may still copy: pixel-wise noise averages out, so the denoiser need not know the images. Here
a second network makes the noise, from random numbers alone, and is trained to make the denoiser's error as large as
it can, while the denoiser learns to undo it. The noise takes the shape of what it hides (strokes, on digits); who
removes it must know the normal class. Anomalies are then reconstructed as normal images, and the error rises.

| paper | here |
|---|---|
| G_denoise (encoder, decoder) | `networks.encoder`, `networks.decoder` |
| G_noise | `networks.noise` |
| φ ~ N(0, I₂₅₆) (z in Algorithm 1) | `phi` |
| n = G_noise(φ) in [0, 1] | `n` |
| α in [0.2, 0.9] | `alpha`, `blend` |
| noise(x, n) = αx + (1 − α)n | `noised` |
| x' | `networks.decoder(networks.encoder(noised(x, n, alpha)))` |
| L(x, x') | `error` |
| −L for G_noise, L for G_denoise (Eq. 1) | `noise_loss`, `denoise_loss` |

Departures from the paper:
- Algorithm 1 blends x and n for the noise net's step and adds them for the denoiser's; the text blends (Sec. 3), and
  so do we in both. Images stay in [0, 1] instead of being standardised, so that x and n share their range, which is
  what the blend is for ("prevented from discriminating ... based on differing pixel intensity").
- λ₀ and λ₁ (Eq. 1) have no published value and are left out: Adam cancels constant factors; what balances the
  players is the ratio of their learning rates. The norm of L is not given; here it is the mean square.
- That ratio is 800 to 1 in favour of the noise in the paper (8e-3 to 1e-5, batches of 4096); 1 to 1 here.
- The noise net is "GAN-like", no more is said: it is a convolutional decoder. A dense one (at the same rates, MNIST
  class 8) fell into the trivial solution of Sec. 3 within 4 epochs: white everywhere (mean 0.997, spread 0.003), in
  spite of the random α. Watch `history_["noise_spread"]`: near 0, the noise has collapsed to one image.
- What the score is computed on is not said; Table 5 counts noise generation at inference. `score_input="noisy"`
  averages L over `draws` noises, the same for every image, so that a score is no lottery; "clean" is A(x) = L(x, x').
- The denoiser's layers and the epochs are not given: `network="dense"` is like for like with our AE, DAE and ARAE,
  "conv" is for up to 256 pixels a side.

Measured (MNIST class 8, protocol 2, 5,266 training images, defaults with epochs=40, seeds 0 to 2, one CPU thread):
AUROC 0.899 ± 0.006 noisy and 0.882 ± 0.008 clean (PCA with 32 components: 0.849); DAE(noise="speckle", latent_dim=64)
0.879 and 0.884, Gaussian 0.5: 0.873 and 0.865 (seeds 0 and 1). At α = 0.3 the denoiser's mean squared error on
held-out normals is 0.058 under learned noise, 0.045 under uniform and 0.048 under Gaussian noise, also where those
are brought to the same l2 distance from the image (0.046, 0.040): the paper's claim holds. A plain white image costs
more still (0.068; 0.046 at equal distance): the trivial solution is stronger, and the random α keeps the game off it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from advad.checks import check_choice, check_number, reject
from advad.engine.bases.autoencoder import Autoencoder
from advad.engine.training import Networks, Update
from advad.images import as_float
from advad.networks.autoencoders import conv_decoder
from advad.networks.losses import squared_error

PHI = 256  # Sec. 3: "a linear vector of size B × 256"
PAPER = {  # Sec. 4.2; epochs are not given
    "MNIST": {"network": "conv", "learning_rate": 1e-5, "noise_learning_rate": 8e-3, "batch_size": 4096},
    "CIFAR10": {"network": "conv", "learning_rate": 1e-5, "noise_learning_rate": 8e-3, "batch_size": 4096},
    "MVTec": {"network": "conv", "learning_rate": 1e-5, "noise_learning_rate": 8e-3, "batch_size": 16},  # 256×256
}


@dataclass(kw_only=True, eq=False, repr=False)
class ALCN(Autoencoder):
    """Denoising autoencoder with adversarially learned noise; A(x) is the mean squared reconstruction error.

    Parameters
    ----------
    blend : (float, float)
        Range of α, the share of the image that is left; one α for each batch. (1, 1) makes it an AE.
    noise_learning_rate : float
        Adam's, for the noise net; `learning_rate` is the denoiser's.
    score_input : {"noisy", "clean"}
        What the denoiser is shown when scoring: the image under learned noise, or as it is.
    score_alpha : float in [0, 1]
        α of the noisy score.
    draws : int
        Over how many noises the noisy score is averaged. They depend on `seed` only.
    network, widths, activation, conv_width, epochs, batch_size, learning_rate, latent_dim, seed, device, precision
        See `Autoencoder`. The noise net is convolutional with either `network`, and `conv_width` is its width, too.
    """

    latent_dim: int = 64
    conv_width: int = 16
    blend: tuple[float, float] = (0.2, 0.9)  # Sec. 3
    noise_learning_rate: float = 1e-3  # see Departures
    score_input: str = "noisy"  # Table 5
    score_alpha: float = 0.7
    draws: int = 16

    optimised = {"noise": ("noise",), "denoiser": ("encoder", "decoder")}

    def check(self) -> None:
        super().check()
        if not isinstance(self.blend, (tuple, list)) or len(self.blend) != 2:
            reject("ALCN", "blend", "be two numbers, lowest and highest α", self.blend, "For example (0.2, 0.9).")
        for end in self.blend:
            check_number("ALCN", "each end of blend", end, 0, 1)
        if self.blend[0] > self.blend[1]:
            reject("ALCN", "blend", "be ordered, lowest α first", self.blend)
        rate = "8e-3 in the paper, beside 1e-5 for the denoiser."
        check_number("ALCN", "noise_learning_rate", self.noise_learning_rate, 0, ends="()", remedy=rate)
        check_choice("ALCN", "score_input", self.score_input, ["noisy", "clean"])
        check_number("ALCN", "score_alpha", self.score_alpha, 0, 1, remedy="It is the share of the image that is left.")
        check_number("ALCN", "draws", self.draws, 1, integer=True)

    def build(self, image_shape: tuple[int, int, int]) -> dict[str, nn.Module]:
        denoiser = super().build(image_shape)  # first, so that it starts like an AE's
        return denoiser | {"noise": conv_decoder(image_shape, PHI, self.conv_width, last="sigmoid")}

    def optimiser(self, player: str, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        rate = self.noise_learning_rate if player == "noise" else self.learning_rate
        return torch.optim.Adam(parameters, lr=rate, fused=True)  # Sec. 4.2

    def noised(self, x: Tensor, n: Tensor, alpha: Tensor | float) -> Tensor:
        """Sec. 3: noise(x, n) = αx + (1 − α)n; like x, in [0, 1]."""
        return alpha * x + (1 - alpha) * n

    def error(self, networks: Networks, x: Tensor, n: Tensor, alpha: Tensor | float) -> Tensor:
        """L(x, x') = (x − G_denoise(noise(x, n)))², a mean over the pixels; (B, ...) -> (B,)."""
        return squared_error(x, self.reconstruct_images(networks, self.noised(x, n, alpha)))

    def noise_loss(self, networks: Networks, x: Tensor, phi: Tensor, alpha: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. 1, argmax over G_noise: −L(x, x'). The terms tell a noise that varies from one that is always the same.

        "noise_mean" is the mean of n; "noise_spread" the deviation of its pixels from draw to draw, 0 to 0.5.
        """
        n = networks.noise(phi)
        spread = n.var(0, correction=0).mean().sqrt()
        return -self.error(networks, x, n, alpha).mean(), {"noise_mean": n.mean(), "noise_spread": spread}

    def denoise_loss(
        self, networks: Networks, x: Tensor, phi: Tensor, alpha: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. 1, argmin over G_denoise: L(x, x'), under the noise that the other has just improved."""
        return self.error(networks, x, networks.noise(phi).detach(), alpha).mean(), {}

    def step(self, update: Update, x: Tensor) -> None:  # Algorithm 1
        low, high = self.blend
        rng, device = update.generator, x.device
        alpha = low + (high - low) * torch.rand((), generator=rng, device=device)
        phi = torch.randn(len(x), PHI, generator=rng, device=device)  # (B, 256)
        update("noise", self.noise_loss, x, phi, alpha)  # Eq. 1, ascent on the reconstruction error
        update("denoiser", self.denoise_loss, x, phi, alpha)  # Eq. 1, descent

    def score_images(self, networks: Networks, x: Tensor) -> Tensor:
        """Return A(x) = mean over draws of L(x, x') at `score_alpha`, or L of the clean image."""
        if self.score_input == "clean":
            return self.error(networks, x, x, 1.0)
        noises = networks.noise(_phi(self.draws, self.seed).to(x.device))  # (draws, C, H, W)
        return torch.stack([self.error(networks, x, n, self.score_alpha) for n in noises]).mean(0)

    def noise(self, n: int, seed: int = 0) -> np.ndarray:
        """Return draws of the noise that G_noise has learned.

        Parameters
        ----------
        n : int
            Number of items.
        seed : int
            Of φ; the same seed gives the same noise, and more of it with a larger n.

        Returns
        -------
        ndarray of shape (n, C, H, W), float32 in [0, 1]
        """
        self._require_fit()
        check_number("ALCN", "n", n, 1, integer=True)
        check_number("ALCN", "seed", seed, 0, integer=True)
        return self._in_batches(lambda networks, phi: networks.noise(phi), _phi(n, seed))

    def corrupt(self, X: ArrayLike | Tensor, alpha: float, seed: int = 0) -> np.ndarray:
        """Return images under learned noise, αx + (1 − α)n, each under a draw of its own.

        Parameters
        ----------
        X : array of shape (N, C, H, W) or (N, H, W)
            As in `fit`.
        alpha : float in [0, 1]
            Share of the image that is left: 1 is the image, 0 the noise alone.
        seed : int
            The noises are those of `noise(N, seed)`.

        Returns
        -------
        ndarray of shape (N, C, H, W), float32 in [0, 1]
        """
        images = as_float(self._images(X)).cpu().numpy()
        check_number("ALCN", "alpha", alpha, 0, 1, remedy="It is the share of the image that is left.")
        return (alpha * images + (1 - alpha) * self.noise(len(images), seed)).astype(np.float32)


def _phi(n: int, seed: int) -> Tensor:
    """Return φ ~ N(0, I₂₅₆) of shape (n, 256), the same on every device."""
    rng = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randn(PHI, generator=rng) for _ in range(n)])  # one by one: a larger n keeps the first
