"""What a run was asked to do: command line, ini file, environment and defaults, resolved once into ``Options``."""

from __future__ import annotations

import os
import re
from argparse import ArgumentTypeError
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from pytest_parity.compare.coverage import check_coverage
from pytest_parity.compare.tolerance import Table, make
from pytest_parity.errors import UsageError
from pytest_parity.plugin.config import Override, check_installed, read_override
from pytest_parity.plugin.profiles import Profile, read_profiles, selected
from pytest_parity.plugin.tables import read_tables
from pytest_parity.plugin.text import quoted
from pytest_parity.report.sinks.place import Sink, check_sinks, read_sink

__all__ = ["OPTIONS", "RNG_MODES", "Options", "is_worker", "named_profile", "parse_size", "pytest_addoption"]

RNG_MODES = ("keyed", "global", "off")
Isolate = Literal["on-failure", "always", "never"]
ISOLATE: tuple[Isolate, ...] = ("on-failure", "always", "never")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([KMGT])(i?)B?|B)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Options:
    """The run's settings; every path is absolute."""

    record: bool
    missing: bool
    """Record only the cases that have no golden; the others are checked."""
    root: Path
    """Where the goldens are, or go."""
    named: bool
    """The command line names ``root``."""
    out: Path
    reports: tuple[Path, ...]
    """Files that tell of the run."""
    sinks: tuple[Sink, ...]
    """Places that are told of the run."""
    github: bool
    """Whether a job of GitHub Actions gets annotations and a summary."""
    cases: tuple[str, ...]
    strict: bool
    reason: str
    """Why goldens are recorded again."""
    collect: bool
    """A failing helper lets the test go on."""
    selftest: bool
    """Each test that passes is run again with faults in its candidate."""
    selftest_limit: int
    """How many faults a test tries at most."""
    isolate: Isolate
    """When a test is run again with every module alone."""
    draws: int
    """Of the noise floor, when recording."""
    probe: bool
    """Leaf modules are also fed probes."""
    factor: float | None
    """Of the noise floor, where nothing nearer to the test says another; ``None``: the dtype's."""
    memory: int
    """Bytes."""
    seed: int
    rng: str | None
    tolerances: Table
    ignore: tuple[str, ...]
    """Patterns of sites that no test judges."""
    coverage: float
    """The share of module calls that must find a counterpart, where the test says no other."""
    profiles: Mapping[str, Profile]
    profile: Profile | None
    """The one that was named; ``None``: the device decides."""
    config: Path | None
    """The YAML file of the ini option ``parity_config``."""
    overrides: tuple[Override, ...]

    @property
    def recording(self) -> bool:
        """Whether this run may write goldens."""
        return self.record or self.missing

    @classmethod
    def of(cls, config: pytest.Config) -> Options:
        """Resolve them; raises ``UsageError``."""
        option = config.option
        tables = read_tables(_pyproject(config))
        profiles = _profiles(config, tables)
        options = cls(
            record=option.parity_record,
            missing=option.parity_record_missing,
            root=_root(config),
            named=option.parity_ref is not None,
            out=_place(config, option.parity_out, "parity_out") or config.rootpath / ".parity",
            reports=tuple(dict.fromkeys(_from_here(config, path) for path in option.parity_report)),
            sinks=_sinks(config),
            github=config.getini("parity_github"),
            cases=tuple(option.parity_case),
            strict=option.parity_strict,
            reason=_reason(option.parity_reason),
            collect=option.parity_collect,
            selftest=option.parity_selftest,
            selftest_limit=_selftest_limit(_ini(config, "parity_selftest_limit")),
            isolate=_isolate(option.parity_isolate, _ini(config, "parity_isolate")),
            draws=option.parity_noise,
            probe=option.parity_probe,
            factor=_factor(_ini(config, "parity_factor")),
            memory=parse_size(_ini(config, "parity_memory")),
            seed=_seed(_ini(config, "parity_seed")),
            rng=_rng(_ini(config, "parity_rng")),
            tolerances=tables.get("tolerances", {}),
            ignore=tuple(config.getini("parity_ignore")),
            coverage=_coverage(_ini(config, "parity_coverage")),
            profiles=profiles,
            profile=_named(config, option.parity_profile, profiles),
            config=_place(config, None, "parity_config"),
            overrides=tuple(read_override(text) for text in option.parity_set),
        )
        _check(options, config)
        return options


