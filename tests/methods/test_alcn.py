"""ALCN: blend, game and score by hand, its limit, the noise it learns, and what the paper claims of that noise."""

import numpy as np
import pytest
import torch
from torch import nn

import advad
from advad.analysis.metrics import auroc
from advad.engine.training import Networks
from advad.networks.losses import squared_error
from tests.cases import CONV, SMALL, digits
from tests.methods.test_autoencoder import linear_networks

QUICK = SMALL | {"batch_size": 32, "conv_width": 8}


def trained(**settings):
    return advad.ALCN(**(QUICK | {"epochs": 3} | settings)).fit(digits(normal=8).train, progress=False)


def networks_by_hand():
    """Return the linear denoiser (a, b) -> ((a + b) / 2, 0), and a noise net (p, q) -> one row of two pixels."""
    denoiser = linear_networks()
    return Networks(encoder=denoiser.encoder, decoder=denoiser.decoder, noise=nn.Unflatten(1, (1, 1, 2)))


def test_equations_by_hand():
    x, n, alpha = torch.tensor([[[[0.2, 0.6]]]]), torch.tensor([[[[1.0, 0.0]]]]), torch.tensor(0.25)
    alcn, networks = advad.ALCN(score_input="clean"), networks_by_hand()
    assert alcn.noised(x, n, alpha).flatten().tolist() == pytest.approx([0.25 * 0.2 + 0.75, 0.25 * 0.6])  # Sec. 3
    error = ((0.2 - 0.475) ** 2 + 0.6**2) / 2  # (0.8, 0.15) has the code 0.95, and comes back as (0.475, 0)
    assert alcn.error(networks, x, n, alpha).item() == pytest.approx(error)
    two = torch.tensor([[1.0, 0.0], [0.0, 1.0]])  # two draws: (1, 0), and (0, 1), which comes back as (0.475, 0) too
    loss, terms = alcn.noise_loss(networks, x.repeat(2, 1, 1, 1), two, alpha)
    assert loss.item() == pytest.approx(-error)  # Eq. 1, argmax
    assert terms["noise_mean"].item() == pytest.approx(0.5)
    assert terms["noise_spread"].item() == pytest.approx(0.5)
    assert alcn.denoise_loss(networks, x, n.flatten(1), alpha)[0].item() == pytest.approx(error)  # Eq. 1, argmin
    assert alcn.score_images(networks, x).item() == pytest.approx((0.2**2 + 0.6**2) / 2)  # clean: (0.4, 0)


def test_a_step_is_algorithm_1():
    """Ascent first, then descent, with one φ for each image and one α from [0.2, 0.9] for the batch."""

    class Recorder:
        generator = torch.Generator().manual_seed(0)
        calls: list = []  # noqa: RUF012

        def __call__(self, player, loss, *tensors):
            self.calls.append((player, loss.__name__, *tensors))

    recorder, x = Recorder(), torch.rand(5, 1, 8, 8)
    for _ in range(200):
        advad.ALCN().step(recorder, x)
    assert [call[:2] for call in recorder.calls[:2]] == [("noise", "noise_loss"), ("denoiser", "denoise_loss")]
    for first, second in zip(recorder.calls[::2], recorder.calls[1::2], strict=True):
        assert first[3] is second[3]
        assert first[4] is second[4]
    phi = torch.stack([call[3] for call in recorder.calls[::2]])
    alpha = torch.stack([call[4] for call in recorder.calls[::2]])
    assert phi.shape == (200, 5, 256)
    assert phi.std() == pytest.approx(1, abs=0.01)
    assert alpha.shape == (200,)
    assert 0.2 <= alpha.min() < 0.23
    assert 0.87 < alpha.max() <= 0.9


