"""AGAD: losses, game and score by hand, its limit, its two kinds of batch norm, and what the paper claims of it."""

import math

import pytest
import torch
from torch import nn

import advad
from advad.analysis.metrics import auroc
from advad.engine.training import Networks
from advad.networks.batch_norm import AuxiliaryBatchNorm2d
from tests.cases import DCGAN, digits


def softplus(t):
    return math.log(1 + math.exp(t))


class Scale(nn.Module):
    """The generator G(x) = x / 2."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5))

    def forward(self, x):
        return self.weight * x


class Look(nn.Module):
    """A discriminator whose features are the pixels, and whose logit is their sum."""

    def forward(self, x):
        return x.flatten(1).sum(1), x.flatten(1)


BY_HAND = Networks(generator=Scale(), discriminator=Look())
X, A = torch.tensor([[[[0.2, 0.6]]]]), torch.tensor([[[[1.0, 0.0]]]])


def test_the_normality_loss_by_hand():
    """Line 6 of Algorithm 1; x = (0.2, 0.6), x̂ = (0.1, 0.3), x̂' = (0.05, 0.15)."""
    without = softplus(-0.4) + 50 * 0.2 + 5 * math.hypot(0.1, 0.3) / math.sqrt(2)
    loss, terms = advad.AGAD(contextual=False).generator_loss(BY_HAND, X)
    assert loss.item() == pytest.approx(without)
    assert set(terms) == {"adversarial", "reconstruction", "latent"}
    loss, terms = advad.AGAD().generator_loss(BY_HAND, X)
    assert loss.item() == pytest.approx(without - 15 * 0.1)
    assert terms["contextual"].item() == pytest.approx(0.1)


def test_the_anomaly_loss_by_hand():
    """Line 9 of Algorithm 1; a = (1, 0), â = (0.5, 0), â' = (0.25, 0). ε = 0.01."""
    always = 1 / (softplus(0.5) + 0.01) + 5 / (0.5 / math.sqrt(2) + 0.01)
    for settings, failing in (
        ({}, 0.125),
        ({"fail_on": "input"}, 0.25),
        ({"fail_on": "input", "contextual": False}, 0.25),
    ):
        agad = advad.AGAD(**settings)
        expected = agad.generator_loss(BY_HAND, X)[0].item() + always + 15 / (failing + 0.01)
        assert agad.generator_loss(BY_HAND, X, A)[0].item() == pytest.approx(expected)  # Eq. 11
    agad = advad.AGAD(contextual=False)  # nothing as printed is left that could fail
    assert (agad.generator_loss(BY_HAND, X, A)[0] - agad.generator_loss(BY_HAND, X)[0]).item() == pytest.approx(always)


def test_the_discriminators_loss_and_the_score_by_hand():
    agad = advad.AGAD()
    loss = softplus(0.4) + softplus(-0.8)  # lines 7 and 10: logits of x̂, x and a
    assert agad.discriminator_loss(BY_HAND, X / 2, X)[0].item() == pytest.approx(loss)
    assert agad.discriminator_loss(BY_HAND, X / 2, X, A)[0].item() == pytest.approx(loss + softplus(1.0))
    assert agad.score_images(BY_HAND, torch.cat([X, A])).tolist() == pytest.approx([math.hypot(0.1, 0.3), 0.5])


def test_without_game_and_context_it_is_an_autoencoder_with_an_l1_loss():
    agad = advad.AGAD(**DCGAN, contextual=False, adversarial_weight=0, latent_weight=0)
    networks = Networks(**agad.build((1, 8, 8)))
    x, weights = torch.rand(16, 1, 8, 8), list(networks.generator.parameters())
    limit = torch.autograd.grad(agad.generator_loss(networks, x)[0], weights)
    plain = torch.autograd.grad(50 * (x - networks.generator(x)).abs().mean(), weights)
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(limit, plain, strict=True))


