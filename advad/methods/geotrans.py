"""GeoTrans: a classifier that tells how a normal image was transformed, and fails on anomalies.

Golan, El-Yaniv: Deep Anomaly Detection Using Geometric Transformations. NeurIPS 2018.

Every image is flipped, shifted and turned in 72 ways, and a classifier learns to tell which transformation was applied.
To do so it must know what untransformed normal images look like. An image is scored by all its 72 versions: for each,
the classifier's softmax should be like that of normal images under the same transformation. A Dirichlet distribution
for each transformation, fitted to the training images, describes it. Nothing is reconstructed.

| paper | here |
|---|---|
| T = {T_0, …, T_k-1} | `Transformations`, in this order: flip, shifts across and down, quarter turns |
| f_θ, softmax y(x) | `networks.head(networks.encoder(x))`, `log_softmax` |
| L_CE (Sec. 4.1) | `loss` |
| α̃_i (Sec. 4.2) | `buffers_["alpha"]`, one row a transformation; `dirichlet_alpha` |
| n_S(x) = Σ_i (α̃_i − 1) · log y(T_i(x)) | −A(x) with score="dirichlet" |
| n̂_S(x) = 1/k Σ_j y(T_j(x))_j | −A(x) with score="simplified"; with log y, "likelihood" |

Departures from the paper:
- In each epoch an image gets *one* random transformation instead of all 72, so that a batch of B images stays one of B.
  The paper's ceil(200/72) = 3 epochs over all pairs use as many images as 216 epochs here.
- A DCGAN-like convolutional network with batch norm instead of the wide residual network 10-4.
- Shifts are a share of the sides, the paper's 8 of 32 pixels. As there, reflection fills what comes in.
- α̃ is estimated on at most 512 training images, evenly spaced, since each needs 72 passes.
- α̃ is where the paper's fixed-point iteration ends, but found by bisection, and Σ α̃ is 1,000 at most: while the
  classifier is hardly trained, its softmaxes hardly differ, α̃ has no bound, and a float32 score would lose its digits.
- Scores are means over the transformations where the paper has sums.

Some transformations cannot be told apart: a 0 turned by 180°, or mirrored, is a 0, an 8 nearly so. The classifier can
only divide its softmax among them, which lowers the likelihood of all normal images alike, and the Dirichlet score
accounts for it by the training images. An anomaly with the same symmetries is the harder to notice.

Measured results: data/findings/geotrans.md.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advad.checks import check_choice, check_number, reject
from advad.engine.detector import Detector
from advad.engine.training import Networks, TrainingState, Update
from advad.images import as_float
from advad.networks.dcgan import dcgan_encoder

ALPHA_IMAGES = 512  # see Departures
TOTALS = (1e-6, 1e3)  # where Σ α̃ is looked for; see Departures


class Transformations(nn.Module):
    """All combinations of a flip, shifts and turns, stored as one table of source pixels.

    Parameters
    ----------
    size : (height, width)
        Of the images.
    flip : bool
        Whether to have mirrored versions, left to right.
    shift : float
        Share of the side; shifts are −shift, 0 and +shift in both directions, or none if it is 0.
    quarter_turns : sequence of int
        Counter-clockwise, after flip and shift.
    """

    source: Tensor

    def __init__(self, size: tuple[int, int], flip: bool, shift: float, quarter_turns: tuple[int, ...]):
        super().__init__()
        pixels = torch.arange(size[0] * size[1]).view(size)
        down, across = ([0, -round(shift * side), round(shift * side)] if shift else [0] for side in size)
        table = []
        for mirrored, dx, dy, turns in itertools.product(
            [False, True] if flip else [False], across, down, quarter_turns
        ):
            version = pixels.flip(1) if mirrored else pixels
            version = version[_reflected(size[0], dy)][:, _reflected(size[1], dx)]
            table.append(version.rot90(turns).flatten())
        self.register_buffer("source", torch.stack(table), persistent=False)  # (T, H·W)

    def __len__(self) -> int:
        return len(self.source)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Return T_t(x), each image with its own t; (B, C, H, W) and (B,) -> (B, C, H, W)."""
        pixels = self.source[t][:, None].expand(-1, x.shape[1], -1)  # (B, C, H·W)
        return x.flatten(2).gather(2, pixels).view_as(x)


