"""Protocols: which images go where, in which shares, and every complaint."""

from __future__ import annotations

import dataclasses
import inspect
import json
import warnings
from itertools import combinations

import numpy as np
import pytest
import torch

from advad.datasets import protocols
from advad.datasets.imageset import ImageSet
from advad.datasets.load import load
from advad.datasets.protocols import leave_one_out, merged, one_class
from advad.datasets.splits import GroupLeakWarning, MaskWarning, SplitKeywords, SplitOptions

ALL = pytest.mark.parametrize(
    ("protocol", "classes"),
    [(one_class, {"normal": 0}), (merged, {"normal": 0}), (leave_one_out, {"anomalous": 3})],
    ids=["one_class", "merged", "leave_one_out"],
)


@pytest.fixture(scope="module")
def numbered():
    """Four classes of 1000 images, 250 of each for test; the pixels hold the image's own number."""
    number = torch.arange(4000)
    pixels = torch.stack([number // 256, number % 256], dim=1).to(torch.uint8).reshape(-1, 1, 1, 2)
    return ImageSet("numbered", pixels, number % 4, ("cat", "dog", "bird", "fish"), number >= 3000)


def numbers(images: torch.Tensor) -> torch.Tensor:
    """Return the number that each image's pixels hold."""
    high, low = images.flatten(1).long().unbind(1)
    return 256 * high + low


# --- what holds for all -----------------------------------------------------------------------------------------------


@ALL
def test_rows_are_the_recorded_images(numbered, protocol, classes):
    split = protocol(numbered, **classes, contamination=0.05, labelled=0.1, seed=3)
    roles = split.indices
    train = torch.cat([roles["normal"], roles["contaminating"], roles["labelled"]])
    for positions, images, labels in (
        (train, split.train, split.train_labels),
        (roles["holdout"], split.holdout, split.holdout_labels),
        (roles["test"], split.test, split.test_labels),
    ):
        assert torch.equal(numbers(images), positions)
        assert torch.equal(labels, positions % 4)
    for a, b in combinations(roles, 2):
        assert not set(roles[a].tolist()) & set(roles[b].tolist()), (a, b)
    for positions in roles.values():
        assert torch.equal(positions, positions.unique())  # sorted, none twice


@ALL
def test_truth_and_labels_say_what_the_images_are(numbered, protocol, classes):
    split = protocol(numbered, **classes, contamination=0.05, labelled=0.1)
    normal = torch.tensor(split.normal)
    n_normal, n_contaminating, n_labelled = (len(split.indices[r]) for r in ("normal", "contaminating", "labelled"))
    assert split.train_y.tolist() == [0] * (n_normal + n_contaminating) + [1] * n_labelled
    assert split.train_is_anomaly.tolist() == [False] * n_normal + [True] * (n_contaminating + n_labelled)
    assert torch.equal(split.train_is_anomaly, ~torch.isin(split.train_labels, normal))
    assert torch.equal(split.test_is_anomaly, ~torch.isin(split.test_labels, normal))
    assert torch.isin(split.holdout_labels, normal).all()
    assert split.train.dtype == torch.uint8
    assert split.train_y.dtype == torch.int64


@ALL
@pytest.mark.parametrize("alpha", [0.001, 0.01, 0.05, 0.2])
def test_contamination_is_a_share_of_the_unlabelled_training_set(numbered, protocol, classes, alpha):
    split = protocol(numbered, **classes, contamination=alpha, holdout=0.0)
    n_normal, n_contaminating = len(split.indices["normal"]), len(split.indices["contaminating"])
    assert n_contaminating == round(alpha / (1 - alpha) * n_normal)
    assert n_contaminating / (n_normal + n_contaminating) == pytest.approx(alpha, abs=0.5 / n_normal)


@ALL
@pytest.mark.parametrize("gamma", [0.01, 0.05, 0.2])
def test_labelled_is_a_share_of_the_whole_training_set(numbered, protocol, classes, gamma):
    split = protocol(numbered, **classes, labelled=gamma, contamination=0.01)
    assert split.train_y.float().mean().item() == pytest.approx(gamma, abs=0.5 / len(split.train))


@ALL
def test_the_seed_decides(numbered, protocol, classes):
    once, again, other = (protocol(numbered, **classes, contamination=0.05, seed=seed) for seed in (1, 1, 2))
    for role in once.indices:
        assert torch.equal(once.indices[role], again.indices[role])
    assert torch.equal(once.train, again.train)
    for role in ("normal", "contaminating", "holdout"):
        assert not torch.equal(once.indices[role], other.indices[role])


@ALL
def test_no_global_random_state_is_used_or_moved(numbered, protocol, classes):
    torch.manual_seed(0)
    once = protocol(numbered, **classes)
    after = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(1), after)
    assert torch.equal(protocol(numbered, **classes).indices["normal"], once.indices["normal"])


@ALL
def test_rates_add_images_without_exchanging_any(numbered, protocol, classes):
    clean = protocol(numbered, **classes)
    little = protocol(numbered, **classes, contamination=0.02, labelled=0.05)
    much = protocol(numbered, **classes, contamination=0.1, labelled=0.05)
    for role in ("normal", "holdout", "test"):
        assert torch.equal(clean.indices[role], little.indices[role])
        assert torch.equal(clean.indices[role], much.indices[role])
    for role in ("contaminating", "labelled"):
        fewer, more = set(little.indices[role].tolist()), set(much.indices[role].tolist())
        assert fewer < more, role


@ALL
def test_settings_are_json_and_repeat_the_split(numbered, protocol, classes):
    split = protocol(
        numbered,
        **classes,
        contamination=np.float32(0.05),
        contaminants="fish",
        labelled=0.1,
        holdout=0.2,
        seed=np.int64(5),
        train_size=500,
        test_size=300,
    )
    settings = json.loads(json.dumps(split.settings))
    assert settings.pop("images") == "numbered"
    again = getattr(protocols, settings.pop("protocol"))(numbered, **settings)
    assert again.settings == split.settings
    for role in split.indices:
        assert torch.equal(again.indices[role], split.indices[role])


@ALL
def test_caps_keep_the_shares(numbered, protocol, classes):
    whole = protocol(numbered, **classes, contamination=0.1, labelled=0.15)
    split = protocol(numbered, **classes, contamination=0.1, labelled=0.15, train_size=200, test_size=100)
    assert 198 <= len(split.train) <= 200
    assert split.train_y.float().mean().item() == pytest.approx(0.15, abs=0.01)
    unlabelled = split.train_is_anomaly[split.train_y == 0]
    assert unlabelled.float().mean().item() == pytest.approx(0.1, abs=0.01)
    assert len(split.test) == 100
    share = whole.test_is_anomaly.float().mean().item()
    assert split.test_is_anomaly.float().mean().item() == pytest.approx(share, abs=0.01)
    assert torch.equal(split.indices["holdout"], whole.indices["holdout"])
    for role in ("normal", "contaminating", "labelled", "test"):  # a part of the whole, so nothing moves to test
        assert set(split.indices[role].tolist()) < set(whole.indices[role].tolist())
    assert len(protocol(numbered, **classes, train_size=10**6, test_size=10**6).train) > 200


@ALL
def test_named_classes_give_the_anomalies(numbered, protocol, classes):
    if protocol is leave_one_out:
        classes = {"anomalous": ["bird", "fish"]}
    split = protocol(
        numbered, **classes, contamination=0.05, contaminants="bird", labelled=0.05, labelled_classes=["fish"]
    )
    assert set((split.indices["contaminating"] % 4).tolist()) == {2}
    assert set((split.indices["labelled"] % 4).tolist()) == {3}


def test_anomalies_come_from_all_anomalous_classes_by_default(numbered):
    split = one_class(numbered, normal="cat", contamination=0.2, labelled=0.2)
    assert set((split.indices["contaminating"] % 4).tolist()) == {1, 2, 3}
    assert set((split.indices["labelled"] % 4).tolist()) == {1, 2, 3}
    assert split.settings["contaminants"] == [1, 2, 3]


# --- each protocol ----------------------------------------------------------------------------------------------------


def test_one_class_keeps_the_official_split(numbered):
    split = one_class(numbered, normal=2, contamination=0.1, labelled=0.1)
    assert split.indices["test"].tolist() == list(range(3000, 4000))  # all of it
    for role in ("normal", "contaminating", "labelled", "holdout"):
        assert (split.indices[role] < 3000).all()
    assert len(split.holdout) == 75  # a tenth of 750
    assert len(split.indices["normal"]) == 675
    assert split.normal == (2,)


def test_several_normal_classes(numbered):
    for normal in (["cat", 3], (0, "fish"), np.array([3, 0]), torch.tensor([0, 3, 3]), {0, 3}):
        split = one_class(numbered, normal=normal)
        assert split.normal == (0, 3)
    assert len(split.train) == 1350
    assert split.test_is_anomaly.sum() == 500


def test_no_holdout(numbered):
    split = one_class(numbered, normal=0, holdout=0)
    assert split.holdout.shape == (0, 1, 1, 2)
    assert len(split.train) == 750


@pytest.mark.parametrize(("tau", "anomalous"), [(0.5, 200), (0.9, 22), (0.2, 800)])
def test_merged_gives_80_percent_to_train_and_tau_to_test(numbered, tau, anomalous):
    split = merged(numbered, normal=1, test_normal_share=tau)
    assert len(split.train) + len(split.holdout) == 800
    assert (~split.test_is_anomaly).sum() == 200
    assert split.test_is_anomaly.sum() == anomalous  # 200 · (1 − τ) / τ
    assert set(split.test_labels.tolist()) == {0, 1, 2, 3}
    assert (split.indices["normal"] >= 3000).any()  # official parts are merged
    assert (split.indices["test"] < 3000).any()


def test_leave_one_out_tests_on_a_fifth_of_everything(numbered):
    split = leave_one_out(numbered, anomalous="dog", contamination=0.1)
    assert split.normal == (0, 2, 3)
    assert len(split.train) - len(split.indices["contaminating"]) + len(split.holdout) == 2400
    assert (~split.test_is_anomaly).sum() == 600
    assert split.test_is_anomaly.sum() == 200
    assert set(split.test_labels[split.test_is_anomaly].tolist()) == {1}
    same = merged(numbered, normal=[0, 2, 3], test_normal_share=None, contamination=0.1)
    assert torch.equal(same.train, split.train)


def test_sets_without_an_official_split_can_be_merged(numbered):
    for is_test in (torch.zeros(4000, dtype=torch.bool), torch.ones(4000, dtype=torch.bool)):
        own = ImageSet("own", numbered.images, numbered.labels, numbered.classes, is_test)
        assert len(merged(own, normal=0).test) == 400
        with pytest.raises(ValueError, match=r"one_class: images must have an official .* advad.merged makes its own"):
            one_class(own, normal=0)


def test_description_says_everything():
    split = one_class(load("digits"), normal=8, contamination=0.05, contaminants=[2], labelled=0.1)
    assert split.describe() == (
        "one_class on digits, normal: 8; train 129 (110 normal, 6 contaminating, 13 labelled), "
        "holdout 12, test 540 (52 normal, 488 anomalous); seed 0"
    )
    assert repr(split) == f"Split({split.describe()})"


# --- complaints -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"normal": 4}, ValueError, r"normal must be classes of numbered \(cat, dog, bird, fish\) .*, 0 to 3; got 4"),
        ({"normal": -1}, ValueError, "normal must be classes of numbered .* got -1"),
        ({"normal": "Dogg"}, ValueError, r"normal must .* got 'Dogg'. Did you mean 'dog'\?"),
        ({"normal": "8"}, ValueError, "normal must .* or their numbers, 0 to 3; got '8'"),
        ({"normal": 1.0}, TypeError, "normal must be classes .* got 1.0"),
        ({"normal": True}, TypeError, "normal must be classes .* got True"),
        ({"normal": None}, TypeError, "normal must be classes .* got None"),
        ({"normal": []}, ValueError, r"normal must name at least one class; got \[\]"),
        ({"normal": 0, "normals": 1}, TypeError, "no argument 'normals'. Its options are contamination, "),
        ({"holdout_from": "dirty"}, ValueError, "holdout_from must be one of 'clean', 'contaminated'; got 'dirty'"),
        ({"by_group": True}, ValueError, "images must have groups where by_group is True; got 'none'. advad.load"),
        ({"by_group": 1}, ValueError, "by_group must be one of True, False; got 1"),
        ({"contamination": 1.0}, ValueError, r"contamination must be in \[0, 1\); got 1.0"),
        ({"contamination": 5}, ValueError, r"contamination must be in \[0, 1\); got 5. It is a share"),
        ({"contamination": "5%"}, TypeError, "contamination must be a number; got '5%'"),
        ({"labelled": -0.1}, ValueError, r"labelled must be in \[0, 1\); got -0.1"),
        ({"holdout": float("nan")}, ValueError, r"holdout must be in \[0, 1\); got nan"),
        ({"holdout": 1e-4}, ValueError, "holdout must hold out at least one of 750 normal images, and not all; got"),
        ({"holdout": 0.9999}, ValueError, "holdout must .* one of 750 normal images, and not all; got 0.9999"),
        ({"contaminants": "cat"}, ValueError, r"contaminants must be anomalous classes; got \['cat'\]. It is normal"),
        ({"labelled_classes": [0, 1]}, ValueError, r"labelled_classes must be anomalous classes; got \['cat'\]"),
        ({"contaminants": "wolf"}, ValueError, "contaminants must be classes of numbered"),
        (
            {"contamination": 0.6, "contaminants": 1},
            ValueError,
            "contaminants must have 1012 images outside the test part to give for contamination; got 750. Lower",
        ),
        (
            {"labelled": 0.6, "labelled_classes": 1, "contamination": 0.1, "contaminants": 1},
            ValueError,
            "labelled_classes must have 1125 images outside the test part to give for labelled; got 675",
        ),
        ({"contamination": 1e-4}, ValueError, "contamination must give at least one image beside 675 normal ones"),
        ({"labelled": 1e-4}, ValueError, "labelled must give at least one image beside 675 normal ones; got 0.0001"),
        ({"seed": -1}, ValueError, "seed must be in .*; got -1"),
        ({"seed": 0.5}, TypeError, "seed must be a whole number; got 0.5"),
        ({"train_size": 0}, ValueError, "train_size must be at least 1; got 0"),
        ({"train_size": 1, "contamination": 0.9}, ValueError, "train_size must leave room for a normal image; got 1"),
        ({"test_size": 1}, ValueError, "test_size must be at least 2; got 1"),
        ({"test_size": 10.0}, TypeError, "test_size must be a whole number; got 10.0"),
    ],
)
def test_wrong_arguments(numbered, arguments, error, message):
    with pytest.raises(error, match=f"^one_class: {message}") as caught:
        one_class(numbered, **{"normal": 0, **arguments})
    assert "\n" not in str(caught.value)


