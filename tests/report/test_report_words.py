"""Numbers, steps, names and counts as words."""

from __future__ import annotations

import math

import pytest

from pytest_parity.report.words import counted, elided, listed, number, pair, size, steps_words


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ((), ""),
        ((3,), "step 3"),
        ((0, 1, 2), "steps 0-2"),
        ((0, 10), "steps 0, 10"),
        ((2, 0, 1, 5, 7, 8), "steps 0-2, 5, 7-8"),
        ((1, 1), "step 1"),
    ],
)
def test_steps(steps, words):
    assert steps_words(steps) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (12_345_678, "12.3 MB"),
        (5 * 10**9, "5 GB"),
        (3 * 10**15, "3e+03 TB"),
    ],
)
def test_bytes(count, words):
    assert size(count) == words


@pytest.mark.parametrize(
    ("width", "text"),
    [(20, "abcdefghijkl"), (12, "abcdefghijkl"), (9, "ab...ijkl"), (8, "a...ijkl"), (3, "...kl")],
)
def test_a_name_that_is_too_long_loses_its_middle(width, text):
    assert elided("abcdefghijkl", width) == text


def test_numbers_have_three_digits():
    assert [number(value) for value in (0.0, 1.23456e-5, 1234.5, math.inf)] == ["0", "1.23e-05", "1.23e+03", "inf"]


@pytest.mark.parametrize(
    ("ours", "theirs", "texts"),
    [
        (0.5, 0.25, ("0.5", "0.25")),
        (1.000001, 1.000002, ("1.000001", "1.000002")),
        (math.nan, 1.0001, ("nan", "1")),
        (2.0, 2.0, ("2", "2")),
    ],
)
def test_two_numbers_show_that_they_are_not_the_same(ours, theirs, texts):
    assert pair(ours, theirs) == texts


def test_counts_stand_in_the_order_of_the_verdicts():
    counts = {"below_noise": 1, "close": 36, "equal": 1200, "missing": 0}
    assert counted(counts) == "1,200 equal, 36 close, 1 below noise"


def test_long_lists_are_cut():
    assert listed(["a", "b"], 3) == "a, b"
    assert listed(["a", "b", "c", "d"], 2) == "a, b and 2 more"


def test_a_count_of_what_is_no_verdict_comes_last():
    assert counted({"replayed": 2, "close": 36, "equal": 1200}) == "1,200 equal, 36 close, 2 replayed"
