"""A finding that claims a direction says so only where it is true: its cell is run with results of both kinds."""

from types import SimpleNamespace
from unittest.mock import MagicMock

import nbformat
import numpy as np
import pytest

import advad
from advad.explorers.aae_prior import side_of
from advad.lessons.catalogue import find_lesson
from advad.lessons.wordings import listed

DIGITS = {"noun": "digit", "nouns": "digits", "normal_name": "the digit 8", "other_name": "other digits"}


def said(number, *cells, **names):
    """Return what a lesson's cells show, reveal and find, when the names in them have these values."""
    notebook = nbformat.read(find_lesson(number), as_version=4)
    sources = {each.id: each.source for each in notebook.cells}
    texts = []

    def show(_, finding, *__, **___):
        texts.append(finding)

    def reveal(_, truth, because=""):
        texts.append(f"It is: {truth}. {because}")

    lesson = SimpleNamespace(show=show, image=show, finding=texts.append, reveal=reveal)
    source = "\n".join(sources[cell] for cell in cells)
    known = {"advad": advad, "lesson": lesson, "plots": MagicMock(), "np": np, "listed": listed}
    exec(source, known | DIGITS | names)
    return " ".join(texts)


def detectors(**scores):
    """Return stand-ins that give each image these scores, by name."""
    return {
        name: SimpleNamespace(reconstruct=MagicMock(), anomaly_score=lambda x, s=s: np.full(8, s))
        for name, s in scores.items()
    }


def watched(copying, auroc):
    seen = {"epoch": [1, 2, 3], "auroc": auroc, "other digits": [1 - rate for rate in copying], "noise": [1, 1, 1]}
    return seen | {"the digit 8": [3, 2, 1], "checkerboards": [1, 1, 1]}


@pytest.mark.parametrize(
    ("ratio", "yes", "no"),
    [
        ({"AE": 0.7, "ARAE": 0.8}, "Below 1 (AE, ARAE), the anomaly is reconstructed better", "Above 1"),
        ({"AE": 0.9, "ARAE": 1.2}, "Below 1 (AE), the anomaly", "Above 1"),
        ({"AE": 1.1, "ARAE": 1.9}, "Above 1, the anomaly is reconstructed worse", "Below 1"),
    ],
)
def test_lesson_01_says_of_fig_1_whether_the_anomaly_gives_itself_away(ratio, yes, no):
    names = {"anomalous": 1, "images": None, "class_name": lambda images, number: f"the digit {number}"}
    names |= {"others": np.zeros((9, 1, 4, 4)), "detectors": detectors(AE=0.1, ARAE=0.2)}
    text = said("01", "fig1-figure", ratio=ratio, **names)
    assert text.startswith("Error on the digit 1 over error on the digit 8: AE ")
    assert yes in text
    assert no not in text


@pytest.mark.parametrize(
    ("auroc", "truth", "yes", "no"),
    [
        ([0.8, 0.9, 0.9], "stays", "has not harmed it here", "other digits, too"),
        ([0.8, 0.9, 0.885], "falls a little", "served to give back other digits, too", "has not harmed"),
        ([0.95, 0.9, 0.8], "falls far", "served to give back other digits, too", "has not harmed"),
    ],
)
def test_lesson_01_says_where_the_auroc_ends(auroc, truth, yes, no):
    seen = watched([0, 0.5, 0.9], auroc)
    text = said("01", "auroc-epochs", seen=seen, watched={"AE": seen, "ARAE": seen}, guess=None)
    assert f"It is: {truth}." in text
    assert yes in text
    assert no not in text


