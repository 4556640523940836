"""ARAE: an autoencoder whose code an adversary cannot move.

Salehi, Arya, Pajoum, Otoofi, Shaeiri, Rohban, Rabiee: ARAE: Adversarially Robust Training of Autoencoders Improves
Novelty Detection. arXiv:2003.05669, 2020 (Neural Networks 144, 2021).

A small change of an image that throws its code far away uses features that mean nothing. So, for each image, look
for the worst such change, and train the autoencoder to code the changed image like the clean one and to
reconstruct the clean one from it. What stays are features of the normal class; anomalies are then reconstructed
as normal images, and A(x), the reconstruction error, rises.

| paper | here |
|---|---|
| Enc, Dec | `networks.encoder`, `networks.decoder` |
| X, X* = X + δ_X | `x`, `x_star` |
| ε (attack magnitude) | `attack_radius` |
| γ (weight of L_latent) | `latent_weight` |
| L_latent, Eq. 2 | `latent_loss` |
| L_rec., Eq. 4 | `reconstruction_loss` |
| L_AE, Eqs. 3 and 5 | `loss` |
| ARAE-A, ARAE-R (Table 6) | `ARAE(**ARAE_A)`, `ARAE(**ARAE_R)` |

Departures from the paper:
- ‖·‖² is a mean over units here, as in the released code: with sums, γ = 0.1 would weigh 784 pixels against 128
  codes otherwise.
- Adversaries are crafted for each batch with the current weights. The paper crafts them once an epoch for the whole
  set, with weights that are up to an epoch old by the time they are used.
- PGD takes 40 steps of 2.5 ε/40 and the convolutional network and ARAE-A's settings are as in the released code;
  the paper states none of them. X* is kept inside [0, 1], and PGD keeps the best point it visited.
- "The union of these perturbation sets" (Ablation): of the worst member of each set, the one that moves the code
  most is taken (Tramèr and Boneh's "max").
- Released epochs (`PAPER`) fit a GPU; the default is a laptop's. ARAE-A's output is not squashed in the released
  code; it passes a sigmoid here, as in all our autoencoders.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from advad.attacks import pgd, worst_transform
from advad.checks import check_choice, check_number, reject
from advad.engine.bases.autoencoder import Autoencoder
from advad.engine.training import Networks, Update
from advad.networks.losses import squared_error

ARAE_A = {"attacks": ("linf", "l2", "spatial"), "latent_weight": 0.2, "activation": "relu"}  # released code
ARAE_R = {"target": "reconstruction"}
PAPER = {  # Architecture and Hyperparameters; epochs and batches from the released code
    "MNIST": {"attack_radius": 0.2, "epochs": 1600, "batch_size": 256},
    "FashionMNIST": {"attack_radius": 0.05, "epochs": 8000, "batch_size": 256},
    "CIFAR10": {"attack_radius": 0.05, "network": "conv"},
}


@dataclass(kw_only=True, eq=False, repr=False)
class ARAE(Autoencoder):
    """Adversarially robust autoencoder; A(x) is the mean squared reconstruction error.

    Parameters
    ----------
    attack_radius : float in [0, 1]
        ε, the l∞ radius in pixel units of [0, 1]; 0 makes it an AE.
    latent_weight : float
        γ.
    attacks : tuple of {"linf", "l2", "spatial"}
        Which sets to search; of several, the worst is taken.
    target : {"latent", "reconstruction"}
        What the attack maximises: the distance of the codes (ARAE), or the reconstruction error (ARAE-R).
    attack_steps : int
        PGD's steps, in l∞ and l2.
    l2_radius : float
        Of the l2 attack, in pixel units, for a whole image.
    rotations : int
        How many rotations in ±30° the spatial attack tries; with nine shifts each, of 4/28 of a side.
    network, widths, activation, conv_width, epochs, batch_size, learning_rate, latent_dim, seed, device, precision
        See `Autoencoder`.
    """

    attack_radius: float = 0.2  # Architecture and Hyperparameters: 0.2 for MNIST, 0.05 for the others
    latent_weight: float = 0.1  # Architecture and Hyperparameters
    attacks: tuple[str, ...] = ("linf",)  # Eq. 1
    target: str = "latent"  # Eq. 1
    attack_steps: int = 40  # released code
    l2_radius: float = 5.0  # released code
    rotations: int = 31  # released code
    activation: str = "sigmoid"  # Architecture and Hyperparameters

    def check(self) -> None:
        super().check()
        percent = "It is in pixel units of [0, 1], so 0.2 is 20 %."
        check_number("ARAE", "attack_radius", self.attack_radius, 0, 1, remedy=percent)
        check_number("ARAE", "latent_weight", self.latent_weight, 0)
        check_number("ARAE", "attack_steps", self.attack_steps, 1, integer=True)
        check_number("ARAE", "l2_radius", self.l2_radius, 0)
        check_number("ARAE", "rotations", self.rotations, 1, integer=True)
        check_choice("ARAE", "target", self.target, ["latent", "reconstruction"])
        if not isinstance(self.attacks, (tuple, list)) or not self.attacks:
            reject("ARAE", "attacks", "be a tuple of at least one name", self.attacks, 'For example ("linf",).')
        for attack in self.attacks:
            check_choice("ARAE", "each of attacks", attack, ["linf", "l2", "spatial"])

    def latent_loss(self, networks: Networks, x: Tensor, x_star: Tensor) -> Tensor:
        """Eq. 2: L_latent = ‖Enc(X + δ) − Enc(X)‖², a mean over the code; (B, ...) -> (B,)."""
        return squared_error(networks.encoder(x_star), networks.encoder(x))

    def reconstruction_loss(self, networks: Networks, x: Tensor, x_star: Tensor) -> Tensor:
        """Eq. 4: L_rec. = ‖X − Dec(Enc(X*))‖², a mean over the pixels; (B, ...) -> (B,)."""
        return squared_error(x, networks.decoder(networks.encoder(x_star)))

    def loss(self, networks: Networks, x: Tensor, x_star: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Eqs. 3 and 5, outer problem: L_AE = L_rec. + γ L_latent."""
        z, z_star = networks.encoder(x), networks.encoder(x_star)  # Eqs. 2 and 4, encoding X* once
        reconstruction, latent = squared_error(x, networks.decoder(z_star)).mean(), squared_error(z_star, z).mean()
        return reconstruction + self.latent_weight * latent, {"reconstruction": reconstruction, "latent": latent}

    def attack(self, networks: Networks, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Eqs. 1 and 5, inner problem: the X* that moves the code (or, for ARAE-R, the image) most; like x."""
        z = networks.encoder(x).detach()

        def latent_distance(x_star: Tensor) -> Tensor:
            return squared_error(networks.encoder(x_star), z)

        def reconstruction_error(x_star: Tensor) -> Tensor:
            return self.reconstruction_loss(networks, x, x_star)

        objective = latent_distance if self.target == "latent" else reconstruction_error
        found = []
        for attack in self.attacks:
            if attack == "spatial":
                shift = round(4 / 28 * x.shape[-1])
                shifts = [(dx, dy) for dx in (-shift, 0, shift) for dy in (-shift, 0, shift)]
                found.append(worst_transform(objective, x, degrees=self._degrees(), shifts=shifts))
            else:
                radius = self.attack_radius if attack == "linf" else self.l2_radius
                steps, rng = self.attack_steps, generator
                found.append(pgd(objective, x, norm=attack, radius=radius, steps=steps, generator=rng))
        if len(found) == 1:
            return found[0]
        with torch.no_grad():
            worst = torch.stack([objective(x_star) for x_star in found]).argmax(0)  # (B,)
        return torch.stack(found)[worst, torch.arange(len(x), device=x.device)]

    def _degrees(self) -> list[float]:
        return torch.linspace(-30, 30, self.rotations).tolist() if self.rotations > 1 else [0.0]

    def step(self, update: Update, x: Tensor) -> None:
        x_star = self.attack(update.networks, x, update.generator)  # Eq. 5, the inner maximum
        update("autoencoder", self.loss, x, x_star)  # Eq. 5, the outer minimum

    def score_images(self, networks: Networks, x: Tensor) -> Tensor:
        """Return A(x) = mean (x − Dec(Enc(x)))²."""
        return squared_error(x, self.reconstruct_images(networks, x))
