"""Batch normalisation with a second set of statistics, and frozen statistics."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import Tensor, nn

# ---------------------------------------------------------------------- batch norm for two kinds of images


class AuxiliaryBatchNorm2d(nn.BatchNorm2d):
    """Batch norm with a second set of statistics and scales, which is used inside `auxiliary_norm` only.

    Source : Xie et al. 2020 (AdvProp), Sec. 3.
    """

    def __init__(self, num_features: int):
        super().__init__(num_features)
        self.auxiliary = nn.BatchNorm2d(num_features)
        self.use_auxiliary = False

    def forward(self, input: Tensor) -> Tensor:
        return self.auxiliary(input) if self.use_auxiliary else super().forward(input)


@contextlib.contextmanager
def auxiliary_norm(network: nn.Module) -> Iterator[None]:
    """Let the network's `AuxiliaryBatchNorm2d` layers use their second set inside."""
    layers = [module for module in network.modules() if isinstance(module, AuxiliaryBatchNorm2d)]
    for layer in layers:
        layer.use_auxiliary = True
    try:
        yield
    finally:
        for layer in layers:
            layer.use_auxiliary = False


@contextlib.contextmanager
def frozen_norm(network: nn.Module) -> Iterator[None]:
    """Let the network's batch norm use its running statistics inside, and leave them as they are."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d) and module.training]
    for norm in norms:
        norm.eval()
    try:
        yield
    finally:
        for norm in norms:
            norm.train()
