"""The loop that every method runs on: epochs, batches, device, precision, progress, history, checkpoints.

It knows no loss and no order of updates: those are the method's `step`. Two choices keep it small:

- Each epoch seeds its own randomness from (seed, epoch). Nothing random needs to be stored, so a run that was
  killed and one that was not draw the same numbers, whatever happened in between.
- The images stay in memory, on the device, as they came (`uint8`); a batch is an index into them.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from advad.checks import check_choice, reject
from advad.images import as_float
from advad.progress import progress_bar

Loss = Callable[..., "tuple[Tensor, dict[str, Tensor]]"]


class DivergedError(ArithmeticError):
    """A loss became infinite or NaN; the run keeps its last good state."""


class Networks(nn.Module):
    """A method's networks by name: `networks.encoder(x)`."""

    def __init__(self, **networks: nn.Module):
        super().__init__()
        for name, network in networks.items():
            self.add_module(name, network)

    if TYPE_CHECKING:  # a name is a network, which pyright cannot see

        def __getattr__(self, name: str) -> Any: ...


@dataclass(frozen=True)
class Stage:
    """A stretch of epochs that share a step.

    Attributes
    ----------
    name : str
        Name recorded in the history.
    epochs : int
        Number of epochs of the stage.
    step : callable (Update, Tensor) -> None
        The paper's algorithm for one batch.
    on_start : callable (TrainingState, Tensor) -> None, optional
        Called once before its first epoch with the run and all training images (`uint8` or float, on the
        device). What it leaves in `run.buffers` is stored with the weights.
    """

    name: str
    epochs: int
    step: Callable[[Update, Tensor], None]
    on_start: Callable[[TrainingState, Tensor], None] | None = None


@dataclass
class TrainingState:
    """Everything that a training run is made of, and all that it needs to go on.

    Attributes
    ----------
    networks : Networks
        The weights.
    optimisers : dict of str to Optimizer
        One per player. A player is a group of networks that takes optimisation steps of its own.
    seed : int
        Together with the epoch, the source of all randomness.
    precision : {"float32", "bfloat16"}
        Precision of the forward pass, as `choose_precision` resolves it; weights and optimisers stay in float32.
    epoch : int
        Epochs done.
    history : dict of str to list
        One column per quantity, one row per epoch: "epoch", "stage", "seconds", and the mean of each loss and term.
    buffers : dict of str to Tensor
        What a method must remember beside its weights (sample weights, a centre, flags).
    anomalies : Tensor of shape (M, C, H, W), optional
        Labelled anomalies, for the methods that learn from them; never stored.
    """

    networks: Networks
    optimisers: dict[str, torch.optim.Optimizer]
    seed: int = 0
    precision: str = "float32"
    epoch: int = 0
    history: dict[str, list] = field(default_factory=dict)
    buffers: dict[str, Tensor] = field(default_factory=dict)
    anomalies: Tensor | None = None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.networks.parameters()).device

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor of the state by a flat name: weights, optimiser states, memory."""
        flat = {f"networks.{name}": tensor for name, tensor in self.networks.state_dict().items()}
        for player, optimiser in self.optimisers.items():
            for index, state in optimiser.state_dict()["state"].items():
                flat |= {f"optimisers.{player}.{index}.{name}": torch.as_tensor(v) for name, v in state.items()}
        return flat | {f"memory.{name}": tensor for name, tensor in self.buffers.items()}

    def metadata(self) -> dict[str, Any]:
        """Return the part of the state that JSON holds."""
        return {"epoch": self.epoch, "history": self.history}

    def restore(self, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
        """Take over a state that `tensors` and `metadata` gave."""
        parts: dict[str, dict[str, Tensor]] = {"networks": {}, "optimisers": {}, "memory": {}}
        for name, tensor in tensors.items():
            part, rest = name.split(".", 1)
            parts[part][rest] = tensor
        self.networks.load_state_dict(parts["networks"])
        self.buffers = {name: tensor.to(self.device).clone() for name, tensor in parts["memory"].items()}
        for player, optimiser in self.optimisers.items():
            parameters = [p for group in optimiser.param_groups for p in group["params"]]
            states: dict[int, dict[str, Tensor]] = {}
            for name, tensor in parts["optimisers"].items():
                owner, index, key = name.rsplit(".", 2)
                if owner == player:
                    parameter = parameters[int(index)]
                    if tensor.ndim and tensor.shape != parameter.shape:  # the number of steps is a scalar
                        raise ValueError(f"{name} has shape {tuple(tensor.shape)} for {tuple(parameter.shape)}")
                    # A moment lies in memory as its weight does (channels_last): fused optimisers rely on it.
                    like = torch.empty_like(parameter) if tensor.shape == parameter.shape else tensor.clone()
                    states.setdefault(int(index), {})[key] = like.copy_(tensor).detach()
            optimiser.load_state_dict({**optimiser.state_dict(), "state": states})
        self.epoch = metadata["epoch"]
        self.history = {name: list(column) for name, column in metadata["history"].items()}


class Update:
    """What a method's `step` is given: `update(player, loss, *tensors)` lets one player take one step.

    Attributes
    ----------
    networks : Networks
        The method's networks.
    generator : torch.Generator
        The only source of randomness in a step, on the device.
    index : LongTensor of shape (B,)
        Which training images the batch holds.
    epoch : int
        Epochs done before this one.
    batch, batches : int
        Batches done before this one in this epoch, and how many an epoch has.
    run : TrainingState
        For `run.buffers` and `run.anomalies`.
    """

    def __init__(self, run: TrainingState, generator: torch.Generator):
        self.run, self.networks, self.generator = run, run.networks, generator
        self.epoch = run.epoch
        self.batch, self.batches = 0, 1
        self.index = torch.empty(0, dtype=torch.long)
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._parameters = {
            player: [p for group in optimiser.param_groups for p in group["params"]]
            for player, optimiser in run.optimisers.items()
        }

    def __call__(self, player: str, loss: Loss, *tensors: Tensor) -> None:
        """Compute `loss(networks, *tensors)`, step this player's optimiser alone, and log the terms.

        Parameters
        ----------
        player : str
            A key of the run's optimisers.
        loss : callable
            A side-effect-free function of networks and tensors that returns the scalar to minimise and a
            dict of named terms to log.
        tensors : Tensor
            Handed to it.
        """
        total, terms = loss(self.networks, *tensors)
        optimiser = self.run.optimisers[player]
        optimiser.zero_grad(set_to_none=True)
        total.backward(inputs=self._parameters[player])
        optimiser.step()
        self.log(**{f"{player}_loss": total}, **terms)

    def log(self, **terms: Tensor) -> None:
        """Add scalars to the epoch's means; they stay on the device, so nothing waits for them."""
        for name, value in terms.items():
            if name in self._sums:
                self._sums[name] += value.detach()
            else:
                self._sums[name] = value.detach().clone()
            self._counts[name] = self._counts.get(name, 0) + 1

    def anomalies(self, n: int) -> Tensor:
        """Return `n` labelled anomalies drawn with replacement, float in [0, 1] of shape (n, C, H, W)."""
        assert self.run.anomalies is not None  # the method asked for labels in fit
        device = self.run.anomalies.device
        draw = torch.randint(len(self.run.anomalies), (n,), generator=self.generator, device=device)
        return as_float(self.run.anomalies[draw])

    def means(self) -> dict[str, float]:
        """Return each logged term's mean over the epoch: the one wait for the device."""
        if not self._sums:
            return {}
        sums = torch.stack([value.float() for value in self._sums.values()]).tolist()
        return {name: value / self._counts[name] for name, value in zip(self._sums, sums, strict=True)}


