"""The classical detectors: the contract where it applies, each score by NumPy, codes, files without a pickle, PyOD."""

import warnings

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import advad
from advad.engine.bases.library import Classical
from advad.explorers import LatentExplorer
from advad.files import read_state, write_state
from advad.methods import METHODS
from tests.cases import CLASSICAL, SMALL, digits, make
from tests.contract.test_contract import (  # what the contract asks of anything with the face, over CLASSICAL
    test_fit_returns_self_and_clone_is_unfitted,  # noqa: F401
    test_it_beats_chance_clearly_on_digits,  # noqa: F401
    test_scores_are_finite_not_constant_and_one_an_image,  # noqa: F401
    test_scores_do_not_depend_on_batch_mates,  # noqa: F401
    test_small_and_large_grey_and_colour,  # noqa: F401
)

LIBRARY = [name for name, (cls, _) in CLASSICAL.items() if issubclass(cls, Classical)]


def pytest_generate_tests(metafunc):
    marks = metafunc.definition.iter_markers("parametrize")
    if "case" in metafunc.fixturenames and not any("case" in mark.args[0] for mark in marks):
        metafunc.parametrize("case", LIBRARY)


def fitted(case, x=None, **changes):
    return make(case, **changes).fit(digits().train if x is None else x)


def pixels(x):
    return x.numpy().reshape(len(x), -1) / 255


@pytest.fixture(scope="module")
def autoencoder():
    return advad.AE(**SMALL, epochs=5).fit(digits().train, progress=False)


# ---------------------------------------------------------------- scores


def test_pca_by_svd():
    train, x = pixels(digits().train), pixels(digits().test[:20])
    mean = train.mean(0)
    basis = np.linalg.svd(train - mean)[2][:4]
    back = mean + (x - mean) @ basis.T @ basis
    detector = fitted("PCA")
    assert np.allclose(detector.anomaly_score(digits().test[:20]), np.square(x - back).mean(1), rtol=1e-4)
    assert np.allclose(detector.reconstruct(digits().test[:20]).reshape(20, -1), back.clip(0, 1), atol=1e-5)
    spectrum = np.square(np.linalg.svd(train - mean)[1])
    enough = int(np.searchsorted(spectrum.cumsum() / spectrum.sum(), 0.8)) + 1
    assert fitted("PCA", n_components=0.8).estimator_.n_components_ == enough


def test_ocsvm_by_its_support_vectors():
    train, x = pixels(digits().train), pixels(digits().test[:20])
    detector = fitted("OCSVM", gamma=2.0)
    gamma = 2.0 / (64 * train.var())
    svm = detector.estimator_
    kernel = np.exp(-gamma * np.square(x[:, None] - svm.support_vectors_).sum(2))
    assert np.allclose(detector.anomaly_score(digits().test[:20]), -svm.intercept_ - kernel @ svm.dual_coef_[0])
    outside = detector.anomaly_score(digits().train) > 1e-4
    assert outside.mean() <= 0.1 <= len(svm.support_) / len(train)  # ν between the two: Schölkopf's Prop. 3


@pytest.mark.parametrize("side", [8, 28])  # with scikit-learn's default tree, log p is a thousand nats off at 28
def test_kde_by_numpy(side):
    images = torch.rand(520, 1, side, side, generator=torch.Generator().manual_seed(0)).square()
    train, x = (some.flatten(1).double().numpy() for some in images.split([500, 20]))
    h = 2 * len(train) ** (-1 / (side**2 + 4)) * train.std()
    exponent = -np.square(x[:, None] - train).sum(2) / (2 * h**2)
    log_p = logsumexp(exponent, axis=1) - np.log(len(train)) - side**2 / 2 * np.log(2 * np.pi * h**2)
    assert np.allclose(fitted("KDE", images[:500], bandwidth=2.0).anomaly_score(images[500:]), -log_p, rtol=1e-4)


