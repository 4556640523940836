"""What every method owes its users, checked over all of them (tests/cases.py)."""

import os

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import advad
from advad.engine import training
from advad.files import read_state
from advad.methods import METHODS
from tests.cases import CASES, NO_DECODER, digits, make, noise

QUICK = {"epochs": 2, "batch_size": 32}
pytestmark = pytest.mark.parametrize("case", CASES)


def images(n=64):
    return digits().train[:n]


def fitted(case, **changes):
    return make(case, **(QUICK | changes)).fit(images(), progress=False)


def test_fit_returns_self_and_clone_is_unfitted(case):
    detector = make(case, **QUICK)
    assert detector.fit(images(), progress=False) is detector
    copy = clone(detector)
    assert copy.get_params() == detector.get_params()
    with pytest.raises(NotFittedError, match=rf"{type(detector).__name__}: this detector is not fitted. Call fit"):
        copy.anomaly_score(images())


def test_scores_are_finite_not_constant_and_one_an_image(case):
    detector = fitted(case)
    scores = detector.anomaly_score(digits().test[:50])
    assert scores.shape == (50,)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
    assert scores.std() > 0
    assert np.array_equal(detector.score_samples(digits().test[:50]), -scores)


def alike(found, scores):
    """Return whether scores are the same but for rounding, which may be that of larger terms they are made of."""
    return np.allclose(found, scores, rtol=1e-5, atol=1e-4 * scores.std())


def test_scores_do_not_depend_on_batch_mates(case, monkeypatch):
    detector, x = fitted(case), digits().test[:40]
    scores = detector.anomaly_score(x)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    assert alike(detector.anomaly_score(x[order]), scores[order])
    assert alike([detector.anomaly_score(one[None])[0] for one in x], scores)
    monkeypatch.setattr("advad.engine.detector.SCORING_PIXELS", 7 * 64)
    assert alike(detector.anomaly_score(x), scores)


def test_the_seed_decides(case):
    first, again, other = fitted(case), fitted(case), fitted(case, seed=1)
    x = digits().test[:20]
    assert np.array_equal(first.anomaly_score(x), again.anomaly_score(x))
    assert not np.array_equal(first.anomaly_score(x), other.anomaly_score(x))


def test_k_then_m_epochs_equal_k_plus_m(case, tmp_path):
    check_k_then_m(case, tmp_path, images())


def check_k_then_m(case, tmp_path, x, y=None):
    straight = make(case, **QUICK | {"epochs": 5}).fit(x, y, progress=False)
    fitted_twice = make(case, **QUICK).fit(x, y, run_dir=tmp_path, progress=False)
    fitted_twice.set_params(epochs=5).fit(x, y, run_dir=tmp_path, progress=False)
    assert_equal_weights(straight, fitted_twice)
    assert len(fitted_twice.history_["epoch"]) == len(straight.history_["epoch"])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")
def test_a_killed_process_resumes_bit_for_bit(case, tmp_path, monkeypatch):
    check_kill_and_resume(case, tmp_path, monkeypatch, images())


def check_kill_and_resume(case, tmp_path, monkeypatch, x, y=None):
    """The child dies without warning in the middle of the fourth epoch, after the checkpoint of the second."""
    settings = {"epochs": 4, "batch_size": 32}
    child = os.fork()
    if child == 0:
        updates, plain = [], training.Update.__call__

        def dying(self, player, loss, *tensors):
            if updates.count(3):
                os._exit(9)
            updates.append(self.epoch)
            plain(self, player, loss, *tensors)

        monkeypatch.setattr(training.Update, "__call__", dying)
        make(case, **settings).fit(x, y, run_dir=tmp_path, progress=False, checkpoint_every=2)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert read_state(tmp_path / "checkpoint.safetensors")[1]["epoch"] == 2
    resumed = make(case, **settings).fit(x, y, run_dir=tmp_path, progress=False)
    assert_equal_weights(make(case, **settings).fit(x, y, progress=False), resumed)


def assert_equal_weights(one, other):
    states = one.networks_.state_dict(), other.networks_.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_save_and_load_give_equal_scores(case, tmp_path):
    detector = fitted(case).calibrate(digits().holdout)
    path = detector.save(tmp_path / "detector")
    assert path.name == "detector.safetensors"
    for loaded in (advad.load_detector(tmp_path / "detector"), type(detector).load(path)):
        x = digits().test[:20]
        assert np.array_equal(loaded.anomaly_score(x), detector.anomaly_score(x))
        assert np.array_equal(loaded.predict(x), detector.predict(x))
        assert loaded.get_params() == detector.get_params()
        assert loaded.history_ == detector.history_


def test_every_players_weights_move_and_only_its_own_in_its_own_update(case, monkeypatch):
    check_whose_weights_move(case, monkeypatch, images())