def test_wrong_arguments_of_the_other_protocols(numbered):
    for share in (0, 1, 1.5):
        with pytest.raises(ValueError, match=rf"merged: test_normal_share must be in \(0, 1\); got {share}"):
            merged(numbered, normal=0, test_normal_share=share)
    with pytest.raises(
        ValueError, match=r"no more than the 3000 anomalous images beside 200 .* got 0.01. It asks for 19800"
    ):
        merged(numbered, normal=0, test_normal_share=0.01)
    with pytest.raises(ValueError, match=r"leave_one_out: anomalous must leave at least one class to be normal"):
        leave_one_out(numbered, anomalous=range(4))
    with pytest.raises(ValueError, match="leave_one_out: anomalous must be classes of numbered"):
        leave_one_out(numbered, anomalous="wolf")
    with pytest.raises(ValueError, match=r"leave_one_out: contaminants must be anomalous classes; got \['dog'\]"):
        leave_one_out(numbered, anomalous=0, contaminants="dog")
    with pytest.raises(ValueError, match=r"merged: contaminants must have 1200 images .* got (7|8)\d\d\."):
        merged(numbered, normal=0, contamination=0.6, contaminants=1, holdout=0, test_normal_share=0.25)
    for protocol, name in ((one_class, "normal"), (merged, "normal"), (leave_one_out, "anomalous")):
        with pytest.raises(
            TypeError, match=rf"{protocol.__name__}: images must be an ImageSet; got .* advad.load makes"
        ):
            protocol(numbered.images, **{name: 0})


