"""Base class of every trained method: fit, resume, score. `BaseDetector` has the rest of the scikit-learn interface.

A method adds its networks, its losses, a step and a score.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from advad.checks import as_images, as_labels, check_choice, check_number, reject
from advad.engine.base import BaseDetector
from advad.engine.training import (
    Networks,
    Stage,
    TrainingState,
    Update,
    choose_device,
    choose_precision,
    plain_torch,
    seeded,
    train,
)
from advad.files import clear_leftovers, expanded, in_use, read_state, to_json, write_state
from advad.images import as_float

CHECKPOINT = "checkpoint.safetensors"
PRECISIONS = ("float32", "bfloat16")
SCORING_PIXELS = 2**22  # in one scoring batch: 5,349 images of 28×28, 64 of 256×256


@dataclass(kw_only=True, eq=False, repr=False)
class Detector(BaseDetector, ABC):
    """Base of all methods: everything about a detector that no paper is about.

    Every method is a keyword-only dataclass: its parameters are stored as given and checked in `fit`.

    Parameters
    ----------
    epochs : int
        Passes over the training images.
    batch_size : int
        Maximum batch size.
    learning_rate : float
        Learning rate of Adam.
    latent_dim : int
        Number of units of the code.
    seed : int
        The same seed gives the same weights on the same machine.
    device : str
        "auto" (CUDA, else MPS, else CPU), "cpu", "cuda", "cuda:1", "mps".
    precision : {"float32", "bfloat16", "auto"}
        Precision of the forward pass in training; scores are always computed in float32. "auto" is bfloat16 where the
        device has it in hardware and the method has the same AUROC in less time (`auto_bfloat16`), else float32.

    Attributes
    ----------
    networks_ : Networks
        The trained networks, in evaluation mode.
    history_ : dict of str to list
        Columns "epoch", "stage", "seconds" and the mean of each loss and term; one row per epoch.
    buffers_ : dict of str to Tensor
        What the method computed beside its weights, such as the centre of a hypersphere.
    device_ : torch.device
        Device of the networks.
    precision_ : {"float32", "bfloat16"}
        Precision that it was trained in, which "auto" does not tell.
    image_shape_, threshold_
        See `BaseDetector`.
    """

    epochs: int = 50
    batch_size: int = 128
    learning_rate: float = 1e-3
    latent_dim: int = 64
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"

    optimised: ClassVar[Mapping[str, Sequence[str]]]  # what is optimised on its own: player -> names of its networks
    uses_labels: ClassVar[bool] = False  # whether fit learns from labelled anomalies
    reconstructs: ClassVar[bool] = True
    auto_bfloat16: ClassVar[bool] = True  # whether "auto" may choose bfloat16: the same AUROC in less time
    # What a parameter amounted to before it existed, so that a run folder of an earlier version still resumes.
    former_values: ClassVar[dict[str, Any]] = {}

    # ------------------------------------------------------------------ what a method writes

    def check(self) -> None:
        """Check the parameters; a method adds its own. Raises ValueError or TypeError with one clear line."""
        owner = type(self).__name__
        check_number(owner, "epochs", self.epochs, 0, integer=True)
        check_number(owner, "batch_size", self.batch_size, 1, integer=True)
        check_number(owner, "learning_rate", self.learning_rate, 0, ends="()", remedy="Adam's usual rate is 1e-3.")
        check_number(owner, "latent_dim", self.latent_dim, 1, integer=True)
        check_number(owner, "seed", self.seed, 0, 2**63 - 1, integer=True)
        check_choice(owner, "precision", self.precision, [*PRECISIONS, "auto"])

    @abstractmethod
    def build(self, image_shape: tuple[int, int, int]) -> dict[str, nn.Module]:
        """Return the untrained networks by name for images of shape (C, H, W)."""

    @abstractmethod
    def step(self, update: Update, x: Tensor) -> None:
        """Train on one batch, x of shape (B, C, H, W) in [0, 1]: the paper's algorithm."""

    @abstractmethod
    def score_images(self, networks: Networks, x: Tensor) -> Tensor:
        """Return the paper's A(x), higher = more anomalous; (B, C, H, W) -> (B,)."""

    def term_images(self, networks: Networks, x: Tensor) -> dict[str, Tensor]:
        """Return by name the terms that A(x) is made of, each (B,); A(x) itself, "score", where it has one term only.

        The hook of `score_terms`: a method whose paper gives several terms returns them all, before they are weighted.
        """
        return {"score": self.score_images(networks, x)}

    def encode_images(self, networks: Networks, x: Tensor) -> Tensor:
        """Return the codes; (B, C, H, W) -> (B, latent_dim)."""
        return networks.encoder(x)

    def decode_codes(self, networks: Networks, z: Tensor) -> Tensor:
        """Return the images that codes stand for; (B, latent_dim) -> (B, C, H, W)."""
        if not self.reconstructs:
            self._refuse_to_reconstruct()
        return networks.decoder(z)

    def reconstruct_images(self, networks: Networks, x: Tensor) -> Tensor:
        """Return the reconstructions; (B, C, H, W) -> (B, C, H, W)."""
        return self.decode_codes(networks, self.encode_images(networks, x))

    def optimiser(self, player: str, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        """Return a player's optimiser; Adam at `learning_rate` unless a method says otherwise."""
        return torch.optim.Adam(parameters, lr=self.learning_rate, fused=True)

    def stages(self) -> list[Stage]:
        """Return the stages of training; one unless a method has several."""
        return [Stage("train", self.epochs, self.step)]

    def on_fit_end(self, run: TrainingState, images: Tensor) -> None:
        """Compute what a score needs beside the weights and leave it in `run.buffers`; nothing unless a method does.

        Called whenever scores may be computed: at the end of `fit`, however it ended, and before each `on_epoch`.
        It gets all training images (`uint8` or float, on the device), the networks in evaluation mode, and must not
        be random.
        """

    @property
    def decodes(self) -> bool:
        """Whether the reconstruction is a function of the code alone, so that `decode` can draw what a code means."""
        return self.reconstructs

    @property
    def smallest_side(self) -> int:
        """Smallest height and width, in pixels, of the images that the networks can take."""
        return 1

    # ------------------------------------------------------------------ training

    @plain_torch()
    def fit(
        self,
        X: ArrayLike | Tensor,
        y: ArrayLike | Tensor | None = None,
        *,
        run_dir: str | Path | None = None,
        resume: bool = True,
        progress: bool = True,
        checkpoint_every: int = 10,
        on_epoch: Callable[[Self], object] | None = None,
    ) -> Self:
        """Train on images.

        Parameters
        ----------
        X : array of shape (N, C, H, W) or (N, H, W)
            `uint8`, or float in [0, 1]; NumPy or torch. Normal images, perhaps contaminated.
        y : array of shape (N,), optional
            1 marks a labelled anomaly, 0 the rest; with scikit-learn's labels, −1 an anomaly and 1 the rest. Only
            methods that learn from labels look at it.
        run_dir : str or Path, optional
            Folder for checkpoints, which one process uses at a time. A run that was killed goes on where its last
            checkpoint left it, and ends with the same weights, bit for bit on a CPU; with a larger `epochs` a
            finished run goes on, too.
        resume : bool
            Whether to go on; otherwise start again and overwrite.
        progress : bool
            Whether to show a progress bar.
        checkpoint_every : int
            Epochs between checkpoints.
        on_epoch : callable (detector), optional
            Called after each epoch, the detector ready to score. It cannot disturb the training's randomness.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            A parameter or an image is not as it should be, or `run_dir` holds another run, a damaged checkpoint,
            or is in use.
        DivergedError
            A loss is not finite. The detector keeps its last good state; before the first epoch is done it has
            none, and is not fitted.

        Examples
        --------
        >>> import advad
        >>> split = advad.one_class(advad.load("digits"), normal=0, holdout=0.2)
        >>> detector = advad.AE(epochs=20, latent_dim=8, device="cpu").fit(split.train, progress=False)
        >>> detector.anomaly_score(split.test).shape
        (540,)
        >>> advad.auroc(split.test_is_anomaly, detector.anomaly_score(split.test)) > 0.8
        True
        """
        owner = type(self).__name__
        self.check()
        self._use_plain_numbers()
        check_number(owner, "checkpoint_every", checkpoint_every, 1, integer=True)
        device = choose_device(self.device, owner)
        images, anomalies = self._separate(as_images(owner, X), y)
        image_shape = (images.shape[1], images.shape[2], images.shape[3])
        if min(image_shape[1:]) < self.smallest_side:
            side, size = self.smallest_side, "×".join(map(str, image_shape[1:]))
            raise ValueError(
                f"{owner}: X must hold images of at least {side}×{side} pixels for these networks; got {size}. "
                "Enlarge the images, for example by load(..., size=28)."
            )
        run = self._new_run(image_shape, device)
        run.anomalies = None if anomalies is None else anomalies.to(device)

        with contextlib.nullcontext() if run_dir is None else in_use(expanded(run_dir), owner):
            checkpoint: Callable[[TrainingState], object] | None = None
            if run_dir is not None:
                path = expanded(run_dir) / CHECKPOINT
                clear_leftovers(path)
                metadata = {"method": owner, "parameters": self._identity(), "images": _fingerprint(images, anomalies)}
                if resume and path.exists():
                    self._resume(run, path, metadata)
                metadata["parameters"]["precision"] = run.precision  # what "auto" is depends on the machine

                checkpoint = lambda run: write_state(path, run.tensors(), {**metadata, **run.metadata()})  # noqa: E731
            self._train(run, images, image_shape, progress, checkpoint, checkpoint_every, on_epoch)
        return self

    def _train(
        self,
        run: TrainingState,
        images: Tensor,
        image_shape: tuple[int, int, int],
        progress: bool,
        checkpoint: Callable[[TrainingState], object] | None,
        checkpoint_every: int,
        on_epoch: Callable[[Self], object] | None,
    ) -> None:
        """Train the run and take over its state, however training ends."""
        images = images.to(run.device)
        self._adopt(run, image_shape)

        def ready(run: TrainingState) -> Self:
            self._adopt(run, image_shape)  # first, so that weights and history agree even where on_fit_end fails
            self.on_fit_end(run, images)
            return self._adopt(run, image_shape)

        try:
            train(
                run,
                self.stages(),
                images,
                batch_size=self.batch_size,
                name=type(self).__name__,
                progress=progress,
                checkpoint=checkpoint,
                checkpoint_every=checkpoint_every,
                on_epoch=None if on_epoch is None else lambda run: on_epoch(ready(run)),
            )
        except BaseException:
            if not run.epoch:  # refused or stopped before it had learned anything: untrained networks must not score
                self._forget()
            raise
        finally:  # interrupted or diverged later: the last good state is a fitted detector, too
            if hasattr(self, "networks_"):
                ready(run).networks_.requires_grad_(False)

    def _forget(self) -> None:
        """Make this detector an unfitted one."""
        for name in [name for name in vars(self) if name.endswith("_") and not name.startswith("_")]:
            delattr(self, name)

    def _use_plain_numbers(self) -> None:
        """Turn NumPy's numbers among the parameters, as from a grid, into Python's, which torch takes everywhere."""

        def plain(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(map(plain, value))
            return value.item() if isinstance(value, np.generic) else value

        for name, value in self.get_params(deep=False).items():
            setattr(self, name, plain(value))

    def _separate(self, images: Tensor, y: Any) -> tuple[Tensor, Tensor | None]:
        """Return the images to train on and the labelled anomalies, for methods that learn from those."""
        if not self.uses_labels or y is None:
            return images, None
        labels = _marks(type(self).__name__, y, len(images))
        if bool(labels.all()):
            reject(type(self).__name__, "y", "leave some images unlabelled (0)", y)
        return images[~labels], images[labels] if bool(labels.any()) else None

    def _new_run(self, image_shape: tuple[int, int, int], device: torch.device) -> TrainingState:
        """Return an untrained run; its first weights depend on the seed alone, not on the device."""
        with seeded(self.seed, torch.device("cpu")):
            networks = Networks(**self.build(image_shape)).to(device)
        if any(isinstance(module, nn.Conv2d) for module in networks.modules()) and device.type != "mps":
            networks = networks.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimisers = {
            player: self.optimiser(player, [p for name in names for p in getattr(networks, name).parameters()])
            for player, names in self.optimised.items()
        }
        # Of a layer that gets a single pixel and has a stride of 2, oneDNN leaves part of the gradient undefined in
        # bfloat16 (seen in torch 2.14): smaller images than this come down to one.
        large_enough = min(image_shape[1:]) >= 4
        precision = choose_precision(self.precision, device, self.auto_bfloat16 and large_enough)
        return TrainingState(networks, optimisers, seed=self.seed, precision=precision)

    def _identity(self) -> dict[str, Any]:
        """Return the parameters that make a run what it is: all but how long, and where."""
        parameters = json.loads(to_json(self.get_params(deep=False)))
        return {name: value for name, value in parameters.items() if name not in ("epochs", "device")}

    def _resume(self, run: TrainingState, path: Path, metadata: dict[str, Any]) -> None:
        """Take over the run in `path`; raise ValueError if it is another one."""
        remedy = "Delete it, or pass resume=False to start again."
        try:
            tensors, stored = read_state(path)
        except ValueError as error:
            raise ValueError(f"{type(self).__name__}: {error} {remedy}") from error
        if missing := {"method", "parameters", "images", "epoch", "history"} - stored.keys():
            raise ValueError(
                f"{type(self).__name__}: {path} is no checkpoint: it has no {', '.join(sorted(missing))}. {remedy}"
            )
        try:
            difference = self._difference(stored, metadata)
        except (TypeError, AttributeError) as error:
            raise ValueError(f"{type(self).__name__}: {path} is damaged ({error}). {remedy}") from error
        if difference:
            raise ValueError(
                f"{type(self).__name__}: run_dir {path.parent} holds another run: {difference}. "
                "Choose another folder, or pass resume=False to start again there."
            )
        try:
            _check_history(type(self).__name__, stored["history"])
            for name, tensor in tensors.items():
                if name.startswith("networks.") and not bool(torch.isfinite(tensor).all()):
                    raise ValueError(f"{name} is not finite")
            run.restore(tensors, stored)
            if self.precision == "auto":
                self._go_on_in(stored["parameters"]["precision"], run, path)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"{type(self).__name__}: {path} is damaged ({reason}). {remedy}") from error

    def _go_on_in(self, precision: str, run: TrainingState, path: Path) -> None:
        """Let a run of precision "auto" go on in the one that it began in; say so where "auto" is another one here."""
        check_choice(type(self).__name__, "precision", precision, PRECISIONS)
        if precision != run.precision:
            warnings.warn(
                f"{type(self).__name__}: the run in {path.parent} goes on in {precision}, as it began; "
                f"precision='auto' is {run.precision} on this processor. If it began on another one, it cannot be "
                "bit-equal to an undisturbed run.",
                stacklevel=2,
            )
        run.precision = precision

    def _difference(self, stored: dict[str, Any], metadata: dict[str, Any]) -> str:
        """Return in words what makes a stored run another one than this detector's; "" for the same."""
        if stored["method"] != metadata["method"]:
            return f"a run of {stored['method']}"
        if stored["images"] != metadata["images"]:
            return "a run on other images"
        old = {**self.former_values, **self._new_names(stored["parameters"])}
        new = metadata["parameters"]
        changed = [name for name in new if old.get(name) != new[name] and (name, new[name]) != ("precision", "auto")]
        if changed:
            return ", ".join(f"{name}={old.get(name)!r} (now {new[name]!r})" for name in changed)
        plan = [stage.name for stage in self.stages() for _ in range(stage.epochs)]
        done = stored["history"].get("stage", [])
        if stored["epoch"] != len(done):
            raise TypeError(f"epoch {stored['epoch']} with a history of {len(done)}")
        return "a run with other stages" if done[: len(plan)] != plan[: len(done)] else ""

    def _adopt(self, run: TrainingState, image_shape: tuple[int, int, int]) -> Self:
        """Make the run's state this detector's."""
        self.networks_, self.buffers_ = run.networks.eval(), run.buffers
        self.history_, self.image_shape_ = run.history, image_shape
        self.device_, self.precision_ = run.device, run.precision
        if hasattr(self, "threshold_"):
            del self.threshold_  # it was another state's
        return self

    # ------------------------------------------------------------------ using it

    def anomaly_score(self, X: ArrayLike | Tensor) -> np.ndarray:
        return self._in_batches(self.score_images, self._images(X))

    def score_terms(self, X: ArrayLike | Tensor) -> dict[str, np.ndarray]:
        """Return the terms that the score is made of.

        Parameters
        ----------
        X : array
            As in `fit`.

        Returns
        -------
        dict of str to ndarray of shape (N,), float32
            Each term by its name, as the method's file defines it, before it is weighted; higher = more anomalous.
            {"score": ...} for a method whose score has one term only.
        """
        names: list[str] = []

        def stacked(networks: Networks, x: Tensor) -> Tensor:
            terms = self.term_images(networks, x)
            names[:] = terms
            return torch.stack(list(terms.values()), 1)

        columns = self._in_batches(stacked, self._images(X))
        return {name: columns[:, position] for position, name in enumerate(names)}

    def reconstruct(self, X: ArrayLike | Tensor) -> np.ndarray:
        return self._in_batches(self.reconstruct_images, self._images(X)).clip(0, 1)

    def encode(self, X: ArrayLike | Tensor) -> np.ndarray:
        """Return the codes, ndarray of shape (N, latent_dim), float32."""
        return self._in_batches(self.encode_images, self._images(X))

    def decode(self, z: ArrayLike | Tensor) -> np.ndarray:
        """Return the images that codes of shape (N, latent_dim) stand for; (N, C, H, W), float32 in [0, 1].

        Raises
        ------
        NotImplementedError
            This detector's images are no functions of their codes; see `decodes`.
        """
        self._require_fit()
        if not self.reconstructs:
            self._refuse_to_reconstruct()
        if not self.decodes:
            raise NotImplementedError(
                f"{type(self).__name__}: decode needs a decoder that draws from the code alone, and this detector has "
                "none. Use reconstruct, which takes images."
            )
        codes = torch.as_tensor(np.asarray(z, dtype=np.float32))
        if codes.ndim != 2 or not bool(torch.isfinite(codes).all()):
            reject(type(self).__name__, "z", "be finite codes of shape (N, latent_dim)", z)
        return self._in_batches(self.decode_codes, codes).clip(0, 1)

    def score_tensor(self, x: Tensor) -> Tensor:
        """Return A(x) as a tensor that can be differentiated.

        Parameters
        ----------
        x : Tensor of shape (B, C, H, W)
            Float in [0, 1], on `device_`.

        Returns
        -------
        Tensor of shape (B,)
        """
        self._require_fit()
        return self.score_images(self.networks_, x)

    def encode_tensor(self, x: Tensor) -> Tensor:
        """Return the codes of x as a tensor that can be differentiated; see `score_tensor`."""
        self._require_fit()
        return self.encode_images(self.networks_, x)

    def reconstruct_tensor(self, x: Tensor) -> Tensor:
        """Return the reconstructions of x as a tensor that can be differentiated; see `score_tensor`."""
        self._require_fit()
        return self.reconstruct_images(self.networks_, x)

    # ------------------------------------------------------------------ on disk

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        metadata = {
            "method": type(self).__name__,
            "parameters": self.get_params(deep=False),
            "precision": self.precision_,
            "image_shape": self.image_shape_,
            "history": self.history_,
            "threshold": getattr(self, "threshold_", None),
        }
        tensors = {f"networks.{name}": tensor for name, tensor in self.networks_.state_dict().items()}
        return tensors | {f"memory.{name}": tensor for name, tensor in self.buffers_.items()}, metadata

    @classmethod
    @plain_torch()
    def from_state(cls, tensors: dict[str, Tensor], metadata: dict[str, Any], device: str | None = None) -> Self:
        stored = {**cls.former_values, **cls._new_names(metadata["parameters"])}
        parameters: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
        detector = cls(**parameters)
        detector.check()
        _check_history(cls.__name__, metadata["history"])
        if device is not None:
            detector.device = device
        shape = tuple(metadata["image_shape"])
        detector._check_networks(shape, tensors)
        run = detector._new_run(shape, choose_device(detector.device, cls.__name__))
        run.precision = metadata.get("precision", detector.precision)
        check_choice(cls.__name__, "precision", run.precision, PRECISIONS)
        run.restore(tensors, {"epoch": len(metadata["history"].get("epoch", [])), "history": metadata["history"]})
        detector._adopt(run, shape)
        detector.networks_.requires_grad_(False)
        if metadata["threshold"] is not None:
            detector.threshold_ = metadata["threshold"]
        return detector

    def _check_networks(self, image_shape: tuple[int, int, int], tensors: Mapping[str, Tensor]) -> None:
        """Compare stored weights with the networks that the parameters describe, before any memory is taken for them.

        Raises ValueError.
        """
        with torch.device("meta"):  # shapes and dtypes only
            networks = Networks(**self.build(image_shape))
        described = {f"networks.{name}": tensor for name, tensor in networks.state_dict().items()}
        stored = {name: tensor for name, tensor in tensors.items() if not name.startswith("memory.")}
        if described.keys() != stored.keys():
            odd = sorted(described.keys() ^ stored.keys())
            reject(type(self).__name__, "the tensors", "be those of its networks", ", ".join(odd[:3]))
        for name, tensor in described.items():
            weight = stored[name]
            if weight.shape != tensor.shape or weight.dtype != tensor.dtype:
                reject(type(self).__name__, name, f"be {tensor.dtype} of shape {tuple(tensor.shape)}", weight)

    # ------------------------------------------------------------------ helpers

    @plain_torch()
    def _in_batches(self, function: Callable[[Networks, Tensor], Tensor], items: Tensor) -> np.ndarray:
        """Apply `function(networks, batch)` to images or codes without gradients; return all results."""
        n = max(1, SCORING_PIXELS // max(1, int(np.prod(self.image_shape_))))
        with torch.no_grad():
            parts = [function(self.networks_, as_float(part.to(self.device_))).float().cpu() for part in items.split(n)]
        return torch.cat(parts).numpy()


def _marks(owner: str, y: Any, n: int) -> Tensor:
    """Return which of n images are labelled anomalies, from labels 0 and 1, or scikit-learn's −1 and 1."""
    try:
        y = np.asarray(y.detach().cpu() if isinstance(y, Tensor) else y)
    except ValueError:  # lists of different lengths, which the check below refuses
        return as_labels(owner, y, n)
    if y.dtype.kind in "if" and -1 in y and np.isin(y, (-1, 1)).all():  # as `predict` returns them
        y = y == -1
    return as_labels(owner, y, n)


def _check_history(owner: str, history: Any) -> None:
    """Check that a stored history is a table of lists of one length."""
    table = isinstance(history, dict) and all(isinstance(column, list) for column in history.values())
    if not table or len({len(column) for column in history.values()}) > 1:
        reject(owner, "history", "be lists of one length by name", history)


def _fingerprint(images: Tensor, anomalies: Tensor | None) -> str:
    """Return a short hash of the training images, to recognise a run by."""
    digest = hashlib.sha256()
    for part in [images] if anomalies is None else [images, anomalies]:
        digest.update(f"{tuple(part.shape)} {part.dtype}".encode())
        digest.update(part.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