@pytest.mark.parametrize(
    ("copying", "yes", "no"),
    [
        (
            {"AE": [0.1, 0.9], "DAE": [0.1, 0.8], "ARAE": [0.1, 0.3]},
            ["learns to give back what it has never seen", "makes copying expensive"],
            "does not do so here",
        ),
        (
            {"AE": [0.5, 0.5], "DAE": [0.1, 0.4], "ARAE": [0.1, 0.6]},
            ["of use for its own digit only", "does not do so here"],
            "makes copying expensive",
        ),
    ],
)
def test_lesson_01_says_who_copies(copying, yes, no):
    names = {"copying": copying, "watched": {name: {"epoch": [1, 2]} for name in copying}, "copier_guess": None}
    at_end = {name: rates[-1] for name, rates in copying.items()}
    text = said("01", "copying-figure", **names)
    text += said("01", "copying-reveal", at_end=at_end, copier=max(at_end, key=at_end.get), copier_guess=None)
    assert f"It is: {max(at_end, key=at_end.get)}." in text
    assert all(part in text for part in yes)
    assert no not in text


@pytest.mark.parametrize(
    ("arae", "yes"),
    [(0.5, "ARAE has learned to hold its code still"), (2.0, "It is DAE whose code moves least, although")],
)
def test_lesson_01_says_whose_code_moves_least(arae, yes):
    moves = {"AE": [0.1, 1.5], "DAE": [0.1, 0.9], "ARAE": [0.1, arae]}
    assert yes in said("01", "adversary-figure", moves=moves)


@pytest.mark.parametrize(
    ("wide", "narrow", "truth", "yes"),
    [
        (
            [0.74, 0.83, 0.80],
            [0.7, 0.8, 0.86],
            "a code of 8",
            ["it collapses", "the narrow code is the cure", "ARAE, above"],
        ),
        ([0.74, 0.83, 0.83], [0.7, 0.8, 0.86], "a code of 8", ["no collapse here", "the narrow code is the cure"]),
        ([0.74, 0.83, 0.80], [0.7, 0.8, 0.75], "a code of 64", ["it collapses", "is no cure", "look at both figures"]),
        (
            [0.74, 0.83, 0.85],
            [0.7, 0.8, 0.75],
            "a code of 64",
            ["no collapse here", "is no cure", "look at both figures"],
        ),
    ],
)
def test_lesson_01_says_whether_it_collapses_and_what_cures_it(wide, narrow, truth, yes):
    collapse = {
        "a code of 64": {"copying": [0.03, 0.5, 0.8], "auroc": wide},
        "a code of 8": {"copying": [-0.1, 0.2, 0.3], "auroc": narrow},
    }
    text = said("01", "collapse-figure", "collapse-reveal", collapse=collapse, collapse_guess=None)
    assert f"It is: {truth}." in text
    assert all(part in text for part in yes)
    assert ("it collapses" in text) != ("no collapse here" in text)
    assert "goes from 3% to 80%, with a code of 8 to 30%" in text


def test_lesson_01_calls_no_fall_a_collapse_without_copying():
    seen = {"copying": [0.03, 0.1, 0.2], "auroc": [0.7, 0.9, 0.6]}
    assert "no collapse here" in said(
        "01", "collapse-figure", collapse={"a code of 64": seen, "a code of 8": seen}, collapse_guess=None
    )


@pytest.mark.parametrize(
    ("gains", "right", "truth", "yes"),
    [
        (
            (-0.03, 0.06, 0.05),
            (0.0, 0.2, 0.3),
            "0.02 or more",
            ["make the difference", "On clothes it pays", "fewest flags are right"],
        ),
        ((0.03, 0.06, 0.0), (0.1, 0.2, 0.3), "0.02 or more", ["pays, short or long", "does not pay", "does not tell"]),
        ((0.0, 0.01, 0.05), (0.1, 0.2, 0.3), "between −0.02 and 0.02", ["does not pay, short or long", "it pays"]),
        ((0.03, -0.06, 0.05), (0.3, 0.2, 0.3), "−0.02 or less", ["take the gain away", "fewest flags are right"]),
    ],
)
def test_lesson_02_says_where_refinement_pays(gains, right, truth, yes):
    keys = [(rule, kind) for rule in ("error alone", "either or") for kind in ("observed", "unobserved")]
    names = ("digits, short", "digits, longer", "clothes, longer")
    settings_gain = {name: dict.fromkeys(keys, value) for name, value in zip(names, gains, strict=True)}
    flags_right = {name: (share, 0.5) for name, share in zip(names, right, strict=True)}
    names = {"settings_gain": settings_gain, "flags_right": flags_right, "here": "digits", "there": "clothes"}
    text = said("02", "second-figure", "second-reveal", **names, second_guess=None)
    assert f"It is: {truth}." in text
    assert all(part in text for part in yes)


