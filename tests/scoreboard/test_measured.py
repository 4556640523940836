"""data/measured.csv: the project's own results, each with what gave it."""

import csv
import json
import re
from pathlib import Path

import advad
from advad.scoreboard.measured import COLUMNS, SPECS
from advad.scoreboard.rows import SIZES
from tests.benchmarks.methods import published

PATH = Path(__file__).resolve().parents[1] / "data" / "measured.csv"


def rows():
    with open(PATH, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_row_is_whole_and_says_what_gave_it():
    assert rows()
    for row in rows():
        assert list(row) == COLUMNS
        assert hasattr(advad, row["method"])
        assert 0 <= float(row["value"]) <= 1
        assert int(row["n_seeds"]) >= 3
        assert 0 <= float(row["spread"]) < 0.5
        assert float(row["seconds"]) > 0
        assert (int(row["parameters"]) > 0) == issubclass(getattr(advad, row["method"]), advad.Detector)
        assert set(json.loads(row["settings"])) <= {*getattr(advad, row["method"])().get_params(), *SIZES}
        bench, sweep = re.fullmatch(r"(python -m tests\..+)|advad sweep data/sweeps/(.+)", row["command"]).groups()
        assert bench or (SPECS / sweep).is_file()
        assert row["hardware"]
        assert len(row["date"]) == 10


def test_no_result_stands_twice():
    keys = [
        tuple(row[name] for name in COLUMNS if name not in ("value", "spread", "seconds", "date")) for row in rows()
    ]
    assert len(set(keys)) == len(keys)


def test_the_published_figure_is_found_beside_it():
    split = advad.one_class(advad.load("digits"), normal=8)
    split.settings["images"] = "MNIST"
    assert published("ARAE", split, "auroc") == "0.924"  # ARAE, table 2
    assert published("DAE", split, "auroc") == "0.891"  # ARAE, table 6
    assert published("ARAE", split, "auprc") == "–"
