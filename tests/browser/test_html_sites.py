"""The HTML report's table, tree and chart: by mouse, by keyboard, and with thousands of sites."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

import pytest
from chromium import Open
from report_document import failed, run

BLOCKS = 50
"""As many as make five thousand sites."""
LIMIT = 0.1


def shown(page: Any) -> list[list[str]]:
    """The rows that are in the page: order, site, verdict and what follows."""
    return [
        [cell.strip() for cell in row.split("\t")]
        for row in page.locator("#panel-sites tbody tr:not(.gap)").all_inner_texts()
    ]


def count(page: Any) -> str:
    return str(page.locator("#panel-sites output").inner_text())


def selected(page: Any) -> str:
    return str(page.locator("[role=treeitem][aria-selected=true] > .row .name code").first.inner_text())


@pytest.fixture
def table(show: Open) -> Any:
    return show(run(failed()), "#nest/tiny/sites")


def test_what_fails_stands_first_in_execution_order(table: Any):
    rows = shown(table)
    failing = [row for row in rows if row[2] == "✕ differs"]
    assert rows[: len(failing)] == failing
    assert [int(row[0]) for row in failing] == sorted(int(row[0]) for row in failing)


def test_the_search_takes_words_in_any_order(table: Any):
    table.keyboard.press("/")
    table.keyboard.type("gradient norm_out.weight")
    assert {row[1] for row in shown(table)} == {f"gradient/blocks.{block}.norm_out.weight" for block in range(4)}
    assert count(table) == "4 of 402 sites"
    table.keyboard.press("Escape")
    assert count(table) == "402 of 402 sites"


def test_nothing_found_is_said(table: Any):
    table.get_by_role("searchbox").fill("no such site")
    assert "No site is like that." in table.locator("#panel-sites").inner_text()
    assert count(table) == "0 of 402 sites"


def test_verdict_and_kind_are_filters(table: Any):
    table.get_by_label("Verdict").select_option("failing")
    table.get_by_label("Kind").select_option("activation")
    assert {(row[1].partition("/")[0], row[2]) for row in shown(table)} == {("activation", "✕ differs")}
    table.get_by_label("Verdict").select_option("equal")
    assert {row[2] for row in shown(table)} == {"equal"}


def test_a_click_on_a_head_sorts_and_another_turns_it_round(table: Any):
    head = table.get_by_role("button", name="max")
    head.click()
    assert numbers(table) == sorted(numbers(table), reverse=True)
    assert table.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
    head.click()
    assert numbers(table) == sorted(numbers(table))
    assert table.locator("th[aria-sort]").get_attribute("aria-sort") == "ascending"


def test_so_does_a_key(table: Any):
    table.get_by_label("Kind").focus()
    table.keyboard.press("Tab")
    table.keyboard.press("Tab")
    table.keyboard.press("Enter")
    assert table.locator("th[aria-sort]").inner_text() == "site ↑"
    assert [row[1] for row in shown(table)] == sorted(row[1] for row in shown(table))


def numbers(page: Any) -> list[float]:
    return [float(row[4].replace(",", "")) for row in shown(page)]


def test_arrow_keys_go_through_the_rows_and_enter_opens_one(table: Any):
    table.get_by_role("searchbox").focus()
    for _ in range(60):
        table.keyboard.press("ArrowDown")
    place = table.evaluate("document.activeElement.closest('tr').dataset.place")
    assert place == "59"
    name = table.evaluate("document.activeElement.textContent")
    table.keyboard.press("Enter")
    assert table.locator("h1").inner_text().replace("\u200b", "") == name


def test_the_faulty_module_is_in_view_selected_and_named(show: Open):
    page = show(run(failed()))
    assert selected(page) == "attention"
    row = page.locator("[role=treeitem][aria-selected=true] > .row")
    assert row.is_visible()
    assert "faulty" in row.inner_text()
    assert "31,400" in row.inner_text()


def test_a_module_expands_by_mouse(show: Open):
    page = show(run(failed()))
    block = page.get_by_role("treeitem", name="blocks.3").first
    assert block.get_attribute("aria-expanded") == "false"
    block.locator(".twist").click()
    assert block.get_attribute("aria-expanded") == "true"
    assert block.locator("[role=group] .name code").all_inner_texts() == ["norm", "attention", "norm_out", "up", "down"]
    block.locator(".twist").first.click()
    assert block.get_attribute("aria-expanded") == "false"


def test_the_tree_goes_by_keyboard(show: Open):
    page = show(run(failed()))
    page.locator("[role=treeitem][tabindex='0']").focus()
    visited = []
    for key in ("ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowDown", "ArrowRight", "ArrowRight", "End", "Home"):
        page.keyboard.press(key)
        visited.append(selected(page))
    block = [f"encoder.blocks.{n}" for n in range(4)]
    assert visited == ["attention", block[1], block[1], block[2], block[2], "norm", block[3], "(model)"]
    assert page.locator("[role=treeitem][tabindex='0']").count() == 1
    page.keyboard.press("Enter")
    assert page.get_by_role("tab", name="Sites").get_attribute("aria-selected") == "true"


def test_the_hotter_a_module_the_further_its_colour(show: Open):
    page = show(run(failed()))
    cells = page.locator("[role=tree] .heat:not(.cold):visible")
    assert cells.all_inner_texts() == ["31,400"]
    assert float(cells.first.evaluate("(cell) => cell.style.getPropertyValue('--heat')")) == pytest.approx(
        0.73, abs=0.01
    )


def test_a_collapsed_module_tells_of_the_hottest_below(show: Open):
    page = show(run(failed()))
    page.locator("[role=treeitem][tabindex='0']").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert page.locator("[role=tree] .heat:not(.cold):visible").all_inner_texts() == ["▾ 31,400"]


def test_the_chart_tells_what_is_under_the_pointer_and_opens_it(show: Open):
    page = show(run(failed()))
    x, y = page.evaluate(
        "(() => { const path = document.querySelector('.chart .mark.fail').getAttribute('d').match(/M([\\d.]+) ([\\d.]+)/);"
        " const box = document.querySelector('.chart').getBoundingClientRect(); return [box.left + +path[1], box.top + +path[2]]; })()"
    )
    page.mouse.move(x, y)
    assert "differs" in page.locator(".readout").inner_text()
    page.mouse.click(x, y)
    assert page.locator("h1").inner_text().replace("\u200b", "") == "activation/blocks.1.attention#0"


def test_the_chart_goes_by_keyboard(show: Open):
    page = show(run(failed()))
    chart = page.get_by_role("application")
    chart.focus()
    page.keyboard.press("ArrowRight")
    assert "encoder.blocks.1.attention#0" in page.locator(".readout").inner_text()
    page.keyboard.press("ArrowDown")
    assert "differs" in page.locator(".readout").inner_text()
    page.keyboard.press("Home")
    assert "batch/encoder.tokens" in page.locator(".readout").inner_text()
    page.keyboard.press("Enter")
    assert page.locator("h1").inner_text() == "batch/tokens"


def test_the_chart_has_both_directions_the_floor_and_the_bound(show: Open):
    words = show(run(failed())).locator(".chart text").all_text_contents()
    assert {"forward", "backward", "update", "noise floor: 1", "allowed: 10 floors"} <= set(words)


def test_without_a_noise_floor_the_chart_goes_by_what_is_allowed(show: Open):
    case = failed()
    for site in case["sites"]:
        site.pop("floors", None)
    words = show(run(case)).locator(".chart text").all_text_contents()
    assert {"of allowed", "allowed"} <= set(words)
    assert "noise floor: 1" not in words


def test_of_five_thousand_sites_a_keystroke_is_answered_at_once(
    show: Open, record_property: Callable[[str, Any], None]
):
    case = failed(blocks=BLOCKS, faulty=7)
    assert len(case["sites"]) >= 5000
    page = show(run(case), "#nest/tiny/sites")
    page.evaluate(
        "(() => { window.times = []; let start = 0;"
        " addEventListener('keydown', () => { start = performance.now(); }, true);"
        " addEventListener('input', () => requestAnimationFrame(() => setTimeout(() => times.push(performance.now() - start))), true); })()"
    )
    page.keyboard.press("/")
    for letter in "attention query":
        page.keyboard.press(letter)
        page.wait_for_timeout(20)
    times = page.evaluate("times")
    assert len(times) == len("attention query")
    assert count(page).endswith("of 5,002 sites")
    assert len(shown(page)) < 100
    record_property("milliseconds", times)
    assert median(times) < 1000 * LIMIT


def test_of_five_thousand_sites_all_can_be_scrolled_to(show: Open):
    case = failed(blocks=BLOCKS, faulty=7)
    page = show(run(case), "#nest/tiny/sites")
    assert len(shown(page)) < 100
    page.get_by_role("searchbox").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.closest('tr').getAttribute('aria-rowindex')") == str(
        len(case["sites"]) + 1
    )
    assert len(shown(page)) < 100