def test_a_step_is_algorithm_1():
    """The generator's step, then the discriminator's on the x̂ of before; each labelled anomaly, and 32 at least."""

    class Recorder:
        networks = BY_HAND
        batches = 3
        calls: list = []  # noqa: RUF012

        class run:  # noqa: N801
            anomalies = None

        def anomalies(self, n):
            return A.expand(n, -1, -1, -1)

        def __call__(self, player, loss, *tensors):
            self.calls.append((player, loss.__name__, *tensors))

    recorder, x = Recorder(), X.repeat(4, 1, 1, 1)
    for labelled, n in ((None, 0), (5, 32), (100, 34)):
        recorder.run.anomalies = None if labelled is None else A.repeat(labelled, 1, 1, 1)
        advad.AGAD().step(recorder, x)
        (first, *given), (second, *handed) = (call for call in recorder.calls[-2:])
        assert (first, given[0], second, handed[0]) == (
            "generator",
            "generator_loss",
            "discriminator",
            "discriminator_loss",
        )
        assert torch.equal(handed[1], x / 2)
        assert not handed[1].requires_grad
        assert torch.equal(given[1], x)
        assert torch.equal(handed[2], x)
        assert sum(len(a) for a in given[2:]) == sum(len(a) for a in handed[3:]) == n


@pytest.mark.parametrize("fail_on", ["reconstruction", "input"])
def test_the_generator_makes_anomalies_fail_and_normal_images_succeed(fail_on):
    """A small step down each loss alone: |x − x̂| falls, |x̂ − x̂'| rises; and what is to fail on an anomaly rises."""
    torch.manual_seed(0)
    x, a = torch.rand(16, 1, 8, 8), torch.rand(16, 1, 8, 8).round()
    weights = dict.fromkeys(("adversarial_weight", "reconstruction_weight", "contextual_weight", "latent_weight"), 0)
    failing = "anomaly_contextual" if fail_on == "reconstruction" else "anomaly_reconstruction"
    for weight, labelled, term, sign in (
        ("reconstruction_weight", (), "reconstruction", -1),
        ("contextual_weight", (), "contextual", 1),
        ("contextual_weight", (a,), failing, 1),
    ):
        agad = advad.AGAD(**DCGAN | weights | {weight: 1}, fail_on=fail_on)
        networks = Networks(**agad.build((1, 8, 8)))
        loss, terms = agad.generator_loss(networks, x, *labelled)
        gradients = torch.autograd.grad(loss, list(networks.generator.parameters()))
        with torch.no_grad():
            for p, g in zip(networks.generator.parameters(), gradients, strict=True):
                p -= 0.001 * g / (1e-12 + g.norm())
        assert sign * (agad.generator_loss(networks, x, *labelled)[1][term] - terms[term]) > 0


def running_means(networks):
    norms = [m for m in networks.generator.modules() if isinstance(m, nn.BatchNorm2d)]
    own = [m for m in norms if isinstance(m, AuxiliaryBatchNorm2d)] or norms
    return [m.running_mean.clone() for m in own], [m.running_mean.clone() for m in norms if m not in own]


def test_frozen_batch_norm_keeps_anomalies_out_and_auxiliary_batch_norm_pseudo_anomalies():
    """Table 5. What the running statistics are after a batch, with and without what is to be kept out of them."""
    x, a = torch.rand(16, 1, 8, 8), torch.rand(32, 1, 8, 8).round()

    def after(agad, *labelled):
        torch.manual_seed(0)
        networks = Networks(**agad.build((1, 8, 8)))
        agad.generator_loss(networks, x, *labelled)
        return running_means(networks)

    def same(one, other):
        return all(torch.equal(p, q) for p, q in zip(one, other, strict=True))

    shared, frozen = (advad.AGAD(**DCGAN, contextual=False, freeze_norm=freeze) for freeze in (False, True))
    assert not same(after(shared, a)[0], after(shared)[0])
    assert same(after(frozen, a)[0], after(frozen)[0])
    twin, plain = advad.AGAD(**DCGAN, auxiliary_norm=True), advad.AGAD(**DCGAN, contextual=False)
    main, auxiliary = after(twin)
    assert same(main, after(plain)[0])
    assert all(mean.abs().max() > 0 for mean in auxiliary)
    assert not same(main, after(advad.AGAD(**DCGAN))[0])


def small_mnist(root, **settings):
    """Return 500 training and 1,000 test images of MNIST, 8 normal, and what an AGAD of six epochs needs."""
    split = advad.one_class(
        advad.load("MNIST", root=root), normal=8, holdout=0.0, train_size=500, test_size=1000, **settings
    )
    return split, {"conv_width": 8, "latent_dim": 16, "batch_size": 32, "learning_rate": 1e-3, "epochs": 6}


