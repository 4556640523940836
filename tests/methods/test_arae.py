"""ARAE: Eqs. 1 to 5 against hand numbers, its limit, and what the paper promises of it."""

import numpy as np
import pytest
import torch

import advad
from advad.analysis.metrics import auroc
from advad.attacks import pgd, random_linf, transform
from tests.cases import SMALL, digits
from tests.methods.test_autoencoder import linear_networks


def test_equations_by_hand():
    x = torch.tensor([[[[0.2, 0.6]]]])  # Enc 0.8
    x_star = torch.tensor([[[[0.4, 0.6]]]])  # Enc 1.0, Dec (0.5, 0)
    networks, arae = linear_networks(), advad.ARAE(latent_weight=0.1)
    assert arae.latent_loss(networks, x, x_star).item() == pytest.approx(0.2**2)  # Eq. 2
    assert arae.reconstruction_loss(networks, x, x_star).item() == pytest.approx((0.3**2 + 0.6**2) / 2)  # Eq. 4
    loss, terms = arae.loss(networks, x, x_star)
    assert loss.item() == pytest.approx(0.225 + 0.1 * 0.04)  # Eq. 3
    assert terms["latent"].item() == pytest.approx(0.04)
    assert terms["reconstruction"].item() == pytest.approx(0.225)
    assert arae.score_images(networks, x).item() == pytest.approx((0.2**2 + 0.6**2) / 2)


def test_the_clean_code_is_not_detached():
    """Eq. 5 minimises over W in both codes: dL_latent/dw of w·x* − w·x is 2 (w·x* − w·x)(x* − x)."""
    networks = linear_networks()
    weight = networks.encoder[1].weight
    x, x_star = torch.tensor([[[[0.2, 0.6]]]]), torch.tensor([[[[0.4, 0.6]]]])
    latent = advad.ARAE().latent_loss(networks, x, x_star).mean()
    (gradient,) = torch.autograd.grad(latent, weight)
    assert torch.allclose(gradient, torch.tensor([[2 * 0.2 * 0.2, 0.0]]))


def trained(cls, **settings):
    return cls(**(SMALL | {"epochs": 40, "activation": "relu", "batch_size": 32} | settings)).fit(
        digits(normal=8).train, progress=False
    )


@pytest.mark.parametrize("box", ["clip", "saturate", "project"])
@pytest.mark.parametrize("target", ["latent", "reconstruction"])
def test_the_attack_keeps_its_radius_and_does_more_than_its_random_start(target, box):
    detector = trained(advad.ARAE, epochs=2, target=target, attack_steps=5, attack_box=box)
    x = digits(normal=8).test[:30].float() / 255
    networks = detector.networks_

    def objective(moved):
        if target == "latent":
            return detector.latent_loss(networks, x, moved)
        return detector.reconstruction_loss(networks, x, moved)

    found = detector.attack(networks, x, torch.Generator().manual_seed(3))
    assert (found - x).abs().max() <= 0.2 + 1e-6
    assert found.min() >= 0
    assert found.max() <= 1
    start = (x + random_linf(x, 0.2, torch.Generator().manual_seed(3))).clamp(0, 1)
    assert objective(found).mean() > objective(start).mean() * 1.02


def test_the_attack_is_the_released_one():
    """NumPy, from the released code's rule: δ onto the ball, the image clipped afterwards, the last point kept.

    The encoder is w·x with w = (1, 1), so that the gradient's sign is that of w·(x* − x).
    """
    arae = advad.ARAE(attack_steps=2, attack_step_size=0.05, attack_radius=0.2)
    x = torch.tensor([[[[0.0, 0.5]]], [[[0.0, 0.95]]]])
    start = random_linf(x, 0.2, torch.Generator().manual_seed(1)).numpy()
    assert (start[:, 0, 0, 0] < 0).any()  # a black pixel whose δ begins below zero: where the two rules differ
    delta, pixels = start.copy(), x.numpy()
    for _ in range(2):
        movement = ((pixels + delta).clip(0, 1) - pixels).sum((1, 2, 3), keepdims=True)
        delta = (delta + 0.05 * np.sign(movement)).clip(-0.2, 0.2)
    expected = (pixels + delta).clip(0, 1)
    rng = torch.Generator()
    assert np.allclose(arae.attack(linear_networks(), x, rng.manual_seed(1)), expected, atol=1e-6)
    projected = arae.set_params(attack_box="project").attack(linear_networks(), x, rng.manual_seed(1))
    assert not np.allclose(projected, expected, atol=1e-3)


