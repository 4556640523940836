"""`paper_settings`: the form is the same for all methods, every setting is a parameter, and errors are one line."""

import pytest

import advad
from advad.engine.base import BaseDetector
from advad.methods import METHODS

CLASSES = [getattr(advad, name) for name in METHODS if name != "PyOD"]
PUBLISHED = [(cls, dataset) for cls in CLASSES for dataset in cls._paper_settings]
IN_OTHERS = [(cls, paper, data) for cls in CLASSES for paper, sets in cls._settings_in.items() for data in sets]


@pytest.mark.parametrize(("cls", "dataset"), PUBLISHED)
def test_published_settings_are_parameters_that_pass_their_check(cls, dataset):
    cls(**cls.paper_settings(dataset)).check()


@pytest.mark.parametrize(("cls", "paper", "dataset"), IN_OTHERS)
def test_settings_in_other_papers_pass_their_check(cls, paper, dataset):
    cls(**cls.paper_settings(dataset, paper=paper)).check()


class Tuned(BaseDetector):
    _paper_settings = {"MNIST": {"epochs": 3, "widths": [4]}}
    _settings_in = {"itsr": {"FashionMNIST": {"epochs": 5}}}


def test_settings_are_copies():
    first = Tuned.paper_settings("MNIST")
    first["widths"].append(5)
    assert Tuned.paper_settings("MNIST") == {"epochs": 3, "widths": [4]}
    assert Tuned.paper_settings("FashionMNIST", paper="itsr") == {"epochs": 5}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("SVHN",), "^Tuned.paper_settings: dataset must be one of 'MNIST'; got 'SVHN'. The paper gives no settings"),
        (("MNIST", "itsr"), "^Tuned.paper_settings: dataset must be one of 'FashionMNIST'; got 'MNIST'."),
        (("MNIST", "alcn"), "^Tuned.paper_settings: paper must be one of 'itsr'; got 'alcn'. None stands for the"),
    ],
)
def test_what_the_paper_does_not_have(arguments, message):
    with pytest.raises(ValueError, match=message):
        Tuned.paper_settings(*arguments)


def test_a_method_without_published_settings_says_so():
    with pytest.raises(
        ValueError, match="^BaseDetector.paper_settings: no published settings are known of this method."
    ):
        BaseDetector.paper_settings("MNIST")
