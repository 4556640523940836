"""Networks that grow: the schedule, the fade-in by hand, every size, and a depth that is stored with the weights."""

import numpy as np
import pytest
import torch

from advad.networks.growing import (
    GrowingCritic,
    GrowingEncoder,
    GrowingGenerator,
    PixelNorm,
    ScaledConv,
    ScaledLinear,
    depth_at,
    faded,
    levels_of,
    maps,
    resized,
)


def test_the_schedule_holds_and_fades_in_equal_parts():
    assert [depth_at(k / 8, 2) for k in range(9)] == [0, 0, 0, 0.5, 1, 1, 1, 1.5, 2]  # hold, fade, hold, fade
    assert depth_at(7.0, 2) == 2


@pytest.mark.parametrize(("size", "level"), [((4, 4), 1), ((8, 8), 1), ((9, 5), 2), ((28, 28), 3), ((64, 64), 4)])
def test_the_level_is_the_next_power_of_two(size, level):
    assert levels_of(*size) == level


def test_feature_maps_are_halved_beyond_32_pixels():
    assert [maps(k, 512) for k in range(7)] == [512, 512, 512, 512, 256, 128, 64]  # released code: nf(1) to nf(7)


def test_real_images_fade_like_the_networks():
    x = torch.rand(2, 1, 8, 8)
    blocks = x.view(2, 1, 4, 2, 4, 2).mean((3, 5))
    assert torch.allclose(faded(x, 0.0), blocks)
    assert torch.equal(faded(x, 1.0), x)
    coarse = blocks.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.allclose(faded(x, 0.25), 0.75 * coarse + 0.25 * x, atol=1e-6)


def test_resizing_leaves_the_right_size_alone():
    x = torch.rand(1, 3, 8, 8)
    assert resized(x, (8, 8)) is x
    assert resized(torch.full((1, 1, 28, 28), 0.3), (32, 32)).numpy() == pytest.approx(0.3)


@pytest.mark.parametrize("alpha", [0.25, 0.5, 1.0])
def test_the_generator_fades_in_by_alpha(alpha):
    """Hand-made from the two levels' own outputs: (1 − α)·(level 0, doubled) + α·(level 1)."""
    torch.manual_seed(0)
    generator, z = GrowingGenerator(3, 2, latent_dim=5, width=4), torch.randn(2, 5)
    with torch.no_grad():
        coarse = generator(z)  # depth 0
        generator.depth = 1.0
        fine = generator(z)
        generator.depth = alpha
        blend = generator(z)
    assert coarse.shape == (2, 3, 4, 4)
    doubled = coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.allclose(blend, (1 - alpha) * doubled + alpha * fine, atol=1e-5)


def test_a_new_level_does_not_jump():
    """Where α has just left 0, generator and critic do what they did a level below."""
    torch.manual_seed(0)
    generator, critic = GrowingGenerator(1, 1, 5, 4), GrowingCritic(1, 1, 4)
    z, x = torch.randn(3, 5), torch.rand(3, 1, 8, 8)
    with torch.no_grad():
        before = generator(z).repeat_interleave(2, 2).repeat_interleave(2, 3), critic(faded(x, 0.0))
        generator.depth = critic.depth = 1e-6
        assert torch.allclose(generator(z), before[0], atol=1e-4)
        assert torch.allclose(critic(x), before[1], atol=1e-4)
        critic.depth = 1.0
        assert not torch.allclose(critic(x), before[1], atol=1e-2)


def test_the_critic_blends_features():
    torch.manual_seed(0)
    critic, x = GrowingEncoder(1, 1, 6, 4), torch.rand(3, 1, 8, 8)
    critic.depth = 0.5
    with torch.no_grad():
        coarse = critic.from_image[0](torch.nn.functional.avg_pool2d(x, 2))
        fine = critic.blocks[0](critic.from_image[1](x))
        assert torch.allclose(critic(x), critic.head((coarse + fine) / 2), atol=1e-6)


def test_only_the_critic_compares_the_images_of_a_batch():
    torch.manual_seed(0)
    critic, encoder, x = GrowingCritic(1, 1, 4), GrowingEncoder(1, 1, 6, 4), torch.rand(4, 1, 4, 4)
    with torch.no_grad():
        assert torch.allclose(encoder(x)[:1], encoder(x[:1]), atol=1e-6)
        assert not torch.allclose(critic(x)[:1], critic(x[:1]), atol=1e-4)
        features = critic.from_image[0](x)  # by hand: the mean of each feature's deviation over the batch
        spread = torch.full((4, 1, 4, 4), float(features.std(0, correction=0).mean()))
        assert torch.allclose(critic(x), critic.head(torch.cat([features, spread], 1)), atol=1e-4)


def test_scaled_layers_and_pixel_norm_by_hand():
    conv, linear = ScaledConv(2, 3), ScaledLinear(8, 3, gain=1)
    x, v = torch.randn(1, 2, 5, 5), torch.randn(4, 8)
    expected = torch.nn.functional.conv2d(x, conv.weight * np.sqrt(2 / 18), padding=1)
    assert torch.allclose(conv(x), expected, atol=1e-5)
    assert torch.allclose(linear(v), v @ linear.weight.T / np.sqrt(8), atol=1e-5)
    assert torch.allclose(PixelNorm()(torch.tensor([[3.0, 4.0]])), torch.tensor([[3.0, 4.0]]) / np.sqrt(12.5))


def test_the_generator_ignores_the_length_of_a_code():
    generator, z = GrowingGenerator(1, 1, 5, 4), torch.randn(2, 5)
    assert torch.allclose(generator(z), generator(100 * z), atol=1e-4)


def test_the_depth_is_stored_with_the_weights():
    one, other = GrowingEncoder(1, 2, 3, 4), GrowingEncoder(1, 2, 3, 4)
    one.depth = 1.375
    other.load_state_dict(one.state_dict())
    assert other.depth == 1.375
