"""No link leads nowhere, and every page is found from the index."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests._support.docs.pages import DOCS, ROOT, Page, all_pages

PAGES = all_pages()


def _target(page: Page, link: str) -> tuple[Path, str] | None:
    """Return the file and fragment of a relative link; None for one to another site."""
    if "://" in link or link.startswith("mailto:"):
        return None
    path, _, fragment = link.partition("#")
    return ((page.path.parent / path).resolve() if path else page.path), fragment


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_relative_links_have_a_target(page: Page) -> None:
    broken = []
    for link in page.links():
        target = _target(page, link)
        if target is None:
            continue
        file, fragment = target
        known = file.exists() and file.is_relative_to(ROOT)
        if not known or (fragment and fragment not in Page(file).anchors()):
            broken.append(link)
    assert broken == []


def test_every_page_is_reachable_from_the_index() -> None:
    found, ahead = set[Path](), [DOCS / "index.md"]
    while ahead:
        file = ahead.pop()
        if file in found or not file.exists():  # the test above reports missing files
            continue
        found.add(file)
        targets = [_target(Page(file), link) for link in Page(file).links()]
        ahead += [each[0] for each in targets if each and each[0].suffix == ".md"]
    assert sorted(str(page) for page in PAGES if page.path not in found) == []


def test_index_links_every_how_to() -> None:
    index = Page(DOCS / "index.md")
    linked = {target[0] for link in index.links() if (target := _target(index, link))}
    assert sorted(path.name for path in (DOCS / "how-to").glob("*.md") if path not in linked) == []
