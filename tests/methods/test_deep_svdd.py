"""Deep SVDD: objectives, radius and centre by hand, gradients, and the guards against a collapsed sphere."""

import numpy as np
import pytest
import torch
from torch import nn

import advad
from advad.engine.bases.hypersphere import AWAY, centre
from advad.engine.training import Networks, TrainingState
from advad.networks.lenet import lenet_decoder, lenet_encoder
from tests.cases import SPHERE, digits


def trained(cls=advad.DeepSVDD, **settings):
    return cls(**(SPHERE | {"epochs": 3} | settings)).fit(digits(normal=8).train, progress=False)


def flat():
    """Return a network whose code is the image's two pixels; x below has squared distances 0.25, 1 and 4 from c."""
    return Networks(encoder=nn.Flatten())


C = torch.tensor([0.5, 0.5])
X = torch.tensor([[0.5, 1.0], [0.5, -0.5], [2.5, 0.5]]).reshape(3, 1, 1, 2)


def test_objectives_by_hand():
    detector = advad.DeepSVDD(nu=0.5)
    assert detector.distance(flat(), X, C).tolist() == pytest.approx([0.25, 1, 4])
    assert detector.hard_loss(flat(), X, C)[0].item() == pytest.approx(5.25 / 3)  # Eq. 4
    loss, terms = detector.soft_loss(flat(), X, C, torch.tensor(0.8))  # Eq. 3
    assert loss.item() == pytest.approx(0.64 + ((1 - 0.64) + (4 - 0.64)) / 3 / 0.5)
    assert terms["outside"].item() == pytest.approx(2 / 3)
    detector.buffers_ = {"centre": C}
    assert detector.score_images(flat(), X).tolist() == pytest.approx([0.25, 1, 4])  # Eq. 5


@pytest.mark.parametrize("nu", [0.05, 0.3, 1.0])
def test_no_other_radius_has_a_smaller_soft_loss(nu):
    detector = advad.DeepSVDD(nu=nu)
    x = torch.rand(201, 1, 1, 2, generator=torch.Generator().manual_seed(0))
    R = detector.radius(detector.distance(flat(), x, C))
    best = detector.soft_loss(flat(), x, C, R)[0]
    others = [detector.soft_loss(flat(), x, C, r)[0] for r in torch.linspace(0, 1, 101)]
    assert best <= min(others) + 1e-6


def test_the_soft_boundary_leaves_about_nu_outside():
    detector = trained(boundary="soft", nu=0.25, epochs=60, batch_size=1000, learning_rate=2e-4)
    outside = detector.anomaly_score(digits(normal=8).train) > detector.buffers_["radius"].item() ** 2
    assert outside.mean() == pytest.approx(0.25, abs=0.1)


def test_the_centre_is_the_mean_of_an_initial_pass_and_never_near_zero():
    codes = torch.tensor([[0.02, -0.03, 0.0, 1.0], [0.04, -0.05, 0.0, -3.0]])
    assert centre(codes).tolist() == pytest.approx([AWAY, -AWAY, AWAY, -1.0])
    detector, x = trained(), digits(normal=8).train
    run = TrainingState(detector.networks_, {})
    detector.find_centre(run, x)
    assert np.allclose(run.buffers["centre"], centre(torch.from_numpy(detector.encode(x))), atol=1e-5)
    inside = detector.anomaly_score(x).astype(float)  # of the old centre; the radius belongs to the new one
    assert run.buffers["radius"] < np.sqrt(inside.max())


def test_the_centre_is_found_after_pretraining_and_then_stays(monkeypatch):
    centres = []
    settings = SPHERE | {"epochs": 3, "pretrain_epochs": 2}
    advad.DeepSVDD(**settings).fit(
        digits(normal=8).train, progress=False, on_epoch=lambda d: centres.append(d.buffers_["centre"].clone())
    )
    same = [torch.equal(a, b) for a, b in zip(centres[:-1], centres[1:], strict=True)]
    assert same == [True, False, True, True]


