"""Guess the anomaly: twelve images drawn by the seed, picks that are committed once, hits counted for both."""

import html

import numpy as np
import pytest

from advad.environment import UNATTENDED
from advad.explorers.guessing_game import TILES, GuessingGame

N = 60
IMAGES = np.random.default_rng(0).integers(0, 256, (N, 1, 6, 6)).astype(np.uint8)
IMAGES[:, 0, 0, 0] = np.arange(N)  # each knows its number
TRUTH = np.arange(N) % 3 == 0


class Detector:
    """Scores the first pixel: the image's number."""

    def anomaly_score(self, X):
        return np.asarray(X)[:, 0, 0, 0]


@pytest.fixture(autouse=True)
def _a_reader(monkeypatch):
    monkeypatch.delenv(UNATTENDED, raising=False)


@pytest.fixture
def game():
    return GuessingGame(Detector(), IMAGES, is_anomaly=TRUTH, seed=1)


def choose(game, picks):
    for button, picked in zip(game.buttons, picks, strict=True):
        button.value = bool(picked)


def test_a_seed_draws_twelve_different_images_of_which_the_budget_is_anomalous(game):
    for number in range(4):
        game.deal(number)
        assert len(set(game.shown)) == TILES
        assert TRUTH[game.shown].sum() == 4
        assert np.array_equal(game.anomalous, TRUTH[game.shown])
        highest = set(np.sort(game.shown)[-4:])  # the score is the number
        assert set(game.shown[game.by_detector]) == highest
    again = GuessingGame(Detector(), IMAGES, is_anomaly=TRUTH, seed=1)
    other = GuessingGame(Detector(), IMAGES, is_anomaly=TRUTH, seed=2)
    game.deal(0)
    assert np.array_equal(game.shown, again.shown)
    assert not np.array_equal(game.shown, other.shown)


def test_nothing_gives_the_truth_away_before_the_picks_are_committed(game):
    said = [game.summary(), *(tile.value for tile in game.image_views), *(note.value for note in game.captions)]
    assert game.summary() == "4 of these 12 images are anomalous. Picked: 0 of 4."
    assert not any("score" in text or "normal" in text for text in said[1:])
    blank = np.asarray(game.to_image())
    game.anomalous = ~game.anomalous
    assert np.array_equal(np.asarray(game.to_image()), blank)


def test_as_many_as_the_budget_can_be_committed(game):
    for k in (0, 3, 5):
        game.buttons[k].value = True
        assert game.commit_button.disabled
    game.buttons[7].value = True
    assert not game.commit_button.disabled
    assert "Picked: 4 of 4." in game.text.value
    assert game.buttons[7].description == "✓ 8"
    assert [button.disabled for button in game.buttons] == [k not in (0, 3, 5, 7) for k in range(TILES)]
    game.buttons[8].value = True  # as a quick second click does, before the page has heard
    assert not game.buttons[8].value
    assert "Picked: 4 of 4." in game.text.value
    assert not game.commit_button.disabled
    game.buttons[0].value = False
    assert not any(button.disabled for button in game.buttons)
    assert "Picked: 3 of 4." in game.text.value
    assert game.commit_button.disabled


@pytest.mark.parametrize("right", [0, 1, 4])
def test_hits_are_counted_for_both(game, right):
    anomalies, normals = np.flatnonzero(game.anomalous), np.flatnonzero(~game.anomalous)
    mine = np.isin(np.arange(TILES), [*anomalies[:right], *normals[: 4 - right]])
    choose(game, mine)
    game.commit_button.click()
    its = len(set(np.argsort(game.shown)[-4:]) & set(anomalies))
    assert game.hits == (right, its)
    assert game.summary() == (f"You find {right} of 4 anomalies, the detector {its}; blind picks find 1.3 on average.")
    assert html.escape(game.summary()) in game.text.value
    assert all(button.disabled for button in game.buttons)
    for k in range(TILES):
        kind = "anomalous" if game.anomalous[k] else "normal"
        who = [name for name, picked in (("you", mine[k]), ("the detector", game.by_detector[k])) if picked]
        told = f"Image {k + 1} of 12: {kind}, picked by {' and '.join(who) or 'nobody'}, score {game.scores[k]:.4f}"
        assert told in game.image_views[k].value
        assert kind in game.captions[k].value


