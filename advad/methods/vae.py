"""VAE: an autoencoder whose code is a distribution, trained to bound how probable an image is.

Kingma, Welling: Auto-Encoding Variational Bayes. ICLR 2014, arXiv:1312.6114 ("K."); as a detector in
An, Cho: Variational Autoencoder based Anomaly Detection using Reconstruction Probability. SNU, 2015 ("A.").

The encoder gives a Gaussian q(z given x) instead of a point; the decoder says how probable x is given a draw of it.
Training raises a lower bound of log p(x): draws must explain the image well, and q must stay close to the prior
N(0, I). The noise on the code keeps it from being a free copy. An image that the model cannot explain is anomalous:
either its bound is low, or (A.) its mean log-likelihood over draws of q, the reconstruction probability.

| papers | here |
|---|---|
| q_φ(z given x) = N(μ, σ² I) (encoder) | `networks.encoder`, whose output is μ and log σ² side by side |
| p_θ(x given z) (decoder) | `networks.decoder` (means), `likelihood` |
| z = μ + σ ⊙ ε, ε ~ N(0, I) | `reparametrised`, `epsilon` |
| D_KL(q_φ(z given x) to p_θ(z)) | `divergence` |
| L(θ, φ; x), the lower bound (ELBO) | `lower_bound` |
| L (draws a data point; A.: draws of the score) | 1 in training, as in K.; `draws` in the score |

Departures:
- The network is that of our AE (K.: one hidden layer), so that the two are like for like. Adam instead of Adagrad.
- The default likelihood of a pixel is Gaussian. K. take a Bernoulli for MNIST, whose pixels are binary there. Ours are
  grey, and the Bernoulli log-likelihood of a grey pixel x is at best −H(x), its own entropy, which has nothing to do
  with the model: an image pays for being grey. `likelihood="bernoulli"` is kept.
- K. and A. learn a variance for each pixel; here it is `deviation`², the same everywhere, which cannot shrink to zero.
- The score is an average over `draws` noises ε that depend on `seed` only and are the same for every image, so that
  scores are deterministic and do not depend on what else is scored. A. draws anew each time.
- Reconstruction, code and `encode` are those of the mean, z = μ.

Measured results: data/findings/vae.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from advad.checks import check_choice, check_number
from advad.engine.bases.autoencoder import Autoencoder
from advad.engine.training import Networks, Update

CERTAIN = 1e-6  # the decoder's pixels are kept so far from 0 and 1, where a Bernoulli's logarithm is infinite


@dataclass(kw_only=True, eq=False, repr=False)
class VAE(Autoencoder):
    """Variational autoencoder; A(x) is −ELBO or −(reconstruction probability), in nats, as `score` says.

    Parameters
    ----------
    likelihood : {"gaussian", "bernoulli"}
        Form of p(x given z), each pixel on its own.
    deviation : float
        σ of a pixel in "gaussian", in pixel units of [0, 1]. Not used by "bernoulli".
    score : {"elbo", "probability"}
        The bound, or its first term alone (A., Algorithm 4). It may be changed after `fit`.
    draws : int
        Number of codes of an image over which the score is averaged.
    network, widths, activation, weight_init, conv_width, epochs, batch_size, learning_rate, latent_dim, seed, device
    precision
        See `Autoencoder`; `activation` cannot be "sigmoid", which would squash the code.
    """

    latent_dim: int = 20  # K., Fig. 2: 3 to 200
    likelihood: str = "gaussian"  # K., App. C.2, for grey pixels; see Departures
    deviation: float = 0.1
    score: str = "elbo"
    draws: int = 16

    _laptop_settings = {"MNIST": {"epochs": 40}, "FashionMNIST": {"epochs": 40}}  # 22 s on one thread of a processor

    def check(self) -> None:
        super().check()
        check_choice("VAE", "activation", self.activation, ["relu", "leaky_relu"])
        check_choice("VAE", "likelihood", self.likelihood, ["bernoulli", "gaussian"])
        check_number("VAE", "deviation", self.deviation, 0, ends="()", remedy="It is in pixel units of [0, 1].")
        check_choice("VAE", "score", self.score, ["elbo", "probability"])
        check_number("VAE", "draws", self.draws, 1, integer=True)

    def build(self, image_shape: tuple[int, int, int]) -> dict[str, nn.Module]:
        networks = super().build(image_shape)
        encoder = networks["encoder"]
        assert isinstance(encoder, nn.Sequential)
        code = encoder[-1]
        assert isinstance(code, nn.Linear)
        encoder[-1] = nn.Linear(code.in_features, 2 * self.latent_dim)  # μ and log σ²
        return networks

    def posterior(self, networks: Networks, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return μ and log σ² of q(z given x), each (B, latent_dim) (K., Eq. 9)."""
        mu, log_variance = networks.encoder(x).chunk(2, 1)
        return mu, log_variance

    def reparametrised(self, mu: Tensor, log_variance: Tensor, epsilon: Tensor) -> Tensor:
        """Return z = μ + σ ⊙ ε (K., Sec. 2.4)."""
        return mu + (log_variance / 2).exp() * epsilon

    def divergence(self, mu: Tensor, log_variance: Tensor) -> Tensor:
        """Return D_KL(q(z given x) to N(0, I)) = −½ Σ (1 + log σ² − μ² − σ²), (B,), in nats (K., App. B)."""
        return -0.5 * (1 + log_variance - mu.square() - log_variance.exp()).sum(1)

    def log_likelihood(self, networks: Networks, x: Tensor, z: Tensor) -> Tensor:
        """Return log p(x given z), (B,), in nats, a sum over the pixels (K., App. C)."""
        y = networks.decoder(z).float()
        if self.likelihood == "bernoulli":
            y = y.clamp(CERTAIN, 1 - CERTAIN)
            each = x * y.log() + (1 - x) * (-y).log1p()
        else:
            each = -0.5 * ((x - y) / self.deviation).square() - math.log(self.deviation * math.sqrt(2 * math.pi))
        return each.flatten(1).sum(1)

    def lower_bound(self, networks: Networks, x: Tensor, epsilon: Tensor) -> tuple[Tensor, Tensor]:
        """K., Eq. 10: L(θ, φ; x) ≃ −D_KL + mean over draws of log p(x given z); return both terms, (B,) each.

        Parameters
        ----------
        networks : Networks
            Encoder and decoder.
        x : Tensor of shape (B, C, H, W)
            Pixels in [0, 1].
        epsilon : Tensor of shape (L, B or 1, latent_dim)
            L draws of ε for each image, or for all of them.
        """
        mu, log_variance = self.posterior(networks, x)
        each = [self.log_likelihood(networks, x, self.reparametrised(mu, log_variance, e)) for e in epsilon]
        return -self.divergence(mu, log_variance), torch.stack(each).mean(0)

    def loss(self, networks: Networks, x: Tensor, epsilon: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mean of −L(θ, φ; x), and its two terms, all in nats."""
        minus_divergence, likelihood = self.lower_bound(networks, x, epsilon)
        terms = {"divergence": -minus_divergence.mean(), "log_likelihood": likelihood.mean()}
        return -(minus_divergence + likelihood).mean(), terms

    def step(self, update: Update, x: Tensor) -> None:  # K., Algorithm 1, with L = 1
        epsilon = torch.randn(1, len(x), self.latent_dim, generator=update.generator, device=x.device)
        update("autoencoder", self.loss, x, epsilon)

    def encode_images(self, networks: Networks, x: Tensor) -> Tensor:
        return self.posterior(networks, x)[0]

    def score_images(self, networks: Networks, x: Tensor) -> Tensor:
        """Return A(x) = −L(θ, φ; x), or −(1/L) Σ log p(x given z_l), z_l ~ q(z given x) (A., Algorithm 4)."""
        rng = torch.Generator().manual_seed(self.seed)  # on the CPU: the same draws on every device
        epsilon = torch.randn(self.draws, 1, self.latent_dim, generator=rng).to(x.device)
        minus_divergence, likelihood = self.lower_bound(networks, x, epsilon)
        return -(minus_divergence + likelihood) if self.score == "elbo" else -likelihood
