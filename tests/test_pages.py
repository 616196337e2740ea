"""What a stranger reads leads somewhere, and every page is led to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.test_layout import ROOT, tracked

PAGES = sorted(path for path in tracked("*.md") if path.parent.name in {ROOT.name, "docs"})
_CODE = re.compile(r"```.*?```", re.DOTALL)


def links(page: Path) -> list[tuple[Path, str]]:
    """File and anchor of each link of a page that stays in the house."""
    found = re.findall(r"\]\(([^)\s]+)\)", _CODE.sub("", page.read_text("utf-8")))
    parts = (link.partition("#") for link in found if "://" not in link)
    return [((page.parent / name).resolve() if name else page, anchor) for name, _, anchor in parts]


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", _CODE.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_link_leads_to_a_file_and_to_a_heading(page: Path) -> None:
    nowhere = [
        f"{path.name}#{anchor}"
        for path, anchor in links(page)
        if not path.exists() or (anchor and anchor not in anchors(path))
    ]
    assert nowhere == []


def test_each_page_is_reached_from_the_readme_without_the_history() -> None:
    reached, ahead = set[Path](), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in reached or page not in PAGES:
            continue
        reached.add(page)
        if page.name != "CHANGELOG.md":
            ahead += [path for path, _ in links(page)]
    assert set(PAGES) - reached == set()


def test_nobody_is_told_to_install_us_by_name_from_an_index_that_has_not_got_us() -> None:
    """The name there is free for anybody to take; extras are installed from the clone."""
    ours = re.compile(r"install '?counterpoint\b(?!/)|counterpoint\[[a-z0-9-]+\]")
    told = [
        str(path.relative_to(ROOT))
        for path in tracked("*.md", "*.py")
        if path.name not in {"CHANGELOG.md", Path(__file__).name}
        and ours.search(path.read_text("utf-8"))
    ]
    assert told == []