@pytest.mark.parametrize("seed", [0, 1])
def test_pseudo_anomalies_are_reconstructed_worse_than_normals_by_the_contextual_loss(real_data, seed):
    """The paper's claim, on test images of MNIST's class 8; without that loss, they are reconstructed better."""
    split, settings = small_mnist(real_data)
    normal, errors = split.test[~split.test_is_anomaly], {}
    for contextual in (True, False):
        agad = advad.AGAD(**settings, contextual=contextual, seed=seed, device="cpu").fit(split.train, progress=False)
        drawn = agad.reconstruct(normal)
        errors[contextual] = agad.anomaly_score(normal).mean(), agad.anomaly_score(drawn).mean()
    print(f"error of normals, and of what G drew of them, MNIST 8, seed {seed}, with and without: {errors}")
    assert errors[True][1] > errors[True][0]
    assert errors[False][1] < errors[False][0]


def test_labels_help_against_what_they_show(real_data):
    """MNIST's class 8, a tenth labelled, all of the digits 0 to 2: AUROC against those rises, by either loss."""
    split, settings = small_mnist(real_data, labelled=0.1, labelled_classes=[0, 1, 2])
    rows = ~split.test_is_anomaly | torch.isin(split.test_labels, torch.tensor([0, 1, 2]))
    values = {}
    for name, y in (("none", None), ("reconstruction", split.train_y), ("input", split.train_y)):
        x = split.train if y is not None else split.train[split.train_y == 0]
        agad = advad.AGAD(**settings, fail_on="input" if name == "input" else "reconstruction", device="cpu")
        scores = agad.fit(x, y, progress=False).anomaly_score(split.test[rows])
        values[name] = round(auroc(split.test_is_anomaly[rows], scores), 3)
    print(f"AUROC against the seen digits, MNIST 8, one seed, by what is to fail: {values}")
    assert values["reconstruction"] > values["none"] + 0.01
    assert values["input"] > values["none"] + 0.01


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"generator": "resnet"}, "AGAD: generator must be one of 'naive', 'unet', 'unet\\+\\+'; got 'resnet'"),
        ({"contextual": 1}, "AGAD: contextual must be one of True, False; got 1"),
        ({"fail_on": "score"}, "AGAD: fail_on must be one of 'reconstruction', 'input'; got 'score'"),
        ({"contextual_weight": -15}, "AGAD: contextual_weight must be at least 0; got -15"),
        ({"conv_width": 0}, "AGAD: conv_width must be at least 1; got 0"),
        ({"auxiliary_norm": True, "contextual": False}, "AGAD: auxiliary_norm must be False without contextual"),
    ],
)
def test_bad_parameters(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        advad.AGAD(**(DCGAN | settings)).fit(digits().train, progress=False)


@pytest.mark.parametrize(
    ("settings", "published"),
    [
        (advad.AGAD.paper_settings("CIFAR10") | {"generator": "naive", "latent_dim": 100}, 2.04e6),  # Table 7: code 100
        (advad.AGAD.paper_settings("CIFAR10") | {"generator": "unet"}, 7.76e6),
        (advad.AGAD.paper_settings("CIFAR10"), 9.04e6),
    ],
)
def test_generators_have_the_sizes_of_table_8(settings, published, figure):
    """For images of 3×32×32; the naive generator is exactly 2.04 · 2²⁰."""
    generator = advad.AGAD(**settings).build((3, 32, 32))["generator"]
    n = sum(p.numel() for p in generator.parameters())
    figure(f"AGAD, {settings['generator']}: {n / 1e6:.3f} M parameters, published {published / 1e6} M")
    assert n == pytest.approx(published, rel=0.05)


def test_a_detector_from_before_the_norm_in_the_first_block_loads(tmp_path):
    """Its scores need G alone; a U-Net of that time was another network."""
    agad = advad.AGAD(**DCGAN, epochs=1).fit(digits().train[:40], progress=False)
    tensors, facts = agad.state()
    facts["parameters"] |= {"generator": "naive"}
    old = {name: t for name, t in tensors.items() if not name.startswith("networks.discriminator.features.0.1.")}
    old["networks.discriminator.features.0.0.bias"] = torch.zeros(8)
    loaded = advad.AGAD.from_state(old, facts)
    x = digits().test[:10]
    assert loaded.anomaly_score(x).tolist() == agad.anomaly_score(x).tolist()
    facts["parameters"] |= {"generator": "unet"}
    with pytest.raises(ValueError, match="^AGAD: the U-Nets of version 0.1 were built of DCGAN's blocks"):
        advad.AGAD.from_state(old, facts)