@pytest.mark.parametrize("network", ["dense", "conv"])
def test_the_noise_ascends_where_the_denoiser_descends(network):
    """A small step down each loss: the same error goes up by the noise's, down by the denoiser's."""
    detector = trained(**(CONV if network == "conv" else {}))
    x = digits(normal=8).train[:64].float() / 255
    phi, alpha = torch.randn(64, 256, generator=torch.Generator().manual_seed(0)), torch.tensor(0.5)
    for player, loss in (("noise", detector.noise_loss), ("denoiser", detector.denoise_loss)):
        networks = detector.networks_.requires_grad_(True)
        own = [p for name in detector.optimised[player] for p in getattr(networks, name).parameters()]
        before = detector.error(networks, x, networks.noise(phi), alpha).mean().item()
        gradients = torch.autograd.grad(loss(networks, x, phi, alpha)[0], own)
        with torch.no_grad():
            for weight, gradient in zip(own, gradients, strict=True):
                weight -= 0.1 * gradient
        after = detector.error(networks, x, networks.noise(phi), alpha).mean().item()
        assert after > before if player == "noise" else after < before


@pytest.mark.parametrize("score", [{"score_input": "clean"}, {"score_alpha": 1.0}])
def test_without_noise_it_is_the_autoencoder(score):
    settings = SMALL | {"epochs": 3, "precision": "float32"}  # "auto" is not the same for both
    plain = advad.AE(**settings).fit(digits().train, progress=False)
    limit = advad.ALCN(**settings, blend=(1, 1), **score).fit(digits().train, progress=False)
    x = digits().test[:50]
    assert np.allclose(limit.anomaly_score(x), plain.anomaly_score(x), rtol=1e-5)
    assert np.array_equal(limit.encode(x), plain.encode(x))


