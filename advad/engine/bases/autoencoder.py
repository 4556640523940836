"""What all detectors with one encoder and one decoder share: the choice of the network, and its batch norm."""

from __future__ import annotations

import math
from abc import ABC
from dataclasses import dataclass

from torch import nn

from advad.checks import check_choice, check_number, reject
from advad.engine.detector import Detector
from advad.networks.autoencoders import ACTIVATIONS, INITS, conv_decoder, conv_encoder, dense_decoder, dense_encoder


def batch_normalised(encoder: nn.Sequential, where: str) -> nn.Sequential:
    """Return the encoder with batch normalisation after its "hidden", "all" or "none" of its layers with weights."""
    layers: list[nn.Module] = []
    for position, layer in enumerate(encoder):
        layers.append(layer)
        if where == "all" or (where == "hidden" and position < len(encoder) - 1):
            if isinstance(layer, nn.Conv2d):
                layers.append(nn.BatchNorm2d(layer.out_channels))
            elif isinstance(layer, nn.Linear):
                layers.append(nn.BatchNorm1d(layer.out_features))
    return nn.Sequential(*layers)


def require_pairs(owner: str, n: int, batch_size: int, remedy: str) -> None:
    """Raise ValueError where batch normalisation would meet a single image: n of them in batches of about one size."""
    if n // math.ceil(n / batch_size) < 2:
        reject(owner, "X", "give each batch 2 images or more", n, remedy)


@dataclass(kw_only=True, eq=False, repr=False)
class Autoencoder(Detector, ABC):
    """A detector with an encoder and a decoder, dense or convolutional.

    Parameters
    ----------
    network : {"dense", "conv"}
        Fully connected, or convolutional (for 8 to 256 pixels a side).
    widths : tuple of int
        Hidden units of the dense network, from the image inwards.
    activation : {"relu", "leaky_relu", "sigmoid"}
        After each hidden layer of the dense network. "sigmoid" follows the code as well, as in Salehi et al. 2020,
        and then the codes lie in (0, 1). The output pixels always pass a sigmoid.
    weight_init : {"glorot_uniform", "glorot_normal"}
        Distribution of the dense network's initial weights.
    conv_width : int
        Feature maps of the convolutional network's first level.
    epochs, batch_size, learning_rate, latent_dim, seed, device, precision
        See `Detector`.
    """

    network: str = "dense"
    widths: tuple[int, ...] = (512, 256)  # Salehi et al. 2020, Architecture and Hyperparameters
    latent_dim: int = 128  # the same
    activation: str = "relu"
    weight_init: str = "glorot_uniform"  # the default of Keras
    conv_width: int = 32  # Bergmann et al. 2019, Table 1

    optimised = {"autoencoder": ("encoder", "decoder")}
    former_values = {"weight_init": "glorot_uniform"}

    def check(self) -> None:
        super().check()
        owner = type(self).__name__
        check_choice(owner, "network", self.network, ["dense", "conv"])
        check_choice(owner, "activation", self.activation, ACTIVATIONS)
        check_choice(owner, "weight_init", self.weight_init, INITS)
        check_number(owner, "conv_width", self.conv_width, 1, integer=True)
        if not isinstance(self.widths, (tuple, list)):
            reject(owner, "widths", "be a tuple of whole numbers", self.widths, "For example (512, 256).", TypeError)
        for width in self.widths:
            check_number(owner, "each of widths", width, 1, integer=True)

    def build(self, image_shape: tuple[int, int, int]) -> dict[str, nn.Module]:
        if self.network == "conv":
            return {
                "encoder": conv_encoder(image_shape, self.latent_dim, self.conv_width),
                "decoder": conv_decoder(image_shape, self.latent_dim, self.conv_width, last="sigmoid"),
            }
        layout = (image_shape, self.widths, self.latent_dim, self.activation)
        code = "sigmoid" if self.activation == "sigmoid" else None
        return {
            "encoder": dense_encoder(*layout, last=code, init=self.weight_init),
            "decoder": dense_decoder(*layout, last="sigmoid", init=self.weight_init),
        }