OPTIONS = pytest.StashKey[Options]()


def named_profile(config: pytest.Config) -> Profile | None:
    """The profile of the command line or the ini file, as far as options are known before conftests are loaded."""
    name = config.known_args_namespace.parity_profile
    return _named(config, name, _profiles(config, read_tables(_pyproject(config))))


def _pyproject(config: pytest.Config) -> Path:
    return config.rootpath / "pyproject.toml"


def _profiles(config: pytest.Config, tables: Mapping[str, Any]) -> Mapping[str, Profile]:
    origin = f"{_pyproject(config)}: [tool.pytest_parity.profiles]"
    return read_profiles(tables.get("profiles", {}), origin)


def _named(config: pytest.Config, option: str | None, profiles: Mapping[str, Profile]) -> Profile | None:
    if option is not None:
        return selected(option, profiles, "--parity-profile")
    name = _ini(config, "parity_profile")
    return selected(name, profiles, "ini option parity_profile") if name else None


def is_worker(config: pytest.Config) -> bool:
    """Whether this process runs tests for a controller elsewhere (pytest-xdist)."""
    return hasattr(config, "workerinput")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options of group ``parity`` and the ini options."""
    group = parser.getgroup("parity", "numerical regression testing of training code (pytest-parity)")
    group.addoption("--parity-record", action="store_true", help="write goldens from this run")
    group.addoption(
        "--parity-record-missing", action="store_true", help="write goldens that do not exist, check the others"
    )
    group.addoption(
        "--parity-ref",
        metavar="DIR",
        help="where the goldens are, or go when recording "
        "(default: ini parity_ref, then environment PARITY_REF, then golden/ under the rootdir)",
    )
    group.addoption(
        "--parity-case",
        metavar="GLOB",
        action="append",
        default=[],
        help="run only the tests of these cases (repeatable), as in 'nest/*'",
    )
    group.addoption(
        "--parity-out",
        metavar="DIR",
        help="what a failing check leaves behind (default: ini parity_out, then .parity/ under the rootdir)",
    )
    group.addoption(
        "--parity-report",
        metavar="FILE",
        action="append",
        default=[],
        help="write what the run found to a .json, .md or .html file (repeatable)",
    )
    group.addoption(
        "--parity-sink",
        metavar="KIND:WHERE",
        action="append",
        default=[],
        help="log what the run found to tensorboard:DIR, wandb:DIR, wandb://PROJECT, mlflow:DIR or mlflow:URI (repeatable; "
        "besides those of ini parity_sink)",
    )
    group.addoption(
        "--parity-profile",
        metavar="NAME",
        help="tolerances, determinism and precision: cpu, cuda, mps or one of [tool.pytest_parity.profiles] in pyproject.toml "
        "(default: ini parity_profile, then the device that torch finds)",
    )
    group.addoption(
        "--parity-set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="override a value of the fixture parity_config (repeatable), as in model.width=64; +model.width=64 adds a key",
    )
    group.addoption(
        "--parity-strict",
        action="store_true",
        help="goldens that no test uses, and an environment other than the golden's, fail the run",
    )
    group.addoption(
        "--parity-noise",
        metavar="N",
        type=_draws,
        default=3,
        help="when recording: run each test N + 1 times more, everything moved by one unit in the last place, and keep how "
        "far it moves, the noise floor that checks are judged by; 0 records none; default: %(default)s",
    )
    group.addoption(
        "--parity-probe",
        action="store_true",
        help="when recording: also feed tiny, large, zero and extreme inputs to each module without children, which shows an eps, "
        "a clamp or a mask that ordinary data hides; checks of such a golden do the same by themselves",
    )
    group.addoption(
        "--parity-reason",
        metavar="TEXT",
        help="with --parity-record: why goldens that exist are recorded again, for their history; "
        "'env' claims that nothing but the environment changed, and is refused where it did not",
    )
    group.addoption(
        "--parity-collect",
        action="store_true",
        help="a helper that fails lets the test go on to its end, so that every site is compared; 'parity accept' needs that",
    )
    group.addoption(
        "--parity-selftest",
        action="store_true",
        help="the power of the checks: run each test that passes again with faults put into its candidate, one at a time, "
        "and fail where one escapes",
    )
    group.addoption(
        "--parity-isolate",
        action="store_true",
        help="run also a test that passes again with each module alone, fed the reference's inputs and gradients, and fail "
        "where one differs by itself; a test that fails is run again so without being asked",
    )
    parser.addini("parity_ref", "where the goldens are, from this file's directory")
    parser.addini("parity_profile", "the profile, where the command line names none", default="")
    parser.addini("parity_config", "the YAML file behind the fixture parity_config, from this file's directory")
    parser.addini("parity_out", "what a failing check leaves behind, from this file's directory")
    parser.addini(
        "parity_sink",
        "places to log what a run found to, one a line, as for --parity-sink; directories from this file's",
        type="linelist",
    )
    parser.addini(
        "parity_github",
        "in a job of GitHub Actions: annotate the tests that fail, and write the job's summary",
        type="bool",
        default=True,
    )
    parser.addini("parity_factor", "of the noise floor, how many a site may be off; default: the dtype's", default="")
    parser.addini("parity_ignore", "patterns of sites that no test judges, one a line", type="linelist")
    parser.addini(
        "parity_coverage", "share of the reference's module calls that must find a counterpart, as in 0.95", default="1"
    )
    parser.addini("parity_memory", "bytes a check may keep of one step, as in 512MiB", default="1GiB")
    parser.addini("parity_seed", "seed of every case whose tests name none", default="0", type=_int_type())
    parser.addini(
        "parity_selftest_limit",
        "how many faults --parity-selftest tries on a test, each of which runs it again",
        default="100",
        type=_int_type(),
    )
    parser.addini(
        "parity_isolate",
        f"when a test is run again with each module alone: {quoted(ISOLATE)}",
        default="on-failure",
    )
    parser.addini("parity_rng", f"random streams of cases whose marker names none: {quoted(RNG_MODES)}", default="")


def _int_type() -> Literal["int", "string"]:
    # pytest before 8.4 has no integers in its ini files.
    return "int" if pytest.version_tuple >= (8, 4) else "string"


def _ini(config: pytest.Config, name: str) -> str:
    try:
        return str(config.getini(name))
    except (TypeError, ValueError, pytest.UsageError) as error:
        raise UsageError(f"ini option {name}: {error}") from error


def _root(config: pytest.Config) -> Path:
    """Command line, then ini file, then environment, then the default."""
    environment = os.environ.get("PARITY_REF")
    place = _place(config, config.option.parity_ref, "parity_ref")
    return place or (_from_here(config, environment) if environment else config.rootpath / "golden")


def _place(config: pytest.Config, option: str | None, ini: str) -> Path | None:
    if option is not None:
        return _from_here(config, option)
    value = _ini(config, ini)
    base = config.inipath.parent if config.inipath else config.rootpath
    return _absolute(base, value) if value else None


def _from_here(config: pytest.Config, path: str) -> Path:
    return _absolute(config.invocation_params.dir, path)


def _sinks(config: pytest.Config) -> tuple[Sink, ...]:
    """Those of the ini file, then those of the command line; one place once."""
    base = config.inipath.parent if config.inipath else config.rootpath
    found = [read_sink(text, "ini option parity_sink", base) for text in config.getini("parity_sink")]
    found += [read_sink(text, "--parity-sink", config.invocation_params.dir) for text in config.option.parity_sink]
    return tuple({(sink.kind, sink.where): sink for sink in reversed(found)}.values())[::-1]


def _absolute(base: Path, path: str) -> Path:
    return Path(os.path.normpath(base / Path(path).expanduser()))


def parse_size(text: str) -> int:
    """Bytes of ``1073741824``, ``512MiB``, ``1.5 GB``."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"ini option parity_memory = {text!r} is no size; write bytes, or as in 512MiB or 1GiB")
    number, unit, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** (" KMGT".index(unit.upper()) if unit else 0))


