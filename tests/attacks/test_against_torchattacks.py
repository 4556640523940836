"""APGD and Square against the released code of their authors, which torchattacks carries: the loss of a classifier.

In that code, Square's windows never touch the last row and column, since their places are drawn without the last one;
the paper includes it (Algorithm 2), and so does the comparison.

Needs `pip install torchattacks`, which is no dependency; without it, this file is skipped.
"""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import advad
from advad import attacks

torchattacks = pytest.importorskip("torchattacks")

IMAGES, SEEDS = 100, (0, 1, 2)
NORMS = [("linf", "Linf", 0.1), ("l2", "L2", 1.0)]


@pytest.fixture(scope="module")
def classifier():
    """Return a small classifier of the digits, and test images with their labels."""
    digits = advad.load("digits")
    x, y = digits.images.float() / 255, torch.as_tensor(digits.labels)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    adam = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(100):
        adam.zero_grad()
        F.cross_entropy(network(x[:1000]), y[:1000]).backward()
        adam.step()
    network.requires_grad_(False)
    x, y = x[1000:], y[1000:]
    right = (network(x).argmax(1) == y).nonzero()[:IMAGES, 0]
    return network, x[right], y[right]


def loss_of(network, y):
    return lambda x: F.cross_entropy(network(x), y, reduction="none")


@pytest.mark.parametrize(("norm", "theirs", "radius"), NORMS)
def test_apgd_finds_what_its_authors_code_finds_from_the_same_starts(classifier, norm, theirs, radius, figure):
    network, x, y = classifier
    loss = loss_of(network, y)
    for seed in SEEDS:
        reference = torchattacks.APGD(network, norm=theirs, eps=radius, steps=100, loss="ce")
        torch.manual_seed(seed)
        expected = reference.attack_single_run(x, y)[2]
        torch.manual_seed(seed)  # its first point
        draw = 2 * torch.rand(x.shape) - 1 if norm == "linf" else torch.randn(x.shape)
        flat = draw.flatten(1)
        size = flat.abs().amax(1) if norm == "linf" else flat.norm(dim=1)
        start = radius * draw / size[:, None, None, None]
        ours = loss(attacks.apgd(loss, x, norm=norm, radius=radius, steps=100, start=start))
        figure(f"APGD {norm}, seed {seed}: loss {ours.mean():.4f}, torchattacks {expected.mean():.4f}")
        assert ours.mean().item() == pytest.approx(expected.mean().item(), rel=0.01)


@pytest.mark.parametrize(("norm", "theirs", "radius"), NORMS)
def test_square_finds_what_its_authors_code_finds(classifier, norm, theirs, radius, figure):
    network, x, y = classifier
    loss = loss_of(network, y)
    ours, expected = [], []
    for seed in SEEDS:
        reference = torchattacks.Square(network, norm=theirs, eps=radius, n_queries=2000)
        reference.init_hyperparam(x)
        reference.random_int = lambda low, high: torch.randint(low, high + 1, (1,))  # with the last place
        reference.margin_and_loss = lambda x, y: (torch.ones(len(x)), -loss_of(network, y)(x))  # do not stop at success
        torch.manual_seed(seed)
        expected.append(loss(reference.attack_single_run(x, y)[1]).mean())
        generator = torch.Generator().manual_seed(seed)
        ours.append(loss(attacks.square(loss, x, norm=norm, radius=radius, queries=2000, generator=generator)).mean())
    ours, expected = (torch.stack(means).mean().item() for means in (ours, expected))
    figure(f"Square {norm}: loss {ours:.4f}, torchattacks {expected:.4f}")
    assert ours == pytest.approx(expected, rel=0.01)
