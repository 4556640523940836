"""`precision="auto"`: what it is on which device, that it is told and stored, and resumed on another processor."""

import re
import warnings

import numpy as np
import pytest
import torch

import advad
from advad.cli import doctor
from advad.engine import training
from advad.engine.training import choose_precision, has_bfloat16
from advad.environment import shipped
from advad.experiments.spec import read_plan
from advad.experiments.sweep import sweep
from advad.methods import METHODS
from tests.cases import digits, noise

SMALL = {"widths": (16,), "latent_dim": 4, "device": "cpu"}
OF_HARDWARE = {True: "bfloat16", False: "float32"}
X = digits().train[:64]


@pytest.fixture
def hardware(monkeypatch):
    """Return a function that says whether this machine has bfloat16 from now on."""
    return lambda present: monkeypatch.setattr(training, "has_bfloat16", lambda device: present)


def fit(epochs=2, **settings):
    run_dir = settings.pop("run_dir", None)
    return advad.AE(epochs=epochs, **SMALL | settings).fit(X, progress=False, run_dir=run_dir)


def test_hardware_by_device(monkeypatch):
    cuda = torch.device("cuda")
    for capability, present in {(7, 5): False, (8, 0): True, (9, 0): True}.items():
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, c=capability: c)
        assert has_bfloat16(cuda) is present
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    for answers in ((False, False), (True, False), (False, True)):
        for name, answer in zip(names, answers, strict=True):
            monkeypatch.setattr(torch.cpu, name, lambda answer=answer: answer)
        assert has_bfloat16(torch.device("cpu")) is any(answers)
        assert not has_bfloat16(torch.device("mps"))
    for name in names:
        monkeypatch.delattr(torch.cpu, name)
    assert not has_bfloat16(torch.device("cpu"))


@pytest.mark.parametrize("present", OF_HARDWARE)
def test_auto_is_what_the_hardware_has(hardware, monkeypatch, present):
    hardware(present)
    cpu = torch.device("cpu")
    assert choose_precision("auto", cpu) == OF_HARDWARE[present]
    assert [choose_precision(name, cpu) for name in OF_HARDWARE.values()] == [*OF_HARDWARE.values()]
    auto = fit(precision="auto")
    assert (auto.precision, auto.precision_) == ("auto", OF_HARDWARE[present])
    scores = auto.anomaly_score(X)
    assert scores.dtype == np.float32
    by_name = {name: fit(precision=name).anomaly_score(X) for name in OF_HARDWARE.values()}
    assert np.array_equal(scores, by_name[OF_HARDWARE[present]])
    assert not np.array_equal(scores, by_name[OF_HARDWARE[not present]])
    assert doctor.device(None).endswith(f"; precision auto is {OF_HARDWARE[present]}")
    monkeypatch.setattr(advad.AE, "auto_bfloat16", False)
    assert fit(precision="auto").precision_ == "float32"
    assert fit(precision="bfloat16").precision_ == "bfloat16"


def test_of_tiny_images_auto_is_float32(hardware):
    """In bfloat16 the gradient of a layer that gets one pixel is partly undefined: weights were not finite."""
    hardware(True)
    for side, expected in ((3, "float32"), (4, "bfloat16")):
        detector = advad.OLED(epochs=1, batch_size=8, device="cpu").fit(noise(16, (1, side, 9)), progress=False)
        assert detector.precision_ == expected


def test_a_saved_detector_tells_what_it_was_trained_in(hardware, tmp_path):
    hardware(True)
    path = fit(precision="auto").save(tmp_path / "d")
    hardware(False)
    loaded = advad.load_detector(path)
    assert (loaded.precision, loaded.precision_) == ("auto", "bfloat16")


@pytest.mark.parametrize("present", OF_HARDWARE)
def test_on_another_processor_a_run_goes_on_in_its_precision_and_says_so(hardware, tmp_path, present):
    hardware(present)
    undisturbed = fit(epochs=4, precision="auto")
    fit(epochs=2, precision="auto", run_dir=tmp_path / "here")
    fit(epochs=2, precision="auto", run_dir=tmp_path / "there")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resumed = fit(epochs=4, precision="auto", run_dir=tmp_path / "here")
    assert np.array_equal(resumed.anomaly_score(X), undisturbed.anomaly_score(X))
    hardware(not present)
    began, here = OF_HARDWARE[present], OF_HARDWARE[not present]
    said = rf"^AE: the run in .*there goes on in {began}, as it began; precision='auto' is {here} on this processor\."
    with pytest.warns(UserWarning, match=said) as caught:
        resumed = fit(epochs=4, precision="auto", run_dir=tmp_path / "there")
    assert "\n" not in str(caught[0].message)
    assert resumed.precision_ == began
    assert np.array_equal(resumed.anomaly_score(X), undisturbed.anomaly_score(X))  # the processor is the same here
    with pytest.raises(ValueError, match=re.escape(f"another run: precision='{began}' (now '{here}')")):
        fit(epochs=5, precision=here, run_dir=tmp_path / "there")


def test_a_run_that_named_its_precision_goes_on_under_auto(hardware, tmp_path):
    hardware(False)
    fit(epochs=2, precision="float32", run_dir=tmp_path)
    resumed = fit(epochs=4, precision="auto", run_dir=tmp_path)
    assert np.array_equal(resumed.anomaly_score(X), fit(epochs=4, precision="float32").anomaly_score(X))


def test_results_of_a_sweep_record_both(hardware, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    method = {"method": "AE", "epochs": 1, "widths": [16], "latent_dim": 4}
    spec = {"device": "cpu", "data": {"dataset": "digits", "normal": 0}, "methods": [method | {"precision": "auto"}]}
    names = set()
    for present, precision in OF_HARDWARE.items():
        hardware(present)
        (outcome,) = sweep(spec, folder=precision, progress=False)
        assert outcome.results["parameters"]["precision"] == "auto"
        assert outcome.results["precision"] == precision
        names.add(outcome.run.name)
    assert len(names) == 1  # what a run is does not depend on the machine
    (silent,) = read_plan(spec | {"methods": [method]}).runs
    assert silent.name not in names
    assert silent.settings["precision"] == "float32"
    assert advad.AE().precision == "auto"


def test_every_method_says_what_was_measured_of_it():
    """`python -m tests.benchmarks.precision` printed the table; its last column is what a class says."""
    text = shipped("data/findings").joinpath("precision.md").read_text(encoding="utf-8")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    measured = {row[0].rstrip(" ¹²³"): row[-1] for row in cells if row[-1] in OF_HARDWARE.values()}
    trained = {name for name in METHODS if issubclass(getattr(advad, name), advad.Detector)}
    assert measured.keys() == trained
    assert measured == {name: OF_HARDWARE[getattr(advad, name).auto_bfloat16] for name in trained}
