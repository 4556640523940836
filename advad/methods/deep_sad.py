"""Deep SAD: Deep SVDD that is also shown some anomalies, and pushes them away from the centre.

Ruff, Vandermeulen, Görnitz, Binder, Müller, Müller, Kloft: Deep Semi-Supervised Anomaly Detection. ICLR 2020.
It generalises Deep SVDD (`deep_svdd.py`); the base of both is `engine/bases/hypersphere.py`.

Unlabelled images, mostly normal, are drawn to a fixed centre c, as in Deep SVDD. Labelled anomalies pay the inverse of
their squared distance from c: they are pushed outwards, the harder the closer they are, and hardly any more once they
are far away, so that they need not have anything in common. Without labels, it is Deep SVDD with its hard boundary.

| paper | here |
|---|---|
| φ(x; W) | `networks.encoder`, without any bias |
| c | `buffers_["centre"]` |
| x_1 … x_n (unlabelled) | images of `fit(X, y)` with y = 0 |
| x̃_1 … x̃_m with ỹ = −1 (labelled anomalies) | those with y = 1 |
| η, λ | `eta`, `weight_decay` |
| objective (Eq. 7) | `loss` |

Departures from the paper:
- Labelled *normal* images (ỹ = +1) have no place in `fit(X, y)`: they count as unlabelled.
- Each batch gets its share of the labelled anomalies, at least one, drawn with replacement; the released code
  shuffles all images together, so that some batches have none.
- Pre-training and centre use the unlabelled images only; the released code's use all.
- ε = 1e-6 is added to the squared distance before it is inverted, as in the released code; the paper has none.
- Epochs, learning rate, pixels, decoder: as in `deep_svdd.py`.

Measured results: data/findings/deep_sad.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from advad.checks import check_number
from advad.engine.bases.hypersphere import Hypersphere
from advad.engine.training import Networks, Update

EPSILON = 1e-6  # released code


@dataclass(kw_only=True, eq=False, repr=False)
class DeepSAD(Hypersphere):
    """Deep semi-supervised anomaly detection; A(x) is the squared distance of the code from the centre.

    Parameters
    ----------
    eta : float, at least 0
        η, the weight of labelled anomalies.
    pretrain_epochs, epochs, conv_widths, weight_decay
        See `Hypersphere`.
    batch_size, learning_rate, latent_dim, seed, device, precision
        See `Detector`.
    """

    batch_size: int = 128  # released code
    eta: float = 1.0  # Sec. 4

    # Released code's example; its pre-training has a weight decay of its own, 0.5e-3, and both stages go on at a tenth
    # of the learning rate after 50 epochs.
    _paper_settings = {
        "MNIST": {"pretrain_epochs": 150, "epochs": 150, "batch_size": 128, "weight_decay": 0.5e-6},
    }

    uses_labels: ClassVar[bool] = True

    def check(self) -> None:
        super().check()
        check_number("DeepSAD", "eta", self.eta, 0, remedy="1 weighs labelled anomalies like other images.")

    def loss(self, networks: Networks, x: Tensor, anomalies: Tensor, c: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. 7: 1/(n + m) [Σ ‖φ(x_i; W) − c‖² + η Σ (‖φ(x̃_j; W) − c‖²)⁻¹]; the optimiser adds λ/2 ‖W‖².

        Parameters
        ----------
        networks : Networks
            With the encoder φ.
        x, anomalies : Tensor of shape (n, C, H, W) and (m, C, H, W)
            Unlabelled images and labelled anomalies, none at all if m = 0.
        c : Tensor of shape (latent_dim,)
            The centre.
        """
        batch = torch.cat([x, anomalies])  # one pass: batch normalisation sees them together
        near, far = self.distance(networks, batch, c).split([len(x), len(anomalies)])
        terms = {"distance": near.mean()}
        if len(anomalies):
            terms["anomaly_distance"] = far.mean()
        return (near.sum() + self.eta * (far + EPSILON).reciprocal().sum()) / len(batch), terms

    def step(self, update: Update, x: Tensor) -> None:
        anomalies, c = x[:0], update.run.buffers["centre"]
        if update.run.anomalies is not None:
            anomalies = update.anomalies(max(1, round(len(update.run.anomalies) / update.batches)))
        update("encoder", self.loss, x, anomalies, c)