def test_training_on_the_union_takes_the_worst_or_the_mean_of_all():
    x = torch.tensor([[[[0.2, 0.6]]]])
    near, far = torch.tensor([[[[0.3, 0.6]]]]), torch.tensor([[[[0.4, 0.6]]]])
    networks, arae = linear_networks(), advad.ARAE(latent_weight=0.1)
    both, terms = arae.loss(networks, x, near, far)
    each = [arae.loss(networks, x, x_star)[0] for x_star in (near, far)]
    assert both.item() == pytest.approx((each[0] + each[1]).item() / 2)
    assert terms["latent"].item() == pytest.approx((0.1**2 + 0.2**2) / 2)

    attacks = {"attacks": ("linf", "spatial"), "rotations": 3, "attack_steps": 2}
    for union, n in (("worst", 1), ("all", 2)):
        taken = []

        def update(player, loss, x, *x_stars, taken=taken):
            taken.append(len(x_stars))

        update.networks, update.generator = networks, torch.Generator().manual_seed(0)
        advad.ARAE(**attacks, union=union).step(update, x)
        assert taken == [n]


def test_the_union_takes_the_worst_of_its_attacks_for_each_image():
    settings = {"attack_steps": 3, "l2_steps": 3, "rotations": 3, "l2_radius": 0.5}
    detector = trained(advad.ARAE, epochs=2, **settings)
    x = digits(normal=8).test[:20].float() / 255
    networks, distance = detector.networks_, lambda moved: detector.latent_loss(detector.networks_, x, moved)
    singles = []
    rng = torch.Generator().manual_seed(1)  # the same draws, in the same order, as in the union
    for name in ("linf", "l2", "spatial"):
        singles.append(detector.set_params(attacks=(name,)).attack(networks, x, rng))
    union = detector.set_params(attacks=("linf", "l2", "spatial")).attack(networks, x, torch.Generator().manual_seed(1))
    assert torch.allclose(distance(union), torch.stack([distance(s) for s in singles]).amax(0))


def test_the_spatial_attack_is_a_grid_of_rotations_and_nine_shifts():
    detector = trained(advad.ARAE, epochs=2, attacks=("spatial",), rotations=3)
    x = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    weights = torch.rand(784, generator=torch.Generator().manual_seed(1))
    from advad.engine.training import Networks

    class Total(torch.nn.Module):
        def forward(self, x):
            return (x.flatten(1) * weights).sum(1, keepdim=True)

    networks = Networks(encoder=Total())
    found = detector.attack(networks, x)
    grid = [transform(x, d, (dx, dy)) for d in (-30, 0, 30) for dx in (-4, 0, 4) for dy in (-4, 0, 4)]
    distances = torch.stack([detector.latent_loss(networks, x, moved) for moved in grid])
    assert torch.allclose(detector.latent_loss(networks, x, found), distances.amax(0))


def test_radius_zero_is_the_autoencoder():
    same = {"epochs": 3, "precision": "float32"}  # "auto" is not the same for both
    limit = trained(advad.ARAE, **same, attack_radius=0, weight_init="glorot_uniform")
    x = digits().test[:50]
    assert np.array_equal(limit.anomaly_score(x), trained(advad.AE, **same).anomaly_score(x))


def test_the_code_moves_less_under_attack_than_the_dae_s(figure):
    """The paper's premise. Relative to the spread of the codes: shrinking them all would be no merit."""
    x = digits(normal=8).test
    x = x[~digits(normal=8).test_is_anomaly].float() / 255

    def movement(detector):
        networks, z = detector.networks_, detector.networks_.encoder(x)
        moved = pgd(lambda m: (networks.encoder(m) - z).square().mean(1), x, radius=0.2, steps=20)
        return ((networks.encoder(moved) - z).square().sum(1).mean() / z.var(0).sum()).item()

    arae, dae = movement(trained(advad.ARAE, attack_steps=10)), movement(trained(advad.DAE))
    figure(f"movement of the code under attack, on digits, relative to its variance: ARAE {arae:.2f}, DAE {dae:.2f}")
    assert arae < 0.5 * dae