@pytest.mark.parametrize("boundary", ["hard", "soft"])
def test_the_loss_has_a_gradient_that_reaches_every_weight(boundary):
    detector = trained(boundary=boundary, nu=0.5)
    networks, x = detector.networks_.requires_grad_(True).train(), digits(normal=8).train.float() / 255
    tensors = list(detector.buffers_[name] for name in (("centre",) if boundary == "hard" else ("centre", "radius")))
    loss, _ = (detector.hard_loss if boundary == "hard" else detector.soft_loss)(networks, x, *tensors)
    weights = list(networks.encoder.parameters())
    gradients = torch.autograd.grad(loss, weights)
    assert all(gradient.abs().max() > 0 for gradient in gradients)
    with torch.no_grad():
        for weight, gradient in zip(weights, gradients, strict=True):
            weight -= 1e-4 * gradient
    after, _ = (detector.hard_loss if boundary == "hard" else detector.soft_loss)(networks, x, *tensors)
    assert after < loss


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 33, 20)])
def test_the_network_cannot_be_constant_at_no_price(shape):
    """No bias, no bounded activation; with all weights zero the code is 0, and c is far from it."""
    x = torch.rand(6, *shape)
    encoder, decoder = lenet_encoder(shape, (8, 4), 16), lenet_decoder(shape, (8, 4), 16)
    assert decoder(encoder(x)).shape == x.shape
    for network in (encoder, decoder):
        assert all(name.endswith("weight") for name, _ in network.named_parameters())
    bounded = (nn.Sigmoid, nn.Tanh, nn.Hardtanh, nn.Softsign)
    assert not any(isinstance(layer, bounded) for layer in encoder)
    for weight in encoder.parameters():
        nn.init.zeros_(weight)
    code = encoder(x)
    assert not code.any()
    assert (code - centre(code)).square().sum(1).min() >= 16 * AWAY**2 - 1e-6


def test_training_shrinks_the_sphere_but_not_to_a_point():
    detector, x = trained(epochs=40), digits(normal=8)
    history = [v for v in detector.history_["encoder_loss"] if v is not None]
    assert history[-1] < 0.5 * history[0]
    scores = detector.anomaly_score(x.test[x.test_is_anomaly])
    assert np.median(scores) > 2 * np.median(detector.anomaly_score(x.holdout))


def test_weight_decay_is_the_optimisers():
    (group,) = advad.DeepSVDD(weight_decay=0.5).optimiser("encoder", [nn.Parameter(torch.ones(1))]).param_groups
    assert group["weight_decay"] == 0.5


def test_stages_are_named_and_pretraining_may_be_left_out():
    assert trained(pretrain_epochs=2).history_["stage"] == ["pretrain"] * 2 + ["train"] * 3
    assert trained(pretrain_epochs=0).history_["stage"] == ["train"] * 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "DeepSVDD: epochs must be at least 1; got 0. Without one there is no centre"),
        ({"pretrain_epochs": -1}, "DeepSVDD: pretrain_epochs must be at least 0; got -1"),
        ({"boundary": "one-class"}, "DeepSVDD: boundary must be one of 'hard', 'soft'; got 'one-class'"),
        ({"nu": 0}, r"DeepSVDD: nu must be in \(0, 1\]; got 0. It is the share left outside"),
        ({"weight_decay": -1}, "DeepSVDD: weight_decay must be at least 0; got -1"),
        ({"conv_widths": 8}, r"DeepSVDD: conv_widths must be a tuple of whole numbers; got 8. As \(8, 4\)"),
        ({"conv_widths": (8, 0)}, "DeepSVDD: each of conv_widths must be at least 1; got 0"),
        ({"conv_widths": (8,) * 4}, r"DeepSVDD: conv_widths must fit \(8, 8\) pixels; got \(8, 8, 8, 8\). Each level"),
    ],
)
def test_bad_parameters(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        trained(**settings)
