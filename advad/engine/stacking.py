"""Many models of one method in one loop: a network stands for all of them, its weights stacked.

    detectors = [advad.ARAE(seed=seed) for seed in range(10)]
    advad.Many(detectors).fit([split.train for split in splits])

The method's own `step` runs unchanged on one large batch: the K models' batches, one after the other, (K·B, C, H, W). A
stacked network cuts it into K parts and applies each model's weights to its part (`vmap` over `functional_call`). The
loss, a mean over the large batch, is multiplied by K, so that each model gets the gradient of its own mean; Adam acts
on each weight alone, so that one optimiser steps all models. Random numbers are drawn for each model from its own
(seed, epoch), in the order in which it would draw them alone.

That is the training of each model by itself, up to the rounding of single precision, where
- no layer looks across a batch or keeps statistics (batch normalisation), and none draws by itself (dropout);
- a loss is a mean over the images, and random numbers come one set an image, not one for the whole batch;
- all training sets have as many images, and there is one stage that begins with nothing.
Where that is not so, `Many` says why in one line and trains them one by one.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.overrides import TorchFunctionMode

from advad.checks import as_images, reject
from advad.engine.detector import Detector
from advad.engine.training import (
    DivergedError,
    Loss,
    Networks,
    TrainingState,
    Update,
    choose_device,
    epoch_seed,
    seeded,
)
from advad.images import as_float

BATCH_COUPLED_LAYERS = (_BatchNorm, _DropoutNd)  # layers that look across a batch, or draw from the global generator
RANDOM_FUNCTIONS = (torch.rand, torch.randn)
GRADIENT_TOLERANCE = 0.01  # how near the gradients of the first step must be, relative; the stack is checked by them


class NotStackableError(ValueError):
    """These models cannot be trained as one; the message says why."""


class Many:
    """Several detectors of one method that differ in their seeds only, and in what they are trained on.

    Parameters
    ----------
    detectors : sequence of Detector
        Unfitted, of one class, with the same parameters but `seed`.
    """

    def __init__(self, detectors: Sequence[Detector]):
        self.detectors = list(detectors)

    def fit(self, X: Sequence[ArrayLike | Tensor], *, progress: bool = True, one_by_one: bool = True) -> list[Detector]:
        """Train each detector on its own images; return them.

        Their histories hold "epoch", "stage" and "seconds" (of the loop, divided by the number of models).

        Parameters
        ----------
        X : sequence of arrays of shape (N, C, H, W) or (N, H, W)
            One for each detector, as in `Detector.fit`.
        progress : bool
            Whether to show a progress bar.
        one_by_one : bool
            Whether to train what cannot be stacked one by one, with a warning.

        Raises
        ------
        NotStackableError
            It cannot be stacked, and `one_by_one` is False.
        TypeError, ValueError
            As in `Detector.fit`; not one set of images for each detector.
        DivergedError
            A loss is not finite.
        """
        if not self.detectors or len(X) != len(self.detectors):
            reject("Many", "X", f"hold one set of images for each of {len(self.detectors)} detectors", len(X))
        try:
            self._fit_stacked([as_images("Many", images) for images in X], progress)
        except NotStackableError as error:
            if not one_by_one:
                raise
            warnings.warn(f"Many: {type(self.detectors[0]).__name__} is trained one by one: {error}.", stacklevel=2)
            for detector, images in zip(self.detectors, X, strict=True):
                detector.fit(images, progress=progress)
        return self.detectors

    def _fit_stacked(self, images: list[Tensor], progress: bool) -> None:
        from tqdm.auto import tqdm

        first, k = self.detectors[0], len(self.detectors)
        for detector in self.detectors:
            detector.check()
        device, shape = (
            choose_device(first.device, type(first).__name__),
            (images[0].shape[1], images[0].shape[2], images[0].shape[3]),
        )
        _require_alike(self.detectors, images)
        runs = [detector._new_run(shape, device) for detector in self.detectors]
        _require_own_layers(runs[0].networks)
        pixels = torch.stack([some.to(device) for some in images])  # (K, N, C, H, W)
        epochs, n_batches = first.stages()[0].epochs, math.ceil(pixels.shape[1] / first.batch_size)
        stack = stacked(runs, first)
        _require_equal_step(first, runs[0], stacked(runs, first), runs, pixels)
        history: dict[str, list[Any]] = {"epoch": [], "stage": [], "seconds": []}
        bar = tqdm(total=epochs * n_batches, desc=f"{k} × {type(first).__name__}", disable=not progress, unit="batch")
        with bar:
            for epoch in range(epochs):
                begin = time.monotonic()
                stack.epoch = epoch
                for _ in _steps(first, stack, runs, pixels, epoch):
                    bar.update()
                seconds = (time.monotonic() - begin) / k
                for name, value in (("epoch", epoch + 1), ("stage", first.stages()[0].name), ("seconds", seconds)):
                    history[name].append(value)
        for index, (detector, run) in enumerate(zip(self.detectors, runs, strict=True)):
            _unstack(stack.networks, run.networks, index)
            run.epoch, run.history = epochs, {name: list(column) for name, column in history.items()}
            detector._adopt(run, shape)
            detector.networks_.requires_grad_(False)


class Stacked(nn.Module):
    """K networks of one form as one, (K·B, ...) -> (K·B, ...): the k-th B rows pass the k-th network."""

    def __init__(self, networks: Sequence[nn.Module]):
        super().__init__()
        weights, self.buffers_ = stack_module_state(list(networks))
        self.names = list(weights)
        self.weights = nn.ParameterList([weight.detach().clone() for weight in weights.values()])
        self.form = [copy.deepcopy(networks[0]).to("meta")]  # in a list, so that its weights are not this module's

    def forward(self, x: Tensor) -> Tensor:
        weights = dict(zip(self.names, self.weights, strict=True))

        def one(weights: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Tensor:
            return functional_call(self.form[0], (weights, buffers), (x,))

        parts = x.unflatten(0, (len(self.weights[0]), -1))  # (K, B, ...)
        return torch.func.vmap(one)(weights, self.buffers_, parts).flatten(0, 1)


class ManyUpdate(Update):
    """The update of K models at once."""

    def __init__(self, run: TrainingState, generator: torch.Generator, k: int):
        super().__init__(run, generator)
        self.k = k

    def __call__(self, player: str, loss: Loss, *tensors: Tensor) -> None:
        def of_all(networks: Networks, *tensors: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            return self.k * loss(networks, *tensors)[0], {}

        super().__call__(player, of_all, *tensors)


class PerModelRandomness(TorchFunctionMode):
    """Draws the first dimension's K parts from K generators, wherever `shared` is asked for random numbers."""

    def __init__(self, shared: torch.Generator, generators: Sequence[torch.Generator]):
        super().__init__()
        self.shared, self.generators = shared, generators

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, k = kwargs or {}, len(self.generators)
        if kwargs.get("generator") is not self.shared:
            return func(*args, **kwargs)
        size = tuple(args[0] if len(args) == 1 and not isinstance(args[0], int) else args)
        if func not in RANDOM_FUNCTIONS or not size or size[0] % k:
            raise NotStackableError("its step draws random numbers that cannot be split per model")
        parts = [func((size[0] // k, *size[1:]), **kwargs | {"generator": own}) for own in self.generators]
        return torch.cat(parts)


def stacked(runs: Sequence[TrainingState], detector: Detector) -> TrainingState:
    """Return a run whose networks are those of all `runs`, stacked."""
    names = [name for name, _ in runs[0].networks.named_children()]
    networks = Networks(**{name: Stacked([getattr(run.networks, name) for run in runs]) for name in names})
    optimisers = {
        player: detector.optimiser(player, [p for name in names for p in getattr(networks, name).parameters()])
        for player, names in detector.optimised.items()
    }
    return TrainingState(networks, optimisers, seed=runs[0].seed, precision=runs[0].precision)


def _steps(
    detector: Detector, stack: TrainingState, runs: Sequence[TrainingState], pixels: Tensor, epoch: int
) -> Iterator[None]:
    """Do the steps of one epoch, one at a time; the models' randomness is what each would have alone."""
    k, n, device = len(runs), pixels.shape[1], pixels.device
    n_batches = math.ceil(n / detector.batch_size)
    shared = torch.Generator(device)
    update = ManyUpdate(stack, shared, k)
    update.batches = n_batches
    with contextlib.ExitStack() as both:
        generators = [torch.Generator(device).manual_seed(epoch_seed(run.seed, epoch)) for run in runs]
        both.enter_context(seeded(epoch_seed(stack.seed, epoch), device))  # nothing outside is disturbed
        both.enter_context(
            torch.autocast(device.type, torch.bfloat16, stack.precision == "bfloat16", cache_enabled=False)
        )
        orders = torch.stack([torch.randperm(n, generator=own, device=device) for own in generators])  # (K, N)
        model = torch.arange(k, device=device)[:, None]
        for update.batch, index in enumerate(orders.tensor_split(n_batches, dim=1)):
            update.index = index.flatten()
            with PerModelRandomness(shared, generators):
                detector.stages()[0].step(update, as_float(pixels[model, index]).flatten(0, 1))
            yield
    bad = [name for name, value in update.means().items() if not math.isfinite(value)]
    if bad:
        raise DivergedError(f"Many: {', '.join(bad)} is not finite in epoch {epoch + 1}; try a smaller learning_rate.")


def _require_alike(detectors: Sequence[Detector], images: Sequence[Tensor]) -> None:
    """Raise NotStackableError where the models differ in more than their seeds, or the method's form forbids it."""
    first = detectors[0]

    def parameters(detector: Detector) -> dict[str, Any]:
        return detector.get_params(deep=False) | {"seed": 0}

    if any(type(other) is not type(first) or parameters(other) != parameters(first) for other in detectors):
        raise NotStackableError("its parameters differ in more than the seed")
    if len({(some.shape, some.dtype) for some in images}) > 1:
        sizes = sorted({len(some) for some in images})
        raise NotStackableError(f"the training sets differ in size ({sizes[0]} to {sizes[-1]} images)")
    stages = first.stages()
    if len(stages) != 1 or stages[0].on_start is not None:
        raise NotStackableError("its training has stages, or begins with all images")


def _require_own_layers(networks: Networks) -> None:
    """Raise NotStackableError where a layer looks across a batch, or draws from the global generator."""
    for name, network in networks.named_children():
        if found := [module for module in network.modules() if isinstance(module, BATCH_COUPLED_LAYERS)]:
            raise NotStackableError(f"its {name} has {type(found[0]).__name__}, which looks beyond a single image")


def _require_equal_step(
    first: Detector, run: TrainingState, stack: TrainingState, runs: Sequence[TrainingState], pixels: Tensor
) -> None:
    """Do one step with the first model alone and with a stack: raise NotStackableError unless their gradients agree."""
    alone = copy.deepcopy(run.networks)
    optimisers = {
        player: first.optimiser(player, [p for name in names for p in getattr(alone, name).parameters()])
        for player, names in first.optimised.items()
    }
    single = TrainingState(alone, optimisers, seed=run.seed, precision=run.precision)
    for _ in _steps(first, stack, runs, pixels, 0):
        break
    for _ in _steps(first, single, [single], pixels[:1], 0):
        break
    for name, network in alone.named_children():
        part, weights = getattr(stack.networks, name), dict(network.named_parameters())
        for weight_name, many in zip(part.names, part.weights, strict=True):
            one = weights[weight_name].grad
            if (
                one is not None
                and many.grad is not None
                and (many.grad[0] - one).norm() > GRADIENT_TOLERANCE * one.norm()
            ):
                raise NotStackableError("its loss mixes the images of a batch")


@torch.no_grad()
def _unstack(stack: Networks, networks: Networks, index: int) -> None:
    """Copy the index-th model's weights out of the stack."""
    for name, network in networks.named_children():
        part = getattr(stack, name)
        weights = dict(network.named_parameters())
        for weight_name, weight in zip(part.names, part.weights, strict=True):
            weights[weight_name].copy_(weight[index])
