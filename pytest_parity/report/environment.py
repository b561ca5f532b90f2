"""What was not as in the golden's run, beside a failure: drift or regression, and what may explain it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_parity.report.words import listed, number
from pytest_parity.result import Character, Comparison, Difference
from pytest_parity.site import Site

__all__ = ["character_lines", "difference_lines", "difference_list", "difference_words", "passing_words"]

_SHOWN = 12
"""Lines of differences; the least likely are left out."""
_MODULES = 3


def character_lines(comparison: Comparison) -> Iterator[str]:
    """``drift: ...`` or ``regression: ...``; nothing where the errors do not tell."""
    character = comparison.character
    if character is not None:
        yield _drift(character) if character.drift else _regression(character, comparison)


def difference_lines(comparison: Comparison) -> Iterator[str]:
    """What differs from the golden's run, a line each, the likeliest explanation first."""
    hints = comparison.diagnosis.hints if comparison.diagnosis else ()
    lines = [
        f"  {what}: {here} here, {golden} in the golden"
        for what, golden, here in _differences(comparison)
        if not any(hint.startswith(f"{what.partition(' of ')[0]} is {here}, ") for hint in hints)
    ]
    if not lines:
        return
    first = ", the likeliest explanation first" if any(one.likely for one in comparison.differences) else ""
    yield f"not as in the golden's run{first}:" if comparison.differences else "the environment is not the golden's:"
    yield from lines[:_SHOWN]
    if len(lines) > _SHOWN:
        yield f"  and {len(lines) - _SHOWN} more"


def difference_words(comparison: Comparison) -> list[str]:
    """The same, all of them, each as ``threads 2 (golden: 1)``."""
    return [f"{what} {here} (golden: {golden})" for what, golden, here in _differences(comparison)]


def passing_words(comparison: Comparison) -> str:
    """What a check that passes was told to do otherwise than the golden's run, and nothing shows; empty where nothing was."""
    told = [one for one in comparison.differences if one.about in {"config", "optimizer"}]
    if not told:
        return ""
    named = [f"{one.name}{f' of {one.where}' if one.where else ''} {one.here} (golden: {one.golden})" for one in told]
    return f"set otherwise than in the golden's run, and no site shows it: {listed(named, _MODULES)}"


def difference_list(differences: Sequence[Difference]) -> str:
    """The first few of them: ``model.width 16 (golden: 8), model.depth 3 (golden: 2)``."""
    return listed([f"{one.name} {one.here} (golden: {one.golden})" for one in differences], _MODULES)


def _differences(comparison: Comparison) -> Iterator[tuple[str, str, str]]:
    """What, the golden's value, the value here: what belongs to the divergence, the environment, all else."""
    alike: dict[tuple[str, str, str, str], list[Difference]] = {}
    for one in comparison.differences:
        alike.setdefault((one.about, one.name, one.golden, one.here), []).append(one)
    likely = [ones for ones in alike.values() if any(one.likely for one in ones)]
    yield from map(_settings, likely)
    yield from ((name, *pair) for name, pair in comparison.environment.items())
    yield from (_settings(ones) for ones in alike.values() if ones not in likely)


def _settings(ones: list[Difference]) -> tuple[str, str, str]:
    """One entry for all modules in which a constant differs in the same way."""
    first = ones[0]
    where = listed([one.where for one in ones], _MODULES)
    place = " in the configuration" if first.about == "config" else f" of {where}" if where else ""
    return f"{first.name}{place}", first.golden, first.here


def _drift(character: Character) -> str:
    unit = _unit(character)
    smallest, largest = number(character.before), number(character.here)
    sizes = f"by {largest} {unit}" if smallest == largest else f"by {smallest} to {largest} {unit}"
    return (
        f"this looks like drift: {character.moved:,} of {character.sites:,} sites moved a little, none by much more than "
        f"those before it ({sizes}), and the environment is not the golden's"
    )


def _regression(character: Character, comparison: Comparison) -> str:
    site, unit = Site.parse(character.site), _unit(character)
    before = f"move by at most {number(character.before)}" if character.before else "agree"
    jump = f"sites before {site.path} {before}, and it moves by {number(character.here)} {unit}"
    if comparison.environment:
        return f"this looks like a regression: {jump}, which is more than the environment here explains"
    return f"this looks like a regression: {jump}, and the environment is the golden's"


def _unit(character: Character) -> str:
    return "times the noise floor" if character.floors else "of its norm"
