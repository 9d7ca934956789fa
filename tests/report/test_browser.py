"""The HTML report in a real browser; skips where no Chromium is installed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dockwright.history import Trend, trend
from dockwright.report.html import page as html_page
from dockwright.report.html.trend import trend_page
from tests._support.history.records import Suite, store_with
from tests._support.report.runs import HOSTILE, past_of, run_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("needs chromium (Debian: apt-get install chromium)")
    sync = pytest.importorskip("playwright.sync_api")
    with sync.sync_playwright() as driver:
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        running = driver.chromium.launch(executable_path=found, args=flags)
        yield running
        running.close()


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Trend:
    """Runs in which a test with a long name becomes slower, and another one fails now and then."""
    usual = Suite()
    slower = replace(usual, call_s={**usual.call_s, 4: 2.0})
    store = store_with(tmp_path_factory.mktemp("runs") / "it.sqlite3", (usual, 20), (slower, 6))
    for run in store.runs(4):
        record = store.load(run.id)
        flaky = replace(record.tests[7], outcome="rerun", message="AssertionError: " + "no" * 90)
        store.remove([run.id])
        store.add(replace(record, tests=(flaky, *record.tests)))
    return trend(store)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, history: Trend) -> Path:
    run = run_of(120)
    file = tmp_path_factory.mktemp("report") / "small.html"
    file.write_text(html_page(run, past_of(run), history), "utf-8")
    return file


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory, history: Trend) -> Path:
    """The trend page."""
    file = tmp_path_factory.mktemp("trend") / "trend.html"
    file.write_text(trend_page(history), "utf-8")
    return file


def opened(browser: Browser, file: Path, width: str, scheme: str = "light") -> Page:
    wide, high = WIDTHS[width]
    context = browser.new_context(
        viewport={"width": wide, "height": high},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text))
    page.goto(file.as_uri())
    if file.stem != "trend":  # which has no scripts
        page.wait_for_selector("html[data-ready]")
    assert wrong == []
    return page


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_screen(
    browser: Browser, small: Path, lines: Path, width: str, scheme: str
) -> None:
    for file in (small, lines):
        page = opened(browser, file, width, scheme)
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), file
        page.context.close()


def test_the_trend_page_is_usable_without_a_mouse(browser: Browser, lines: Path) -> None:
    page = opened(browser, lines, "phone")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to what became slower"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#found"
    page.keyboard.press("Tab")  # into the section: its table, which is wider than a phone
    assert page.evaluate("document.activeElement.ariaLabel") == "The most expensive first"
    page.keyboard.press("ArrowRight")
    for _ in range(50):  # the page forbids what Playwright would wait with
        if page.evaluate("document.activeElement.scrollLeft"):
            break
        page.wait_for_timeout(100)
    assert page.evaluate("document.activeElement.scrollLeft") > 0
    summary = page.locator("#lines summary").first
    summary.focus()
    page.keyboard.press("Enter")
    assert "The latest 26 values" in page.locator("#lines details[open]").inner_text()
    page.context.close()


def test_touch_targets_are_large_enough(browser: Browser, lines: Path) -> None:
    page = opened(browser, lines, "phone")
    heights = page.locator("summary").evaluate_all(
        "all => all.map(each => each.getBoundingClientRect().height)"
    )
    assert len(heights) > 10
    assert min(heights) >= 36
    page.context.close()


def test_a_line_shows_where_a_test_became_slower(browser: Browser, lines: Path) -> None:
    page = opened(browser, lines, "desktop", "dark")
    picture = page.get_by_role("img", name="It became slower at the dashed line.").first
    assert picture.locator("line.change").count() == 1
    box = picture.bounding_box()
    assert box is not None
    assert box["width"] > 600
    assert "random: nothing that is recorded differs" in page.inner_text("#flaky")
    page.context.close()


def test_the_test_table_is_usable_without_a_mouse(browser: Browser, small: Path) -> None:
    page = opened(browser, small, "desktop")
    page.focus("#search")
    page.keyboard.type("img onerror")
    names = page.locator("#test-table tbody .name")
    assert names.all_inner_texts() == [HOSTILE]
    names.first.focus()
    page.keyboard.press("Enter")
    assert names.first.get_attribute("aria-expanded") == "true"
    assert "Parts" in page.inner_text("tr.detail")
    page.fill("#search", "")
    page.focus("#test-table th[data-id=name] button")
    page.keyboard.press("Enter")
    assert page.get_attribute("#test-table th[data-id=name]", "aria-sort") == "ascending"
    page.context.close()


def test_the_timeline_can_be_read_with_the_keyboard(browser: Browser, small: Path) -> None:
    page = opened(browser, small, "desktop")
    page.focus("#lanes")
    assert page.inner_text("#piece").startswith("Worker gw0: outside tests")
    page.keyboard.press("ArrowDown")
    assert page.inner_text("#piece").startswith("Worker gw1: ")
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    assert page.locator("tr.detail").count() == 1
    page.context.close()


def test_five_thousand_tests_open_in_two_seconds(browser: Browser, tmp_path: Path) -> None:
    """Counted is the page's own processor time: other programs of a busy machine have theirs."""
    run = run_of(5000, 4, 4)
    file = tmp_path / "big.html"
    file.write_text(html_page(run, past_of(run, 20)), "utf-8")
    page = browser.new_page()
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-ready]")
    told = session.send("Performance.getMetrics")["metrics"]
    taken_s = {each["name"]: each["value"] for each in told}["TaskDuration"]
    wall_ms = page.get_attribute("html", "data-ready")
    print(f"5,000 tests: ready after {wall_ms} ms, {taken_s:.2f} s of processor time")
    assert page.inner_text("#page") == "page 1 of 100"
    page.close()
    assert 0 < taken_s < 2.0


def test_the_parts_of_a_test_fit_a_phone(browser: Browser, small: Path) -> None:
    page = opened(browser, small, "phone")
    page.locator("#test-table tbody .name").first.click()
    row = page.locator("tr.detail table.small tbody tr").first
    assert row.evaluate("row => getComputedStyle(row).display") == "table-row"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.context.close()


def test_stacks_are_ordered_by_their_start(browser: Browser, small: Path) -> None:
    page = opened(browser, small, "desktop")
    began = page.evaluate(
        "timeline.lanes.filter(lane => lane.kind === 'stack').map(lane => lane.items[0].began)"
    )
    assert began == sorted(began)
    page.context.close()