def _reflected(side: int, shift: int) -> Tensor:
    """Return the source row of each row of a shifted side; the border is reflected, and its row repeated."""
    rows = torch.arange(side) - shift
    rows = torch.where(rows < 0, -1 - rows, rows)
    return torch.where(rows >= side, 2 * side - 1 - rows, rows)


def inverse_digamma(y: Tensor) -> Tensor:
    """Return x > 0 with ψ(x) = y, by Newton's method (Minka 2000, Appendix C)."""
    x = torch.where(y >= -2.22, y.exp() + 0.5, -1 / (y - torch.digamma(torch.ones_like(y))))
    for _ in range(5):
        x = x - (torch.digamma(x) - y) / torch.polygamma(1, x)
    return x


def dirichlet_alpha(mean_log: Tensor) -> Tensor:
    """Return the maximum-likelihood α of softmaxes y, given the mean of log y over images, (..., K) -> (..., K).

    It solves ψ(α_k) = ψ(Σ α) + mean log y_k, an equation in Σ α alone, by bisection; see Departures.

    Source : Golan and El-Yaniv 2018, Sec. 4.2; Minka 2000, Eq. 9.
    """
    mean_log = mean_log.double()
    low, high = (mean_log.new_full((*mean_log.shape[:-1], 1), end).log() for end in TOTALS)
    for _ in range(50):
        total = ((low + high) / 2).exp()
        more = inverse_digamma(torch.digamma(total) + mean_log).sum(-1, keepdim=True) > total
        low, high = torch.where(more, total.log(), low), torch.where(more, high, total.log())
    return inverse_digamma(torch.digamma(total) + mean_log)


