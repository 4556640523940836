"""The methods as the contract runs them: small, quick settings on the embedded digits."""

from __future__ import annotations

import functools
from typing import Any

import torch

import advad

SMALL = {"widths": (64,), "latent_dim": 8, "batch_size": 64, "learning_rate": 3e-3, "device": "cpu"}
GAME = SMALL | {"critic_widths": (32,)}
SPHERE = {"latent_dim": 8, "batch_size": 64, "learning_rate": 3e-3, "pretrain_epochs": 2, "device": "cpu"}
CONV = {"network": "conv", "conv_width": 8, "latent_dim": 8, "batch_size": 64, "device": "cpu"}
DCGAN = {"conv_width": 8, "latent_dim": 8, "batch_size": 32, "learning_rate": 2e-3, "device": "cpu"}

ARAE_A_SMALL = {"attack_steps": 3, "attack_step_size": None, "l2_radius": 0.5, "l2_steps": 3, "l2_step_size": None}
ARAE_A_SMALL |= {"rotations": 3, "epochs": 30}

GAN = {"width": 8, "latent_dim": 8, "batch_size": 32, "device": "cpu"}

# name -> (class, settings, epochs that suffice to beat chance clearly)
CASES = {
    "AE": (advad.AE, SMALL, 30),
    "AE-conv": (advad.AE, CONV, 30),
    "DAE-uniform": (advad.DAE, SMALL, 30),
    "DAE-gaussian": (advad.DAE, SMALL | {"noise": "gaussian", "noise_level": 0.3}, 30),
    "DAE-speckle": (advad.DAE, SMALL | {"noise": "speckle"}, 40),
    "VAE": (advad.VAE, SMALL | {"draws": 4}, 40),
    "VAE-conv": (advad.VAE, CONV | {"draws": 2, "likelihood": "bernoulli", "score": "probability"}, 30),
    "DeepSVDD": (advad.DeepSVDD, SPHERE, 20),
    "DeepSVDD-soft": (advad.DeepSVDD, SPHERE | {"boundary": "soft"}, 20),
    "DeepSAD": (advad.DeepSAD, SPHERE, 20),
    "ARAE": (advad.ARAE, SMALL | {"attack_steps": 5, "activation": "relu"}, 40),
    "ARAE-sigmoid": (advad.ARAE, SMALL | {"attack_steps": 5, "learning_rate": 1e-2}, 60),
    "ARAE-conv": (advad.ARAE, CONV | {"attack_steps": 3}, 30),
    "ARAE-A": (advad.ARAE, advad.ARAE_A | SMALL | ARAE_A_SMALL, 30),
    "ARAE-R": (advad.ARAE, SMALL | advad.ARAE_R | {"attack_steps": 3, "activation": "relu"}, 40),
    "ALCN": (advad.ALCN, SMALL | {"draws": 4, "conv_width": 8}, 40),
    "ALCN-conv": (advad.ALCN, CONV | {"score_input": "clean"}, 40),
    "OLED": (advad.OLED, SMALL, 40),
    "OLED-conv": (advad.OLED, CONV | {"mask_every": 1, "score": "covered"}, 30),
    "AAE": (advad.AAE, GAME, 40),
    "AAE-conv": (advad.AAE, CONV | {"critic_widths": (32,), "prior": "uniform", "batch_norm": "all"}, 40),
    "AAE-likelihood": (
        advad.AAE,
        GAME | {"batch_size": 32, "prior": "mixture", "score": "likelihood", "batch_norm": "all"},
        100,
    ),
    "ITSR": (advad.ITSR, GAME | {"pretrain_epochs": 2, "rounds": 2, "refine_epochs": 1}, 40),
    "AGAD": (advad.AGAD, DCGAN, 30),
    "AGAD-unet": (advad.AGAD, DCGAN | {"generator": "unet", "auxiliary_norm": True}, 30),
    "AGAD-frozen": (advad.AGAD, DCGAN | {"contextual": False, "freeze_norm": True}, 30),
    "GANomaly": (advad.GANomaly, DCGAN | {"latent_dim": 16}, 60),
    "SkipGANomaly": (advad.SkipGANomaly, DCGAN, 30),
    # λ = 1: the paper's 0.05 leaves the origin distance almost alone, which is a by-product (see berg.py)
    "Berg": (
        advad.Berg,
        GAN | {"growth_epochs": 2, "ema_decay": 0.9, "learning_rate": 1e-2, "residual_weight": 1.0},
        40,
    ),
    "FAnoGAN": (advad.FAnoGAN, GAN | {"gan_epochs": 2}, 60),
    "AnoGAN": (advad.AnoGAN, GAN | {"search_steps": 20, "learning_rate": 1e-3}, 60),
    "EGBAD": (advad.EGBAD, GAN | {"batch_size": 16, "units": 64}, 100),
    "ADAE": (advad.ADAE, CONV | {"batch_size": 16, "learning_rate": 2e-3}, 30),
    "LSA": (advad.LSA, SMALL, 30),
    "OCGAN": (advad.OCGAN, GAME | {"critic_width": 8, "mining_start": 1}, 40),
    "GeoTrans": (advad.GeoTrans, DCGAN | {"learning_rate": 1e-2}, 20),
}
# name -> (class, settings), of those without networks and epochs: tests/methods/test_library.py
CLASSICAL = {
    "PCA": (advad.PCA, {"n_components": 4}),
    "OCSVM": (advad.OCSVM, {}),
    "LOF": (advad.LOF, {}),
    "IForest": (advad.IForest, {"n_estimators": 30}),
    "KDE": (advad.KDE, {}),
}
NO_DECODER = {"AGAD-unet", "SkipGANomaly"}  # skip connections carry the image past the code


def make(case: str, **changes) -> Any:
    """Return an unfitted detector of this case; `changes` go over its settings, but for epochs where it has none."""
    if case in CLASSICAL:
        cls, settings = CLASSICAL[case]
        return cls(**settings | {k: v for k, v in changes.items() if k not in ("epochs", "batch_size")})
    cls, settings, epochs = CASES[case]
    return cls(**({"epochs": epochs} | settings | changes))


@functools.cache
def digits(normal: int = 0) -> advad.Split:
    """Return the embedded digits with one normal class, a few held-out normals and all test images."""
    return advad.one_class(advad.load("digits"), normal=normal, holdout=0.1, seed=0)


def noise(n: int, shape: tuple[int, int, int], seed: int = 0) -> torch.Tensor:
    """Return `uint8` noise images of shape (n, *shape)."""
    return torch.randint(0, 256, (n, *shape), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
