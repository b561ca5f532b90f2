"""Running someone's command: its output and its end are its own, and so are the signals that we get."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from pytest_parity.errors import UsageError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["die_of", "how_it_ended", "run"]

_FORWARDED = ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGCONT")
_FROM_TERMINAL = ("SIGINT", "SIGQUIT")


def run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command to its end; its exit status, a signal's number below 0. Raises ``UsageError`` where it cannot be run."""
    sys.stdout.flush()
    sys.stderr.flush()
    with _Signals() as signals:
        try:
            script = subprocess.Popen(command, env=environment)  # noqa: S603  what the user asks for
        except OSError as error:
            raise UsageError(f"{command[0]} cannot be run: {error.strerror or error}") from None
        signals.go_to(script)
        return script.wait()


def how_it_ended(status: int) -> str:
    """An exit status, for people."""
    if status >= 0:
        return f"it ended with exit status {status}"
    try:
        return f"it was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"it was ended by signal {-status}"


def die_of(number: int) -> None:
    """End as a script ended, so that a shell sees the signal; no second core file is written."""
    sys.stdout.flush()
    sys.stderr.flush()
    with suppress(ImportError, ValueError, OSError):
        import resource  # noqa: PLC0415  not on every system

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError, ValueError):  # SIGKILL is nobody's to handle
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


class _Signals:
    """Inside, signals are passed on to the script, also those that came before it was there.

    What a terminal sends when someone types Ctrl-C goes to all of its foreground, so to the script too. What was ignored
    stays so, for the script as well.
    """

    def __init__(self) -> None:
        self._script: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for name in (*_FORWARDED, *_FROM_TERMINAL):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._pass_on)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def go_to(self, script: subprocess.Popen[bytes]) -> None:
        """Pass on to this one from here on."""
        self._script = script
        while self._early:
            script.send_signal(self._early.pop(0))

    def _pass_on(self, number: int, _frame: FrameType | None) -> None:
        if signal.Signals(number).name in _FROM_TERMINAL and _in_foreground():
            return
        if self._script is None:
            self._early.append(number)
        else:
            self._script.send_signal(number)


def _in_foreground() -> bool:
    """Whether what someone types at a terminal reaches this process, and with it the script."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
