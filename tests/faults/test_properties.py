"""Any input: `fit` and `anomaly_score` give finite scores, or one line that names the argument.

Hypothesis draws shapes, dtypes, strides, byte orders, values, containers and labels: some 400 inputs in each run of
the tests, and with `-m slow` 2,000 more.
"""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import advad

DETECTORS = {
    "AE": lambda: advad.AE(epochs=1, latent_dim=2, widths=(4,), batch_size=16, device="cpu"),
    "DeepSAD": lambda: advad.DeepSAD(epochs=1, pretrain_epochs=1, latent_dim=2, batch_size=16, device="cpu"),
    "PCA": lambda: advad.PCA(n_components=1),
}
DTYPES = ["u1", "f2", "f4", ">f4", "f8", ">f8", "g"], ["i1", "i4", "u2", ">i2", "?", "c8", "O", "U3", "M8[s]"]
TENSORS = {
    "tensor": lambda tensor: tensor,
    "that records gradients": lambda tensor: tensor.requires_grad_() if tensor.is_floating_point() else tensor,
    "that steps otherwise": lambda tensor: tensor.mT.contiguous().mT if tensor.ndim > 1 else tensor,
    "sparse": lambda tensor: tensor.to_sparse() if tensor.ndim else tensor,
    "of half the bits": lambda tensor: tensor.bfloat16(),
}
CONTAINERS = [*["array"] * 4, "list", "nested", "masked", *TENSORS]


def mostly(usual, odd):
    """Return a strategy that draws what is usual three times of four, so that one thing alone is odd, too."""
    return st.integers(0, 3).flatmap(lambda k: st.sampled_from(usual if k else odd))


@st.composite
def arrays(draw):
    """Draw an array of images, or something like one."""
    n = draw(mostly([2, 3, 8, 9], [0, 1]))
    h, w = draw(mostly([8], [0, 1, 2, 9])), draw(mostly([8], [1, 3, 4, 9]))
    odd = [(n, 3, h, w), (n, h, w, 3), (n, 2, h, w), (h, w), (n,), ()]
    shape = draw(mostly([(n, h, w), (n, 1, h, w)], odd))
    random = np.random.default_rng(draw(st.integers(0, 9)))
    low, high = draw(mostly([(0, 1)], [(0, 255), (-1, 1), (0, 1 + 1e-6), (0, 1.5), (5, 5), (-1e30, 1e30)]))
    values = random.uniform(low, high, shape)
    special = draw(mostly([None], [np.nan, np.inf, -np.inf, -0.0, 1e-45]))
    if values.size and special is not None:
        values.flat[draw(st.integers(0, values.size - 1))] = special
    with np.errstate(all="ignore"):
        array = np.asarray(values).astype(draw(mostly(*DTYPES)))
    steps = draw(st.sampled_from(["plain", "backwards", "every second", "Fortran", "broadcast", "read only"]))
    if steps == "backwards":
        array = array[::-1] if array.ndim else array
    elif steps == "every second":
        array = np.repeat(array, 2, axis=-1)[..., ::2] if array.ndim else array
    elif steps == "Fortran":
        array = np.asfortranarray(array)
    elif steps == "broadcast":
        array = np.broadcast_to(array[:1], array.shape) if array.ndim and array.size else array  # steps of 0
    elif steps == "read only":
        array.setflags(write=False)
    return array


@st.composite
def images(draw):
    """Draw an array in one of the containers that users have."""
    array, container = draw(arrays()), draw(st.sampled_from(CONTAINERS))
    if container in TENSORS and array.dtype.kind in "uif" and array.dtype.newbyteorder("=").char in "Bbihefd":
        return TENSORS[container](torch.from_numpy(np.array(array.astype(array.dtype.newbyteorder("=")))))
    if container == "masked" and array.dtype.kind in "uif":
        return np.ma.masked_array(
            array, mask=np.arange(array.size).reshape(array.shape) % 5 == draw(st.sampled_from([0, 9]))
        )
    if container == "list" and array.ndim:
        return list(array)
    return array.tolist() if container == "nested" else array


def labels_of(X):
    """Return a strategy of labels for these images."""
    n = len(X) if hasattr(X, "__len__") and np.ndim(X) else 1
    some = st.lists(st.sampled_from([0, 1]), min_size=n, max_size=n)
    forms = [
        st.none(),
        some,
        some.map(np.array),
        some.map(lambda y: np.array(y, bool)),
        some.map(lambda y: np.array(y, ">f8")),
        some.map(lambda y: torch.tensor(y)),
        some.map(lambda y: np.where(np.array(y) == 1, -1, 1)),
        some.map(lambda y: np.array(y)[:, None]),
        some.map(lambda y: np.array(y) + 5),
        some.map(lambda y: [str(value) for value in y]),
        some.map(lambda y: y[:-1]),
        st.sampled_from([3, "labels", [None], float("nan"), {}]),
    ]
    return st.one_of(*forms)


def fits_or_refuses(name, X, y):
    """Check what a detector makes of images and labels."""
    detector = DETECTORS[name]()
    refused_or_finite(
        lambda: detector.fit(X, y, progress=False).anomaly_score(X), X, name, "X", "y", "n_components", "conv_widths"
    )


def refused_or_finite(call, X, name, *arguments):
    """Check that a call gives finite scores, or refuses in one line that names one of the arguments."""
    try:
        scores = call()
    except (ValueError, TypeError) as error:
        text = str(error)
    else:
        assert (scores.shape, scores.dtype) == ((len(X),), np.float32)
        assert np.isfinite(scores).all()
        return
    assert "\n" not in text, text
    assert text.startswith(tuple(f"{name}: {argument} " for argument in arguments)), text


quiet = settings(deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)


@pytest.mark.parametrize("name", DETECTORS)
@settings(quiet, max_examples=30)
@given(data=st.data())
def test_any_images_and_labels(name, data):
    X = data.draw(images())
    fits_or_refuses(name, X, data.draw(labels_of(X)))


@pytest.mark.slow
@pytest.mark.parametrize("name", DETECTORS)
@settings(quiet, max_examples=700)
@given(data=st.data())
def test_many_images_and_labels(name, data):
    X = data.draw(images())
    fits_or_refuses(name, X, data.draw(labels_of(X)))


@settings(quiet, max_examples=300)
@given(X=images())
def test_any_images_to_be_scored(fitted, X):
    refused_or_finite(lambda: fitted.anomaly_score(X), X, "AE", "X")


@pytest.fixture(scope="module")
def fitted():
    return DETECTORS["AE"]().fit(np.random.default_rng(0).random((8, 1, 8, 8)), progress=False)
