"""The instructor's guide: its measured part is computed from results, and what it says of the lessons is there."""

import json
import math
import re
from statistics import fmean, stdev

import pytest
from click.testing import CliRunner

from advad.cli.main import main
from advad.lessons import guide
from advad.lessons.catalogue import lessons
from advad.lessons.course import course_map
from advad.lessons.parameters import ParameterError
from tests import ROOT

TEXT = (ROOT / guide.GUIDE).read_text(encoding="utf-8")


def tour(folder, seed, profile="lab", **metrics):
    """Write what lesson 00 would have recorded."""
    place = folder / f"tour{seed}" / "00_start"
    place.mkdir(parents=True)
    prediction = {"question": "Up?", "options": ["yes", "no"], "chosen": None, "truth": ["yes", "no"][seed == 2]}
    results = {
        "finding": f"Seed {seed} found it.",
        "findings": [f"Figure of seed {seed}."],
        "parameters": {"profile": profile, "seed": seed},
        "metrics": metrics,
        "predictions": [prediction],
        "seconds": 10.0 + seed,
        "device": "cpu",
    }
    (place / "results.json").write_text(json.dumps(results))
    return place.parent


def test_expected_findings_are_computed_from_results(tmp_path):
    values = [0.90, 0.92, 0.97]
    tours = [tour(tmp_path, seed, auroc=[value, 0.1, 0.99], n=20_000) for seed, value in enumerate(values)]
    text = guide.renew(tours, tmp_path / "expected.md").read_text()
    reach = 4.302653 * stdev(values) * math.sqrt(4 / 3)  # Student's t with 2 degrees of freedom, 97.5 %
    low, high = fmean(values) - reach, fmean(values) + reach
    assert f"| auroc | 3 | {fmean(values):.3g} | {low:.3g} | {high:.3g} |" in text
    assert "| n | 3 | 20,000 | 20,000 | 20,000 |" in text
    assert "3 runs, seeds 0, 1, 2; 11 s (10 to 12) on cpu." in text
    assert "- *Up?* yes (2 of 3), no (1 of 3)" in text
    assert "Seed 0 found it." in text
    assert "Profile lab, advad " in text
    unmeasured = re.search(r"Not measured yet: (.*)\.\n", text)[1].split(", ")
    assert len(unmeasured) == len(lessons()) - 1


def test_from_one_run_no_tolerance_follows(tmp_path):
    text = guide.renew([tour(tmp_path, 0, auroc=0.9, fall=-0.25)], tmp_path / "expected.md").read_text()
    assert "| auroc | 1 | 0.9 | – | – |" in text
    assert "| fall | 1 | −0.25 | – | – |" in text


def test_results_of_two_profiles_or_of_none_are_refused(tmp_path):
    tours = [tour(tmp_path, 0), tour(tmp_path, 1, profile="smoke")]
    with pytest.raises(ParameterError, match="must be of one profile; got lab, smoke"):
        guide.renew(tours, tmp_path / "expected.md")
    with pytest.raises(ParameterError, match="must hold the results of lessons; there are none"):
        guide.renew([tmp_path / "empty"], tmp_path / "expected.md")
    assert not (tmp_path / "expected.md").exists()


def test_an_installed_package_is_not_written_into(tmp_path, monkeypatch):
    monkeypatch.setattr(guide, "checkout", lambda: None)
    with pytest.raises(ParameterError, match="this is an installed package"):
        guide.renew([tour(tmp_path, 0)])


def test_the_plans_take_two_and_three_hours():
    plans = {
        name: section for name, section in re.findall(r"### (\w+ hours)\n(.*?)(?=\n##|\n### |\Z)", TEXT, re.DOTALL)
    }
    minutes = {name: sum(map(int, re.findall(r"^\| (\d+) \|", plan, re.MULTILINE))) for name, plan in plans.items()}
    assert minutes == {"Two hours": 120, "Three hours": 180}


def test_every_lesson_has_a_common_wrong_answer_and_every_lesson_named_exists():
    section = TEXT.split("## Common wrong answers")[1].split("\n## ")[0]
    numbers = {entry.number for entry in course_map()}
    assert set(re.findall(r"^\| (\d\d) \|", section, re.MULTILINE)) == numbers
    assert set(re.findall(r"\b[Ll]essons? (\d\d)", TEXT)) <= numbers


@pytest.mark.parametrize("word", ["GAN", "critic", "batch normalisation", "prior", "contamination", "AUROC"])
def test_the_glossary_explains_what_lessons_use_before_they_explain_it(word):
    glossary = TEXT.split("## Glossary")[1]
    assert re.search(rf"^\| {word}\b[^|]*\| .{{20,}} \|$", glossary, re.MULTILINE)


def test_commands_that_the_guide_names_exist():
    commands = set(re.findall(r"`advad ([a-z-]+)", TEXT))
    assert {"lab", "tour", "doctor", "hand-in", "class", "guide"} <= commands
    assert commands <= set(main.commands)


def test_the_page_holds_the_guide_and_the_expected_findings(tmp_path):
    result = CliRunner().invoke(main, ["guide", "--out", str(tmp_path / "guide.html")], catch_exceptions=False)
    assert result.exit_code == 0
    page = (tmp_path / "guide.html").read_text()
    for heading in ("Two hours", "Before class", "Expected findings", "Glossary"):
        assert re.search(rf"<h\d[^>]*>{heading}", page), heading
    assert "<table>" in page
    assert not re.search(r"""(src|href)=["']https?:""", page)
