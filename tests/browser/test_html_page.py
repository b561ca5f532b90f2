"""The HTML report as a page: what stands on top, where its links lead, that it needs nobody and believes no name."""

from __future__ import annotations

import re
from typing import Any

import pytest
from chromium import Open
from report_document import blank, failed, run
from report_schema import problems

from pytest_parity.report.html import render

FAULTY = "encoder.blocks.1.attention"
SITE = "activation/blocks.1.attention#0"
LINK = "#nest/tiny/activation/blocks.1.attention%230"
HOSTILE = (
    "</script><script>window.owned = 1</script><img src=x onerror='window.owned = 1'>{{ 7 * 7 }}\"'&\u2028\u202e\ud800é"
)


def title(page: Any) -> str:
    return str(page.locator("h1").inner_text()).replace("\u200b", "")


def test_the_document_made_up_here_is_one():
    assert problems(run(failed(), blank("nest/full"))) == []


def test_the_bug_is_the_title(show: Open):
    page = show(run(failed()))
    assert title(page) == f"{FAULTY} is the first module whose output differs while its inputs agree"
    assert page.locator("h1 code").inner_text() == FAULTY


@pytest.mark.parametrize("text", ["{}: what it hands to head differs", "after {} returns"])
def test_a_name_in_parentheses_is_the_bug_as_any_other(show: Open, text: str):
    case = failed()
    case["headline"] = f"nest/tiny step 0: {text.format('(model)')}"
    case["diagnosis"]["module"] = "(model)"
    page = show(run(case))
    assert title(page) == text.format("(model)")
    assert page.locator("h1 .culprit").inner_text() == "(model)"


def test_why_stands_below_it(show: Open):
    page = show(run(failed()))
    assert "times 0.125 they agree to 0.8 floors" in page.get_by_role("list", name="Causes").inner_text()


def test_every_module_that_isolation_found_is_listed(show: Open):
    rows = show(run(failed())).get_by_role("region", name="Isolation").locator("tbody tr")
    assert rows.count() == 1
    said, why, floors, relative = [part for part in re.split("[\t\n]+", rows.first.inner_text()) if part.strip()]
    assert said == f"{FAULTY} returns another value"
    assert "times 0.125" in why
    assert (floors, relative) == ("31,400", "0.031")


def test_the_first_case_is_open_and_the_others_a_click_away(show: Open):
    page = show(run(failed(), blank("nest/full")))
    assert page.locator("#cases a").all_inner_texts() == ["✕\nnest/tiny", "✓\nnest/full"]
    page.get_by_role("link", name="nest/full").click()
    assert title(page) == "3 of 3 sites compared"
    assert page.evaluate("location.hash") == "#nest/full"


def test_the_next_case_is_a_key_away(show: Open):
    page = show(run(failed(), blank("nest/full")))
    page.keyboard.press("]")
    assert "nest/full" in page.locator(".over").inner_text()
    page.keyboard.press("[")
    assert "nest/tiny" in page.locator(".over").inner_text()


def test_a_run_without_cases_says_so(show: Open):
    assert title(show(run())) == "No test of this run recorded or checked anything."


def test_a_link_opens_a_site_and_the_back_button_returns(show: Open):
    page = show(run(failed()), LINK)
    assert title(page) == SITE
    page.get_by_role("link", name="nest/tiny").click()
    assert FAULTY in title(page)
    page.go_back()
    assert title(page) == SITE


def test_a_link_to_a_site_that_is_not_there_searches_for_it(show: Open):
    page = show(run(failed()), "#nest/tiny/activation/blocks.1.attent")
    assert page.get_by_role("searchbox").input_value() == "activation/blocks.1.attent"


def test_escape_goes_back_to_where_a_site_was_opened(show: Open):
    page = show(run(failed()), "#nest/tiny/sites")
    page.get_by_role("searchbox").fill("norm_out gradient")
    page.locator("#panel-sites tbody a").nth(2).click()
    page.keyboard.press("Escape")
    assert page.get_by_role("searchbox").input_value() == "norm_out gradient"
    assert page.get_by_role("tab", name="Sites").get_attribute("aria-selected") == "true"


def test_a_sites_page_has_numbers_a_histogram_and_the_worst_elements(show: Open):
    page = show(run(failed()), LINK)
    assert re.search(r"differs, [\d.,]+ floors of 10 allowed", page.locator("article dl").inner_text())
    assert "[4, 16, 64]" in page.locator("article dl").inner_text()
    assert page.locator(".bars rect").count() == 20
    assert "elements by how far they differ" in page.locator(".bars svg").get_attribute("aria-label")
    assert page.locator("article tbody tr").count() == 10
    assert page.locator("article tbody tr").first.inner_text().split() == ["[1,", "9,", "27]", "0.59", "0.5", "0.09"]