def test_classes_without_images(numbered):
    classes = (*numbered.classes, "unicorn")
    images = ImageSet("wide", numbered.images, numbered.labels, classes, numbered.is_test)
    with pytest.raises(
        ValueError, match=r"normal must be classes that have images; got 'unicorn'. wide has none of it"
    ):
        one_class(images, normal="unicorn")
    assert one_class(images, normal=0, contamination=0.1).settings["contaminants"] == [1, 2, 3]
    only_tested = ImageSet("late", numbered.images, numbered.labels, numbered.classes, numbered.labels == 0)
    with pytest.raises(ValueError, match=r"normal must be classes with images outside the test part; got \['cat'\]"):
        one_class(only_tested, normal=0)
    with pytest.raises(ValueError, match=r"the test part must hold normal and anomalous images; got \[0, 1000\]"):
        one_class(only_tested, normal=1)


# --- the options ------------------------------------------------------------------------------------------------------


@ALL
def test_every_option_stands_in_the_signature_with_its_default(numbered, protocol, classes):
    shown = inspect.signature(protocol).parameters
    for option in dataclasses.fields(SplitOptions):
        assert shown[option.name].default == option.default
        assert shown[option.name].kind is inspect.Parameter.KEYWORD_ONLY
    assert set(SplitKeywords.__annotations__) == {option.name for option in dataclasses.fields(SplitOptions)}
    assert "options" not in shown
    assert protocol(numbered, **classes).settings.keys() >= set(SplitKeywords.__annotations__)


