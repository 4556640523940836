"""The tables of what attacks leave of each method."""

import pytest

from advad.scoreboard import attack_tables as module
from advad.scoreboard.attack_tables import attack_table
from tests.benchmarks.attack_methods import METHODS

TABLES = """# Title
| not | a table of a data set |
## Small
| method | AUROC | normals attacked | anomalies attacked | APGD | Square wins | seconds |
|---|---|---|---|---|---|---|
| AE | 0.974 | 0.827 | 0.729 | 0.961 / 1.000 | 0% / 4% | 8 + 14 |
| PCA | 0.977 | 0.844 | 0.820 | – / – | – | 0 + 3 |
"""


def test_a_table_is_read(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "FILE", tmp_path / "attacks.md")
    with pytest.raises(FileNotFoundError, match="install advad again"):
        attack_table("Small")
    module.FILE.write_text(TABLES)
    ae, pca = attack_table("Small")
    assert ae == {
        **{"method": "AE", "AUROC": 0.974, "normals attacked": 0.827},
        **{"anomalies attacked": 0.729, "Square wins": 0.04},
    }
    assert (pca["method"], pca["anomalies attacked"], pca["Square wins"]) == ("PCA", 0.82, None)
    with pytest.raises(ValueError, match=r"attack_table: dataset must be one of 'Small'; got 'MNIST'"):
        attack_table("MNIST")


@pytest.mark.parametrize("dataset", ["digits", "MNIST"])
def test_every_method_has_its_row_and_square_wins_nowhere(dataset):
    table = attack_table(dataset)
    assert [row["method"] for row in table] == sorted(METHODS)
    for row in table:
        assert (row["Square wins"] or 0) <= 0.02
        assert 0 <= row["normals attacked"] <= row["AUROC"] <= 1
        assert 0 <= row["anomalies attacked"] <= row["AUROC"]
