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


@pytest.mark.parametrize("target", ["latent", "reconstruction"])
def test_the_attack_keeps_its_radius_and_never_falls_below_its_random_start(target):
    detector = trained(advad.ARAE, epochs=2, target=target, attack_steps=5)
    x = digits(normal=8).test[:30].float() / 255
    networks = detector.networks_

    def objective(moved):
        if target == "latent":
            return detector.latent_loss(networks, x, moved)
        return detector.reconstruction_loss(networks, x, moved)

    found = detector.attack(networks, x, torch.Generator().manual_seed(3))
    assert (found - x).abs().max() <= 0.2 + 1e-6
    start = (x + random_linf(x, 0.2, torch.Generator().manual_seed(3))).clamp(0, 1)
    assert (objective(found) >= objective(start)).all()
    assert objective(found).mean() > objective(start).mean() * 1.02


def test_the_union_takes_the_worst_of_its_attacks_for_each_image():
    settings = {"attack_steps": 3, "rotations": 3, "l2_radius": 0.5}
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
    assert np.array_equal(
        trained(advad.ARAE, epochs=3, attack_radius=0).anomaly_score(digits().test[:50]),
        trained(advad.AE, epochs=3).anomaly_score(digits().test[:50]),
    )


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


def test_settings_of_the_variants():
    assert advad.ARAE(**advad.ARAE_A).attacks == ("linf", "l2", "spatial")
    assert advad.ARAE(**advad.ARAE_R).target == "reconstruction"


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