def apply_to_all(
    function: Callable[[Networks, Tensor], Tensor], run: TrainingState, images: Tensor, batch_size: int
) -> Tensor:
    """Return `function(networks, batch)` of all images, without gradients and in evaluation mode.

    For the `on_start` of a stage; the epoch that follows sets training mode again.
    """
    run.networks.eval()
    with torch.no_grad():
        return torch.cat([function(run.networks, as_float(part)) for part in images.split(batch_size)])


def choose_device(device: str, owner: str = "advad") -> torch.device:
    """Return the device that a name asks for; "auto" is CUDA, else Apple's MPS, else the CPU.

    Raises
    ------
    ValueError
        An unknown name, or a device that this machine lacks.
    """
    kind = str(device).split(":")[0]
    check_choice(owner, "device", kind, ["auto", "cpu", "cuda", "mps"])
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if kind == "auto":
        return torch.device(next(name for name, is_present in present.items() if is_present))
    if not present[kind]:
        reject(owner, "device", "be one that this machine has", device, 'device="auto" takes the best there is.')
    return torch.device(device)


def choose_precision(precision: str, device: torch.device, allow_bfloat16: bool = True) -> str:
    """Return the precision that a name asks for; "auto" is bfloat16 where it is allowed and in hardware, else float32.

    Without hardware for it, bfloat16 gives right results, but more slowly than float32.
    """
    if precision != "auto":
        return precision
    return "bfloat16" if allow_bfloat16 and has_bfloat16(device) else "float32"


def has_bfloat16(device: torch.device) -> bool:
    """Return whether a device has bfloat16 in hardware: AVX512-BF16, AMX, or CUDA from compute capability 8.0."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # not public, so a later torch may lack them
    return device.type == "cpu" and any(getattr(torch.cpu, name, lambda: False)() for name in names)


def epoch_seed(seed: int, epoch: int) -> int:
    """Return the seed of one epoch's randomness; distinct for distinct (seed, epoch)."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 1)  # torch takes 63 bits


@contextlib.contextmanager
def plain_torch() -> Iterator[None]:
    """Let torch work in float32 and record gradients inside, whatever an earlier cell of a notebook has set."""
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.inference_mode(False):
            yield
    finally:
        torch.set_default_dtype(dtype)


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[torch.Generator]:
    """Give a generator on the device; the global generators (dropout, initial weights) follow `seed` inside
    and are as they were outside.
    """  # noqa: D205
    seed = int(seed)  # generators take no NumPy numbers
    devices = [device] if device.type in ("cuda", "mps") else []
    with torch.random.fork_rng(devices, device_type=device.type if devices else "cuda"):
        torch.manual_seed(seed)
        yield torch.Generator(device).manual_seed(seed)