def test_where_nothing_is_finite_there_is_no_histogram(show: Open):
    case = failed()
    site = next(one for one in case["sites"] if one["site"] == SITE)
    for number in ("max_abs", "mean_abs", "relative_l2", "cosine"):
        del site[number]
    site |= {"verdict": "nonfinite", "share": "inf", "worst": [{"index": [0], "here": "nan", "reference": 0.5}]}
    site["histogram"] = {"start": 0.0, "width": 0.25, "counts": [], "equal": 0, "nonfinite": 4096}
    page = show(run(case), LINK)
    assert "0 do not differ, 4,096 are not finite on one side." in page.locator("article").inner_text()
    assert page.locator(".bars").count() == 0
    assert "cosine" not in page.locator("article dl").inner_text()


def test_what_could_not_be_isolated_says_so(show: Open):
    case = failed()
    case["isolation"] |= {"faulty": [], "errors": [], "refused": "the test is a unittest.TestCase"}
    told = show(run(case)).get_by_role("region", name="Isolation").inner_text()
    assert told == "Modules were not looked at alone: the test is a unittest.TestCase"


def test_the_run_has_settings_environment_coverage_losses_history_and_notes(show: Open):
    text = show(run(failed()), "#nest/tiny/run").locator("#panel-run").inner_text()
    for told in (
        "of what differs first",
        "threads",
        "123,456 of 123,456",
        "4.6209",
        "torch 2.13",
        "never called",
        "golden",
    ):
        assert told in text


def test_names_are_text_whatever_they_hold(show: Open):
    case = failed(HOSTILE)
    case["diagnosis"]["module"] = HOSTILE
    case["headline"] = f"{HOSTILE} step 0: {HOSTILE} differs"
    case["notes"] = [HOSTILE]
    case["sites"][0] |= {"site": f"batch/{HOSTILE}", "verdict": "shape", "detail": HOSTILE}
    case["modules"][3]["candidate"] = HOSTILE
    page = show(run(case, blank("other")))
    shown = HOSTILE.replace("\ud800", "?")  # half a character, which text cannot hold
    assert title(page) == f"{shown} differs"
    page.get_by_role("tab", name="Sites").click()
    page.locator("#panel-sites tbody a").first.click()
    assert title(page) == f"batch/{shown}"
    assert page.evaluate("window.owned") is None
    assert page.locator("img").count() == 0


def test_the_list_for_those_without_scripts_is_text_too():
    assert "<img" not in render(run(failed(HOSTILE)))


def test_a_number_that_json_has_not_is_shown(show: Open):
    case = failed()
    case["sites"][0] |= {
        "verdict": "nonfinite",
        "max_abs": "inf",
        "floors": {"norm": "inf", "gain": "nan", "factor": 10.0},
    }
    page = show(run(case), "#nest/tiny/sites")
    assert page.locator("#panel-sites tbody tr").nth(1).inner_text().split("\t")[3:5] == ["∞", "∞"]


def test_what_is_built_differently_is_listed_first(show: Open):
    case = blank("nest/tiny") | {"outcome": "failed"}
    case["structure"] = [
        {"site": "weight/a", "candidate": "", "verdict": "dtype", "detail": "float32 here, float64 in the reference"}
    ]
    assert "float64 in the reference" in show(run(case)).locator("#panel-modules").inner_text()


def test_a_recording_has_what_it_left(show: Open):
    case = blank("new") | {"outcome": "recorded", "expected": 0, "compared": 0, "counts": {}}
    case["recorded"] = {"steps": [0, 1], "sites": 312, "curves": [], "size": 2510000, "moved": None}
    page = show(run(case))
    assert page.locator(".over").inner_text().startswith("● recorded")
    assert "312" in page.locator("#panel-run").inner_text()


def test_a_script_could_not_ask_for_anything(show: Open):
    page = show(run(failed()), quiet=False)
    answer = "fetch('https://example.org').then(() => 'answered', () => 'refused')"
    assert page.evaluate(answer) == "refused"
    assert "connect" in page.evaluate(
        "new Promise((tell) => { addEventListener('securitypolicyviolation', (event) => tell(event.effectiveDirective));"
        " fetch('https://example.org').catch(() => 0); })"
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_dark_or_light_as_the_system_is_and_as_the_button_says(show: Open, scheme: str):
    page = show(run(failed()), color_scheme=scheme)
    assert is_dark(page) is (scheme == "dark")
    page.locator("#theme-button").click()
    assert is_dark(page) is (scheme == "light")
    page.keyboard.press("t")
    assert is_dark(page) is (scheme == "dark")


def is_dark(page: Any) -> bool:
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(map(int, re.findall(r"\d+", colour)[:3])) < 3 * 128


@pytest.mark.parametrize("at", ["", "#nest/tiny/sites", "#nest/tiny/run", LINK])
def test_a_phone_needs_no_scrolling_sideways(show: Open, at: str):
    page = show(run(failed(), blank("nest/full")), at, viewport={"width": 375, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 375


def test_on_paper_nothing_is_hidden_behind_a_tab(show: Open):
    page = show(run(failed()))
    assert page.locator("[role=tabpanel]:visible").count() == 1
    page.emulate_media(media="print")
    assert page.locator("[role=tabpanel]:visible").count() == 3
