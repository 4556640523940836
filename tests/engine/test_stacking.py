"""Many models in one loop: as good as equal to one by one, with each model's own randomness, or told why not."""

import numpy as np
import pytest
import torch

import advad
from advad.engine.stacking import PerModelRandomness, Stacked, fit_stacked
from advad.networks.autoencoders import conv_encoder
from tests.cases import make, noise

TOLERANCE = 2e-3  # of a score, relative: single precision over some dozens of steps of Adam


def splits(classes, size=100):
    digits = advad.load("digits")
    return [advad.one_class(digits, normal=normal, train_size=size, seed=0) for normal in classes]


@pytest.mark.parametrize("case", ["AE", "AE-conv", "DAE-uniform", "DAE-gaussian", "ARAE", "ARAE-conv", "ARAE-R"])
def test_classes_and_seeds_at_once_equal_one_by_one(case, recwarn):
    some = splits([0, 1, 8, 8])
    seeds = [0, 0, 0, 1]
    detectors = [make(case, epochs=4, seed=seed) for seed in seeds]
    assert fit_stacked(detectors, [split.train for split in some], progress=False) is not None
    assert not recwarn.list  # they were stacked
    for detector, seed, split in zip(detectors, seeds, some, strict=True):
        alone = make(case, epochs=4, seed=seed).fit(split.train, progress=False)
        expected = alone.anomaly_score(split.test)
        np.testing.assert_allclose(detector.anomaly_score(split.test), expected, rtol=TOLERANCE, atol=1e-5)
    assert detectors[0].history_["epoch"] == [1, 2, 3, 4]
    other = detectors[3].anomaly_score(some[2].test)
    assert abs(other - detectors[2].anomaly_score(some[2].test)).max() > 0.01  # another seed is another model


def test_a_stack_applies_each_models_own_weights():
    networks = [conv_encoder((1, 8, 8), 3, 4) for _ in range(3)]
    x = torch.rand(12, 1, 8, 8)
    expected = torch.cat([network(part) for network, part in zip(networks, x.chunk(3), strict=True)])
    torch.testing.assert_close(Stacked(networks)(x), expected)


def test_each_model_draws_from_its_own_generator():
    shared = torch.Generator()
    with PerModelRandomness(shared, [torch.Generator().manual_seed(seed) for seed in (5, 6)]):
        drawn = torch.rand((4, 3), generator=shared)
        again = torch.randn((2, 1), generator=shared)
    for model, seed in enumerate((5, 6)):
        own = torch.Generator().manual_seed(seed)
        assert torch.equal(drawn[2 * model : 2 * model + 2], torch.rand((2, 3), generator=own))
        assert torch.equal(again[model : model + 1], torch.randn((1, 1), generator=own))


@pytest.mark.parametrize(
    ("case", "why"),
    [
        ("AAE", "its training has stages, or begins with all images"),
        ("ALCN", "its step draws random numbers that cannot be split per model"),
        ("DAE-speckle", "its step draws random numbers that cannot be split per model"),
    ],
)
def test_what_cannot_be_stacked_is_told_and_trained_one_by_one(case, why):
    (split,) = splits([0])
    detectors = [make(case, epochs=1, seed=seed) for seed in (0, 1)]
    with pytest.warns(UserWarning, match="one by one") as told:
        fit_stacked(detectors, [split.train] * 2, progress=False)
    assert [str(line.message) for line in told] == [
        f"fit_stacked: {type(detectors[0]).__name__} is trained one by one: {why}."
    ]
    alone = make(case, epochs=1, seed=1).fit(split.train, progress=False)
    assert np.array_equal(detectors[1].anomaly_score(split.test), alone.anomaly_score(split.test))


class LossOfABatch(advad.AE):
    def loss(self, networks, x):
        z = networks.encoder(x)
        return (z - z.mean(0)).square().mean() + super().loss(networks, x)[0], {}


class MixesTheBatch(advad.AE):
    def step(self, update, x):
        update("autoencoder", self.loss, (x - x.mean(0)).abs())


class Remembers(advad.AE):
    def step(self, update, x):
        update.run.buffers["last"] = x.mean()
        super().step(update, x)


class Logs(advad.AE):
    def step(self, update, x):
        update.log(brightness=x.mean())
        super().step(update, x)


