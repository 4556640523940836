"""Several models of one method in one loop: a network stands for all of them, its weights stacked.

    detectors = [advad.ARAE(seed=seed) for seed in range(10)]
    advad.fit_stacked(detectors, [split.train for split in splits])

The method's own `step` runs unchanged on one large batch: the K models' batches, one after the other, (K·B, C, H, W). A
stacked network cuts it into K parts and applies each model's weights to its part (`vmap` over `functional_call`). A
loss is computed for each model from its own part of the batch, so that each has its own gradient and its own column in
the history; Adam acts on each weight alone, so that one optimiser steps all models. Random numbers are drawn for each
model from its own (seed, epoch), in the order in which it would draw them alone.

That is the training of each model by itself, up to the rounding of single precision, where
- no layer looks across a batch or keeps statistics (batch normalisation), and none draws by itself (dropout);
- what a step does outside its losses treats each image by itself, with one set of random numbers for each image;
- all training sets have as many images, and there is one stage that begins with nothing.
Before the training, one step is tried with the stack and with the first model alone. Where they differ, or the stack
fails, `fit_stacked` says why in one line and trains the models one by one.
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
from torch.func import functional_call, stack_module_state, vmap
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
    append_row,
    choose_device,
    epoch_seed,
    seeded,
)
from advad.images import as_float

BATCH_COUPLED_LAYERS = (_BatchNorm, _DropoutNd)  # layers that look across a batch, or draw from the global generator
RANDOM_FUNCTIONS = (torch.rand, torch.randn)
LONG = 100  # maximum number of letters that a refusal quotes from another error
GRADIENT_TOLERANCE = 0.01  # how near the gradients of the first step must be, relative; the stack is checked by them


class NotStackableError(ValueError):
    """These models cannot be trained as one; the message says why."""


def fit_stacked(
    detectors: Sequence[Detector],
    X: Sequence[ArrayLike | Tensor],
    *,
    progress: bool = True,
    one_by_one: bool = True,
) -> list[Detector]:
    """Train several detectors of one method in one loop, each on its own images; return them.

    Their histories have the columns that `Detector.fit` gives them; "seconds" are those of the loop, divided by the
    number of models.

    Parameters
    ----------
    detectors : sequence of Detector
        Unfitted, of one class, with the same parameters but `seed`.
    X : sequence of arrays of shape (N, C, H, W) or (N, H, W)
        One for each detector, as in `Detector.fit`.
    progress : bool
        Whether to show a progress bar.
    one_by_one : bool
        Whether to train detectors that cannot be stacked one by one, with a warning.

    Raises
    ------
    NotStackableError
        They cannot be stacked, and `one_by_one` is False.
    TypeError, ValueError
        As in `Detector.fit`; not one set of images for each detector.
    DivergedError
        A loss is not finite.

    Examples
    --------
    >>> import advad
    >>> splits = [advad.one_class(advad.load("digits"), normal=digit, train_size=40) for digit in (0, 1)]
    >>> detectors = [advad.AE(epochs=2, device="cpu", seed=seed) for seed in (0, 1)]
    >>> fitted = advad.fit_stacked(detectors, [split.train for split in splits], progress=False)
    >>> fitted[1].anomaly_score(splits[1].test).shape
    (540,)
    """
    detectors = list(detectors)
    if not detectors or len(X) != len(detectors):
        reject("fit_stacked", "X", f"hold one set of images for each of {len(detectors)} detectors", len(X))
    try:
        _fit_stacked(detectors, [as_images("fit_stacked", images) for images in X], progress)
    except NotStackableError as error:
        if not one_by_one:
            raise
        warnings.warn(f"fit_stacked: {type(detectors[0]).__name__} is trained one by one: {error}.", stacklevel=2)
        for detector, images in zip(detectors, X, strict=True):
            detector.fit(images, progress=progress)
    return detectors


class Many:
    """Deprecated in 0.2, gone in 0.3: `Many(detectors).fit(X)` is now `fit_stacked(detectors, X)`."""

    def __init__(self, detectors: Sequence[Detector]):
        warnings.warn(
            "advad.Many(detectors).fit(X) is now advad.fit_stacked(detectors, X).", FutureWarning, stacklevel=2
        )
        self.detectors = list(detectors)

    def fit(self, X: Sequence[ArrayLike | Tensor], **settings: bool) -> list[Detector]:
        """Return `fit_stacked(detectors, X)`."""
        return fit_stacked(self.detectors, X, **settings)


def _fit_stacked(detectors: list[Detector], images: list[Tensor], progress: bool) -> None:
    from tqdm.auto import tqdm

    first, k = detectors[0], len(detectors)
    for detector in detectors:
        detector.check()
    device, shape = (
        choose_device(first.device, type(first).__name__),
        (images[0].shape[1], images[0].shape[2], images[0].shape[3]),
    )
    _require_alike(detectors, images)
    runs = [detector._new_run(shape, device) for detector in detectors]
    _require_own_layers(runs[0].networks)
    pixels = torch.stack([part.to(device) for part in images])  # (K, N, C, H, W)
    epochs, n_batches = first.stages()[0].epochs, math.ceil(pixels.shape[1] / first.batch_size)
    stack, model = stacked(runs, first), OneModel(runs[0].networks)
    _require_equal_step(first, runs[0], stacked(runs, first), runs, pixels)
    bar = tqdm(total=epochs * n_batches, desc=f"{k} × {type(first).__name__}", disable=not progress, unit="batch")
    with bar:
        for epoch in range(epochs):
            begin = time.monotonic()
            stack.epoch = epoch
            update = StackedUpdate(stack, torch.Generator(device), model)
            for _ in _steps(first, update, runs, pixels):
                bar.update()
            means = update.means_of_each()
            _require_finite(means, epoch)
            seconds = (time.monotonic() - begin) / k
            for run, of_run in zip(runs, means, strict=True):
                row = {"epoch": epoch + 1, "stage": first.stages()[0].name, "seconds": seconds}
                append_row(run.history, row | of_run)
    for index, (detector, run) in enumerate(zip(detectors, runs, strict=True)):
        _unstack(stack.networks, run.networks, index)
        run.epoch = epochs
        run.networks.eval()
        detector.on_fit_end(run, pixels[index])  # as in `Detector.fit`, once the training has ended
        detector._adopt(run, shape).networks_.requires_grad_(False)


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

        def apply(weights: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Tensor:
            return functional_call(self.form[0], (weights, buffers), (x,))

        parts = x.unflatten(0, (len(self.weights[0]), -1))  # (K, B, ...)
        return vmap(apply)(weights, self.buffers_, parts).flatten(0, 1)


class OneModel(nn.Module):
    """A loss of one model's networks as a module, so that `functional_call` can give it any model's weights."""

    def __init__(self, networks: Networks):
        super().__init__()
        self.networks = copy.deepcopy(networks).to("meta")

    def forward(self, loss: Loss, *tensors: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return loss(self.networks, *tensors)


class StackedUpdate(Update):
    """The update of K models at once: each has a loss of its own, computed from its own part of each tensor.

    Parameters
    ----------
    run : TrainingState
        Its networks are `Stacked`.
    generator : torch.Generator
        The only source of randomness in a step.
    model : OneModel
        The form that all models have.
    """

    def __init__(self, run: TrainingState, generator: torch.Generator, model: OneModel):
        super().__init__(run, generator)
        self.model, self.state = model, dict[str, Tensor]()  # the weights and buffers of all models, (K, ...)
        for name, stack in self.networks.named_children():
            assert isinstance(stack, Stacked)
            weights = dict(zip(stack.names, stack.weights, strict=True))
            self.state |= {f"networks.{name}.{each}": tensor for each, tensor in (weights | stack.buffers_).items()}
        self.k = len(next(iter(self.state.values())))

    def __call__(self, player: str, loss: Loss, *tensors: Tensor) -> None:
        def loss_of_model(state: dict[str, Tensor], *parts: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            return functional_call(self.model, state, (loss, *parts))

        parts = [tensor.unflatten(0, (self.k, -1)) for tensor in tensors]  # (K, B, ...)
        totals, terms = vmap(loss_of_model)(self.state, *parts)  # (K,) each
        optimiser = self.run.optimisers[player]
        optimiser.zero_grad(set_to_none=True)
        totals.sum().backward(inputs=self._parameters[player])  # no model's loss depends on another's weights
        optimiser.step()
        self.log(**{f"{player}_loss": totals}, **terms)

    def log(self, **terms: Tensor) -> None:
        """Add one value for each model to the epoch's means, (K,)."""
        for name, value in terms.items():
            if value.shape != (self.k,):
                raise NotStackableError(f"its step logs {name} of all models' images at once")
        super().log(**terms)

    def means_of_each(self) -> list[dict[str, float]]:
        """Return each model's mean of each logged term over the epoch: the one wait for the device."""
        sums = torch.stack([value.float() for value in self._sums.values()], dim=1).tolist()  # (K, number of terms)
        return [
            {name: value / self._counts[name] for name, value in zip(self._sums, of_model, strict=True)}
            for of_model in sums
        ]


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
        parts = [func((size[0] // k, *size[1:]), **kwargs | {"generator": generator}) for generator in self.generators]
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


def _steps(detector: Detector, update: Update, runs: Sequence[TrainingState], pixels: Tensor) -> Iterator[None]:
    """Do the steps of one epoch, one at a time; the models' randomness is what each would have alone."""
    k, n, device, epoch = len(runs), pixels.shape[1], pixels.device, update.epoch
    update.batches = n_batches = math.ceil(n / detector.batch_size)
    with contextlib.ExitStack() as contexts:
        generators = [torch.Generator(device).manual_seed(epoch_seed(run.seed, epoch)) for run in runs]
        contexts.enter_context(seeded(epoch_seed(runs[0].seed, epoch), device))  # nothing outside is disturbed
        contexts.enter_context(
            torch.autocast(device.type, torch.bfloat16, runs[0].precision == "bfloat16", cache_enabled=False)
        )
        orders = torch.stack(
            [torch.randperm(n, generator=generator, device=device) for generator in generators]
        )  # (K, N)
        model = torch.arange(k, device=device)[:, None]
        for update.batch, index in enumerate(orders.tensor_split(n_batches, dim=1)):
            update.index = index.flatten()
            with PerModelRandomness(update.generator, generators):
                detector.stages()[0].step(update, as_float(pixels[model, index]).flatten(0, 1))
            yield


def _require_finite(means: Sequence[dict[str, float]], epoch: int) -> None:
    """Raise DivergedError where a loss of a model is not finite."""
    bad = list(
        dict.fromkeys(name for of_model in means for name, value in of_model.items() if not math.isfinite(value))
    )
    if bad:
        raise DivergedError(
            f"fit_stacked: {', '.join(bad)} is not finite in epoch {epoch + 1}; try a smaller learning_rate."
        )


def _require_alike(detectors: Sequence[Detector], images: Sequence[Tensor]) -> None:
    """Raise NotStackableError where the models differ in more than their seeds, or the method's form forbids it."""
    first = detectors[0]

    def parameters(detector: Detector) -> dict[str, Any]:
        return detector.get_params(deep=False) | {"seed": 0}

    if any(type(other) is not type(first) or parameters(other) != parameters(first) for other in detectors):
        raise NotStackableError("its parameters differ in more than the seed")
    if len({(part.shape, part.dtype) for part in images}) > 1:
        sizes = sorted({len(part) for part in images})
        raise NotStackableError(f"the training sets differ in size ({sizes[0]} to {sizes[-1]} images)")
    stages = first.stages()
    if len(stages) != 1 or stages[0].on_start is not None:
        raise NotStackableError("its training has stages, or begins with all images")


def _require_own_layers(networks: Networks) -> None:
    """Raise NotStackableError where a layer looks across a batch, or draws from the global generator."""
    for name, network in networks.named_children():
        if modules := [module for module in network.modules() if isinstance(module, BATCH_COUPLED_LAYERS)]:
            raise NotStackableError(f"its {name} has {type(modules[0]).__name__}, which looks beyond a single image")


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
    device = pixels.device
    for _ in _steps(first, Update(single, torch.Generator(device)), [single], pixels[:1]):
        break
    before = dict(run.networks.named_buffers())
    if single.buffers or any(not torch.equal(buffer, before[name]) for name, buffer in alone.named_buffers()):
        raise NotStackableError("its step keeps something beside the weights")
    try:
        for _ in _steps(first, StackedUpdate(stack, torch.Generator(device), OneModel(run.networks)), runs, pixels):
            break
    except NotStackableError:
        raise
    except Exception as error:  # whatever it is: the model alone has done this step, so the stack is the reason
        text = " ".join(str(error).split())
        text = text if len(text) <= LONG else f"{text[: LONG - 1]}…"
        raise NotStackableError(f"its step fails on a stack ({type(error).__name__}: {text})") from error
    for name, network in alone.named_children():
        part, weights = getattr(stack.networks, name), dict(network.named_parameters())
        for weight_name, weight in zip(part.names, part.weights, strict=True):
            gradient = weights[weight_name].grad
            if (gradient is None) != (weight.grad is None):
                raise NotStackableError("its step trains other weights on a stack")
            if (
                gradient is not None
                and weight.grad is not None
                and (weight.grad[0] - gradient).norm() > GRADIENT_TOLERANCE * gradient.norm()
            ):
                raise NotStackableError("its step mixes the images of a batch outside its losses")


@torch.no_grad()
def _unstack(stack: Networks, networks: Networks, index: int) -> None:
    """Copy the index-th model's weights out of the stack."""
    for name, network in networks.named_children():
        part = getattr(stack, name)
        weights = dict(network.named_parameters())
        for weight_name, weight in zip(part.names, part.weights, strict=True):
            weights[weight_name].copy_(weight[index])
