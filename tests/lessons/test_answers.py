"""The exercises accept every right definition, refuse wrong ones, and no notebook shows what is right."""

import ast
import statistics

import nbformat
import numpy as np
import pytest
import torch

import advad
from advad.analysis.evaluation_pitfalls import auroc_sd, expected_best
from advad.analysis.saliency import mask_agreement
from advad.attacks import far_end
from advad.lessons.answers import EXERCISES
from advad.lessons.catalogue import lessons


def in_place(delta, gradient, step, radius):
    delta += step * gradient.sign()
    return delta.clamp_(-radius, radius)


def covered_from_scratch(image, row, column, patch, fill):
    inside = np.zeros(image.shape[1:], dtype=bool)
    inside[row : row + patch, column : column + patch] = True
    return np.where(inside, np.uint8(fill), image)


def covered_in_place(image, row, column, patch, fill):
    image[:, row : row + patch, column : column + patch] = fill
    return image


def one_too_many(image, row, column, patch, fill):
    return covered_in_place(image.copy(), row, column, patch + 1, fill)


def first_highest(values, mask):
    """Mark exactly as many pixels as the mask has: the same, where no two values tie."""
    marked = np.zeros(mask.size, dtype=bool)
    marked[np.argsort(values, axis=None)[::-1][: mask.sum()]] = True
    return np.logical_and(marked, mask.ravel()).sum() / np.logical_or(marked, mask.ravel()).sum()


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
    ("02_contamination", "balanced accuracy"): [
        lambda s, y, t: advad.balanced_accuracy(y, s, t),
        lambda s, y, t: np.mean([(s[~y] <= t).mean(), (s[y] > t).mean()]),
    ],
    ("02_contamination", "enrichment"): [lambda f, s: (f & s).sum() * len(s) / (f.sum() * s.sum())],
    ("02_contamination", "either or"): [
        lambda e, p, a, b: np.logical_or(e > a, p < b),
        lambda e, p, a, b: [bool(x > a or y < b) for x, y in zip(e, p, strict=True)],
    ],
    ("03_latent_space", "invented neighbours"): [
        lambda a, b: sum(x not in list(b) for x in a),
        lambda a, b: len(np.setdiff1d(a, b)),
    ],
    ("03_latent_space", "a path"): [lambda a, b, n: [a + (b - a) * k / (n - 1) for k in range(n)]],
    ("04_saliency", "cover a patch"): [covered_from_scratch],
    ("04_saliency", "IoU by hand"): [lambda v, m: mask_agreement(v[None], m[None]).iou, first_highest],
    ("05_noise", "the blend"): [lambda x, n, alpha: n + alpha * (x - n)],
    ("05_noise", "strength"): [
        lambda x, c: np.mean([np.sqrt(np.square(b - a).mean()) for a, b in zip(x, c, strict=True)])
    ],
    ("06_attacks", "one step uphill"): [
        lambda x, d, g, step, size: (x + (d + step * g.sign()).clamp(-size, size)).clamp(0, 1).sub(x),
        lambda x, d, g, step, size: torch.maximum(
            torch.minimum(d + step * torch.sign(g), torch.minimum(1 - x, torch.tensor(size))),
            torch.maximum(-x, torch.tensor(-size)),
        ),
    ],
    ("06_attacks", "the far end"): [
        lambda x, r, size: far_end(torch.as_tensor(x), torch.as_tensor(r), size),
        lambda x, r, size: np.where(
            abs((x + size).clip(0, 1) - r) > abs((x - size).clip(0, 1) - r),
            (x + size).clip(0, 1),
            (x - size).clip(0, 1),
        ),
    ],
    ("06_attacks", "which way did it go?"): [
        lambda a, b: torch.cosine_similarity(torch.as_tensor(a), torch.as_tensor(b)),
    ],
    ("07_few_labels", "how many is five per cent"): [lambda n, g: int(n * g / (1 - g) + 0.5)],
    ("07_few_labels", "the contextual adversarial loss"): [lambda G, x: -np.mean(np.abs(G(x) - G(G(x))))],
    ("07_few_labels", "the loss of Deep SAD"): [
        lambda d, y: np.mean([1 / a if b else a for a, b in zip(d, y, strict=True)]),
        lambda d, y: (d ** (1 - 2 * y.astype(int))).mean(),
    ],
    ("08_how_to_cheat", "the batch decides"): [
        lambda h, eps=1e-5: torch.nn.BatchNorm1d(h.shape[1], eps, affine=False)(torch.as_tensor(h).float()).numpy(),
    ],
    ("08_how_to_cheat", "seeds for a new state of the art"): [
        lambda a, b, goal: next(k for k in range(1, 10**5) if 0.5 + auroc_sd(a, b) * expected_best(k) >= goal),
    ],
    ("09_your_images", "how many do you need?"): [
        lambda limit: min(n for n in range(20, 3000, 20) if advad.rate_interval(n // 20, n).high < limit),
    ],
    ("09_your_images", "a score that people understand"): [
        lambda s, held: [(1 + sum(h >= x for h in held)) / (1 + len(held)) for x in s],
    ],
    ("10_scoreboard", "one number for all classes"): [
        lambda a: [a.mean(), statistics.stdev(a[:, k].mean() for k in range(a.shape[1]))],
    ],
    ("10_scoreboard", "the price of honesty"): [lambda a: np.mean([max(row) - np.mean(row) for row in a])],
    ("11_where_anomalies_live", "the distance from the origin"): [
        lambda z: np.sqrt((z**2).sum(1)),
        lambda z: [np.hypot.reduce(row) for row in z],
    ],
    ("11_where_anomalies_live", "in the corners"): [
        lambda z, size: 1 - np.mean((-size <= z) & (z <= size)),
        lambda z, size: np.mean([np.mean(abs(row) > size) for row in z]),
    ],
    ("11_where_anomalies_live", "d_I"): [
        lambda G, E, z: np.mean([abs(x - y).mean() for x, y in zip(G(z), G(E(G(z))), strict=True)]),
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
    ("02_contamination", "balanced accuracy"): [
        lambda s, y, t: ((s > t) == y).mean(),
        lambda s, y, t: (s[y] > t).mean(),
        lambda s, y, t: advad.auroc(y, s),
    ],
    ("02_contamination", "enrichment"): [lambda f, s: s[f].mean(), lambda f, s: f[s].mean()],
    ("02_contamination", "either or"): [
        lambda e, p, a, b: (e > a) & (p < b),
        lambda e, p, a, b: (e > a) | (p > b),
        lambda e, p, a, b: e > a,
    ],
    ("03_latent_space", "invented neighbours"): [
        lambda a, b: sum(x != y for x, y in zip(a, b, strict=True)),
        lambda a, b: len(set(a) & set(b)),
    ],
    ("03_latent_space", "a path"): [
        lambda a, b, n: np.linspace(b, a, n),
        lambda a, b, n: np.linspace(a, b, n + 1)[:-1],
        lambda a, b, n: np.linspace(a, b, 7),
    ],
    ("04_saliency", "cover a patch"): [covered_in_place, one_too_many, lambda image, *_: image],
    ("04_saliency", "IoU by hand"): [
        lambda v, m: (v > v.mean()).mean(),
        lambda v, m: (m & (v >= np.sort(v, axis=None)[-m.sum()])).sum() / m.sum(),
    ],
    ("05_noise", "the blend"): [lambda x, n, alpha: alpha * n + (1 - alpha) * x, lambda x, n, alpha: x + alpha * n],
    ("05_noise", "strength"): [
        lambda x, c: np.sqrt(((c - x) ** 2).mean()),
        lambda x, c: ((c - x) ** 2).mean(),
        lambda x, c: abs(c - x).mean(),
    ],
    ("06_attacks", "one step uphill"): [
        lambda x, d, g, step, size: (d + step * g.sign()).clamp(-size, size),
        lambda x, d, g, step, size: (x + d + step * g.sign()).clamp(0, 1) - x,
        lambda x, d, g, step, size: (x + (d + step * g).clamp(-size, size)).clamp(0, 1) - x,
        lambda x, d, g, step, size: (x + (d - step * g.sign()).clamp(-size, size)).clamp(0, 1) - x,
    ],
    ("06_attacks", "the far end"): [
        lambda x, r, size: np.clip(x + size * np.sign(x - r), 0, 1),
        lambda x, r, size: x + size * np.sign(x - r),
        lambda x, r, size: x,
    ],
    ("06_attacks", "which way did it go?"): [
        lambda a, b: (a * b).sum(1),
        lambda a, b: (a * b).sum() / (np.linalg.norm(a) * np.linalg.norm(b)),
    ],
    ("07_few_labels", "how many is five per cent"): [lambda n, g: round(n * g), lambda n, g: n * g / (1 - g)],
    ("07_few_labels", "the contextual adversarial loss"): [
        lambda G, x: -abs(x - G(x)).mean(),
        lambda G, x: abs(G(x) - G(G(x))).mean(),
        lambda G, x: -abs(x - G(G(x))).mean(),
    ],
    ("07_few_labels", "the loss of Deep SAD"): [
        lambda d, y: d.mean(),
        lambda d, y: np.where(y == 1, d, 1 / d).mean(),
        lambda d, y: np.where(y == 1, -d, d).mean(),
    ],
    ("08_how_to_cheat", "the batch decides"): [
        lambda h, eps=1e-5: h - h.mean(0),
        lambda h, eps=1e-5: (h - h.mean(1, keepdims=True)) / np.sqrt(h.var(1, keepdims=True) + eps),
        lambda h, eps=1e-5: (h - h.mean(0)) / np.sqrt(h.var(0, ddof=1) + eps),
        lambda h, eps=1e-5: (h - h.mean(0)) / (h.std(0) + eps),
    ],
    ("08_how_to_cheat", "seeds for a new state of the art"): [lambda a, b, goal: 1, lambda a, b, goal: 3],
    ("09_your_images", "how many do you need?"): [lambda limit: 20, lambda limit: round(1 / limit) * 20],
    ("09_your_images", "a score that people understand"): [
        lambda s, held: (s[:, None] <= held).mean(1),
        lambda s, held: (1 + (s[:, None] < held).sum(1)) / (1 + len(held)),
        lambda s, held: s / max(held),
    ],
    ("10_scoreboard", "one number for all classes"): [
        lambda a: (a.mean(), a.std(ddof=1)),
        lambda a: (a.mean(), a.mean(1).std(ddof=1)),
        lambda a: (a.mean(), a.mean(0).std()),
    ],
    ("10_scoreboard", "the price of honesty"): [
        lambda a: a.max(1).mean(),
        lambda a: a.max() - a.mean(),
        lambda a: a.mean(0).max() - a.mean(),
    ],
    ("11_where_anomalies_live", "the distance from the origin"): [
        lambda z: (z**2).sum(1),
        lambda z: np.linalg.norm(z),
        lambda z: np.linalg.norm(z, axis=0),
        lambda z: -np.linalg.norm(z, axis=1),
        lambda z: np.linalg.norm(z - z.mean(0), axis=1),
    ],
    ("11_where_anomalies_live", "in the corners"): [
        lambda z, size: (z > size).mean(),
        lambda z, size: (abs(z) > size).sum(),
        lambda z, size: (abs(z) > size).all(1).mean(),
        lambda z, size: (abs(z) > 0.9).mean(),
    ],
    ("11_where_anomalies_live", "d_I"): [
        lambda G, E, z: abs(z - E(G(z))).mean(),
        lambda G, E, z: (G(z) - G(E(G(z)))).mean(),
        lambda G, E, z: ((G(z) - G(E(G(z)))) ** 2).mean(),
        lambda G, E, z: abs(G(z) - G(E(G(z)))).sum(),
    ],
}


@pytest.mark.parametrize("key", EXERCISES, ids=lambda key: f"{key[0][:2]}: {key[1]}")
def test_right_is_what_does_what_was_asked(key):
    exercise = EXERCISES[key]
    assert exercise.accepts(exercise.own), "the library's own"
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


@pytest.mark.parametrize("path", lessons(), ids=lambda path: path.stem)
def test_no_check_shows_its_answer(path):
    """A check names an exercise of the library and the reader's answer, and nothing that shows the right one."""
    names = []
    for arguments, keywords in calls(path):
        name, answer = arguments
        assert isinstance(answer, ast.Name)
        assert not keywords & {"correct", "hint"}
        names.append(ast.literal_eval(name))
    assert names == [name for lesson, name in EXERCISES if lesson == path.stem], "all of them, in order"
