"""What advad costs beside its peers, and beside what it cannot do without: a table of ratios.

    python -m tests.benchmarks.ratios                 all of them; "tour" and "arae" take minutes
    python -m tests.benchmarks.ratios dense scoring   these two
    python -m tests.benchmarks.ratios --write         and puts the rows into data/findings/speed.md

Each ratio comes from one run in which the two are timed in turn, each first in every other round, on one thread; shown
is the median of the ratios of neighbours, with quartiles. It is processor time, which a busy machine disturbs less.
The training images are the eights of MNIST-lab, which come with advad. PyOD and Captum are no dependencies of advad:
`pip install pyod captum`.
"""

import contextlib
import io
import multiprocessing
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import click
import torch
from sklearn.decomposition import PCA
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import advad
from advad.environment import shipped
from tests.benchmarks import arae, explorers, saliency

BATCH = 128
WIDTHS = (512, 256)  # of the dense autoencoders
ADVAD = (sys.executable, "-c", "from advad.cli.main import main; main()")
PAGE = Path("data/findings/speed.md")
Work = Callable[[], object]


@cache
def eights() -> torch.Tensor:
    """Return the images that all train on, `uint8`."""
    return advad.one_class(advad.load("MNIST-lab"), normal=8, holdout=0.0).train


def bare_loop(x, networks, epochs):
    """Train as one would by hand on preloaded float tensors: no history, no checkpoints, no device, no seed."""
    encoder, decoder = networks["encoder"], networks["decoder"]
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3, fused=True)
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for start in range(0, len(x), BATCH):
            batch = x[order[start : start + BATCH]]
            loss = F.mse_loss(decoder(encoder(batch)), batch)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()


def processor_time(work: Work) -> float:
    """Return the seconds of this process and of its children that `work()` takes."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    spent = lambda: sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, who))  # noqa: E731
    start = spent()
    work()
    return spent() - start


def in_turn(ours: Work, other: Work, rounds: int) -> str:
    """Return the median of the ratios of `ours()` to `other()`, with quartiles, as text."""
    ratios = []
    for number in range(rounds + 1):
        took = {work: processor_time(work) for work in ((ours, other) if number % 2 else (other, ours))}
        ratios.append(took[ours] / took[other])
    low, middle, high = statistics.quantiles(ratios[1:], n=4)  # the first round warms up
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def training(precision: str, network: str, images: int, epochs: int, rounds: int) -> str:
    """Return the ratio of AE.fit to a bare loop in float32, whose convolutions are NCHW."""
    some = eights()[:images]
    detector = advad.AE(epochs=epochs, batch_size=BATCH, network=network, precision=precision, device="cpu")
    networks = detector.build((1, 28, 28))
    bare = partial(bare_loop, some.float() / 255, networks, epochs)
    return in_turn(partial(detector.fit, some, progress=False), bare, rounds)


def against_a_loader() -> str:
    """Return the ratio of AE.fit to a loop over a DataLoader, as tutorials write it, in float32."""
    some = eights()[:2000]
    detector = advad.AE(epochs=4, batch_size=BATCH, widths=WIDTHS, precision="float32", device="cpu")
    encoder, decoder = (detector.build((1, 28, 28))[name] for name in ("encoder", "decoder"))
    loader = DataLoader(TensorDataset(some.float() / 255), batch_size=BATCH, shuffle=True)
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3)

    def loop():
        for _ in range(4):
            for (batch,) in loader:
                optimiser.zero_grad()
                F.mse_loss(decoder(encoder(batch)), batch).backward()
                optimiser.step()

    return in_turn(partial(detector.fit, some, progress=False), loop, 12)


def against_pyod() -> str:
    """Return the ratio of AE.fit to PyOD's AutoEncoder of the same widths, epochs and batches, in float32."""
    try:
        from pyod.models.auto_encoder import AutoEncoder
    except ImportError:
        return "PyOD is not installed"
    some = eights()[:2000]
    settings = {"epochs": 4, "batch_size": BATCH, "widths": WIDTHS, "latent_dim": 64}
    detector = advad.AE(**settings, precision="float32", device="cpu")
    theirs = AutoEncoder(
        epoch_num=4, batch_size=BATCH, hidden_neuron_list=[*WIDTHS, 64], device="cpu", verbose=0, preprocessing=False
    )
    pixels = (some.flatten(1).float() / 255).numpy()

    def fit_and_score():  # PyOD's fit also scores the training images
        detector.fit(some, progress=False).anomaly_score(some)

    return in_turn(fit_and_score, partial(theirs.fit, pixels), 8)


def against_sklearn() -> str:
    """Return the ratio of PCA, fitted and scored, to scikit-learn's called by hand."""
    some = eights()
    pixels = (some.flatten(1).double() / 255).numpy()

    def by_hand():
        pca = PCA(n_components=32).fit(pixels)
        return ((pixels - pca.inverse_transform(pca.transform(pixels))) ** 2).mean(1)

    return in_turn(lambda: advad.PCA(n_components=32).fit(some).anomaly_score(some), by_hand, 8)


def against_captum(noise: bool) -> str:
    """Return the ratio of an occlusion map's time to that of Captum's best setting, by wall clock, on a dense network.

    It is the median over ten handwritten digits, or that of an image of noise, which has no black pixels to skip.
    """
    try:
        from captum.attr import Occlusion
    except ImportError:
        return "Captum is not installed"
    torch.manual_seed(0)
    score = partial(saliency.mean_squared_error, saliency.dense().eval())
    images = [torch.rand(1, 1, 28, 28)] if noise else [image[None] for image in saliency.handwritten()]
    ratios = [saliency.compare(Occlusion, score, image)[0] for image in images]
    return f"{statistics.median(ratios):.3f}" + ("" if noise else f" ({min(ratios):.3f} to {max(ratios):.3f})")


