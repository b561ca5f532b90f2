"""Probing: each leaf module of the reference is fed probes when it is called first; a check feeds its counterpart the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch

from pytest_parity.capture.modules import Entering
from pytest_parity.capture.probes import PROBES, communicates, fed, is_changed, is_probed, probe_inputs
from pytest_parity.compare.deciding import of_size
from pytest_parity.compare.dtypes import dtype_name, rounding
from pytest_parity.compare.judge import judge
from pytest_parity.compare.tolerance import default_tolerance
from pytest_parity.contract.constants import constant_differences
from pytest_parity.diagnose.specimen import Specimen
from pytest_parity.golden.entry import NONE, Entry
from pytest_parity.report.words import listed
from pytest_parity.result import Delta, Diagnosis, Fault, Hint, Part
from pytest_parity.session.moving import moved
from pytest_parity.site import Kind, Site

if TYPE_CHECKING:
    from pytest_parity.session.checking import Checking
    from pytest_parity.session.recording import Recording

__all__ = ["CheckedProbes", "RecordedProbes"]

_SHOWN = 4
_EXPLAINED = 20
"""Modules whose cause is looked for."""
_MARGIN = 4.0
"""Another implementation rounds more than once."""
_HANGS = 0.5
"""Share of its norm by which an output may move with the last place of its inputs, and still say something."""


class RecordedProbes:
    """Feeds probes to the modules of the reference, in the first step that is kept."""

    def __init__(self, run: Recording) -> None:
        self._run = run
        self._step = run.step
        self._probed = 0
        self._left_out: dict[str, dict[str, None]] = {}
        """Probes that say nothing, by the reason."""

    def __call__(self, call: Entering) -> None:
        """Feed one module, and have what it returns recorded."""
        if self._step is None:
            self._step = self._run.step
        if self._run.step != self._step or self._run.skipping or not is_probed(call.module):
            return
        recorded = call.tensors()
        if not any(map(is_changed, recorded.values())):
            if any(one.is_floating_point() for one in recorded.values()):
                self._leave_out("their inputs are whole numbers, which may be a mask or counts", call.path)
            return
        self._probed += 1
        for name in PROBES:
            self._feed(call, name, recorded)

    def _feed(self, call: Entering, name: str, recorded: Mapping[str, torch.Tensor]) -> None:
        probe, streams = f"{call.path} ({name})", self._run.streams
        given = probe_inputs(name, recorded)
        nudged = _nudged(given, recorded, probe)  # first: a module may change its inputs in place
        try:
            outputs = fed(call, given, streams, name)
            again = fed(call, nudged, streams, name)
        except Exception as error:  # noqa: BLE001  the module was not made for it
            self._leave_out(f"they raise {type(error).__name__}", probe)
            return
        for leaf, output in outputs.items():
            site = _site(call, name, leaf)
            if not bool(torch.isfinite(output).all()):
                self._leave_out("their outputs are not finite", probe)
            elif leaf in again and _hangs(output, again[leaf], floors=self._run.settings.draws > 0):
                self._leave_out("their outputs hang on the last place of the inputs", probe)
            else:
                self._run.observe(site, output)

    def _leave_out(self, reason: str, probe: str) -> None:
        self._left_out.setdefault(reason, {}).setdefault(probe)

    def notes(self) -> Iterator[str]:
        """What was fed, and what was left out, and why."""
        yield (
            f"probes of {self._probed} modules"
            if self._probed
            else ("no probes: no module without children was called with a floating input that is no mask")
        )
        for reason, probes in self._left_out.items():
            yield f"probes left out, for {reason}: {listed(list(probes), _SHOWN)}"


class CheckedProbes:
    """Feeds the candidate's modules what the reference's were fed; ``causes`` are of what fails, by site."""

    def __init__(self, run: Checking) -> None:
        self._run = run
        self._step: int | None = None
        self._wanted: dict[tuple[str, int], dict[str, list[Entry]]] = {}
        self._failing: dict[str, tuple[Hint, ...]] = {}
        self._said: dict[str, None] = {}

    def __call__(self, call: Entering) -> None:
        """Feed one module, where the golden has probes of it, and have what it returns compared."""
        wanted = self._of_step().get((call.path, call.index))
        if not wanted:
            return
        if communicates(call.module):
            self._said.setdefault(f"{self._own(call.path)} waits for other processes, and cannot be fed probes alone")
            return
        recorded = self._recorded(call)
        own = call.tensors()
        other = next((one for one in own if one in recorded and own[one].shape != recorded[one].shape), None)
        if other is not None:
            self._said.setdefault(
                f"{self._own(call.path)} could not be fed probes: {other} has shape {tuple(own[other].shape)} here, "
                f"{tuple(recorded[other].shape)} in the reference"
            )
            return
        for name, entries in wanted.items():
            self._feed(call, name, entries, recorded)

    def _feed(self, call: Entering, name: str, entries: list[Entry], recorded: Mapping[str, torch.Tensor]) -> None:
        run = self._run
        try:
            outputs = fed(call, run.probe_inputs(name, recorded, call.path), run.streams, name)
        except Exception as error:  # noqa: BLE001  it is the candidate's, and the reference's did not
            self._said.setdefault(
                f"{self._own(call.path)} raises {type(error).__name__} when it is fed the probe {name}: "
                f"{str(error).partition(chr(10))[0]}"
            )
            return
        for entry in entries:
            value = outputs.get(_output(entry.site))
            if value is not None:
                run.observe(entry.site, value)
                if run.explains_probes:
                    self._explain(call, name, entry, value, recorded)

    def _of_step(self) -> dict[tuple[str, int], dict[str, list[Entry]]]:
        """What the golden has of the current step, by module call and probe."""
        if self._step != self._run.step:
            self._step, self._wanted = self._run.step, {}
            for entry in () if self._step is None else self._run.golden.entries(self._step):
                if entry.site.kind is Kind.PROBE:
                    names = self._wanted.setdefault((entry.site.path, entry.site.call or 0), {})
                    names.setdefault(entry.site.leaf.partition(".")[0], []).append(entry)
        return self._wanted

    def _recorded(self, call: Entering) -> dict[str, torch.Tensor]:
        """The golden's inputs of a call, on the devices and in the dtypes of the candidate's."""
        own, run = call.tensors(), self._run
        assert run.step is not None
        found = {}
        for leaf, tensor in own.items():
            entry = run.golden.entry(run.step, Site(Kind.INPUT, call.path, call.index, leaf))
            if entry is not None and entry.dtype != NONE:
                value = run.golden.tensor(entry).to(tensor.device)
                found[leaf] = value if is_changed(value) else value.to(tensor.dtype)
        return found

    def _own(self, path: str) -> str:
        return self._run.names.back_call(path, 0)[0]

    # why

    def _explain(
        self, call: Entering, name: str, entry: Entry, value: torch.Tensor, recorded: Mapping[str, torch.Tensor]
    ) -> None:
        """Look for the cause of what fails, once a module; ``module`` and its state are those of the call."""
        from pytest_parity.diagnose.hints import forward_hints  # noqa: PLC0415

        found = self._run.comparator.found.get(entry.site)
        told = self._failing.get(call.path)
        if found is None or isinstance(found, Delta) or not found.verdict.fails or told:
            return
        if tuple(value.shape) != entry.shape or (told is None and len(self._failing) >= _EXPLAINED):
            return
        expected = self._run.golden.tensor(entry).to(value.device)
        again = partial(self._again, call, name, entry, recorded)
        specimen = Specimen(
            part=Part.PROBE,
            module=call.module,
            path=self._own(call.path),
            actual=value.detach().clone(),
            expected=expected,
            floor=_floor(found.outcome.noise.norm_floor if found.outcome.noise else 0.0, expected),
            inputs=self._run.probe_inputs(name, recorded, call.path),
            constants=self._constants(call.path),
            again=again,
        )
        with torch.no_grad():
            self._failing[call.path] = forward_hints(specimen)

    def _again(
        self, call: Entering, name: str, entry: Entry, recorded: Mapping[str, torch.Tensor]
    ) -> torch.Tensor | None:
        """What the module returns as it is at this moment."""
        outputs = fed(call, self._run.probe_inputs(name, recorded, call.path), self._run.streams, name)
        return outputs.get(_output(entry.site))

    def _constants(self, path: str) -> dict[str, tuple[str, str]]:
        run = self._run
        if run.own_structure is None or not run.golden.manifest["structure"]:
            return {}
        found = constant_differences(run.reference.structure, run.own_structure, run.names)
        return {one.name: (one.golden, one.here) for one in found if run.names.path(one.where) == path}

    def added_to(self, diagnosis: Diagnosis | None) -> Diagnosis | None:
        """A diagnosis with the cause that was found, where it is about a probe."""
        if diagnosis is None or diagnosis.fault is not Fault.PROBE:
            return diagnosis
        causes = self._failing.get(Site.parse(diagnosis.site).path, ())
        return replace(diagnosis, causes=(*diagnosis.causes, *causes))

    def notes(self) -> Iterator[str]:
        """Why probes are missing."""
        yield from self._said


def _site(call: Entering, name: str, leaf: str) -> Site:
    return Site(Kind.PROBE, call.path, call.index, f"{name}.{leaf}" if leaf else name)


def _output(site: Site) -> str:
    """The leaf of the module's output."""
    return site.leaf.partition(".")[2]


