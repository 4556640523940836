"""What `published` reads: the rows that were asked for, their values as numbers, their settings; clear errors."""

import pytest

from advad.scoreboard import published as module
from advad.scoreboard.published import published


def test_table_5_of_arae():
    rows = published(paper="arae", table="5")
    found = {(row["method"], row["settings"]["attack_radius"]): row["value"] for row in rows}
    assert found == {("LSA", "0.05"): 0.56, ("ARAE", "0.05"): 0.86, ("LSA", "0.1"): 0.17, ("ARAE", "0.1"): 0.76}
    assert {row["dataset"] for row in rows} == {"MNIST"}
    assert {row["metric"] for row in rows} == {"auroc_attacked"}


def test_settings_are_told_from_remarks():
    (row,) = published(paper="arae", table="1", method="OCGAN", dataset="HeadCT")
    assert row["settings"] == {}
    (row,) = published(paper="arae", table="1", method="OCGAN", dataset="BrainMRI")
    assert row["settings"] == {"spread": "sd_over_last_50_epochs"}
    assert row["value"] == 0.917
    assert row["spread"] == "0.03"


def test_nothing_wanted_is_everything_and_something_unknown_is_nothing():
    assert len(published()) > 1000
    assert published(paper="nobody") == []


def test_errors(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="published: each column must be one of 'paper', 'table', .*; got 'year'"):
        published(year="2020")
    monkeypatch.setattr(module, "FILE", tmp_path / "published.csv")
    with pytest.raises(FileNotFoundError, match="published: no .*published.csv. It comes with advad"):
        published()