@pytest.mark.parametrize(
    ("pca", "tsne", "truth", "yes"),
    [
        (0.2, 0.6, "t-SNE", "PCA looks at directions"),
        (0.7, 0.6, "PCA", "PCA, which was not made for neighbours, is not the last here"),
    ],
)
def test_lesson_03_says_which_map_keeps_most(pca, tsne, truth, yes):
    layout = SimpleNamespace(trustworthiness=0.9, neighbourhood_preservation=0.5)
    names = {
        "images": None,
        "normal": 8,
        "class_name": lambda images, normal: "the digit 8",
        "is_anomaly": np.array([False, True]),
        "maps": {("AE", "pca"): layout},
        "NAMES": {"pca": "PCA"},
        "trustworthiness": {("AE", "pca"): 0.9},
        "mean_preservation": {"PCA": pca, "t-SNE": tsne, "UMAP": 0.4},
        "guess": None,
    }
    assert f"{truth} keeps most:" in said("03", "maps", **names)
    text = said("03", "maps-reveal", best=truth, mean_preservation=names["mean_preservation"], guess=None)
    assert f"It is: {truth}. {yes}" in text


@pytest.mark.parametrize(
    ("in_code", "yes", "no"),
    [
        (0.8, "1 of 2 maps set them further apart than the code does", "No map"),
        (0.95, "No map sets them further apart than the code does", "of 2 maps"),
    ],
)
def test_lesson_03_says_which_maps_exaggerate(in_code, yes, no):
    maps_apart = {"seed 0": 0.7, "seed 1": 0.9}
    again = dict.fromkeys(maps_apart)
    text = said("03", "stability-figure", maps_apart=maps_apart, again=again, apart_in_code=in_code, groups={})
    assert "from 0.700 to 0.900 over the maps" in text
    assert yes in text
    assert no not in text


@pytest.mark.parametrize(
    ("deviation", "yes"), [(1.0, "they fill it"), (0.5, "closer together than it asks"), (2.0, "wider apart than it")]
)
def test_lesson_03_says_whether_codes_fill_the_prior(deviation, yes):
    codes = deviation * np.array([[-1.0, -1.0], [1.0, 1.0], [9.0, 9.0]])
    is_anomaly = np.array([False, False, True])
    assert yes in said("03", "aae-plane", codes={"AAE": codes}, is_anomaly=is_anomaly, groups={})


@pytest.mark.parametrize(
    ("score", "yes", "no"),
    [
        (0.1, "81 of 81 are as normal", "no normal image"),
        (9.0, "stands for no normal image", "for normal images"),
    ],
)
def test_lesson_03_says_what_the_plane_stands_for(score, yes, no):
    scores = SimpleNamespace(anomaly_score=lambda x: np.full(len(x), score) if len(x) == 81 else np.ones(len(x)))
    split = SimpleNamespace(test=np.zeros((4, 1, 2, 2)))
    names = {"detectors": {"AE": scores}, "split": split, "is_anomaly": np.array([False, False, True, True])}
    text = said("03", "grid-figure", decoded=np.zeros((9, 9, 1, 2, 2)), side=np.linspace(-2, 2, 9), **names)
    assert yes in text
    assert no not in text