def test_lof_is_one_in_a_cluster_and_more_outside():
    x = torch.rand(200, 1, 1, 2, generator=torch.Generator().manual_seed(0)) * 0.1
    scores = fitted("LOF", x).anomaly_score(torch.tensor([[0.05, 0.05], [0.9, 0.9]]).reshape(2, 1, 1, 2))
    assert scores[0] == pytest.approx(1, abs=0.1)
    assert scores[1] > 10


def test_iforest_isolates_the_odd_one_and_its_seed_decides():
    x = torch.cat([torch.rand(100, 1, 2, 2) * 0.1, torch.ones(1, 1, 2, 2)])
    scores = fitted("IForest", x).anomaly_score(x)
    assert scores.argmax() == 100
    assert scores.min() > 0
    assert scores.max() < 1
    again, other = (fitted("IForest", x, seed=seed).anomaly_score(x) for seed in (0, 1))
    assert np.array_equal(again, scores)
    assert not np.array_equal(other, scores)


# ---------------------------------------------------------------- face, codes, files


def test_the_names_are_known_to_load_detector(case):
    cls = CLASSICAL[case][0]
    assert METHODS[cls.__name__] == "classical"
    assert getattr(advad, cls.__name__) is cls


def test_pipeline_and_cross_validation(case):
    x, y = digits().test[:90], np.where(digits().test_is_anomaly[:90], -1, 1)
    quiet = FunctionTransformer(lambda images: images)
    values = cross_val_score(make_pipeline(quiet, make(case)), x, y, cv=2, scoring="roc_auc", error_score="raise")
    assert ((values >= 0) & (values <= 1)).all()


def test_grid_search():
    x, y = digits().test[:90], np.where(digits().test_is_anomaly[:90], -1, 1)
    search = GridSearchCV(advad.OCSVM(), {"nu": [0.1, 0.5]}, cv=2, scoring="roc_auc", error_score="raise").fit(x, y)
    assert search.best_params_["nu"] in (0.1, 0.5)


def test_only_pca_gives_images_back(case):
    detector, x = fitted(case), digits().test[:3]
    assert np.allclose(detector.encode(x), pixels(x), atol=1e-6)
    if detector.reconstructs:
        assert case == "PCA"
        return
    with pytest.raises(NotImplementedError, match=f"^{case}: it gives no images back"):
        detector.reconstruct(x)


@pytest.mark.parametrize("on_codes", [False, True])
def test_save_and_load_give_equal_scores(case, on_codes, tmp_path, autoencoder):
    detector = fitted(case, codes_of=autoencoder if on_codes else None).calibrate(digits().holdout)
    path, x = detector.save(tmp_path / "detector"), digits().test[:20]
    for loaded in (advad.load_detector(path, "cpu"), type(detector).load(tmp_path / "detector")):
        assert np.array_equal(loaded.anomaly_score(x), detector.anomaly_score(x))
        assert np.array_equal(loaded.predict(x), detector.predict(x))
        if not on_codes:
            assert loaded.get_params() == detector.get_params()


def test_on_codes_it_is_the_same_detector_fitted_on_codes(case, autoencoder):
    detector, x = fitted(case, codes_of=autoencoder), digits().test[:20]
    assert np.array_equal(detector.encode(x), autoencoder.encode(x))
    codes = autoencoder.encode(digits().train).astype(float)
    estimator = detector.build(codes).fit(codes)
    detector.estimator_ = estimator
    by_hand = detector.score_features(autoencoder.encode(x).astype(float))
    assert np.allclose(fitted(case, codes_of=autoencoder).anomaly_score(x), by_hand, rtol=1e-5)
    copy = clone(detector)
    assert copy.codes_of is autoencoder  # still fitted
    assert np.allclose(copy.fit(digits().train).anomaly_score(x), by_hand, rtol=1e-5)