def train(
    run: TrainingState,
    stages: Sequence[Stage],
    images: Tensor,
    *,
    batch_size: int,
    name: str = "train",
    progress: bool = True,
    checkpoint: Callable[[TrainingState], object] | None = None,
    checkpoint_every: int = 10,
    on_epoch: Callable[[TrainingState], object] | None = None,
) -> TrainingState:
    """Train until the stages' epochs are done, starting from `run.epoch`.

    Parameters
    ----------
    run : TrainingState
        Changed in place.
    stages : sequence of Stage
        What to do, in order.
    images : Tensor of shape (N, C, H, W)
        `uint8`, or float in [0, 1]; on the run's device.
    batch_size : int
        Maximum batch size; the batches of an epoch differ by one image at most, so that none is tiny.
    name : str
        Shown in the progress bar and in errors.
    progress : bool
        Whether to show the bar.
    checkpoint : callable (TrainingState), optional
        Stores the run: each `checkpoint_every` epochs, at the end, and when it is interrupted.
    on_epoch : callable (TrainingState), optional
        Called after each epoch, the networks in evaluation mode. It cannot disturb the run's randomness.

    Raises
    ------
    DivergedError
        A loss is not finite. The run is set back to its last good state first.
    BaseException
        Whatever else stops it is passed on, after the same. KeyboardInterrupt stores the run first.
    """
    plan = [(stage, first) for stage in stages for first in [True] + [False] * (stage.epochs - 1) if stage.epochs]
    n_batches = math.ceil(len(images) / batch_size)
    total = len(plan)
    good, copied = _copy(run), time.monotonic()
    between_epochs = True  # then the weights are those of the history
    bar = progress_bar(
        total=total * n_batches, initial=run.epoch * n_batches, desc=name, disable=not progress, unit="batch"
    )
    try:
        while run.epoch < total:
            stage, first = plan[run.epoch]
            between_epochs = False
            if first and stage.on_start is not None:
                stage.on_start(run, images)
            start = time.monotonic()
            means = _epoch(run, stage, images, n_batches, bar)
            bad = [term for term, value in means.items() if not math.isfinite(value)]
            if bad:
                raise DivergedError(
                    f"{name}: {', '.join(bad)} is not finite in epoch {run.epoch + 1} ({stage.name}). The run is back "
                    f"at its last good state, epoch {good[1]['epoch']}; try a smaller learning_rate."
                )
            run.epoch += 1
            _append_row(
                run.history, {"epoch": run.epoch, "stage": stage.name, "seconds": time.monotonic() - start, **means}
            )
            between_epochs = True
            bar.set_description(f"{name} epoch {run.epoch}/{total}", refresh=False)
            bar.set_postfix({term: f"{value:.3g}" for term, value in list(means.items())[:1]}, refresh=False)
            if time.monotonic() - copied > 1 or run.epoch == total:  # at most a second of work is lost
                good, copied = _copy(run), time.monotonic()
            if checkpoint is not None and (run.epoch % checkpoint_every == 0 or run.epoch == total):
                checkpoint(run)
            if on_epoch is not None:
                on_epoch(run)
    except BaseException as error:  # also out of memory or a full disk: never half an epoch more than the history
        if not between_epochs:
            run.restore(*good)
        if checkpoint is not None and run.epoch and isinstance(error, (DivergedError, KeyboardInterrupt)):
            checkpoint(run)
        raise
    finally:
        bar.close()
        run.networks.eval()
    return run


def _epoch(run: TrainingState, stage: Stage, images: Tensor, n_batches: int, bar: Any) -> dict[str, float]:
    """Run one epoch; return the mean of each logged term."""
    device = run.device
    # Without the cache of cast weights, which would be stale after a player's step.
    autocast = torch.autocast(device.type, torch.bfloat16, run.precision == "bfloat16", cache_enabled=False)
    run.networks.train()
    # With gradients, whatever an earlier cell of a notebook has set.
    with seeded(epoch_seed(run.seed, run.epoch), device) as generator, autocast, torch.enable_grad():
        update = Update(run, generator)
        update.batches = n_batches
        order = torch.randperm(len(images), generator=generator, device=device)
        for update.batch, update.index in enumerate(order.tensor_split(n_batches)):
            stage.step(update, as_float(images[update.index]))
            bar.update()
    run.networks.eval()
    return update.means()


def _copy(run: TrainingState) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return a copy of the run's state, as `TrainingState.restore` takes it."""
    tensors = {name: tensor.detach().clone() for name, tensor in run.tensors().items()}
    return tensors, {"epoch": run.epoch, "history": {name: list(column) for name, column in run.history.items()}}


def _append_row(history: dict[str, list], row: Mapping[str, Any]) -> None:
    """Add a row to the columns; a quantity that an epoch lacks is None there."""
    n = len(next(iter(history.values()), []))
    for name in row:
        history.setdefault(name, [None] * n)
    for name, column in history.items():
        column.append(row.get(name))
