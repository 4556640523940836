"""The autoencoder and the denoising autoencoder: the yardsticks of every table.

Hinton, Salakhutdinov: Reducing the Dimensionality of Data with Neural Networks. Science 313, 2006.
Vincent, Larochelle, Bengio, Manzagol: Extracting and Composing Robust Features with Denoising Autoencoders. ICML 2008.

An autoencoder squeezes an image x through a code z and is trained to give x back. Trained on normal images only,
it should give anomalous ones back badly: A(x) is its error. Nothing in its training asks for that, though, and a
wide code lets it copy whatever it is shown (identity collapse). The denoising autoencoder must give x back from a
corrupted x̃, so that copying its input no longer pays.

| papers | here |
|---|---|
| f, g (encoder, decoder) | `networks.encoder`, `networks.decoder` |
| z = f(x) (code) | `encode` |
| x̃ ~ q(x̃ given x) (corruption) | `DAE.corrupt` |

Departures: neither paper is reproduced as such. The network is that of Salehi et al. 2020 (Architecture and
Hyperparameters), so that AE and DAE are like for like with ARAE, and what the detection papers call DAE can be had:
`DAE(noise="uniform", noise_level=0.1)` in Salehi et al. (Ablation), `DAE(noise="speckle")` and
`DAE(noise="gaussian", noise_level=0.5)` in Barker et al. 2023 (Table 1: "Random Noise", "N(0, 0.5)"; whether 0.5 is
the deviation or the variance they do not say: it is the deviation here).

Measured (MNIST class 8, protocol 2, all 5,851 training images, defaults with epochs=40, 3 seeds, one CPU thread): the
AE's AUROC is 0.824 ± 0.002, below PCA's 0.849 with 32 components, and falls with training: a code of 128 units copies
(identity collapse, lesson 01). So does the DAE's (uniform noise up to 0.1; published 0.891): 0.754 ± 0.025 after 40
epochs on 5,266 images (`python -m tests.bench_methods DAE`), but 0.863 ± 0.011 after 20 on 2,000, where the AE has
0.880 ± 0.005 (`advad sweep data/sweeps/mnist-lab.toml`). Noise that weak does not keep a wide code from copying.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from advad.checks import check_choice, check_number
from advad.engine.bases.autoencoder import Autoencoder
from advad.engine.training import Networks, Update
from advad.networks.losses import squared_error


@dataclass(kw_only=True, eq=False, repr=False)
class AE(Autoencoder):
    """Autoencoder; A(x) is the mean squared reconstruction error. Parameters: see `Autoencoder`."""

    def loss(self, networks: Networks, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mean of (x − g(f(x)))²."""
        return squared_error(x, networks.decoder(networks.encoder(x))).mean(), {}

    def step(self, update: Update, x: Tensor) -> None:
        update("autoencoder", self.loss, x)

    def score_images(self, networks: Networks, x: Tensor) -> Tensor:
        """Return A(x) = mean (x − g(f(x)))²."""
        return squared_error(x, self.reconstruct_images(networks, x))


@dataclass(kw_only=True, eq=False, repr=False)
class DAE(Autoencoder):
    """Denoising autoencoder; A(x) is the mean squared reconstruction error of the clean image.

    Parameters
    ----------
    noise : {"uniform", "gaussian", "speckle"}
        "uniform": x + U[0, noise_level]; "gaussian": x + N(0, noise_level²); "speckle": αx + (1 − α)n with
        n ~ U[0, 1] for each pixel and α ~ U[blend] for each batch, the blend of Barker et al. 2023.
    noise_level : float
        In pixel units of [0, 1]; 0 makes it an AE. Not used by "speckle".
    blend : (float, float)
        Range of α, the share of the image that "speckle" leaves.
    network, widths, activation, conv_width, epochs, batch_size, learning_rate, latent_dim, seed, device, precision
        See `Autoencoder`.
    """

    noise: str = "uniform"  # Salehi et al. 2020, Ablation
    noise_level: float = 0.1  # the same
    blend: tuple[float, float] = (0.2, 0.9)  # Barker et al. 2023, Algorithm 1

    def check(self) -> None:
        super().check()
        check_choice("DAE", "noise", self.noise, ["uniform", "gaussian", "speckle"])
        check_number("DAE", "noise_level", self.noise_level, 0, remedy="It is in pixel units of [0, 1].")
        for end in self.blend:
            check_number("DAE", "each end of blend", end, 0, 1)

    def corrupt(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return x̃ ~ q(x̃ given x), like x; not clipped to [0, 1]."""
        if self.noise == "gaussian":
            return x + self.noise_level * torch.randn(x.shape, generator=generator, device=x.device)
        noise = torch.rand(x.shape, generator=generator, device=x.device)
        if self.noise == "uniform":
            return x + self.noise_level * noise
        low, high = self.blend
        alpha = low + (high - low) * torch.rand((), generator=generator, device=x.device)
        return alpha * x + (1 - alpha) * noise

    def loss(self, networks: Networks, x: Tensor, x_tilde: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mean of (x − g(f(x̃)))²."""
        return squared_error(x, networks.decoder(networks.encoder(x_tilde))).mean(), {}

    def step(self, update: Update, x: Tensor) -> None:
        update("autoencoder", self.loss, x, self.corrupt(x, update.generator))

    def score_images(self, networks: Networks, x: Tensor) -> Tensor:
        """Return A(x) = mean (x − g(f(x)))²."""
        return squared_error(x, self.reconstruct_images(networks, x))