def test_classes_named_by_numbers_are_not_taken_for_positions(numbered):
    images = dataclasses.replace(numbered, classes=("1", "2", "3", "10"))
    for normal, expected in ((1, 0), ("1", 0), (10, 3), ([3, "2"], (1, 2))):
        split = merged(images, normal=normal)
        assert split.normal == (expected if isinstance(expected, tuple) else (expected,))
        again = merged(images, normal=split.settings["normal"], contaminants=split.settings["contaminants"])
        assert again.normal == split.normal
    assert merged(images, normal=10).normal_names == ("10",)
    assert merged(images, normal=10).settings["normal"] == ["10"]
    assert leave_one_out(images, anomalous=10).normal == (0, 1, 2)
    with pytest.raises(ValueError, match=r"classes of numbered \(1, 2, 3, 10\); got 0. .* a number is read as a name"):
        merged(images, normal=0)


# --- only normal images -----------------------------------------------------------------------------------------------


def test_a_set_of_normal_images_only_can_be_split(numbered):
    only = dataclasses.replace(numbered, labels=torch.zeros(4000, dtype=torch.int64), classes=("good",))
    for split, n_test in ((merged(only, normal="good"), 800), (one_class(only, normal="good"), 1000)):
        assert len(split.test) == n_test
        assert not split.test_is_anomaly.any()
        assert len(split.holdout) == (4000 - n_test) // 10
        assert f"test {n_test} ({n_test} normal, 0 anomalous)" in split.describe()
    assert len(merged(only, normal="good", test_size=50).test) == 50
    with pytest.raises(ValueError, match=r"contaminants must have \d+ images outside the test part .* got 0"):
        merged(only, normal="good", contamination=0.1)


