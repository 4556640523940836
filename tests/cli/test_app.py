"""`advad app`: what it refuses in one line, and whom its server lets in."""

import re
import socket
import urllib.error
import urllib.request

import numpy as np
import pytest
from click.testing import CliRunner

import advad
from advad.cli import app
from advad.cli.main import main

# addresses that only name something, in the page of Voila: namespaces of SVG
NAMES = ("http://www.w3.org/", "http://creativecommons.org/ns#", "http://purl.org/dc/")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return the files of two small detectors: of 8×8 and of 5×7 images."""
    folder = tmp_path_factory.mktemp("saved")
    images = np.random.default_rng(0).random((6, 1, 5, 7), dtype=np.float32)
    of = {"epochs": 0, "latent_dim": 2, "network": "dense", "widths": (8,), "device": "cpu"}
    digits = advad.load("digits").images
    eight = advad.AE(**of).fit(digits[:8], progress=False).save(folder / "eight")
    odd = advad.AE(**of).fit(images, progress=False).save(folder / "odd")
    return eight, odd


@pytest.fixture
def free():
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind((app.HOST, 0))
        return probe.getsockname()[1]


def refused(*arguments):
    result = CliRunner().invoke(main, ["app", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code != 0
    assert result.stderr.startswith("advad: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.mark.parametrize("name", app.EXPLORERS)
def test_each_explorer_shows_the_test_images_with_their_classes(saved, name):
    made = app.explorer(saved[0], name, n=5)
    assert type(made).__name__ == app.EXPLORERS[name]
    digits = advad.load("digits")
    assert np.allclose(made.set.images, digits.images[digits.is_test][:5] / 255)
    assert made.set.groups["class"].tolist() == [str(k) for k in digits.labels[digits.is_test][:5].tolist()]


def test_a_missing_file_a_wrong_shape_and_an_unknown_set_are_refused_in_one_line(saved, free, tmp_path):
    assert "nothing.safetensors" in refused(tmp_path / "nothing", "--port", free)
    assert "wants images of shape 1×5×7; name a set of such images with --data." in refused(saved[1], "--port", free)
    wrong = refused(saved[1], "--data", "digits", "--port", free)
    assert "wants images of shape 1×5×7; digits has 1×8×8. Name another set with --data." in wrong
    assert "Did you mean 'digits'?" in refused(saved[0], "--data", "digit", "--port", free)


def test_a_port_in_use_is_refused_in_one_line(saved):
    with socket.socket() as taken:
        taken.bind((app.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port {port} cannot be used" in refused(saved[0], "--port", port)


def test_without_voila_it_says_how_to_get_it(saved, monkeypatch):
    monkeypatch.setattr(app.importlib.util, "find_spec", lambda name: None)
    assert "Run: pip install 'advad[app]'" in refused(saved[0])


class Stay(urllib.request.HTTPRedirectHandler):
    """Follow no redirect."""

    def redirect_request(self, *_):
        return None


def status(url):
    """Return the status of a request without cookies, and where it would send one."""
    try:
        answer = urllib.request.build_opener(Stay, urllib.request.ProxyHandler({})).open(url, timeout=60)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        return answer.status, answer.headers.get("Location", ""), answer.read().decode()


@pytest.mark.xdist_group("browser")
def test_the_server_asks_for_the_token(saved, free):
    with app.served(saved[0], "brush", n=5, port=free) as (process, url):
        base, _, token = url.partition("?token=")
        for wrong in (base, f"{base}?token=", f"{base}?token={token[:-1]}"):
            code, to, text = status(wrong)
            assert (code, to.partition("?")[0]) == (302, "/login")
            assert "advad-explorer" not in text
        kernel = f"{base}api/kernels/00000000-0000-0000-0000-000000000000"
        assert status(kernel)[0] == 403
        code, _, text = status(url)
        assert code == 200
        assert "eight" in text
        assert "advad-explorer" in text
        assert [found for found in re.findall(r"https?://[^\s\"']+", text) if not found.startswith(NAMES)] == []
        assert token not in " ".join(map(str, process.args))
    assert process.poll() is not None