def events() -> str:
    """Return the slowest median of the LatentExplorer's events on 10,000 images, as a share of 150 ms."""
    images, labels = explorers.images_and_classes()
    plane = advad.AE(epochs=1, latent_dim=2, device="cpu").fit(images[:2000], progress=False)
    with contextlib.redirect_stdout(io.StringIO()):
        share = max(explorers.latent(plane, images, labels))
    return f"{share:.3f} ({share * explorers.LIMIT:.0f} ms)"


def tour() -> str:
    """Return the minutes that `advad tour` takes by the wall clock in the profile lab: no other program may run."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        subprocess.run([*ADVAD, "tour", "--out", folder], capture_output=True, check=True)
        return f"{(time.perf_counter() - start) / 60:.1f} min"


def scoring() -> str:
    """Return the ratio of scoring 60,000 images to passing them through the network, as floats, in batches of 5,000."""
    detector = advad.AE(epochs=1, device="cpu").fit(eights(), progress=False)
    images = eights().repeat(-(-60_000 // len(eights())), 1, 1, 1)[:60_000]
    x = images.float() / 255
    networks = detector.networks_

    @torch.no_grad()
    def alone():
        return [networks.decoder(networks.encoder(part)) for part in x.split(5000)]

    return in_turn(partial(detector.anomaly_score, images), alone, 6)


def _peak_of_a_fit(connection) -> None:
    """Send by how many bytes a fit raises the peak of this process beyond images and three times the weights."""
    detector = advad.AE(epochs=1, device="cpu")
    torch.optim.Adam([torch.zeros(1, requires_grad=True)], fused=True)  # imports what a fit imports
    peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # noqa: E731
    before = peak()
    images = torch.randint(0, 256, (6000, 1, 28, 28), dtype=torch.uint8)
    detector.fit(images, progress=False)
    weights = sum(weight.nbytes for weight in detector.networks_.parameters())
    connection.send(peak() - before - images.nbytes - 3 * weights)


def memory() -> str:
    """Return what a fit takes beside images and three times the weights, as a share of 200 MB."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_peak_of_a_fit, args=(there,))
    process.start()
    there.close()
    beyond = here.recv()
    process.join()
    return f"{beyond / 200e6:.3f} ({beyond / 1e6:.0f} MB)"


def start(*arguments: str) -> str:
    """Return the median processor seconds of a start of Python with these arguments."""
    call = partial(subprocess.run, [sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    return f"{statistics.median(processor_time(call) for _ in range(9)):.3f} s"


BENCHES = {  # name -> (what it is, the most that it should be or "" for none, how it is measured)
    "dense": ("dense AE, float32 / bare loop", "1.03", partial(training, "float32", "dense", 2000, 8, 12)),
    "dense-bf16": ("dense AE, bfloat16 / bare loop", "0.70", partial(training, "bfloat16", "dense", 2000, 8, 12)),
    "conv-bf16": (
        "convolutional AE, bfloat16 / bare NCHW loop",
        "0.35",
        partial(training, "bfloat16", "conv", 512, 1, 6),
    ),
    "loader": ("dense AE, float32 / loop over a DataLoader", "1", against_a_loader),
    "pyod": ("dense AE, float32, fitted and scored / PyOD's AutoEncoder", "1", against_pyod),
    "sklearn": ("PCA, fitted and scored / scikit-learn's by hand", "1.10", against_sklearn),
    "occlusion": ("occlusion map of a digit / Captum's best setting", "0.33", partial(against_captum, noise=False)),
    "occlusion-noise": ("the same of an image without black pixels", "", partial(against_captum, noise=True)),
    "events": ("click or hover on 10,000 codes, to its images / 150 ms", "1", events),
    "scoring": ("60,000 scores / the network alone", "1.10", scoring),
    "memory": ("memory of a fit beside images and 3 × weights / 200 MB", "1", memory),
    "import": ("import advad", "0.1 s", partial(start, "-c", "import advad")),
    "help": ("advad --help", "0.6 s", partial(start, *ADVAD[1:], "--help")),
}


LONG = {
    "arae": ("ARAE to AUROC 0.92 on MNIST 8 / the released recipe", "1/20; 1/10", arae.ratios),
    "tour": ("advad tour in the profile lab, two idle cores", "8 min", tour),
}


def write(rows: dict[str, str]) -> None:
    """Put rows of the table into the page, in place of older ones; name -> row."""
    text = shipped(PAGE).read_text(encoding="utf-8")
    names = {f"| {what} |": name for name, (what, _, _) in (BENCHES | LONG).items()}
    old = {name: line for line in text.splitlines() for start, name in names.items() if line.startswith(start)}
    lines = [(old | rows)[name] for name in BENCHES | LONG if name in old | rows]
    head, rule = "| what | measured (quartiles) | at most | measured on |", "|---|---|---|---|"
    shipped(PAGE).write_text(
        re.sub(rf"{re.escape(head)}\n(\|.*\n?)*", "\n".join([head, rule, *lines, ""]), text), encoding="utf-8"
    )


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([*BENCHES, *LONG]))
@click.option("--write", "store", is_flag=True, help=f"Put the rows into {PAGE}.")
def main(names: tuple[str, ...], store: bool) -> None:
    """Print the table of NAMES, all unless named."""
    torch.set_num_threads(1)
    where = f"torch {torch.__version__}, {platform.machine()}, {time.strftime('%F')}"
    for name in names or BENCHES | LONG:
        what, limit, bench = (BENCHES | LONG)[name]
        row = f"| {what} | {bench()} | {limit or '–'} | {where} |"
        print(row, flush=True)
        if store:
            write({name: row})


if __name__ == "__main__":
    main()