@pytest.mark.parametrize(
    ("code", "yes", "no"),
    [
        (0.1, "are the more normal ones", "is not the more"),
        (0.9, "is not the more normal", "are the more"),
    ],
)
def test_lesson_03_says_which_way_is_the_more_normal_one(code, yes, no):
    ae = SimpleNamespace(anomaly_score=lambda way: np.asarray(way))
    ways = {"through the code": [9, code, 9], "through the pixels": [9, 0.5, 9]}
    names = {"detectors": {"AE": ae}, "class_name": lambda *_: "the digit 8", "images": None, "normal": 8}
    text = said("03", "path-figure", ways=ways, **names)
    assert yes in text
    assert no not in text


@pytest.mark.parametrize(
    ("in_order", "yes", "no"), [(0.1, "is gone when the batch", "takes little"), (0.9, "takes little away", "is gone")]
)
def test_lesson_08_says_what_a_batch_of_one_class_takes_away(in_order, yes, no):
    normalised = {"shuffled": [-1, 1], "class order": [-in_order, in_order]}
    text = said("08", "brightness-figure", normalised=normalised)
    assert yes in text
    assert no not in text


@pytest.mark.parametrize(("seeds", "yes"), [(5, "makes a record cheap"), (500, "a record is dear")])
def test_lesson_08_says_what_a_record_costs(seeds, yes):
    names = {"seeds_needed": lambda n, m, goal: seeds, "n_normal": 50, "n_other": 150}
    assert yes in said("08", "seeds-needed", **names)


@pytest.mark.parametrize(
    ("hidden", "all_layers", "truth", "yes", "no"),
    [
        ([0.1, 0.5, 0.9], [0.1, 0.1, 0.1], "outside", "Neither paper is wrong", "Over all nine"),
        ([0.9, 0.9, 0.2], [0.9, 0.9, 0.9], "inside", "Neither paper is wrong", "Over all nine"),
        ([0.7, 0.8, 0.9], [0.5, 0.7, 0.7], "outside", "Over all nine games here: neither or outside", "Neither paper"),
    ],
)
def test_lesson_11_says_where_the_contaminating_class_lies(hidden, all_layers, truth, yes, no):
    place = {"batch norm: hidden": hidden, "batch norm: all": all_layers}
    names = {"place": place, "strengths": (1e-4, 3e-4, 1e-3), "guess": None}
    text = said("11", "game-figure", side_of=side_of, **names)
    assert f"{hidden[-1]:.2f} by default ({truth})" in text
    places = {side_of(value) for value in [*hidden, *all_layers]}
    text = said("11", "game-reveal", verdict=truth, places=places, guess=None)
    assert f"It is: {truth}." in text
    assert yes in text
    assert no not in text


@pytest.mark.parametrize(
    ("normal", "anomalous", "yes", "no"),
    [
        (0.6, 0.5, "normal images and anomalies crowd in the corners, as in", "unlike"),
        (0.3, 0.1, ": normal images crowd in the corners, as in", "unlike"),
        (0.1, 0.1, "the corners are not crowded here, unlike", "as in"),
    ],
)
def test_lesson_11_says_whether_the_corners_are_crowded(normal, anomalous, yes, no):
    in_corners = {"normal images": normal, "anomalies": anomalous, "prior": 0.37}
    names = {"in_corners": in_corners, "out_of_reach": 0.32, "codes": {"f-AnoGAN": np.eye(2)}}
    text = said("11", "histograms", is_anomaly=np.array([False, True]), **names)
    assert f"{normal:.0%} of the coefficients of normal images and {anomalous:.0%} of those of anomalies" in text
    assert yes in text
    assert no not in text


@pytest.mark.parametrize(
    ("deviation", "yes", "no"), [(0.5, "nearer to the origin, as in", "unlike"), (1.0, "unlike", "as in")]
)
def test_lesson_11_says_whether_bergs_anomalies_are_nearer(deviation, yes, no):
    normal, anomalies = np.array([-1.0, 1.0]), np.array([-deviation, deviation])
    coefficients = {name: {"normal images": normal, "anomalies": anomalies} for name in ("Berg", "AE")}
    text = said("11", "histograms-berg", coefficients=coefficients, berg_guess=None)
    assert yes in text
    assert no not in text


