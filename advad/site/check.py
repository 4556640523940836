"""Whether the pages of a folder are whole without a network: each link leads somewhere, nothing is fetched."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

FETCHED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}
UNFETCHED = {"canonical", "author", "search", "index", "next", "prev", "up", "top"}  # rel of a <link>


class _Page(HTMLParser):
    """The names, links and fetched addresses of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.names: set[str] = {""}
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        about = {key: value or "" for key, value in attrs}
        self.names |= {about[key] for key in ("id", "name") if key in about}
        if tag == "a" and "href" in about:
            self.links.append(about["href"])
        address = about.get(FETCHED.get(tag, ""), "")
        if address and not (tag == "link" and set(about.get("rel", "").split()) & UNFETCHED):
            self.fetched.append(address)


def faults(folder: Path) -> list[str]:
    """Return what is wrong with the pages and style sheets of a folder, one line a fault.

    Parameters
    ----------
    folder : Path
        All .html and .css files in it, and in the folders in it, are read.
    """
    pages = {path: _Page(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.html"))}
    lines = []
    for path, page in pages.items():
        name = path.relative_to(folder).as_posix()
        lines += [f"{name} fetches {address}" for address in page.fetched if _is_outside(address)]
        for address in [*page.links, *page.fetched]:
            if fault := _fault(path, address, pages):
                lines.append(f"{name}: {fault}")
    for path in sorted(folder.rglob("*.css")):
        text = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        addresses = re.findall(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""", text)
        outside = [address for pair in addresses for address in pair if _is_outside(address)]
        lines += [f"{path.relative_to(folder).as_posix()} fetches {address}" for address in outside]
    return list(dict.fromkeys(lines))


def _is_outside(address: str) -> bool:
    return address.startswith("//") or urlsplit(address).scheme in ("http", "https")


def _fault(page: Path, address: str, pages: dict[Path, _Page]) -> str:
    """Return what is wrong with an address on a page; "" where nothing is, or where it leads out."""
    parts = urlsplit(address)
    if parts.scheme or address.startswith("//"):
        return ""
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not target.is_file():
        return f"there is no {address}"
    names = pages[target].names if target in pages else None
    if names is not None and unquote(parts.fragment) not in names:
        return f"{address} has no such place"
    return ""
