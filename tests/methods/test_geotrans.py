"""GeoTrans: the table of transformations, the loss and the three scores by hand, α against SciPy's likelihood."""

import numpy as np
import pytest
import torch
from scipy.special import digamma, gammaln
from torch import nn

import advad
from advad.engine.training import Networks
from advad.methods.geotrans import Transformations, dirichlet_alpha, inverse_digamma
from tests.cases import DCGAN, digits


def trained(**settings):
    return advad.GeoTrans(**(DCGAN | {"epochs": 2} | settings)).fit(digits().train, progress=False)


def shifted(image, dx, dy):
    """Return a 2-D image moved right and down by NumPy's padding with a mirror."""
    n = max(abs(dx), abs(dy))
    height, width = image.shape
    return np.pad(image, n, mode="symmetric")[n - dy : n - dy + height, n - dx : n - dx + width]


def test_every_transformation_against_numpy():
    x = np.random.default_rng(0).random((8, 8), dtype=np.float32)
    transformations = Transformations((8, 8), flip=True, shift=0.25, quarter_turns=(0, 1, 2, 3))
    assert len(transformations) == 72
    expected = [
        np.rot90(shifted(np.fliplr(x) if flip else x, dx, dy), turns)
        for flip in (False, True)
        for dx in (0, -2, 2)
        for dy in (0, -2, 2)
        for turns in range(4)
    ]
    found = transformations(torch.from_numpy(x).expand(72, 1, 8, 8), torch.arange(72))
    assert np.array_equal(found[:, 0], np.stack(expected))
    assert len({version.tobytes() for version in found.numpy()}) == 72


def test_channels_move_together_and_each_image_by_its_own():
    x = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    transformations, t = Transformations((8, 8), True, 0.25, (0, 1, 2, 3)), torch.tensor([0, 9, 30, 44, 71])
    together = transformations(x, t)
    assert torch.equal(together[0], x[0])
    for image, one, moved in zip(x, t, together, strict=True):
        for channel in range(3):
            assert torch.equal(transformations(image[None, channel : channel + 1], one[None])[0, 0], moved[channel])


def test_a_rectangle_keeps_its_shape_in_half_turns():
    transformations = Transformations((6, 10), False, 0, (0, 2))
    x = torch.arange(60.0).view(1, 1, 6, 10)
    assert torch.equal(transformations(x, torch.tensor([1])), x.flip(2, 3))


def test_inverse_digamma():
    x = torch.tensor([1e-4, 0.03, 0.7, 1.0, 5.0, 300.0], dtype=torch.float64)
    assert inverse_digamma(torch.from_numpy(digamma(x.numpy()))).numpy() == pytest.approx(x.numpy(), rel=1e-8)


def test_alpha_is_where_the_likelihood_is_highest():
    y = np.random.default_rng(0).dirichlet([0.3, 2.0, 7.0, 0.9], size=20000)
    mean_log = np.log(y).mean(0)
    alpha = dirichlet_alpha(torch.from_numpy(mean_log)).numpy()
    assert alpha == pytest.approx([0.3, 2.0, 7.0, 0.9], rel=0.05)
    assert digamma(alpha) - digamma(alpha.sum()) == pytest.approx(mean_log, abs=1e-6)  # Minka's fixed point

    def likelihood(a):
        return gammaln(a.sum()) - gammaln(a).sum() + ((a - 1) * mean_log).sum()

    for k in range(4):
        for factor in (0.98, 1.02):
            other = alpha.copy()
            other[k] *= factor
            assert likelihood(other) < likelihood(alpha)
    assert torch.isfinite(dirichlet_alpha(torch.full((3, 4), np.log(0.25)))).all()  # equal softmaxes: no maximum