def test_settings_of_the_paper_and_its_variants():
    """Architecture and Hyperparameters; ARAE-A by the released code: l2 100 steps of 0.1, l∞ 40 steps of 0.01."""
    radii = {name: advad.ARAE.paper_settings(name)["attack_radius"] for name in ("MNIST", "FashionMNIST", "COIL100")}
    assert radii == {"MNIST": 0.2, "FashionMNIST": 0.05, "COIL100": 0.05}
    assert advad.ARAE(**advad.ARAE_R).target == "reconstruction"
    arae_a = advad.ARAE(**advad.ARAE.paper_settings("MNIST") | advad.ARAE_A)
    arae_a.check()
    assert arae_a.attacks == ("linf", "l2", "spatial")
    assert (arae_a.attack_steps, arae_a.attack_step_size) == (40, 0.01)
    assert (arae_a.l2_steps, arae_a.l2_step_size, arae_a.l2_radius) == (100, 0.1, 5.0)
    assert (arae_a.epochs, arae_a.batch_size, arae_a.learning_rate) == (500, 128, 1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"attack_radius": 20},
            r"^ARAE: attack_radius must be in \[0, 1\]; got 20. It is in pixel units of \[0, 1\], so 0.2 is 20 %.$",
        ),
        ({"latent_weight": -0.1}, "ARAE: latent_weight must be at least 0; got -0.1"),
        ({"attack_steps": 0}, "ARAE: attack_steps must be at least 1; got 0"),
        ({"rotations": 0}, "ARAE: rotations must be at least 1; got 0"),
        ({"attack_step_size": 0}, r"ARAE: attack_step_size must be above 0; got 0. None: 2.5 · radius / steps."),
        ({"l2_steps": 0}, "ARAE: l2_steps must be at least 1; got 0"),
        ({"attack_box": "none"}, "ARAE: attack_box must be one of 'clip', 'saturate', 'project'; got 'none'"),
        ({"union": "mean"}, "ARAE: union must be one of 'worst', 'all'; got 'mean'"),
        ({"weight_init": "he"}, "ARAE: weight_init must be one of 'glorot_uniform', 'glorot_normal'; got 'he'"),
        ({"l2_radius": -1}, "ARAE: l2_radius must be at least 0; got -1"),
        ({"target": "score"}, "ARAE: target must be one of 'latent', 'reconstruction'; got 'score'"),
        ({"attacks": "linf"}, "ARAE: attacks must be a tuple of at least one name; got 'linf'"),
        ({"attacks": ("l1",)}, "ARAE: each of attacks must be one of 'linf', 'l2', 'spatial'; got 'l1'"),
    ],
)
def test_bad_parameters(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        advad.ARAE(**settings).fit(digits().train, progress=False)


def test_on_real_mnist_beside_the_pca_floor(real_data, figure):
    """Class 8, all test images, a few epochs: near or above PCA's 0.849 (32 components)."""
    mnist = advad.load("MNIST", root=real_data)
    split = advad.one_class(mnist, normal=8, holdout=0.0, train_size=2000, seed=0)
    values = {}
    for name, detector in {
        "AE": advad.AE(epochs=12, device="cpu", batch_size=64),
        "ARAE": advad.ARAE(epochs=12, device="cpu", batch_size=64, activation="relu", attack_steps=3),
    }.items():
        detector.fit(split.train, progress=False)
        values[name] = auroc(split.test_is_anomaly, detector.anomaly_score(split.test))
    told = ", ".join(f"{name} {value:.3f}" for name, value in values.items())
    figure(
        f"AUROC on MNIST, class 8, 2,000 images, 12 epochs, one seed: {told}; PCA with 32 components, all images: 0.849"
    )
    assert min(values.values()) > 0.80