@pytest.mark.parametrize(
    ("from_origin", "error", "truth", "parts"),
    [
        (
            {"AE": 0.8, "Berg": 0.1},
            0.85,
            "inside",
            ["shorter codes for Berg", "for AE", "for 1 of 2", "As the"],
        ),
        ({"AE": 0.8, "Berg": 0.7}, 0.9, "outside", ["shorter codes for no network", "for 2 of 2", "so nothing keeps"]),
        ({"AE": 0.3, "Berg": 0.45}, 0.5, "neither", ["longer ones for none", "for 0 of 2", "so nothing keeps"]),
    ],
)
def test_lesson_11_says_what_the_distance_is_good_for(from_origin, error, truth, parts):
    names = {"from_origin": from_origin, "from_error": dict.fromkeys(from_origin, error), "codes": from_origin}
    text = said("11", "distance-figure", side_of=side_of, berg_guess=None, **names)
    assert f"It is: {truth}." in text
    assert all(part in text for part in parts)


@pytest.mark.parametrize(
    ("fanogan", "berg", "yes"),
    [
        ((0.9, 0.7), (0.9, 0.8), "holds here"),
        ((0.9, 0.8), (0.9, 0.7), "does not hold here"),
        ((0.7, 0.9), (0.7, 0.95), "does not hold here"),
    ],
)
def test_lesson_11_says_whom_contamination_costs_more(fanogan, berg, yes):
    apart = {"f-AnoGAN, 0%": fanogan[0], "f-AnoGAN, 5%": fanogan[1], "Berg, 0%": berg[0], "Berg, 5%": berg[1]}
    text = said("11", "clean-maps", latent=MagicMock(), by_share=apart, is_anomaly=None, seed=0, apart=apart, groups={})
    assert f"That contamination costs f-AnoGAN more than Berg {yes}" in text


@pytest.mark.parametrize(
    ("image", "code", "yes"),
    [(0.5, 0.6, "holds here"), (0.5, 1.1, "does not hold here: many codes"), (1.0, 0.5, "cannot be tested here")],
)
def test_lesson_11_says_whether_d_I_implies_d_z(image, code, yes):
    left = {"by d_I": {"d_I": image, "d_z": code}, "by d_z": {"d_I": 1.2, "d_z": 1.0}}
    text = said("11", "d-figure", left=left)
    assert f"leaves {image:.0%} of d_I and {code:.0%} of d_z" in text
    assert f"a good d_z {yes}" in text


@pytest.mark.parametrize(("gap", "yes"), [(0.9, "by d_I, as in the paper"), (0.5, "by d_z; the paper has d_I ahead")])
def test_lesson_11_says_which_codes_are_the_better_separated(gap, yes):
    terms = {name: {"L_n": 0.9, "L_o": 0.4} for name in ("by d_I", "by d_z")}
    names = {"gaps": {"by d_I": gap, "by d_z": 0.7}, "auroc_of_terms": terms, "layouts": {}, "groups": {}}
    assert yes in said("11", "d-maps-figure", **names)


def gains(alone, joint):
    return {(rule, "observed"): value for rule, value in (("error alone", alone), ("either or", joint))}


@pytest.mark.parametrize(("alone", "joint", "yes"), [(0.05, -0.01, "is smaller"), (0.01, -0.05, "is larger")])
def test_lesson_02_says_by_which_rule_refinement_changes_more(alone, joint, yes):
    names = {"gain": gains(alone, joint), "kinds": ["observed"], "bacc": {}, "ceiling_guess": None}
    text = said("02", "rules-plot", **names)
    assert f"{yes} by the paper's own rule" in text
    assert f"changes the AAE's BACC by {alone:+.3f} on observed anomalies" in text