class Fixed(nn.Module):
    """A head whose logits are a table's: pixel 0 of an image is the row."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, x):
        return self.logits[x.flatten(1)[:, 0].long()]


def test_loss_and_scores_by_hand():
    """Two pixels, mirrored or not: the version that begins with 0 has softmax (1/4, 3/4), the other (1/10, 9/10)."""
    y = np.array([[0.25, 0.75], [0.1, 0.9]])
    networks = Networks(
        transformations=Transformations((1, 2), True, 0, (0,)),
        encoder=nn.Identity(),
        head=Fixed(torch.tensor(y, dtype=torch.float32).log()),
    )
    x = torch.tensor([[[[0.0, 1.0]]], [[[1.0, 0.0]]]])
    detector = advad.GeoTrans()
    loss, terms = detector.loss(networks, x, torch.tensor([0, 1]))  # both show the version that begins with 0
    assert loss.item() == pytest.approx(-(np.log(0.25) + np.log(0.75)) / 2)
    assert terms["accuracy"].item() == pytest.approx(0.5)
    alpha = np.array([[2.0, 5.0], [0.5, 3.0]])
    detector.buffers_ = {"alpha": torch.from_numpy(alpha).float()}
    versions = np.stack([y, y[::-1]])  # of the two images, (image, transformation, class)
    expected = {
        "dirichlet": -((alpha - 1) * np.log(versions)).sum(2).mean(1),
        "simplified": -versions[:, [0, 1], [0, 1]].mean(1),
        "likelihood": -np.log(versions)[:, [0, 1], [0, 1]].mean(1),
    }
    for detector.score, score in expected.items():
        assert detector.score_images(networks, x).tolist() == pytest.approx(score.tolist(), rel=1e-5)


def test_alpha_is_that_of_the_training_images_and_of_the_last_weights():
    seen = []
    detector = advad.GeoTrans(**(DCGAN | {"epochs": 2, "quarter_turns": (0,), "learning_rate": 1e-2}))
    x = digits().train
    detector.fit(x, progress=False, on_epoch=lambda d: seen.append(d.buffers_["alpha"].clone()))
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(seen[1], detector.buffers_["alpha"])
    log_y = detector.log_softmaxes(detector.networks_, x.float() / 255).double()
    assert torch.allclose(dirichlet_alpha(log_y.mean(0)).float(), detector.buffers_["alpha"], rtol=1e-3)


def test_it_learns_the_transformations_that_can_be_told_apart(figure):
    """Shifts of a 0 it must tell; a 0 mirrored or turned by 180° is a 0, so that all 72 never can be told."""
    detector = trained(epochs=20, flip=False, quarter_turns=(0,))
    accuracy = detector.history_["accuracy"]
    figure(f"GeoTrans on digits 0, nine shifts: accuracy {accuracy[0]:.2f} after 1 epoch, {accuracy[-1]:.2f} after 20")
    assert accuracy[-1] > 0.6
    assert accuracy[-1] > 2 * accuracy[0]


def test_codes_are_those_of_the_image_as_it_is():
    detector, x = trained(quarter_turns=(0, 2)), digits().test[:5]
    codes = detector.networks_.encoder(x.float() / 255)
    assert np.allclose(detector.encode(x), codes, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"flip": 1}, "GeoTrans: flip must be one of True, False; got 1"),
        ({"shift": 0.5}, r"GeoTrans: shift must be in \[0, 0.5\); got 0.5. It is a share of the side"),
        ({"shift": 0.01}, r"GeoTrans: shift must be a pixel at least, for \(8, 8\) pixels; got 0.01. 0 leaves"),
        ({"quarter_turns": (0, 0)}, r"GeoTrans: quarter_turns must be a tuple of different numbers; got \(0, 0\)"),
        ({"quarter_turns": (0, 4)}, "GeoTrans: each of quarter_turns must be one of 0, 1, 2, 3; got 4"),
        ({"flip": False, "shift": 0, "quarter_turns": (0,)}, "GeoTrans: quarter_turns must hold two where nothing is"),
        ({"score": "nll"}, "GeoTrans: score must be one of 'dirichlet', 'simplified', 'likelihood'; got 'nll'"),
        ({"conv_width": 0}, "GeoTrans: conv_width must be at least 1; got 0"),
    ],
)
def test_bad_parameters(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        trained(**settings)


def test_a_rectangle_cannot_make_quarter_turns():
    x = torch.rand(8, 1, 8, 12)
    with pytest.raises(ValueError, match=r"GeoTrans: quarter_turns must be \(0, 2\) or fewer for \(8, 12\) pixels"):
        advad.GeoTrans(epochs=1, device="cpu").fit(x, progress=False)
    advad.GeoTrans(epochs=1, device="cpu", quarter_turns=(0, 2), conv_width=4).fit(x, progress=False).anomaly_score(x)