def check_whose_weights_move(case, monkeypatch, x, y=None):
    """Wrap the update: compare all weights before and after each player's step.

    A network that no player owns (an average of another's weights) must not stand still either.
    """
    moved, owner, first = {}, make(case), {}
    plain = training.Update.__call__

    def watched(self, player, loss, *tensors):
        before = {name: tensor.clone() for name, tensor in self.networks.named_parameters()}
        first.update(before | first)
        plain(self, player, loss, *tensors)
        names = {name for name, tensor in self.networks.named_parameters() if not torch.equal(tensor, before[name])}
        moved.setdefault(player, set()).update(names)
        own = owner.optimised[player]
        assert all(name.split(".")[0] in own for name in names), f"{player} moved {names}"

    monkeypatch.setattr(training.Update, "__call__", watched)
    networks = owner.set_params(**QUICK).fit(x, y, progress=False).networks_
    assert moved.keys() == owner.optimised.keys()
    everything = {name for name, _ in networks.named_parameters()}
    owned = {network for names in owner.optimised.values() for network in names}
    assert set.union(*moved.values()) == {name for name in everything if name.split(".")[0] in owned}
    assert not any(torch.equal(tensor, first[name]) for name, tensor in networks.named_parameters())


def test_it_beats_chance_clearly_on_digits(case, figure):
    split = digits(normal=0)
    detector = make(case).fit(split.train, progress=False)
    value = roc_auc_score(split.test_is_anomaly, detector.anomaly_score(split.test))
    figure(f"AUROC on digits, class 0 normal: {case} {value:.3f}")
    assert value > 0.8


def test_reconstruct_encode_decode(case):
    detector, x = fitted(case), digits().test[:10]
    codes = detector.encode(x)
    assert codes.shape == (10, detector.latent_dim)
    if not detector.reconstructs:
        assert not detector.decodes
        refusal = f"^{type(detector).__name__}: it gives no images back.* Call anomaly_score"
        for call in (lambda: detector.reconstruct(x), lambda: detector.decode(codes)):
            with pytest.raises(NotImplementedError, match=refusal):
                call()
        return
    images = detector.reconstruct(x)
    assert images.shape == (10, 1, 8, 8)
    assert images.min() >= 0
    assert images.max() <= 1
    assert detector.decodes == (case not in NO_DECODER)
    if detector.decodes:
        assert np.allclose(detector.decode(codes), images, atol=1e-6)
    else:
        with pytest.raises(
            NotImplementedError, match=f"^{type(detector).__name__}: decode needs a decoder that draws from the"
        ):
            detector.decode(codes)


def test_gradients_reach_the_image(case):
    detector = fitted(case)
    x = (digits().test[:4].float() / 255).requires_grad_()
    (gradient,) = torch.autograd.grad(detector.score_tensor(x).sum(), x)
    assert gradient.abs().flatten(1).sum(1).min() > 0
    assert alike(detector.score_tensor(x).detach(), detector.anomaly_score(x.detach()))


def test_the_terms_of_a_score_are_named_and_one_an_image(case):
    detector, x = fitted(case), digits().test[:10]
    terms = detector.score_terms(x)
    assert all(term.shape == (10,) and term.dtype == np.float32 and np.isfinite(term).all() for term in terms.values())
    if list(terms) == ["score"]:
        assert np.array_equal(terms["score"], detector.anomaly_score(x))
    else:
        assert len(terms) > 1


def test_pipeline_cross_validation_and_grid_search(case):
    split = digits()
    x, y = split.test[:90], np.where(split.test_is_anomaly[:90], -1, 1)  # scikit-learn's labels
    detector = make(case, epochs=1)
    quiet = FunctionTransformer(lambda images: images)
    values = cross_val_score(make_pipeline(quiet, detector), x, y, cv=2, scoring="roc_auc", error_score="raise")
    assert values.shape == (2,)
    assert ((values >= 0) & (values <= 1)).all()
    search = GridSearchCV(detector, {"latent_dim": [2, 4]}, cv=2, scoring="roc_auc", error_score="raise").fit(x, y)
    assert search.best_params_["latent_dim"] in (2, 4)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8), (1, 28, 28), (3, 32, 32), (1, 64, 64)])
def test_small_and_large_grey_and_colour(case, shape):
    x = noise(8, shape)
    detector = make(case, epochs=1, batch_size=4).fit(x, progress=False)
    assert np.isfinite(detector.anomaly_score(x)).all()
    if detector.reconstructs:
        assert detector.reconstruct(x).shape == (8, *shape)


def test_bfloat16_training_gives_finite_float32_weights(case):
    detector = fitted(case, precision="bfloat16")
    assert all(w.dtype == torch.float32 for w in detector.networks_.parameters())
    assert np.isfinite(detector.anomaly_score(images())).all()


def test_the_method_is_known_to_load_detector(case):
    cls = CASES[case][0]
    assert METHODS[cls.__name__] == cls.__module__.rsplit(".", 1)[1]
    assert getattr(advad, cls.__name__) is cls


def test_a_bad_parameter_of_the_base_class_is_refused(case):
    """Each method's own `check` must call the base's, which tests/engine/test_detector.py tests."""
    detector = make(case).set_params(epochs=-1)
    with pytest.raises(ValueError, match=f"^{type(detector).__name__}: epochs must be at least 0; got -1"):
        detector.fit(images(), progress=False)