def test_pca_of_codes_that_nothing_decodes_says_so_and_has_explorers():
    x = digits().test[:20]
    blind = advad.DeepSVDD(pretrain_epochs=1, epochs=1).fit(digits().train[:64], progress=False)
    detector = fitted("PCA", codes_of=blind)
    assert not detector.reconstructs
    with pytest.raises(NotImplementedError, match="^DeepSVDD: it gives no images back"):
        detector.reconstruct(x)
    assert not LatentExplorer(detector, x).set.can_reconstruct


def test_pca_of_codes_decodes_its_projection(autoencoder):
    detector, x = fitted("PCA", codes_of=autoencoder), digits().test[:5]
    codes = detector.projected(autoencoder.encode(x).astype(float))
    assert np.allclose(detector.reconstruct(x), autoencoder.decode(codes), atol=1e-6)


def test_pca_without_components_is_the_mean_image():
    split = digits()
    detector = advad.PCA(n_components=0).fit(split.train)
    train, test = split.train.numpy() / np.float32(255), split.test.numpy() / np.float32(255)
    by_hand = ((test - train.mean(0)) ** 2).mean((1, 2, 3))
    assert detector.anomaly_score(split.test) == pytest.approx(by_hand, rel=1e-4)
    assert detector.reconstruct(split.test)[3] == pytest.approx(train.mean(0), abs=1e-6)


def test_a_file_whose_refit_differs_is_refused(tmp_path):
    path = fitted("OCSVM").save(tmp_path / "svm")
    tensors, facts = read_state(path)
    write_state(path, tensors | {"probes": tensors["probes"] + 0.1}, facts | {"library": "scikit-learn 0.1"})
    with pytest.raises(
        ValueError, match=r"OCSVM: .*this file was written with scikit-learn 0.1; scikit-learn .* gives other scores"
    ):
        advad.load_detector(path)


def test_a_file_cannot_name_any_class_it_likes(tmp_path, autoencoder):
    path = fitted("OCSVM", codes_of=autoencoder).save(tmp_path / "svm")
    tensors, facts = read_state(path)
    for home, name in (("os", "system"), ("advad.methods.autoencoder", "Tensor")):
        write_state(path, tensors, facts | {"codes_of": facts["codes_of"] | {"home": home, "method": name}})
        with pytest.raises(ValueError, match=f"OCSVM: .*codes_of must be one of advad's methods.*{home}.{name}"):
            advad.load_detector(path)