def test_the_noise_it_has_learned_at_any_strength():
    detector, x = trained(), digits(normal=8).test[:6]
    noise = detector.noise(6, seed=3)
    assert noise.shape == (6, 1, 8, 8)
    assert noise.dtype == np.float32
    assert 0 <= noise.min() < noise.max() <= 1
    assert np.allclose(detector.noise(2, seed=3), noise[:2], atol=1e-6)
    assert not np.allclose(detector.noise(6, seed=4), noise, atol=1e-3)
    pixels = x.numpy() / np.float32(255)
    assert np.allclose(detector.corrupt(x, 0.25, seed=3), 0.25 * pixels + 0.75 * noise, atol=1e-6)
    assert np.array_equal(detector.corrupt(x, 1.0), pixels)
    assert np.allclose(detector.corrupt(x, 0.0, seed=3), noise, atol=1e-6)
    for call, message in (
        (lambda: detector.noise(0), "ALCN: n must be at least 1; got 0"),
        (lambda: detector.corrupt(x, 1.5), r"ALCN: alpha must be in \[0, 1\]; got 1.5. It is the share of the image"),
        (lambda: advad.ALCN().noise(3), "ALCN: this detector is not fitted"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_the_noisy_score_is_the_mean_over_fixed_draws():
    detector = trained(draws=3, score_alpha=0.6)
    x = digits(normal=8).test[:10].numpy() / np.float32(255)
    by_hand = [(x - detector.reconstruct(0.6 * x + 0.4 * n)) ** 2 for n in detector.noise(3, seed=0)]
    assert np.allclose(detector.anomaly_score(x), np.mean(by_hand, axis=(0, 2, 3, 4)), rtol=1e-4)
    clean = detector.set_params(score_input="clean").anomaly_score(x)
    assert np.allclose(clean, ((x - detector.reconstruct(x)) ** 2).mean((1, 2, 3)), rtol=1e-4)


def test_the_papers_networks_have_the_papers_numbers_of_parameters():
    """Table 5: the denoiser has 1.12 million parameters, DAE + ALCN 9.87 million; within 5 %."""
    for dataset, channels in (("MNIST", 1), ("CIFAR10", 3)):
        networks = advad.ALCN(**advad.ALCN.paper_settings(dataset)).build((channels, 28, 28))
        counts = {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()}
        assert counts["encoder"] + counts["decoder"] == pytest.approx(1.12e6, rel=0.05)
        assert sum(counts.values()) == pytest.approx(9.87e6, rel=0.05)


def test_the_paper_trains_with_its_own_rates_and_batches():
    """Sec. 4.2: Adam at 1e-5 (denoiser) and 8e-3 (noise), batches of 4096 at 28×28, of 16 at 256×256."""
    for dataset, batch_size in (("MNIST", 4096), ("CIFAR10", 4096), ("MVTecAD", 16)):
        alcn = advad.ALCN(**advad.ALCN.paper_settings(dataset))
        rates = {player: alcn.optimiser(player, [nn.Parameter(torch.zeros(1))]) for player in alcn.optimised}
        assert {player: adam.param_groups[0]["lr"] for player, adam in rates.items()} == {
            "noise": 8e-3,
            "denoiser": 1e-5,
        }
        assert (alcn.network, alcn.batch_size) == ("conv", batch_size)


def test_the_noise_net_has_a_width_of_its_own():
    def parameters(**settings):
        networks = advad.ALCN(conv_width=8, **settings).build((1, 8, 8))
        return [sum(p.numel() for p in networks[name].parameters()) for name in ("encoder", "noise")]

    assert parameters() == parameters(noise_width=8)
    assert parameters()[0] == parameters(noise_width=16)[0]
    assert parameters()[1] < parameters(noise_width=16)[1]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("network", ["dense", "conv"])
def test_its_noise_is_harder_than_uniform_and_gaussian_noise_of_the_same_strength(network, seed):
    """The paper's claim, on normal test images. Same strength: x̃ is as far from x, in l2, for each image."""
    conv = CONV | {"latent_dim": 16, "batch_size": 32}
    detector = trained(epochs=80, seed=seed, **(conv if network == "conv" else {}))
    x = digits(normal=8).test[~digits(normal=8).test_is_anomaly].float() / 255
    rng, errors = torch.Generator().manual_seed(7), {"learned": [], "uniform": [], "gaussian": []}
    for learned in torch.from_numpy(detector.noise(8, seed=7)):
        uniform = torch.rand(x.shape, generator=rng)
        gaussian = 0.5 + 0.5 * torch.randn(x.shape, generator=rng)
        strength = (0.5 * (learned - x)).flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        for name, n in (("learned", learned), ("uniform", uniform), ("gaussian", gaussian)):
            change = (n - x) / (n - x).flatten(1).norm(dim=1).view(-1, 1, 1, 1) * strength
            errors[name].append(squared_error(x, detector.reconstruct_tensor(x + change)).mean().item())
    means = {name: round(float(np.mean(values)), 4) for name, values in errors.items()}
    print(f"denoiser's error, {network}, digits 8, seed {seed}: {means}")
    assert means["learned"] > 1.05 * max(means["uniform"], means["gaussian"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"blend": 0.5}, "ALCN: blend must be two numbers, lowest and highest α; got 0.5"),
        ({"blend": (0.2, 1.9)}, r"ALCN: each end of blend must be in \[0, 1\]; got 1.9"),
        ({"blend": (0.9, 0.2)}, r"ALCN: blend must be ordered, lowest α first; got \(0.9, 0.2\)"),
        ({"noise_width": 0}, "ALCN: noise_width must be at least 1; got 0"),
        ({"noise_learning_rate": 0}, "ALCN: noise_learning_rate must be above 0; got 0"),
        ({"score_input": "raw"}, "ALCN: score_input must be one of 'noisy', 'clean'; got 'raw'"),
        ({"score_alpha": 2}, r"ALCN: score_alpha must be in \[0, 1\]; got 2. It is the share of the image"),
        ({"draws": 0}, "ALCN: draws must be at least 1; got 0"),
    ],
)
def test_bad_parameters(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        trained(**settings)


def test_on_real_mnist_it_passes_the_pca_floor(real_data):
    """Class 8, protocol 2: PCA with 32 components has 0.849. A few epochs on 2,000 images; 40 on all do better."""
    mnist = advad.load("MNIST", root=real_data)
    split = advad.one_class(mnist, normal=8, holdout=0.0, train_size=2000, test_size=3000, seed=0)
    detector = advad.ALCN(epochs=20, batch_size=64, device="cpu").fit(split.train, progress=False)
    value = auroc(split.test_is_anomaly, detector.anomaly_score(split.test))
    print(f"ALCN, AUROC on MNIST, class 8, 2,000 images, 20 epochs, one seed: {value:.3f}")
    assert value > 0.849
    assert detector.history_["noise_spread"][-1] > 0.01  # a noise that varies: it has not collapsed