# --- held-out images --------------------------------------------------------------------------------------------------


@ALL
def test_a_contaminated_holdout_has_the_rate_of_the_whole_pool(numbered, protocol, classes):
    rates, counts = [], []
    for seed in range(20):
        split = protocol(numbered, **classes, contamination=0.1, holdout=0.5, holdout_from="contaminated", seed=seed)
        n_train, n_holdout = len(split.train), len(split.holdout)
        counts.append(abs(n_train - n_holdout))
        anomalies = int(split.train_is_anomaly.sum() + split.holdout_is_anomaly.sum())
        normals = n_train + n_holdout - anomalies
        assert anomalies == round(0.1 / 0.9 * normals)  # the share in both together
        assert torch.equal(split.holdout_is_anomaly, ~torch.isin(split.holdout_labels, torch.tensor(split.normal)))
        rates.append(split.holdout_is_anomaly.float().mean().item())
    assert max(counts) <= 1
    assert np.mean(rates) == pytest.approx(0.1, abs=0.01)  # no bias: its own order, not that of the choice
    assert np.std(rates) > 0.002  # by chance, as nobody looks at the classes
    assert f"holdout {n_holdout} ({int(split.holdout_is_anomaly.sum())} contaminating)" in split.describe()


def test_a_contaminated_holdout_keeps_the_test_part_the_labels_and_the_caps(numbered):
    clean = one_class(numbered, normal=0, contamination=0.1, labelled=0.2)
    split = one_class(numbered, normal=0, contamination=0.1, labelled=0.2, holdout_from="contaminated", train_size=300)
    assert torch.equal(split.indices["test"], clean.indices["test"])
    assert not clean.holdout_is_anomaly.any()
    assert len(split.train) in (299, 300)
    assert split.train_y.sum() == round(0.25 * len(split.train_y[split.train_y == 0]))
    assert split.settings["holdout_from"] == "contaminated"
    for a, b in combinations(split.indices, 2):
        assert not set(split.indices[a].tolist()) & set(split.indices[b].tolist()), (a, b)
    same = one_class(numbered, normal=0, holdout_from="contaminated")  # nothing contaminates
    assert not same.holdout_is_anomaly.any()
    assert len(same.holdout) == 75