@pytest.mark.parametrize(
    ("case", "settings", "message"),
    [
        ("PCA", {"n_components": -1}, "PCA: n_components must be at least 0; got -1. Or a share"),
        ("PCA", {"n_components": 1.5}, "PCA: n_components must be a whole number; got 1.5. Or a share"),
        (
            "PCA",
            {"n_components": 65},
            "PCA: n_components must be at most 64, the lesser of images and features",
        ),
        ("OCSVM", {"nu": 1}, r"OCSVM: nu must be in \(0, 1\); got 1. It is the share left outside"),
        ("OCSVM", {"gamma": 0}, "OCSVM: gamma must be above 0; got 0"),
        ("LOF", {"n_neighbors": 0}, "LOF: n_neighbors must be at least 1; got 0"),
        ("IForest", {"n_estimators": 0}, "IForest: n_estimators must be at least 1; got 0"),
        ("IForest", {"seed": -1}, "IForest: seed must be in .0, 4.29497e.09.; got -1"),
        ("KDE", {"bandwidth": 0}, "KDE: bandwidth must be above 0; got 0. 1 is Scott's rule"),
        ("KDE", {"codes_of": advad.AE()}, r"KDE: codes_of must be a fitted detector; got AE\(\). Fit it first"),
    ],
)
def test_bad_parameters(case, settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        fitted(case, **settings)


OLD_NAMES = [("PCA", "components", "n_components", 4), ("LOF", "neighbours", "n_neighbors", 7)]
OLD_NAMES += [("IForest", "trees", "n_estimators", 10)]


@pytest.mark.parametrize(("name", "old", "new", "value"), OLD_NAMES)
def test_old_parameter_names_warn_and_work(name, old, new, value, tmp_path):
    cls, message = getattr(advad, name), f"^{name}: {old} is now called {new}; the old name will be gone"
    with pytest.warns(FutureWarning, match=message):
        detector = cls(**{old: value})
    assert detector.get_params() == cls(**{new: value}).get_params()
    assert old not in detector.get_params()
    with pytest.warns(FutureWarning, match=message):
        assert getattr(detector, old) == value
    with pytest.warns(FutureWarning, match=message):
        assert getattr(cls().set_params(**{old: value}), new) == value
    with pytest.raises(TypeError, match=f"^{name}: {old} is the old name of {new}; got both. Give {new} alone."):
        cls(**{old: value, new: value})
    # a file of an earlier version has the old name, and loads without a word
    path = detector.fit(digits().train).save(tmp_path / "old")
    tensors, facts = read_state(path)
    facts["parameters"][old] = facts["parameters"].pop(new)
    write_state(path, tensors, facts)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = advad.load_detector(path)
    assert loaded.get_params() == detector.get_params()
    assert np.array_equal(loaded.anomaly_score(digits().test[:20]), detector.anomaly_score(digits().test[:20]))


def test_lof_needs_two_images():
    with pytest.raises(ValueError, match="LOF: X must hold at least two images; got 1"):
        fitted("LOF", digits().train[:1])


# ---------------------------------------------------------------- PyOD


def test_any_detector_of_pyod(tmp_path, autoencoder):
    ecod = pytest.importorskip("pyod.models.ecod").ECOD
    wrapped, x = advad.PyOD(detector=ecod(contamination=0.2)), digits().test[:200]
    wrapped.fit(digits().train).calibrate(digits().holdout)
    plain = ecod().fit(pixels(digits().train))
    assert np.allclose(wrapped.anomaly_score(x), plain.decision_function(pixels(x)), rtol=1e-5)
    assert advad.auroc(digits().test_is_anomaly[:200], wrapped.anomaly_score(x)) > 0.8
    assert not hasattr(wrapped.detector, "decision_scores_")  # a copy was fitted
    loaded = advad.load_detector(wrapped.save(tmp_path / "ecod"))
    assert np.array_equal(loaded.predict(x), wrapped.predict(x))
    assert loaded.detector.get_params() == wrapped.detector.get_params()
    assert clone(wrapped).fit(digits().train).anomaly_score(x) == pytest.approx(wrapped.anomaly_score(x))


def test_pyods_randomness_follows_the_seed(tmp_path):
    iforest = pytest.importorskip("pyod.models.iforest").IForest
    first, other = (advad.PyOD(detector=iforest(n_estimators=20), seed=s).fit(digits().train) for s in (0, 1))
    x = digits().test[:20]
    assert np.array_equal(advad.load_detector(first.save(tmp_path / "first")).anomaly_score(x), first.anomaly_score(x))
    assert not np.array_equal(first.anomaly_score(x), other.anomaly_score(x))


def test_what_pyod_refuses(tmp_path):
    ecod = pytest.importorskip("pyod.models.ecod").ECOD
    with pytest.raises(TypeError, match=r"PyOD: detector must be a detector of PyOD; got 'ECOD'. For example pyod"):
        advad.PyOD(detector="ECOD").fit(digits().train)
    path = advad.PyOD(detector=ecod()).fit(digits().train).save(tmp_path / "ecod")
    tensors, facts = read_state(path)
    for name in ("os.system", "pyod.models.ecod.os"):
        write_state(path, tensors, facts | {"parameters": facts["parameters"] | {"detector": name}})
        with pytest.raises(ValueError, match=f"detector must be a class of pyod.models; got '{name}'"):
            advad.load_detector(path)
    iforest = pytest.importorskip("pyod.models.iforest").IForest
    unsaved = advad.PyOD(detector=iforest(random_state=np.random.RandomState(0))).fit(digits().train)  # noqa: NPY002
    with pytest.raises(TypeError, match="PyOD: detector must have parameters that JSON can hold"):
        unsaved.save(tmp_path / "unsaved")