def _reason(text: str | None) -> str:
    reason = " ".join((text or "").split())
    if text is not None and not reason:
        raise UsageError("--parity-reason is empty; say in a line why the goldens are recorded again")
    return reason


def _draws(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ArgumentTypeError(f"{text!r} is no number of draws; 0 or more, as in 3")
    return int(text)


def _factor(text: str) -> float | None:
    try:
        made = make(None, None, "ini option parity_factor", float(text)) if text else None
    except ValueError:
        raise UsageError(f"ini option parity_factor = {text!r} is no number; write it as in 10") from None
    return made.factor if made else None


def _coverage(text: str) -> float:
    try:
        value: object = float(text)
    except ValueError:
        value = text
    return check_coverage(value, "ini option parity_coverage")


def _seed(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"ini option parity_seed = {text!r} is no whole number; write it as in 1234") from None


def _selftest_limit(text: str) -> int:
    if not text.strip().isdecimal() or int(text) < 1:
        raise UsageError(
            f"ini option parity_selftest_limit = {text!r}: a whole number of faults, at least 1, as in 100"
        )
    return int(text)


def _isolate(named: bool, text: str) -> Isolate:
    if named:
        return "always"
    for known in ISOLATE:
        if text == known:
            return known
    raise UsageError(f"ini option parity_isolate = {text!r} is none of: {quoted(ISOLATE)}")


def _rng(text: str) -> str | None:
    if text and text not in RNG_MODES:
        raise UsageError(f"ini option parity_rng = {text!r} is none of: {quoted(RNG_MODES)}")
    return text or None


def _check(options: Options, config: pytest.Config) -> None:
    if options.record and options.missing:
        raise UsageError(
            "--parity-record writes every golden, --parity-record-missing only those that do not exist; give one of them"
        )
    if options.selftest and options.recording:
        raise UsageError(
            "--parity-selftest puts faults into what is checked, and this run records; record first, then run "
            "pytest --parity-selftest"
        )
    if config.option.parity_isolate and options.record:
        raise UsageError(
            "--parity-isolate looks at what is checked, and this run records; record first, then run pytest --parity-isolate"
        )
    if options.reason and not options.record:
        raise UsageError(
            f"--parity-reason {options.reason!r} is why goldens are recorded again, and this run records over none; "
            "give it with --parity-record"
        )
    if options.config is not None or options.overrides:
        check_installed("ini option parity_config" if options.config else f"--parity-set {options.overrides[0].key}")
    if _holds(options.root, options.out) or _holds(options.out, options.root):
        raise UsageError(
            f"what a failing check leaves would go to {options.out}, and the goldens are in {options.root}: one inside the "
            "other; give it a directory of its own, as in --parity-out .parity"
        )
    if not is_worker(config):
        _check_reports(options, config)
        _check_sinks(options)
    if options.recording and getattr(config.option, "dist", "no") == "each":
        raise UsageError(
            "--dist each runs a test in every worker, and all would write one golden; record with --dist load"
        )
    if options.named and not options.recording and not options.root.is_dir():
        raise UsageError(
            f"--parity-ref {config.option.parity_ref}: there is no directory {options.root}; "
            f"record it with: pytest --parity-record --parity-ref {config.option.parity_ref}"
        )


def _check_reports(options: Options, config: pytest.Config) -> None:
    """Before a test takes its time."""
    if not options.reports:
        return
    from pytest_parity.report.files import check_report  # noqa: PLC0415

    for typed in config.option.parity_report:
        path = _from_here(config, typed)
        check_report(path, f"--parity-report {typed}")
        if _holds(options.root, path):
            raise UsageError(f"--parity-report {typed}: the goldens are in {options.root}; a report goes elsewhere")


def _check_sinks(options: Options) -> None:
    check_sinks(options.sinks)
    for sink in options.sinks:
        if sink.directory is not None and _holds(options.root, sink.directory):
            raise UsageError(f"{sink.option}: the goldens are in {options.root}; a log goes elsewhere")


def _holds(outer: Path, inner: Path) -> bool:
    """Whether ``inner`` is within ``outer``, or the same; no case is in a directory whose name begins with a dot."""
    inner, outer = Path(os.path.realpath(inner)), Path(os.path.realpath(outer))
    return inner.is_relative_to(outer) and not any(part.startswith(".") for part in inner.relative_to(outer).parts)
