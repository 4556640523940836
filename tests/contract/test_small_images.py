"""Tiny images: every deep method trains and scores them, or refuses them in one line that names the argument."""

import numpy as np
import pytest

from tests.cases import CASES, make, noise


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", [(2, 2), (4, 4), (5, 7)])
def test_tiny_images(case, size):
    detector, x = make(case, epochs=1, batch_size=8), noise(16, (1, *size))
    try:
        scores = detector.fit(x, progress=False).anomaly_score(x)
    except ValueError as error:
        owner, message = type(detector).__name__, str(error)
        assert "\n" not in message
        names = ["X", "image", *detector.get_params()]
        assert any(message.startswith(f"{owner}: {name} must") for name in names), message
    else:
        assert np.isfinite(scores).all()
        assert scores.shape == (16,)


@pytest.mark.parametrize("case", ["AGAD", "AGAD-unet", "GANomaly", "SkipGANomaly", "EGBAD"])
def test_networks_that_halve_the_image_need_8_pixels_a_side(case):
    detector = make(case, epochs=1, batch_size=8)
    rule = f"^{type(detector).__name__}: X must hold images of at least 8×8 pixels for these networks; got 7×9. Enlarge"
    with pytest.raises(ValueError, match=rule):
        detector.fit(noise(16, (1, 7, 9)), progress=False)
    detector.fit(noise(16, (1, 8, 9)), progress=False)