class Looks(advad.AE):
    def step(self, update, x):
        update.networks.encoder.weights_of_my_own()
        super().step(update, x)


class Counts(advad.AE):
    def loss(self, networks, x):
        total, terms = super().loss(networks, x)
        return total * (1 + float(total > 1e9)), terms


class Normalises(advad.AE):
    def build(self, image_shape):
        networks = super().build(image_shape)
        return networks | {"encoder": torch.nn.Sequential(networks["encoder"], torch.nn.BatchNorm1d(self.latent_dim))}


@pytest.mark.parametrize(
    ("detectors", "sizes", "why"),
    [
        ([MixesTheBatch, MixesTheBatch], (50, 50), "its step mixes the images of a batch outside its losses"),
        ([Remembers, Remembers], (50, 50), "its step keeps something beside the weights"),
        ([Logs, Logs], (50, 50), "its step logs brightness of all models' images at once"),
        ([Counts, Counts], (50, 50), r"its step fails on a stack \(RuntimeError: vmap: .{0,100}\)"),
        ([Normalises, Normalises], (50, 50), "its encoder has BatchNorm1d, which looks beyond a single image"),
        ([advad.AE, advad.DAE], (50, 50), "its parameters differ in more than the seed"),
        ([advad.AE, advad.AE], (50, 40), r"the training sets differ in size \(40 to 50 images\)"),
    ],
)
def test_a_stack_that_would_not_equal_one_by_one_is_refused(detectors, sizes, why):
    small = {"epochs": 1, "widths": (8,), "latent_dim": 4, "device": "cpu"}
    made = [kind(**small, seed=seed) for seed, kind in enumerate(detectors)]
    with pytest.warns(UserWarning, match=f"is trained one by one: {why}."):
        fit_stacked(made, [noise(size, (1, 8, 8), seed) for seed, size in enumerate(sizes)], progress=False)
    assert all(len(detector.history_["epoch"]) == 1 for detector in made)


def test_a_loss_over_a_whole_batch_is_each_models_own():
    small = {"epochs": 2, "widths": (8,), "latent_dim": 4, "device": "cpu", "batch_size": 16}
    images = [noise(40, (1, 8, 8), seed) for seed in (0, 1)]
    made = fit_stacked([LossOfABatch(**small, seed=seed) for seed in (0, 1)], images, progress=False, one_by_one=False)
    for seed, (detector, some) in enumerate(zip(made, images, strict=True)):
        alone = LossOfABatch(**small, seed=seed).fit(some, progress=False)
        assert detector.history_["autoencoder_loss"] == pytest.approx(alone.history_["autoencoder_loss"], rel=1e-4)
        np.testing.assert_allclose(detector.anomaly_score(some), alone.anomaly_score(some), rtol=TOLERANCE)


def test_errors_of_the_method_itself_are_its_own():
    with pytest.raises(AttributeError, match="weights_of_my_own"):
        fit_stacked([Looks(device="cpu", epochs=1) for _ in range(2)], [noise(5, (1, 8, 8))] * 2, progress=False)


def test_errors():
    detectors = [make("AE"), make("AE")]
    with pytest.raises(ValueError, match="fit_stacked: X must hold one set of images for each of 2 detectors; got 1."):
        fit_stacked(detectors, [noise(5, (1, 8, 8))])
    broken = [make("AE", learning_rate=1e30, epochs=3, activation="relu", seed=seed) for seed in (0, 1)]
    for detector in broken:
        detector.loss = lambda networks, x: (networks.encoder(x).mean() / 0, {})
    with pytest.raises(advad.DivergedError, match="fit_stacked: autoencoder_loss is not finite in epoch 1"):
        fit_stacked(broken, [noise(5, (1, 8, 8))] * 2, progress=False)


def test_nothing_outside_is_disturbed():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    fit_stacked([make("DAE-uniform", epochs=1, seed=0)], [noise(20, (1, 8, 8))], progress=False)
    assert torch.equal(torch.rand(2), expected)


def test_the_old_name_still_works_and_warns():
    with pytest.warns(FutureWarning, match=r"advad\.fit_stacked\(detectors, X\)"):
        many = advad.Many([advad.AE(epochs=1, device="cpu")])
    assert many.fit([noise(5, (1, 8, 8))], progress=False)[0].history_["epoch"] == [1]