def _nudged(
    given: Mapping[str, torch.Tensor], recorded: Mapping[str, torch.Tensor], key: str
) -> dict[str, torch.Tensor]:
    """The same inputs, each number that a probe made one unit in the last place away."""
    return {
        leaf: moved(one, f"{key}|{leaf}", whole=True).to(one.device) if is_changed(recorded[leaf]) else one.clone()
        for leaf, one in given.items()
    }


def _hangs(output: torch.Tensor, again: torch.Tensor, *, floors: bool) -> bool:
    """Whether what the last place of the inputs moves leaves nothing to judge: by floors, or by the dtype's tolerance."""
    if floors:
        ours, theirs = again.double(), output.double()
        return not bool(torch.isfinite(ours).all()) or float((ours - theirs).norm()) > _HANGS * float(theirs.norm())
    whole = of_size(default_tolerance(dtype_name(output.dtype), dtype_name(output.dtype)), output)
    return judge(again, output, replace(whole, rtol=whole.rtol / _MARGIN, atol=whole.atol / _MARGIN)).verdict.fails


def _floor(norm: float, expected: torch.Tensor) -> float:
    """Rounding: the inputs are the same to the bit. Of zeros the noise floor's."""
    return rounding(expected.dtype) * float(expected.double().norm()) or norm
