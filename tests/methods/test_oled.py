"""OLED: masks, losses and score by hand, its limit, and what learned masks are worth against random ones."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import advad
from advad.engine.training import Networks
from tests.cases import CONV, SMALL, digits
from tests.methods.test_autoencoder import linear_networks


def trained(**settings):
    given = SMALL | {"batch_size": 32, "epochs": 3} | settings
    return advad.OLED(**given).fit(digits(normal=8).train, progress=False)


def networks_by_hand():
    """Return the linear R (a, b) -> ((a + b) / 2, 0), and an M whose map is the image itself."""
    reconstructor = linear_networks()
    return Networks(encoder=reconstructor.encoder, decoder=reconstructor.decoder, mask=nn.Identity())


def test_equations_by_hand():
    """Of two pixels the brighter is covered: (0.2, 0.6) is shown as (0.2, 0.5), and comes back as (0.35, 0)."""
    x, oled, networks = torch.tensor([[[[0.2, 0.6]]]]), advad.OLED(mask_share=0.5), networks_by_hand()
    c = oled.covering(x)
    assert c.flatten().tolist() == [0, 1]
    assert oled.cover(x, c).flatten().tolist() == pytest.approx([0.2, 0.5])
    L_mask, L_context, L_rec = (0.15**2 + 0.6**2) / 2, 0.6 / 2, (0.2**2 + 0.6**2) / 2  # clean: (0.4, 0)
    assert [value.item() for value in oled.restoring(networks, x, c)] == pytest.approx([L_mask, L_context])
    loss, terms = oled.mask_loss(networks, torch.cat([x, x.flip(3)]))  # the second is covered at its first pixel
    mirrored = (0.25**2 + 0.2**2) / 2, 0.25 / 2  # (0.5, 0.2) comes back as (0.35, 0)
    both = [np.mean([L_mask, mirrored[0]]), np.mean([L_context, mirrored[1]])]
    assert loss.item() == pytest.approx(-(both[0] + 6.25 * both[1]))
    assert terms["mask_spread"].item() == pytest.approx(0.5)
    loss, terms = oled.reconstruct_loss(networks, x)
    assert loss.item() == pytest.approx((L_rec + L_mask + 6.25 * L_context) / 2)
    assert {name: value.item() for name, value in terms.items()} == pytest.approx(
        {"clean_error": L_rec, "masked_error": L_mask, "covered_error": L_context}
    )
    for score, value in (("masked", L_mask), ("clean", L_rec), ("covered", L_context)):
        assert oled.set_params(score=score).score_images(networks, x).item() == pytest.approx(value)


@pytest.mark.parametrize(("share", "pixels"), [(0.0, 0), (0.125, 8), (0.3, 19), (0.99, 63)])
def test_a_mask_covers_the_share_that_is_asked_for_where_the_map_is_highest(share, pixels):
    a = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    c = advad.OLED(mask_share=share).covering(a)
    assert set(c.unique().tolist()) <= {0, 1}
    assert c.sum((1, 2, 3)).tolist() == [pixels] * 5
    for one, order in zip(c.flatten(1), a.flatten(1).argsort(1, descending=True), strict=True):
        assert one[order[:pixels]].all()
    constant = advad.OLED(mask_share=share).covering(torch.zeros(1, 1, 8, 8))  # all alike: still so many
    assert constant.sum() == pixels


def test_the_gradient_passes_straight_to_the_standardised_map():
    """Against autograd on the standardised map itself; stretching the map changes nothing."""
    rng = torch.Generator().manual_seed(0)
    a, g = torch.randn(3, 1, 4, 4, generator=rng).requires_grad_(), torch.randn(3, 1, 4, 4, generator=rng)
    (gradient,) = torch.autograd.grad((advad.OLED(mask_share=0.25).covering(a) * g).sum(), a)
    flat = a.flatten(1)
    standard = ((flat - flat.mean(1, keepdim=True)) / flat.std(1, keepdim=True)).view_as(a)
    (expected,) = torch.autograd.grad((standard * g).sum(), a)
    assert torch.allclose(gradient, expected, atol=1e-5)
    (stretched,) = torch.autograd.grad((advad.OLED(mask_share=0.25).covering(10 * a) * g).sum(), a)
    assert torch.allclose(stretched, gradient, atol=1e-5)
    assert gradient.abs().sum() > 0.1


def test_a_step_is_ascent_then_descent_and_the_mask_pauses():
    class Recorder:
        calls: list = []  # noqa: RUF012
        epoch = 0

        def __call__(self, player, loss, *tensors):
            self.calls.append((self.epoch, player, loss.__name__))

    recorder = Recorder()
    for recorder.epoch in range(4):
        advad.OLED(mask_every=3).step(recorder, torch.rand(5, 1, 8, 8))
    mask, reconstructor = ("mask", "mask_loss"), ("reconstructor", "reconstruct_loss")
    expected = [(0, *mask), (0, *reconstructor), (1, *reconstructor), (2, *reconstructor)]
    assert recorder.calls == [*expected, (3, *mask), (3, *reconstructor)]
    assert trained(mask_every=2).history_["mask_spread"][1] is None


@pytest.mark.parametrize("score", ["masked", "clean"])
@pytest.mark.parametrize("settings", [SMALL, CONV], ids=["dense", "conv"])
def test_without_a_mask_it_is_the_autoencoder_bit_for_bit(settings, score):
    plain = advad.AE(**settings, epochs=3).fit(digits().train, progress=False)
    limit = advad.OLED(**settings, epochs=3, mask_share=0, score=score).fit(digits().train, progress=False)
    x = digits().test[:50]
    assert np.array_equal(limit.anomaly_score(x), plain.anomaly_score(x))
    assert np.array_equal(limit.encode(x), plain.encode(x))


def test_masks_and_masked_images():
    detector, x = trained(mask_share=0.25, fill=0.4), digits(normal=8).test[:6]
    masks, masked = detector.masks(x), detector.masked(x)
    assert masks.shape == (6, 1, 8, 8)
    assert masks.dtype == masked.dtype == np.float32
    assert (masks.sum((1, 2, 3)) == 16).all()
    assert np.allclose(masked, np.where(masks == 1, np.float32(0.4), x.numpy() / np.float32(255)))
    assert np.array_equal(detector.masks(x[3:]), masks[3:])
    by_hand = ((x.numpy() / 255 - detector.reconstruct(masked)) ** 2).mean((1, 2, 3))
    assert np.allclose(detector.anomaly_score(x), by_hand, rtol=1e-4)
    colour = advad.OLED(**CONV, epochs=1).fit(x.expand(-1, 3, -1, -1), progress=False)
    assert colour.masks(x.expand(-1, 3, -1, -1)).shape == (6, 1, 8, 8)
    with pytest.raises(ValueError, match="OLED: this detector is not fitted"):
        advad.OLED().masks(x)


def random_masks(n, share, smooth, generator):
    """Return masks of the share, (n, 1, 8, 8): pixels on their own, or connected areas of about 3 pixels across."""
    noise = torch.randn(n, 1, 8, 8, generator=generator)
    if smooth:
        noise = F.avg_pool2d(F.avg_pool2d(noise, 3, 1, 1), 3, 1, 1)
    return advad.OLED(mask_share=share).covering(noise)


@pytest.mark.parametrize("seed", [0, 1])
def test_learned_masks_cost_its_reconstructor_more_than_random_ones_of_the_same_share(seed):
    """What M is there for, on normal test images: what it maximises is above that of random pixels and areas."""
    detector = trained(epochs=45, seed=seed)
    x = digits(normal=8).test[~digits(normal=8).test_is_anomaly].float() / 255
    rng, found = torch.Generator().manual_seed(7), {}
    masks = {"pixels": [random_masks(len(x), 0.125, False, rng) for _ in range(8)]}
    masks |= {"areas": [random_masks(len(x), 0.125, True, rng) for _ in range(8)]}
    masks |= {"learned": [torch.from_numpy(detector.masks(x))]}
    for name, some in masks.items():
        each = [torch.stack(detector.restoring(detector.networks_, x, c)).mean(1) for c in some]
        L_mask, L_context = torch.stack(each).mean(0).tolist()
        found[name] = L_mask + 6.25 * L_context
        print(f"digit 8, seed {seed}, {name}: L_mask {L_mask:.4f}, L_context {L_context:.4f}, both {found[name]:.3f}")
    assert found["learned"] > 1.2 * max(found["pixels"], found["areas"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mask_share": 1.0}, r"OLED: mask_share must be in \[0, 1\); got 1.0. It is the share that is covered"),
        ({"fill": -0.1}, r"OLED: fill must be in \[0, 1\]; got -0.1"),
        ({"context_weight": -1}, "OLED: context_weight must be at least 0; got -1"),
        ({"mask_every": 0}, "OLED: mask_every must be at least 1; got 0"),
        ({"mask_width": 1.5}, "OLED: mask_width must be a whole number; got 1.5"),
        ({"score": "mean"}, "OLED: score must be one of 'masked', 'clean', 'covered'; got 'mean'"),
    ],
)
def test_bad_parameters(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        trained(**settings)
