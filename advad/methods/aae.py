"""AAE: an autoencoder whose codes a critic makes follow a prior.

Makhzani, Shlens, Jaitly, Goodfellow, Frey: Adversarial Autoencoders. arXiv:1511.05644, 2015; as a detector in
Beggel, Pfeiffer, Bischl: Robust Anomaly Detection in Images using Adversarial Autoencoders. ECML PKDD 2019 ("B." here).

A critic learns to tell draws of a prior p(z) from codes z = f(x), and the encoder learns to deceive it. The codes of
the training images then follow the prior, so that a code has a likelihood: an anomaly should have a large error of
reconstruction *or* a code that is improbable under the prior. Either can be the score; the decision in B. takes both.

| papers | here |
|---|---|
| f, g (encoder, decoder) | `networks.encoder`, `networks.decoder` |
| discriminator D | `networks.critic`, whose output passes a sigmoid inside the losses |
| p(z) (prior) | `networks.priors`: `draw_prior`, `log_prior` |
| w_i (sample weights, all 1 here; ITSR changes them) | `buffers_["weights"]` |
| L(x, x') | `squared_error`, a mean over pixels |
| T_rec = p_0.9(L), T_prior = p_0.1(p(f(x))) | `thresholds` |
| anomalous if L > T_rec or p(f(x)) < T_prior | `either_or`, `decisions` |

Departures from B., whose text leaves open the batch size, both learning rates and the share of the two losses:
- Batch normalisation "after each layer in the encoder" is ours after the hidden layers only ("hidden"), which is one
  reading; the other is after the code as well ("all"). The prior game has a learning rate of its own. Both determine
  where the codes of a contaminating class end up: outside, where ITSR looks for them, or in the centre.
- The default widths of 256 instead of 1000, and 50 epochs instead of 1,000, are chosen so that training fits on a
  laptop.
- The encoder descends −log D(f(x)) (Goodfellow's non-saturating form). In the critic's loss negative weights count as
  0: a critic that learns to call a flagged code "prior" would make the place of anomalies look probable.

Development: the place of batch norm and the rate of the game were chosen on MNIST 0 with 5 % of class 2, by the AUROC
of |z| with the true labels of the training images. Results on that pair are development results. A reason that needs no
labels: normalised codes have mean 0 and variance 1 from the start, which the prior game is there to teach.

Measurements: data/findings/aae.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional as F

from advad.checks import check_choice, check_number, reject
from advad.engine.bases.autoencoder import Autoencoder, batch_normalised, require_pairs
from advad.engine.training import Networks, Stage, TrainingState, Update
from advad.networks.autoencoders import dense_encoder
from advad.networks.losses import squared_error
from advad.networks.priors import PRIORS, draw_prior, log_prior
from advad.thresholds import lowest_threshold


@dataclass(kw_only=True, eq=False, repr=False)
class AAE(Autoencoder):
    """Adversarial autoencoder; A(x) is the mean squared reconstruction error or −log p(f(x)), as `score` says.

    Parameters
    ----------
    prior : {"gaussian", "uniform", "mixture"}
        p(z): N(0, I); uniform of variance 1; Gaussians whose means stand on a circle (see `networks.priors`).
    components : int
        Number of Gaussians in the mixture.
    score : {"reconstruction", "likelihood"}
        What `anomaly_score` returns; it may be changed after `fit`. For both at once: `either_or`.
    batch_norm : {"hidden", "all", "none"}
        The layers of the encoder that batch normalisation follows; "all" includes the code.
    critic_widths : tuple of int
        Hidden units of the critic.
    game_learning_rate : float
        Learning rate of Adam for critic and encoder in the game; `learning_rate` is that of the reconstruction.
    network, widths, activation, conv_width, epochs, batch_size, learning_rate, latent_dim, seed, device, precision
        See `Autoencoder`; `activation` cannot be "sigmoid", which would squash the code.
    """

    widths: tuple[int, ...] = (256, 256)  # B., Sec. 5: (1000, 1000)
    latent_dim: int = 2  # B., Sec. 5
    prior: str = "gaussian"  # B., Sec. 5
    components: int = 5
    score: str = "reconstruction"
    batch_norm: str = "hidden"  # B., Sec. 5: see Departures
    critic_widths: tuple[int, ...] = (256, 256)  # B., Sec. 5: (1000, 1000)
    game_learning_rate: float = 1e-3  # see Departures

    optimised = {"autoencoder": ("encoder", "decoder"), "critic": ("critic",), "encoder": ("encoder",)}
    _settings_in: ClassVar[dict[str, dict[str, dict[str, Any]]]] = {
        "itsr": {  # B., Sec. 5, Architecture
            name: {"widths": (1000, 1000), "critic_widths": (1000, 1000), "latent_dim": 2, "epochs": 1000}
            for name in ("MNIST", "FashionMNIST")
        }
    }

    def check(self) -> None:
        super().check()
        owner = type(self).__name__
        check_choice(owner, "activation", self.activation, ["relu", "leaky_relu"])
        check_choice(owner, "prior", self.prior, PRIORS)
        check_choice(owner, "score", self.score, ["reconstruction", "likelihood"])
        check_choice(owner, "batch_norm", self.batch_norm, ["hidden", "all", "none"])
        check_number(owner, "components", self.components, 1, integer=True)
        check_number(owner, "game_learning_rate", self.game_learning_rate, 0, ends="()")
        if not isinstance(self.critic_widths, (tuple, list)):
            remedy = "For example (256, 256)."
            reject(owner, "critic_widths", "be a tuple of whole numbers", self.critic_widths, remedy, TypeError)
        for width in self.critic_widths:
            check_number(owner, "each of critic_widths", width, 1, integer=True)

    def build(self, image_shape: tuple[int, int, int]) -> dict[str, nn.Module]:
        networks = super().build(image_shape)
        assert isinstance(networks["encoder"], nn.Sequential)
        networks["encoder"] = batch_normalised(networks["encoder"], self.batch_norm)
        return networks | {"critic": dense_encoder((1, 1, self.latent_dim), self.critic_widths, 1, "relu")}

    def optimiser(self, player: str, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        rate = self.learning_rate if player == "autoencoder" else self.game_learning_rate
        return torch.optim.Adam(parameters, lr=rate, fused=True)

    def stages(self) -> list[Stage]:
        return [Stage("train", self.epochs, self.step, self.weigh_equally)]

    def weigh_equally(self, run: TrainingState, images: Tensor) -> None:
        """Set w_i = 1 for all images; raise ValueError where batch normalisation would meet a single image."""
        if self.batch_norm != "none":
            remedy = 'Batch normalisation needs 2 at least; batch_norm="none" takes one.'
            require_pairs(type(self).__name__, len(images), self.batch_size, remedy)
        run.buffers["weights"] = torch.ones(len(images), device=images.device)

    # ------------------------------------------------------------------ training

    def reconstruction_loss(self, networks: Networks, x: Tensor, w: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """B., Sec. 4.2: L_w = Σ w_i L(x_i, g(f(x_i))), here a mean over the batch."""
        return (w * squared_error(x, networks.decoder(networks.encoder(x)))).mean(), {}

    def critic_loss(self, networks: Networks, z: Tensor, p: Tensor, w: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return −log D(p) for draws p of the prior, plus −log(1 − D(z)) for codes z, each a (weighted) mean."""
        prior, code, w = F.softplus(-networks.critic(p)), F.softplus(networks.critic(z))[:, 0], w.clamp_min(0)
        return prior.mean() + (w * code).sum() / w.sum().clamp_min(1e-12), {}

    def encoder_loss(self, networks: Networks, x: Tensor, w: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return −log D(f(x)), weighted."""
        return (w * F.softplus(-networks.critic(networks.encoder(x)))[:, 0]).mean(), {}

    def play(self, update: Update, x: Tensor, w: Tensor) -> None:
        """Take one round of the prior game: the critic's step, then the encoder's."""
        with torch.no_grad():
            z = update.networks.encoder(x)
        p = draw_prior(self.prior, len(x), self.latent_dim, update.generator, self.components)
        update("critic", self.critic_loss, z, p, w)
        update("encoder", self.encoder_loss, x, w)

    def step(self, update: Update, x: Tensor) -> None:
        w = update.run.buffers["weights"][update.index]
        update("autoencoder", self.reconstruction_loss, x, w)  # Makhzani et al., Sec. 2: reconstruction phase
        self.play(update, x, w)  # regularisation phase

    # ------------------------------------------------------------------ scores and decision

    def score_images(self, networks: Networks, x: Tensor) -> Tensor:
        """Return A(x) = L(x, g(f(x))), or −log p(f(x))."""
        score = self.error_images if self.score == "reconstruction" else self.surprise_images
        return score(networks, x)

    def term_images(self, networks: Networks, x: Tensor) -> dict[str, Tensor]:
        """Return L(x, g(f(x))) and −log p(f(x)), each (B,), by the names that `score` takes."""
        return {"reconstruction": self.error_images(networks, x), "likelihood": self.surprise_images(networks, x)}

    def error_images(self, networks: Networks, x: Tensor) -> Tensor:
        """Return L(x, g(f(x))), (B, C, H, W) -> (B,)."""
        return squared_error(x, self.reconstruct_images(networks, x))

    def surprise_images(self, networks: Networks, x: Tensor) -> Tensor:
        """Return −log p(f(x)), (B, C, H, W) -> (B,)."""
        return -log_prior(self.prior, self.encode_images(networks, x), self.components)

    def reconstruction_error(self, X: ArrayLike | Tensor) -> np.ndarray:
        """Return L(x, g(f(x))) of each image, (N,), whatever `score` says."""
        return self._in_batches(self.error_images, self._images(X))

    def log_likelihood(self, X: ArrayLike | Tensor) -> np.ndarray:
        """Return log p(f(x)) of each image, (N,): lower = more anomalous."""
        return -self._in_batches(self.surprise_images, self._images(X))

    def thresholds(self, X: ArrayLike | Tensor, share: float = 0.1) -> tuple[float, float]:
        """Return T_rec and T_prior: at most `share` of the images have a larger error, or a lower likelihood.

        Both are values of these images, as in `advad.threshold_at`: the lowest T_rec and the highest T_prior for which
        that is so.

        Parameters
        ----------
        X : array of shape (N, C, H, W) or (N, H, W)
            The training images in the paper; held-out normals do not flatter an over-fitted network.
        share : float in (0, 1)
            Up to twice as many normal images come out anomalous, since either is enough.

        Returns
        -------
        T_rec : float
            Of `reconstruction_error`.
        T_prior : float
            Of `log_likelihood`.

        Source : B., Sec. 5: T_rec = p_0.90(L), T_prior = p_0.10(p(f(x))).
        """
        check_number(type(self).__name__, "share", share, 0, 1, ends="()")
        T_rec = lowest_threshold(self.reconstruction_error(X), share)
        return T_rec, -lowest_threshold(-self.log_likelihood(X), share)

    def either_or(self, X: ArrayLike | Tensor, T_rec: float, T_prior: float) -> np.ndarray:
        """Return whether each image is anomalous, (N,) bool: L > T_rec or log p(f(x)) < T_prior (B., Sec. 4.1)."""
        return (self.reconstruction_error(X) > T_rec) | (self.log_likelihood(X) < T_prior)

    def decisions(
        self, X: ArrayLike | Tensor, training_images: ArrayLike | Tensor, share: float = 0.1
    ) -> dict[str, np.ndarray]:
        """Return the alarms of "either_or", the rule of B., with both thresholds from the training images."""
        return {"either_or": self.either_or(X, *self.thresholds(training_images, share))}
