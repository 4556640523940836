"""Progress bars: a line of text in a terminal, and in a notebook HTML that is gone when the work is done."""

import nbformat
import pytest
from nbclient import NotebookClient

import advad
from advad import progress
from advad.progress import NotebookBar, progress_bar


def test_a_terminal_gets_tqdms_own_bar(capsys):
    with progress_bar(total=2, desc="images") as bar:
        bar.update()
    assert not isinstance(bar, NotebookBar)
    assert "images:  50%" in capsys.readouterr().err


@pytest.fixture
def pictures(monkeypatch):
    """Return what a notebook's bars have shown, one picture after another."""
    shown = []

    class Output:
        def update(self, picture):
            shown.append(picture.data)

    def display(picture, display_id):
        shown.append(picture.data)
        return Output()

    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr(progress, "_in_notebook", lambda: True)
    return shown


def test_a_notebooks_bar_shows_how_far_it_is_and_is_gone_in_the_end(pictures):
    with progress_bar(total=4, desc="<AE>", unit="batch") as bar:
        bar.n = 1
        bar.set_postfix({"loss": "0.1"})
    first, second, last = pictures
    assert 'value="0" max="4"' in first
    assert 'value="1" max="4"' in second
    assert "<span>&lt;AE&gt;</span>" in second
    assert "25%, 00:00" in second
    assert second.endswith("loss=0.1</span></div>")
    assert last == ""


def test_a_bar_goes_where_the_work_is_broken_off_and_one_without_a_total_counts(pictures):
    def work():
        with progress_bar(unit="image") as bar:
            bar.update(3)
            bar.refresh()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert "<span>3 image, 00:00" in pictures[-2]
    assert pictures[-1] == ""
    pictures.clear()
    with progress_bar(total=4, disable=True) as bar:
        bar.update()
    assert pictures == []


def test_training_shows_one_loss(pictures, monkeypatch):
    monkeypatch.setattr(progress, "INTERVAL", 0)
    settings = {"widths": (8,), "critic_widths": (8,), "batch_size": 16, "device": "cpu"}
    advad.AAE(epochs=2, **settings).fit(advad.load("digits").images[:64])
    assert {picture.count("loss=") for picture in pictures} == {0, 1}  # 0 before the first epoch's end, and at the end
    assert pictures[-1] == ""


def test_nothing_of_a_bar_stays_in_a_notebook():
    source = "import advad\nadvad.AE(epochs=2, widths=(8,), device='cpu').fit(advad.load('digits').images[:64]);"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    NotebookClient(notebook, timeout=300).execute()
    assert [output.data["text/html"] for output in notebook.cells[0].outputs] == [""]