@dataclass(kw_only=True, eq=False, repr=False)
class GeoTrans(Detector):
    """Classifier of geometric transformations; A(x) measures how its softmaxes differ from those of normal images.

    Parameters
    ----------
    flip : bool
        Whether mirrored versions are among the transformations.
    shift : float in [0, 0.5)
        Share of the side, across and down; 0 means no shifts.
    quarter_turns : tuple of {0, 1, 2, 3}
        The rotations, in units of 90°; 1 and 3 need square images.
    score : {"dirichlet", "simplified", "likelihood"}
        See the table in the file. It may be changed after `fit`.
    conv_width : int
        Feature maps of the first level.
    epochs, batch_size, learning_rate, latent_dim, seed, device, precision
        See `Detector`; the code is the features before the last layer.
    """

    latent_dim: int = 64
    flip: bool = True  # Sec. 5
    shift: float = 0.25  # Sec. 5: 8 of 32 pixels
    quarter_turns: tuple[int, ...] = (0, 1, 2, 3)  # Sec. 5
    score: str = "dirichlet"  # Sec. 4.2
    conv_width: int = 16

    # Sec. 5; see Departures for the epochs
    _paper_settings = {name: {"epochs": 216, "conv_width": 64} for name in ("CIFAR10", "CIFAR100", "FashionMNIST")}

    optimised = {"classifier": ("encoder", "head")}
    auto_bfloat16 = False  # no faster in bfloat16: data/findings/precision.md
    reconstructs = False

    def check(self) -> None:
        super().check()
        check_choice("GeoTrans", "flip", self.flip, [True, False])
        check_number("GeoTrans", "shift", self.shift, 0, 0.5, ends="[)", remedy="It is a share of the side.")
        check_choice("GeoTrans", "score", self.score, ["dirichlet", "simplified", "likelihood"])
        check_number("GeoTrans", "conv_width", self.conv_width, 1, integer=True)
        turns = self.quarter_turns
        if not isinstance(turns, (tuple, list)) or not turns or len(set(turns)) < len(turns):
            reject("GeoTrans", "quarter_turns", "be a tuple of different numbers", turns, "For example (0, 1, 2, 3).")
        for turn in turns:
            check_choice("GeoTrans", "each of quarter_turns", turn, [0, 1, 2, 3])
        if not self.flip and not self.shift and len(turns) == 1:
            remedy = "A classifier needs two classes or more."
            reject("GeoTrans", "quarter_turns", "hold two where nothing is flipped or shifted", turns, remedy)

    def build(self, image_shape: tuple[int, int, int]) -> dict[str, nn.Module]:
        size = (image_shape[1], image_shape[2])
        if size[0] != size[1] and any(turn % 2 for turn in self.quarter_turns):
            remedy = "Images that are not square keep their shape in half turns only."
            reject("GeoTrans", "quarter_turns", f"be (0, 2) or fewer for {size} pixels", self.quarter_turns, remedy)
        if self.shift and round(self.shift * min(size)) < 1:
            reject("GeoTrans", "shift", f"be a pixel at least, for {size} pixels", self.shift, "0 leaves shifts out.")
        transformations = Transformations(size, self.flip, self.shift, tuple(self.quarter_turns))
        return {
            "transformations": transformations,
            "encoder": dcgan_encoder(image_shape, self.latent_dim, self.conv_width),
            "head": nn.Sequential(nn.LeakyReLU(0.2), nn.Linear(self.latent_dim, len(transformations))),
        }

    # ------------------------------------------------------------------ training

    def loss(self, networks: Networks, x: Tensor, t: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Sec. 4.1: the cross-entropy of f_θ(T_t(x)) against t, a mean over the batch."""
        logits = networks.head(networks.encoder(networks.transformations(x, t)))
        return F.cross_entropy(logits, t), {"accuracy": (logits.argmax(1) == t).float().mean()}

    def step(self, update: Update, x: Tensor) -> None:
        n = len(update.networks.transformations)
        t = torch.randint(n, (len(x),), generator=update.generator, device=x.device)
        update("classifier", self.loss, x, t)

    def on_fit_end(self, run: TrainingState, images: Tensor) -> None:
        """Estimate α̃_i of each transformation on training images (Sec. 4.2)."""
        sample = images[torch.linspace(0, len(images) - 1, min(len(images), ALPHA_IMAGES)).long()]
        with torch.no_grad():
            parts = [self.log_softmaxes(run.networks, as_float(part)) for part in sample.split(self.batch_size)]
        mean_log = torch.cat(parts).cpu().double().mean(0)  # (T, T); on the CPU, since not every device has doubles
        run.buffers["alpha"] = dirichlet_alpha(mean_log).float().to(run.device)

    # ------------------------------------------------------------------ score

    def log_softmaxes(self, networks: Networks, x: Tensor) -> Tensor:
        """Return log y(T_i(x)) for all T_i, (B, C, H, W) -> (B, T, T); transformations first, then classes."""
        every = torch.arange(len(networks.transformations), device=x.device)
        versions = (networks.transformations(x, t.expand(len(x))) for t in every)
        return torch.stack([networks.head(networks.encoder(v)).log_softmax(1) for v in versions], 1)

    def score_images(self, networks: Networks, x: Tensor) -> Tensor:
        """Return A(x) = −n_S(x), with the transformations' mean for their sum."""
        log_y = self.log_softmaxes(networks, x)
        if self.score == "dirichlet":
            return ((1 - self.buffers_["alpha"]) * log_y).sum(2).mean(1)
        right = log_y.diagonal(dim1=1, dim2=2)  # (B, T), log y(T_j(x))_j
        return -(right if self.score == "likelihood" else right.exp()).mean(1)

    def encode_images(self, networks: Networks, x: Tensor) -> Tensor:
        return networks.encoder(x)
