"""The check of a site's pages: links to nowhere and whatever would be fetched from a network are told."""

import pytest

from advad.site.check import faults

GOOD = (
    '<a href="other.html#here">x</a><a href="#top">x</a><a href="https://arxiv.org">x</a><p id="top">'
    '<script src="own.js"></script><img src="data:image/png;base64,aaaa"><link rel="canonical" href="https://x.org">'
)


@pytest.mark.parametrize(
    ("page", "fault"),
    [
        (GOOD, None),
        ('<a href="missing.html">x</a>', "page.html: there is no missing.html"),
        ('<a href="other.html#gone">x</a>', "page.html: other.html#gone has no such place"),
        ('<a href="#gone">x</a>', "page.html: #gone has no such place"),
        ('<img src="gone.png">', "page.html: there is no gone.png"),
        ('<script src="https://cdn.example/x.js"></script>', "page.html fetches https://cdn.example/x.js"),
        ('<link rel="stylesheet" href="//cdn.example/x.css">', "page.html fetches //cdn.example/x.css"),
        ('<img src="http://example.org/x.png">', "page.html fetches http://example.org/x.png"),
    ],
)
def test_a_page_that_is_not_whole_is_told(page, fault, tmp_path):
    (tmp_path / "page.html").write_text(page)
    (tmp_path / "other.html").write_text('<a name="here"></a>')
    (tmp_path / "own.js").touch()
    assert faults(tmp_path) == ([] if fault is None else [fault])


@pytest.mark.parametrize("sheet", ['@import "https://x.org/a.css";', "p { background: url( 'https://x.org/a.png') }"])
def test_a_style_sheet_that_fetches_is_told(sheet, tmp_path):
    (tmp_path / "a.css").write_text("/* url(https://x.org/comment.png) */ p { background: url(own.png) }")
    assert faults(tmp_path) == []
    (tmp_path / "a.css").write_text(sheet)
    (fault,) = faults(tmp_path)
    assert fault.startswith("a.css fetches https://x.org/a.")
