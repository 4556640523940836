"""The Wasserstein game with gradient penalty, which Berg's GAN and f-AnoGAN both play.

Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville: Improved Training of Wasserstein GANs. NIPS 2017.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


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