# --- shares, groups, masks, files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.5, 0.8, 0.9])
def test_the_training_share_can_be_chosen(numbered, share):
    split = merged(numbered, normal=1, train_share=share)
    assert len(split.train) + len(split.holdout) == round(1000 * share)
    assert (~split.test_is_anomaly).sum() == split.test_is_anomaly.sum() == round(1000 * (1 - share))
    left = leave_one_out(numbered, anomalous=1, train_share=share)
    assert left.test_is_anomaly.sum() == round(1000 * (1 - share))
    assert left.settings["train_share"] == share
    for wrong in (0, 1, 0.9999):
        with pytest.raises(ValueError, match=r"merged: train_share must (be in \(0, 1\)|leave at least one of 1000)"):
            merged(numbered, normal=1, train_share=wrong)


@pytest.fixture(scope="module")
def grouped(numbered):
    """The numbered images of 100 patients, with 40 images each, 10 of every class."""
    groups = tuple(f"patient {number // 40:02d}" for number in range(4000))
    return dataclasses.replace(numbered, groups=groups)


@ALL
@pytest.mark.parametrize("holdout_from", ["clean", "contaminated"])
def test_a_split_by_group_keeps_each_group_on_one_side(grouped, protocol, classes, holdout_from):
    given = {"contamination": 0.1, "labelled": 0.1, "holdout_from": holdout_from, "holdout": 0.2, "by_group": True}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        split = protocol(grouped, **classes, **given)
    sides = {part: set(names) for part, names in split.groups.items()}
    for a, b in combinations(sides, 2):
        assert not sides[a] & sides[b], (a, b)
    n_normal = len(split.normal) * 1000
    assert (~split.test_is_anomaly).sum() == pytest.approx(0.25 * n_normal if protocol is one_class else 0.2 * n_normal)
    unlabelled = len(split.train) - int(split.train_y.sum())
    assert len(split.holdout) == pytest.approx(0.2 * (unlabelled + len(split.holdout)), rel=0.2)
    assert len(split.indices["contaminating"]) > 0
    assert len(split.indices["labelled"]) > 0


@ALL
def test_a_group_on_both_sides_is_said(grouped, protocol, classes):
    mixed = dataclasses.replace(grouped, groups=tuple(f"patient {number % 40}" for number in range(4000)))
    with pytest.warns(
        GroupLeakWarning, match=rf"{protocol.__name__}: \d+ of \d+ groups .* such as 'patient \d+'.*by_group"
    ):
        protocol(mixed, **classes)


def test_groups_of_the_official_test_part_are_not_trained_on(grouped):
    mixed = dataclasses.replace(grouped, groups=tuple(f"patient {number % 50}" for number in range(4000)))
    with pytest.raises(ValueError, match="normal must be classes with images outside the test part"):
        one_class(mixed, normal=0, by_group=True)  # every patient is in the test part


def test_masks_files_and_groups_follow_their_images(grouped):
    masks = (torch.arange(4000) % 2).to(torch.uint8).reshape(-1, 1, 1).expand(-1, 1, 2).contiguous()
    files = tuple(f"{number}.png" for number in range(4000))
    images = dataclasses.replace(grouped, masks=masks, files=files)
    split = merged(images, normal="cat", by_group=True, contamination=0.1)
    for part, pixels in (("train", split.train), ("holdout", split.holdout), ("test", split.test)):
        expected = numbers(pixels)
        assert split.files[part] == tuple(f"{number}.png" for number in expected.tolist())
        assert split.groups[part] == tuple(grouped.groups[number] for number in expected.tolist())
        assert torch.equal(split.masks[part][:, 0, 0], (expected % 2).to(torch.uint8))
    bare = merged(dataclasses.replace(grouped, groups=None), normal="cat")
    assert (bare.masks, bare.files, bare.groups) == (None, None, None)