def test_rounds_add_up(game):
    assert game.next_button.disabled
    total = np.zeros(2, int)
    for number in range(3):
        assert game.round == number
        assert not any(button.value for button in game.buttons)
        choose(game, np.arange(TILES) < 4)
        game.commit_button.click()
        total += game.hits
        shown = game.shown
        if number < 2:
            game.next_button.click()
            assert not np.array_equal(shown, game.shown)
            assert "Picked: 0 of 4" in game.text.value
    assert game.summary().endswith(f"In 3 rounds: {total[0]} and {total[1]} of 12.")


def test_picks_can_be_replayed(game):
    for picks in ("2 5 7 11", "2, 5, 7, 11", [2, 5, 7, 11]):
        replayed = GuessingGame(Detector(), IMAGES, is_anomaly=TRUTH, seed=1, picks=picks)
        assert replayed.committed
        assert np.flatnonzero(replayed.picked).tolist() == [1, 4, 6, 10]
        assert [k for k, button in enumerate(replayed.buttons) if button.value] == [1, 4, 6, 10]
        assert not np.array_equal(np.asarray(replayed.to_image()), np.asarray(game.to_image()))
    assert not GuessingGame(Detector(), IMAGES, is_anomaly=TRUTH, seed=1, picks="").committed


def test_where_nobody_is_there_the_truth_is_shown(monkeypatch):
    monkeypatch.setenv(UNATTENDED, "1")
    game = GuessingGame(Detector(), IMAGES, is_anomaly=TRUTH, seed=1)
    assert game.summary().startswith(f"Nobody has guessed; the detector finds {game.hits[1]} of 4 anomalies; blind")
    assert "normal" in game.captions[0].value + game.captions[1].value + game.captions[2].value + game.captions[3].value


def test_an_error_shows_in_its_panel(game, caplog):
    choose(game, np.arange(TILES) < 4)
    game.commit_button.click()
    game.detector.anomaly_score = lambda X: 1 / 0
    game.next_button.click()  # without a kernel, the panel lets the error through, and ipywidgets logs it
    assert "ZeroDivisionError" in caplog.text
    game.summary = lambda: 1 / 0
    with pytest.raises(ZeroDivisionError):
        game.buttons[0].value = not game.buttons[0].value


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"picks": "1 2 3"}, "GuessingGame: picks must be 4 different numbers from 1 to 12; got"),
        ({"picks": "0 1 2 3"}, "GuessingGame: picks must be 4 different numbers from 1 to 12; got"),
        ({"picks": "one"}, 'GuessingGame: picks must be numbers, such as "1 4 7 9"; got'),
        ({"budget": 12}, r"GuessingGame: budget must be in \[1, 11\]; got 12"),
    ],
)
def test_what_does_not_fit_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        GuessingGame(Detector(), IMAGES, is_anomaly=TRUTH, **given)


def test_there_must_be_images_enough_to_draw():
    with pytest.raises(ValueError, match="GuessingGame: is_anomaly must leave 4 anomalous images to draw; got 3"):
        GuessingGame(Detector(), IMAGES, is_anomaly=np.arange(N) < 3)


def test_of_several_detectors_one_plays_and_is_chosen_before_the_first_picks():
    class Other(Detector):
        def anomaly_score(self, X):
            return -super().anomaly_score(X).astype(float)

    game = GuessingGame({"lowest": Other(), "highest": Detector()}, IMAGES, is_anomaly=TRUTH, seed=1)
    shown = game.shown
    assert set(shown[game.by_detector]) == set(np.sort(shown)[-4:])
    game.detector_control.value = "lowest"
    assert np.array_equal(game.shown, shown)
    assert set(shown[game.by_detector]) == set(np.sort(shown)[:4])
    assert not game.detector_control.disabled
    choose(game, np.arange(TILES) < 4)
    game.commit_button.click()
    assert game.detector_control.disabled
    game.next_button.click()
    assert game.detector_control.disabled  # the hits of all rounds are one detector's


def test_classes_are_told_with_the_truth_and_not_before():
    game = GuessingGame(Detector(), IMAGES, labels=["kite"] * N, is_anomaly=TRUTH, seed=1)
    assert "kite" not in "".join(tile.value for tile in game.image_views)
    choose(game, np.arange(TILES) < 4)
    game.commit_button.click()
    assert all("kite" in game.describe(k) and "kite" in game.captions[k].value for k in range(TILES))


def test_without_the_truth_there_is_no_game():
    with pytest.raises(ValueError, match="^GuessingGame: is_anomaly must tell which images are anomalous, 0 or 1"):
        GuessingGame(Detector(), IMAGES)
