"""Losses that several methods share: squared error, GAN losses, the Wasserstein loss with gradient penalty."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def binary_loss(logits: Tensor, real: bool) -> Tensor:
    """Return the mean binary cross-entropy of logits (B,): −log D if the images are `real`, else −log(1 − D)."""
    return F.softplus(-logits if real else logits).mean()


def pixel_distance(x: Tensor, x_hat: Tensor) -> Tensor:
    """Return |x − x̂|₁, a mean over pixels and images."""
    return (x - x_hat).abs().mean()


def feature_distance(z: Tensor, z_hat: Tensor) -> Tensor:
    """Return the batch mean of ‖z − ẑ‖₂/√n for n features, so that its size does not depend on n."""
    return (z - z_hat).norm(dim=1).mean() / math.sqrt(z.shape[1])


def squared_error(x: Tensor, y: Tensor) -> Tensor:
    """Return the mean squared difference of each pair of images or codes, (B, ...) -> (B,)."""
    return F.mse_loss(x, y, reduction="none").flatten(1).mean(1)  # fused: 1 % of a dense autoencoder's step


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, epsilon: Tensor) -> Tensor:
    """Return E[(‖∇D(x̂)‖₂ − 1)²] for x̂ = ε·real + (1 − ε)·fake, a scalar that can be differentiated once more.

    Parameters
    ----------
    critic : callable
        D, (B, C, H, W) -> (B, 1).
    real, fake : Tensor of shape (B, C, H, W)
        In the same range; the norm is that of the gradient by these pixels.
    epsilon : Tensor of shape (B, 1, 1, 1)
        Uniform in [0, 1].

    Source : Gulrajani et al. 2017, Eq. 3.
    """
    x_hat = (epsilon * real + (1 - epsilon) * fake).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(x_hat).sum(), x_hat, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


def wasserstein_loss(
    critic: Callable[[Tensor], Tensor],
    real: Tensor,
    fake: Tensor,
    epsilon: Tensor,
    penalty_weight: float = 10.0,
    drift_weight: float = 0.0,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return E[D(fake)] − E[D(real)] + λ·penalty + ε_drift·E[D(real)²], to be minimised by the critic alone.

    The terms are "distance", E[D(real)] − E[D(fake)] (the critic's estimate of the Wasserstein distance, which falls as
    the generator learns), and "penalty".

    Parameters
    ----------
    critic, real, fake, epsilon
        See `gradient_penalty`.
    penalty_weight : float
        λ of Gulrajani et al. 2017, Eq. 3.
    drift_weight : float
        ε_drift of Karras et al. 2018, Appendix A.1, which keeps D(real) near 0.
    """
    d_real, d_fake = critic(real), critic(fake)
    penalty = gradient_penalty(critic, real, fake, epsilon)
    distance = d_real.mean() - d_fake.mean()
    drift = drift_weight * d_real.square().mean()
    return penalty_weight * penalty - distance + drift, {"distance": distance, "penalty": penalty}


def minmax_normalised(x: Tensor) -> Tensor:
    """Return w(x) = (x − min x) / (max x − min x) of each image, (B, C, H, W); a constant image gives 0.

    Source : Berg et al. 2020, Eq. 3.
    """
    low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
    return (x - low) / (high - low).clamp_min(1e-6)


def normalised_residual(x: Tensor, x_hat: Tensor) -> Tensor:
    """Return L_n = ‖w(x) − w(x̂)‖₂ / N_X of each image, in [0, 1/√N_X]; (B, C, H, W) -> (B,).

    Source : Berg et al. 2020, Eq. 2.
    """
    return (minmax_normalised(x) - minmax_normalised(x_hat)).flatten(1).norm(dim=1) / x[0].numel()


def plain_residual(x: Tensor, x_hat: Tensor) -> Tensor:
    """Return L_r = ‖x − x̂‖₂ of each image, (B, C, H, W) -> (B,).

    Source : Berg et al. 2020, Eq. 8.
    """
    return (x - x_hat).flatten(1).norm(dim=1)
