"""The HTML report for those who use no mouse, see no colour, or have it read to them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from chromium import Open
from report_document import blank, failed, run

ROUTES = ["", "#nest/tiny/sites", "#nest/tiny/run", "#nest/tiny/activation/blocks.1.attention%230"]
ENOUGH = 4.5
"""The contrast that WCAG asks of text (1.4.3)."""

CONTRASTS = """
() => {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const channels = (colour) => { context.clearRect(0, 0, 1, 1); context.fillStyle = colour; context.fillRect(0, 0, 1, 1); return [...context.getImageData(0, 0, 1, 1).data]; };
  const behind = (node) => { for (let at = node; at; at = at.parentElement) { const found = channels(getComputedStyle(at).backgroundColor); if (found[3] === 255) return found; } return [255, 255, 255]; };
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const texts = [...document.querySelectorAll("body *")].filter((node) => node.checkVisibility() && !node.closest("svg") && [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim()));
  return texts.map((node) => {
    const [one, other] = [light(channels(getComputedStyle(node).color)), light(behind(node))].sort((a, b) => b - a);
    return [(one + 0.05) / (other + 0.05), `${node.tagName} ${node.className} ${node.textContent.slice(0, 40)}`];
  });
}
"""

NAMELESS = """
() => [...document.querySelectorAll("a, button, input, select, [role=tree], [role=tablist], [role=tabpanel], [role=application], table")]
  .filter((node) => node.checkVisibility())
  .filter((node) => !(node.getAttribute("aria-label") || node.getAttribute("aria-labelledby") || node.textContent.trim()))
  .map((node) => node.outerHTML.slice(0, 120))
"""


@pytest.mark.parametrize("at", ROUTES)
def test_everything_that_can_be_used_has_a_name(show: Open, at: str):
    page = show(run(failed(), blank("nest/full")), at)
    assert page.evaluate(NAMELESS) == []


@pytest.mark.parametrize("at", ROUTES)
def test_the_page_has_its_landmarks_once_and_no_id_twice(show: Open, at: str):
    page = show(run(failed(), blank("nest/full")), at)
    assert page.locator("html").get_attribute("lang") == "en"
    assert [page.locator(one).count() for one in ("main", "header", "h1", "nav#cases")] == [1, 1, 1, 1]
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((node) => node.id)")
    assert len(ids) == len(set(ids))
    referred = page.evaluate(
        "[...document.querySelectorAll('[aria-labelledby], [aria-controls]')].flatMap((node) => [node.getAttribute('aria-labelledby'), node.getAttribute('aria-controls')])"
    )
    assert set(filter(None, referred)) <= set(ids)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("at", ROUTES)
def test_text_stands_out_enough(show: Open, at: str, scheme: str):
    page = show(run(failed(), blank("nest/full")), at, color_scheme=scheme)
    found = page.evaluate(CONTRASTS)
    assert len(found) > 20
    assert [text for contrast, text in found if contrast < ENOUGH] == []


def test_pale_text_would_be_found(show: Open):
    page = show(run(failed()))
    page.evaluate("document.querySelector('h1').style.color = '#999'")
    assert any(contrast < ENOUGH and text.startswith("H1") for contrast, text in page.evaluate(CONTRASTS))


def test_the_first_tab_skips_to_the_result(show: Open):
    page = show(run(failed(), blank("nest/full")))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the result"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_focus_can_be_seen_wherever_it_goes(show: Open):
    page = show(run(failed(), blank("nest/full")))
    for _ in range(14):
        page.keyboard.press("Tab")
        assert page.evaluate(
            "(() => { const at = document.activeElement; const seen = (node) => getComputedStyle(node).outlineStyle !== 'none';"
            " return at === document.body || seen(at) || (at.firstElementChild && seen(at.firstElementChild)) || at.outerHTML.slice(0, 99); })()"
        ) is True  # fmt: skip


def test_a_question_mark_shows_the_keys_and_escape_closes_them(show: Open):
    page = show(run(failed()))
    page.keyboard.press("?")
    assert page.get_by_role("dialog", name="Keys").is_visible()
    page.keyboard.press("Escape")
    assert not page.get_by_role("dialog", name="Keys").is_visible()


def test_tabs_go_by_arrow_keys_and_numbers(show: Open):
    page = show(run(failed()))
    tabs = page.get_by_role("tab")
    tabs.first.focus()
    page.keyboard.press("ArrowRight")
    assert chosen_tab(page) == "Sites 402"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert chosen_tab(page) == "Run"
    page.keyboard.press("1")
    assert chosen_tab(page) == "Modules"
    assert page.locator("[role=tab][tabindex='0']").count() == 1


def chosen_tab(page: Any) -> str:
    return str(page.locator("[role=tab][aria-selected=true]").inner_text())


def test_the_tree_tells_its_levels_and_what_is_open(show: Open):
    items = show(run(failed())).evaluate(
        "[...document.querySelectorAll('[role=treeitem]')].map((item) => [item.getAttribute('aria-level'), item.getAttribute('aria-expanded'), item.querySelector('code').textContent])"
    )
    assert items[0] == ["1", "true", "(model)"]
    assert ["3", "true", "attention"] in items
    assert ["4", None, "query"] in items


def test_what_fails_is_marked_by_more_than_its_colour(show: Open):
    page = show(run(failed()))
    assert re.match("✕", page.locator(".over").inner_text())
    assert page.locator(".row .number.bad:visible").first.inner_text().startswith("✕ ")
    page.get_by_role("tab", name="Sites").click()
    assert page.locator("#panel-sites tbody td.bad").first.inner_text() == "✕ differs"
    page.get_by_role("tab", name="Modules").click()
    triangle, dot = (page.locator(f".chart .mark.{key}").get_attribute("d") for key in ("fail", "ok"))
    assert triangle.endswith("z")
    assert not dot.endswith("z")


def test_a_letter_goes_to_the_module_that_begins_with_it(show: Open):
    page = show(run(failed()))
    page.locator("[role=treeitem][tabindex='0']").focus()
    page.keyboard.press("v")
    assert page.locator("[role=treeitem][aria-selected=true] code").first.inner_text() == "value"