def test_one_image_a_group_is_a_split_by_image(numbered):
    alone = dataclasses.replace(numbered, groups=tuple(str(number) for number in range(4000)))
    by_group, plain = (merged(alone, normal="cat", by_group=choice, seed=3) for choice in (True, False))
    assert all(torch.equal(by_group.indices[role], plain.indices[role]) for role in plain.indices)


def test_a_stratified_split_keeps_the_proportions_of_the_classes():
    labels = torch.tensor([0] * 400 + [1] * 100 + [2] * 40 + [3] * 60)
    images = ImageSet("uneven", labels.to(torch.uint8).reshape(-1, 1, 1, 1), labels, tuple("abcd"), labels < 0)
    settings = {"normal": [0, 1], "holdout": 0.15, "train_size": 300, "test_normal_share": 0.7}

    def counts(split):
        parts = split.train_labels, split.holdout_labels, split.test_labels
        return torch.stack([part.bincount(minlength=4) for part in parts])

    for seed in range(20):
        split = merged(images, **settings, stratified=True, seed=seed)
        train, holdout, test = counts(split).tolist()
        assert train[:2] == [240, 60]
        assert holdout[0] / 4 == pytest.approx(holdout[1], abs=1)
        assert test[:2] == [80, 20]
        assert test[2] / 2 == pytest.approx(test[3] / 3, abs=1)
        assert split.settings["stratified"] is True
    uneven = {tuple(counts(merged(images, **settings, seed=seed))[2].tolist()) for seed in range(20)}
    assert len(uneven) > 5  # by chance
    first, again = (merged(images, **settings, stratified=True, seed=1) for _ in range(2))
    other = merged(images, **settings, stratified=True, seed=2)
    assert torch.equal(first.indices["test"], again.indices["test"])
    assert not torch.equal(first.indices["test"], other.indices["test"])


def test_masks_that_contradict_the_classes_are_said_with_the_files_name(numbered):
    files = tuple(f"{number}.png" for number in range(4000))
    right = (numbered.labels > 0).to(torch.uint8).reshape(-1, 1, 1).expand(-1, 1, 2).clone()
    masked = dataclasses.replace(numbered, masks=right, files=files)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one_class(masked, normal=0, contamination=0.1)
    wrong = right.clone()
    wrong[3001] = 0  # a dog of the test part
    with pytest.warns(MaskWarning, match=r"^one_class: 1 anomalous test images have no marked pixel, such as 3001.png"):
        one_class(dataclasses.replace(masked, masks=wrong), normal=0)
    wrong = right.clone()
    wrong[3000, 0, 0] = 1  # a cat
    with pytest.warns(MaskWarning, match=r"^one_class: 1 normal images have marked pixels, such as 3000.png, so metr"):
        one_class(dataclasses.replace(masked, masks=wrong), normal=0)


@pytest.mark.parametrize("place", ["load", "protocols"])
def test_the_examples_of_the_documentation_run(place):
    import doctest
    import importlib

    result = doctest.testmod(importlib.import_module(f"advad.datasets.{place}"))
    assert (result.attempted > 1, result.failed) == (True, 0)


def test_options_added_later_leave_the_identity_of_older_runs_as_it_was():
    from advad.experiments.spec import read_plan

    def identity(**data) -> dict:
        spec = {
            "data": {"dataset": "digits", "protocol": "merged", "normal": 8, **data},
            "methods": [{"method": "PCA"}],
        }
        return read_plan(spec).runs[0].identity()["data"]

    older = {"dataset", "protocol", "size", "channels", "normal", "test_normal_share", "contamination", "contaminants"}
    older |= {"labelled", "labelled_classes", "holdout", "train_size", "test_size"}
    assert identity().keys() == identity(train_share=0.8, holdout_from="clean", stratified=False).keys() == older
    assert identity(train_share=0.5)["train_share"] == 0.5
    assert identity(holdout_from="contaminated")["holdout_from"] == "contaminated"