@pytest.mark.parametrize(
    ("held_out", "last", "truth", "yes"),
    [
        (0.80, 0.80, "the network", ": 0% of the fall is the threshold's"),
        (0.70, 0.80, "the network", ": 0% of the fall is the threshold's"),
        (0.90, 0.80, "the threshold", "100% of the fall is the threshold's"),
        (0.90, 0.899, "neither", "BACC does not fall here"),
    ],
)
def test_lesson_02_says_what_lowers_bacc(held_out, last, truth, yes):
    seen = {"epoch": [1, 2], "TNR": [0.9, 0.7], "TPR": [0.9, 0.9], "BACC": [0.9, last], "AUROC": [0.9, 0.9]}
    names = {"watched": seen | {"BACC, held-out threshold": [0.9, held_out]}, "guess": None, "levels": {}}
    names["published_values"] = {0.01: 0.69, 0.001: 0.68}
    text = said("02", "rates", "rates-reveal", "share-figure", **names)
    assert f"It is: {truth}." in text
    assert yes in text
    assert "is too low for new ones" in text


@pytest.mark.parametrize(
    ("noisy", "attacked", "yes", "no"),
    [
        (
            {"AE": 0.85, "DAE": 0.97},
            0.1,
            ["the harm is the attack's.", "Noise lifts DAE, trained on noisy images, by 0.07."],
            "size's",
        ),
        ({"AE": 0.5, "DAE": 0.9}, 0.4, ["the harm is the size's: coins do half of it or more."], "Noise lifts"),
    ],
)
def test_lesson_06_says_whether_it_was_the_attack_or_the_size(noisy, attacked, yes, no):
    lines = {name: [0.9, attacked] for name in ("AE", "DAE", "ARAE")}
    by_chance = {name: [0.9, value] for name, value in (noisy | {"ARAE": 0.9}).items()}
    names = {"lines": lines, "by_chance": by_chance, "axis": [0, 0.1], "at": 1, "radius": 0.1, "words": {}}
    text = said("06", "random-figure", **names, guess=None)
    assert all(part in text for part in yes)
    assert no not in text


@pytest.mark.parametrize(
    ("beaten", "truth", "yes"),
    [
        ({"AE": 0.0, "ARAE": 0.04}, "below 5 %", ["no sign here that PGD", "questions alone find little"]),
        ({"AE": 0.0, "ARAE": 0.5}, "5 % to 50 %", ["For ARAE PGD had stopped short", "the gradient leads astray"]),
        ({"AE": 0.1, "ARAE": 0.6}, "above 50 %", ["For AE, ARAE PGD had stopped short", "leads astray"]),
    ],
)
def test_lesson_06_says_where_square_finds_more(beaten, truth, yes):
    text = said("06", "square-figure", "square-reveal", beaten=beaten, guess_2=None)
    assert f"It is: {truth}." in text
    assert all(part in text for part in yes)


@pytest.mark.parametrize(("transferred", "yes"), [(0.5, "the attack travels"), (0.9, "the attack does not travel")])
def test_lesson_06_says_whether_an_attack_travels(transferred, yes):
    row = {"unattacked": 0.9, "coins": 0.9, "made against AE": transferred, "made against ARAE": 0.9}
    text = said("06", "zoo-transfer-figure", shown_table={"AE": row, "VAE": row, "AAE": row}, radius=0.1)
    assert yes in text
    assert "Shown to the 2 other detectors" in text


@pytest.mark.parametrize(
    ("comparable", "yes", "no"), [(True, "(-0.06)", "other images"), (False, "other images", "(-")]
)
def test_lesson_06_compares_with_table_5_what_can_be_compared(comparable, yes, no):
    names = {"dataset": "MNIST" if comparable else "FashionMNIST", "profile": "lab", "normal": 8, "sizes": [0.05]}
    names |= {"ours": {0.05: 0.8}, "printed": {("ARAE", 0.05): 0.86}, "gap": {0.05: -0.06}, "points": {}}
    text = said("06", "table-5-plot", **names, left={"ARAE": 0.3}, radius=0.1, words={}, guess=None)
    assert yes in text
    assert no not in text
