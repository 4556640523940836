"""The exercises accept every right definition, refuse wrong ones, and no notebook shows what is right."""

import ast

import nbformat
import numpy as np
import pytest

import advad
from advad.lessons.answers import EXERCISES
from advad.lessons.catalogue import lessons

ELSEWHERE = {"02_contamination", "03_latent_space", "04_saliency", "05_noise", "06_attacks", "07_few_labels"}
ELSEWHERE |= {"08_how_to_cheat", "09_your_images", "10_scoreboard"}  # their checks still stand in the notebook


def in_place(delta, gradient, step, radius):
    delta += step * gradient.sign()
    return delta.clamp_(-radius, radius)


RIGHT = {  # other definitions than the library's own
    ("00_start", "the score by hand"): [
        lambda x, r: [np.square(a / 255.0 - b).mean() for a, b in zip(x, r, strict=True)],
    ],
    ("00_start", "AUROC from pairs"): [
        lambda a, n: advad.auroc([0] * len(n) + [1] * len(a), [*n, *a]),
        lambda a, n: np.mean([(s > t) + 0.5 * (s == t) for s in a for t in n]),
    ],
    ("00_start", "a threshold"): [
        advad.threshold_at,
        lambda s, rate: np.quantile(s, 1 - rate, method="inverted_cdf"),
        lambda s, rate: min(t for t in s if (s > t).mean() <= rate),
    ],
    ("01_identity_collapse", "a number for copying"): [lambda e, m: (m - e) / m],
    ("01_identity_collapse", "the adversary by hand"): [
        in_place,
        lambda d, g, step, r: (d + step * (g > 0).float() - step * (g < 0).float()).clip(-r, r),
    ],
}
WRONG = {
    ("00_start", "the score by hand"): [
        lambda x, r: ((x - r) ** 2).mean((1, 2, 3)),
        lambda x, r: abs(x / 255 - r).mean((1, 2, 3)),
        lambda x, r: ((x / 255 - r) ** 2).sum((1, 2, 3)),
    ],
    ("00_start", "AUROC from pairs"): [
        lambda a, n: (a[:, None] > n).mean(),
        lambda a, n: (a[:, None] >= n).mean(),
        lambda a, n: 1 - advad.auroc([0] * len(n) + [1] * len(a), [*n, *a]),
    ],
    ("00_start", "a threshold"): [
        lambda s, rate: s.max(),
        lambda s, rate: s.max() + 1,
        lambda s, rate: np.quantile(s, 1 - rate),  # between two scores, it lets a larger share of few images pass
        lambda s, rate: np.sort(s)[-int(rate * len(s)) or -1],
    ],
    ("01_identity_collapse", "a number for copying"): [lambda e, m: e / m, lambda e, m: m - e],
    ("01_identity_collapse", "the adversary by hand"): [
        lambda d, g, step, r: (d + step * g).clamp(-r, r),
        lambda d, g, step, r: d + step * g.sign(),
        lambda d, g, step, r: (d - step * g.sign()).clamp(-r, r),
    ],
}


@pytest.mark.parametrize("key", EXERCISES, ids=lambda key: f"{key[0][:2]}: {key[1]}")
def test_right_is_what_does_what_was_asked(key):
    exercise = EXERCISES[key]
    assert exercise.accepts(exercise.own()), "the library's own"
    assert [k for k, answer in enumerate(RIGHT.get(key, [])) if not exercise.accepts(answer)] == []
    assert [k for k, answer in enumerate(WRONG[key]) if exercise.accepts(answer)] == []


@pytest.mark.parametrize("key", EXERCISES, ids=lambda key: f"{key[0][:2]}: {key[1]}")
def test_hints_are_two_different_steps(key):
    nudge, recipe = EXERCISES[key].hints
    assert nudge.endswith(("?", "."))
    assert recipe.endswith(".")
    assert nudge != recipe


def calls(path):
    """Return the arguments of each `lesson.check` in a notebook's code: by position, and the names of the others."""
    code = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    nodes = [node for source in code for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    checks = [node for node in nodes if ast.unparse(node.func) == "lesson.check"]
    return [(node.args, {keyword.arg for keyword in node.keywords}) for node in checks]


@pytest.mark.parametrize("path", [p for p in lessons() if p.stem not in ELSEWHERE], ids=lambda path: path.stem)
def test_no_check_shows_its_answer(path):
    """A check names an exercise of the library and the reader's answer, and nothing that shows the right one."""
    names = []
    for arguments, keywords in calls(path):
        name, answer = arguments
        assert isinstance(answer, ast.Name)
        assert not keywords & {"correct", "hint"}
        names.append(ast.literal_eval(name))
    assert names == [name for lesson, name in EXERCISES if lesson == path.stem], "all of them, in order"
