"""W&B: a run in a directory, which needs no account and no network, or in a project of an account that this machine knows.

The runs are beside whatever run of W&B the tests have open: nothing of theirs is finished, and ``wandb.run`` stays theirs.
"""

from __future__ import annotations

import netrc
import os
import secrets
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pytest_parity.report.sinks.logged import Line, Logged
from pytest_parity.report.sinks.place import Sink, shown
from pytest_parity.report.sinks.surroundings import undisturbed
from pytest_parity.report.words import amount

__all__ = ["write_wandb"]

_PROJECT = "parity"
_HOST = "https://api.wandb.ai"
_OFFLINE = frozenset({"offline", "dryrun", "disabled"})
_AXIS = "axis"
_SECONDS = 60.0
"""How long an online run may take to begin."""


def write_wandb(sink: Sink, runs: Sequence[Logged]) -> str:
    """Log the runs; raises whatever W&B does."""
    with undisturbed({"WANDB_ERROR_REPORTING": "false"}):
        import wandb  # noqa: PLC0415

        mode, why = _mode(sink)
        place = sink.directory or Path(os.environ.get("WANDB_DIR") or sink.base)
        place.mkdir(parents=True, exist_ok=True)
        served = _served()
        try:
            written = [_write(run, sink, mode, place) for run in runs]
        finally:
            if not served:
                wandb.teardown()
    many = amount(len(runs), "run")
    if mode == "online":
        return f"{many} in {written[-1]}"
    parent = shown(Path(written[-1]).parent)
    return f"{many}, offline{why}; to upload {'it' if len(runs) == 1 else 'them'}: wandb sync {parent}/offline-run-*"


def _mode(sink: Sink) -> tuple[Literal["online", "offline"], str]:
    """Online where a project is named, nobody says otherwise, and W&B would know who we are; else why not."""
    if sink.directory is not None:
        return "offline", ""
    if os.environ.get("WANDB_MODE", "").lower() in _OFFLINE:
        return "offline", f", as WANDB_MODE={os.environ['WANDB_MODE']} says"
    return ("online", "") if _key_known() else ("offline", ", as no account is known here (wandb login)")


def _key_known() -> bool:
    """Whether there is a key in the environment or in the netrc file, which ``wandb login`` writes."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL") or _HOST).netloc
    named = os.environ.get("NETRC")
    paths = [Path(named)] if named else [Path("~/.netrc"), Path("~/_netrc")]
    return any(_has_entry(path.expanduser(), host) for path in paths)


def _has_entry(path: Path, host: str) -> bool:
    try:
        return netrc.netrc(str(path)).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _served() -> bool:
    """Whether W&B's own process is there already, for a run that is not ours."""
    from wandb.sdk import wandb_setup  # noqa: PLC0415

    return getattr(wandb_setup, "_singleton", True) is not None


def _write(run: Logged, sink: Sink, mode: Literal["online", "offline"], place: Path) -> str:
    """Log one run; its address, offline its directory."""
    import wandb  # noqa: PLC0415

    entity, _, project = (sink.where if sink.directory is None else "").rpartition("/")
    opened = wandb.init(
        entity=entity or None,
        project=project or os.environ.get("WANDB_PROJECT") or _PROJECT,
        name=run.name,
        id=secrets.token_hex(4),
        notes=run.text or run.headline,
        tags=[] if run.passed is None else ["passed" if run.passed else "failed"],
        config=dict(run.config),
        dir=str(place),
        mode=mode,
        reinit="create_new",
        resume="never" if mode == "online" else None,
        settings=_settings(),
    )
    failed = True
    try:
        _log(opened, run)
        failed = run.passed is False
    finally:
        opened.finish(exit_code=int(failed))
    return (opened.url or run.name) if mode == "online" else str(Path(opened.dir).parent)


def _settings() -> Any:
    """Nothing printed, and nothing of this machine told, its code and packages included."""
    import wandb  # noqa: PLC0415

    return wandb.Settings(
        console="off",
        disable_code=True,
        disable_git=True,
        host="",
        init_timeout=_SECONDS,
        save_code=False,
        silent=True,
        symlink=False,
        x_disable_machine_info=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_save_requirements=False,
    )


def _log(opened: Any, run: Logged) -> None:
    """Each line over an axis of its own, as the steps that W&B counts only go up."""
    for axis in dict.fromkeys(line.axis for line in run.lines):
        opened.define_metric(f"{_AXIS}/{axis}", hidden=True)
    for line in run.lines:
        opened.define_metric(line.key.replace("*", "_"), step_metric=f"{_AXIS}/{line.axis}")
    for row in _rows(run.lines):
        opened.log(row)
    opened.summary.update(dict(run.scalars))


def _rows(lines: Sequence[Line]) -> Iterator[Mapping[str, float]]:
    """What is logged at once: all lines at a step of their axis; a line that has a step twice has it in two rows."""
    for axis in dict.fromkeys(line.axis for line in lines):
        rows: dict[tuple[int, int], dict[str, float]] = defaultdict(dict)
        for line in lines:
            if line.axis != axis:
                continue
            seen: Counter[int] = Counter()
            for step, value in zip(line.steps, line.values, strict=True):
                rows[int(step), seen[int(step)]][line.key.replace("*", "_")] = float(value)
                seen[int(step)] += 1
        for (step, _), row in sorted(rows.items(), key=lambda item: item[0]):
            yield {f"{_AXIS}/{axis}": step, **row}
