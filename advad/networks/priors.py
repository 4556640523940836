"""Priors of a latent code: draws from each, and the log density of codes under it.

| name | p(z) |
|---|---|
| "gaussian" | N(0, I) |
| "uniform" | uniform in [−√3, √3] for each unit (variance 1), its edges softened by N(0, 0.1²) |
| "mixture" | Gaussians of deviation 0.5, their means on a circle of radius 2 in the first two units |

The edges of the uniform prior are soft, in draws and density alike: outside a sharp box all codes would be equally
impossible.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

PRIORS = ("gaussian", "uniform", "mixture")
HALF_SIDE, EDGE = math.sqrt(3), 0.1
RADIUS, SPREAD = 2.0, 0.5


def mixture_means(latent_dim: int, components: int) -> Tensor:
    """Return the means of the mixture's components, (components, latent_dim)."""
    angle = 2 * math.pi * torch.arange(components) / components
    circle = torch.stack([angle.cos(), angle.sin()], 1)[:, :latent_dim]
    return RADIUS * F.pad(circle, (0, latent_dim - circle.shape[1]))


def draw_prior(prior: str, n: int, latent_dim: int, generator: torch.Generator, components: int = 5) -> Tensor:
    """Return n draws z ~ p(z), (n, latent_dim), on the generator's device.

    Parameters
    ----------
    prior : {"gaussian", "uniform", "mixture"}
        See the module's table.
    n, latent_dim : int
        Number of draws, and units of each.
    generator : torch.Generator
        Source of the random numbers; its device is that of the draws.
    components : int
        Number of Gaussians in the mixture.
    """
    device = generator.device
    noise = torch.randn(n, latent_dim, generator=generator, device=device)
    if prior == "gaussian":
        return noise
    if prior == "uniform":
        return HALF_SIDE * (2 * torch.rand(n, latent_dim, generator=generator, device=device) - 1) + EDGE * noise
    component = torch.randint(components, (n,), generator=generator, device=device)
    return mixture_means(latent_dim, components).to(device)[component] + SPREAD * noise


def log_prior(prior: str, z: Tensor, components: int = 5) -> Tensor:
    """Return log p(z), natural logarithm, (B, latent_dim) -> (B,); the arguments are those of `draw_prior`."""
    if prior == "gaussian":
        return _log_normal(z, 1.0)
    if prior == "uniform":  # of each unit: (Φ((a − |z|) / s) − Φ((−a − |z|) / s)) / 2a
        upper = torch.special.log_ndtr((HALF_SIDE - z.abs()) / EDGE)
        lower = torch.special.log_ndtr((-HALF_SIDE - z.abs()) / EDGE)
        return (upper + torch.log1p(-(lower - upper).exp()) - math.log(2 * HALF_SIDE)).sum(1)
    each = _log_normal(z[:, None] - mixture_means(z.shape[1], components).to(z), SPREAD)  # (B, components)
    return each.logsumexp(1) - math.log(components)


def _log_normal(distance: Tensor, deviation: float) -> Tensor:
    """Return log N(distance; 0, deviation² I), (..., d) -> (...)."""
    return (-0.5 * (distance / deviation).square() - math.log(deviation * math.sqrt(2 * math.pi))).sum(-1)
