"""The first line of a failure: the bug, as far as it is known, with the module's name in it."""

from __future__ import annotations

from collections.abc import Callable

from pytest_parity.report.curves import curve_headline
from pytest_parity.report.data import data_sentence
from pytest_parity.report.words import amount
from pytest_parity.result import IGNORED, Comparison, Delta, Diagnosis, Fault, Verdict
from pytest_parity.site import INPUTS, ROOT, Kind, Site

__all__ = ["PROBES", "data_first", "headline", "verdict_sentence"]


def headline(comparison: Comparison) -> str:
    """``nest/tiny step 0: encoder.conv is the first module whose output differs ...``."""
    diagnosis = comparison.diagnosis
    if diagnosis is None or data_first(comparison):
        return f"{comparison.case}: {verdict_sentence(comparison)}"
    stepless = diagnosis.fault in {Fault.STRUCTURE, Fault.SKIPPED} or not comparison.steps
    step = "" if stepless else f" step {diagnosis.step}"
    return f"{comparison.case}{step}: {verdict_sentence(comparison)}"


def data_first(comparison: Comparison) -> bool:
    """Whether the batches differ before anything else does."""
    diagnosis, data = comparison.diagnosis, comparison.data
    if diagnosis is None:
        return comparison.other_data and not comparison.failures
    later = data is not None and data.step <= diagnosis.step
    return later and diagnosis.fault not in {Fault.STRUCTURE, Fault.SKIPPED}


def verdict_sentence(comparison: Comparison) -> str:
    """What diverges first, without the case and the step."""
    if comparison.data is not None and data_first(comparison):
        return data_sentence(comparison.data)
    diagnosis = comparison.diagnosis
    if diagnosis is None:
        return _undiagnosed(comparison)
    delta = next((d for d in comparison.deltas if d.site == diagnosis.site and d.step == diagnosis.step), None)
    site = Site.parse(diagnosis.site)
    sentence = _SENTENCES[diagnosis.fault](diagnosis, site, delta)
    if diagnosis.fault is Fault.VALUE and Kind.ACTIVATION.value in comparison.kinds:
        sentence += ", while every module call agrees"
    if diagnosis.reference in ("", diagnosis.module):
        return sentence
    reference = _called(diagnosis.reference, site) if site.path == diagnosis.reference else diagnosis.reference
    return f"{sentence} (reference: {reference})"


def _undiagnosed(comparison: Comparison) -> str:
    failures, curves = comparison.failures, comparison.failing_curves
    if not failures:
        return curve_headline(curves[0]) if curves else _nothing_fails(comparison)
    empty = [delta for delta in failures if delta.verdict is Verdict.EMPTY]
    if len(empty) == len(failures):
        others = f" (as {amount(len(empty) - 1, 'site')} besides)" if len(empty) > 1 else ""
        first = min(empty, key=lambda delta: (delta.step, list(Kind).index(Site.parse(delta.site).kind)))
        name = first.site
        return (
            f"{name}{others} has {first.detail}, so that nothing was compared there; "
            f"where that is right, say so: ignore=[{name.partition('#')[0]!r}]"
        )
    return f"{amount(len(failures), 'site')} of {comparison.expected:,} fail; the first is {failures[0].site}"


def _nothing_fails(comparison: Comparison) -> str:
    if not comparison.compared:
        if comparison.counts.get(IGNORED):
            return "nothing was compared: the test ignores every site that was recorded"
        return "nothing was compared; assert something, or watch a model while it runs"
    if comparison.vacuous:
        return (
            "nothing was compared: within the tolerances declared, zeros would have passed everywhere; give smaller ones, or "
            "none, and the noise floor decides"
        )
    return f"{comparison.compared:,} of {amount(comparison.expected, 'site')} compared, and none of them fails"


def _structure(diagnosis: Diagnosis, _site: Site, delta: Delta | None) -> str:
    what = {
        Verdict.MISSING: "the reference has it, the candidate has not",
        Verdict.EXTRA: "the candidate has it, the reference has not",
        Verdict.SHAPE: "it has another shape",
        Verdict.DTYPE: "it has another dtype",
    }.get(delta.verdict if delta else Verdict.DIFFERS, "it is not built as the reference's")
    return f"{diagnosis.module}: {what}" + _detail(delta)


def _data(diagnosis: Diagnosis, _site: Site, delta: Delta | None) -> str:
    return f"the batch's {diagnosis.module} differs from the golden's" + _detail(delta)


def _weight(diagnosis: Diagnosis, _site: Site, delta: Delta | None) -> str:
    return f"the weight {diagnosis.module} differs before the step's forward pass" + _detail(delta)


PROBES = {
    "tiny": "its inputs times 1e-4",
    "large": "its inputs times 100",
    "zero": "zeros",
    "extreme": "numbers of either sign around 1e4",
    "wide": "numbers from -6 to 6",
    "negative": "numbers from -6 to -3",
}
"""What a probe feeds, by its name."""


def _probe(diagnosis: Diagnosis, site: Site, delta: Delta | None) -> str:
    probe, _, leaf = site.leaf.partition(".")
    name, given = _called(diagnosis.module, _ours(site, diagnosis, delta)), PROBES.get(probe, f"the probe {probe}")
    if delta is not None and delta.verdict is Verdict.MISSING:
        return f"{name} returns nothing to compare when it is fed {given}, as the reference does"
    what = f"{leaf} of what {name} returns" if leaf else name
    return f"{what} differs where ordinary data does not show it: when it is fed {given}" + _detail(delta)


def _module(diagnosis: Diagnosis, site: Site, delta: Delta | None) -> str:
    if site.kind is Kind.UPDATED_WEIGHT:
        buffer = site.path.rpartition(".")[2]
        return f"{diagnosis.module} updates its buffer {buffer} differently, while every module's output agrees"
    inside = f"; inside it, {diagnosis.after} still agrees" if diagnosis.after else ""
    name = _called(diagnosis.module, _ours(site, diagnosis, delta))
    return f"{name} is the first module whose output differs while its inputs agree{inside}" + _detail(delta)


def _between(diagnosis: Diagnosis, site: Site, delta: Delta | None) -> str:
    after = f", after {diagnosis.after} agreed" if diagnosis.after else ""
    name = _called(_ours(site, diagnosis, delta).path, _ours(site, diagnosis, delta))
    if site.kind is Kind.ACTIVATION:
        return f"{diagnosis.module} calls {name}, which the reference does not"
    if delta is not None and delta.verdict in _HANDED:
        caller = f"the code that calls {ROOT}" if site.path == ROOT else diagnosis.module
        return f"{caller} {_HANDED[delta.verdict].format(leaf=site.leaf, name=name)}{after}" + _detail(delta)
    if site.path == ROOT:
        return f"the code that calls {ROOT}: the input is the first site that differs{after}" + _detail(delta)
    return f"{diagnosis.module}: what it hands to {name} is the first site that differs{after}" + _detail(delta)


_HANDED = {
    Verdict.MISSING: "does not hand {leaf} to {name}, and the reference does",
    Verdict.EXTRA: "hands {leaf} to {name}, and the reference does not",
}


def _not_called(diagnosis: Diagnosis, site: Site, delta: Delta | None) -> str:
    after = f", the reference calls it after {diagnosis.after}" if diagnosis.after else ""
    return f"{_called(diagnosis.module, _ours(site, diagnosis, delta))} is never called{after}"


def _skipped(diagnosis: Diagnosis, _site: Site, delta: Delta | None) -> str:
    if delta is not None and delta.verdict is Verdict.EXTRA:
        return f"{diagnosis.module} is the candidate's alone; record the reference as far, or compare the steps of both"
    return f"{diagnosis.module} of the golden was never run; run every step that was recorded, or record it again"


def _value(diagnosis: Diagnosis, site: Site, delta: Delta | None) -> str:
    what = "the loss" if site.kind is Kind.LOSS else f"the output {diagnosis.module}"
    if delta is not None and delta.verdict is Verdict.MISSING:
        return f"{what} is missing: the reference has it, and the test gives none" + _detail(delta)
    if delta is not None and delta.verdict is Verdict.EXTRA:
        return f"{what} is extra: the test gives it, and the reference has none" + _detail(delta)
    return f"{what} is the first site that differs" + _detail(delta)


def _backward(diagnosis: Diagnosis, site: Site, delta: Delta | None) -> str:
    after = f", after {diagnosis.after} agreed" if diagnosis.after else ""
    if diagnosis.reference == INPUTS:
        return (
            f"the gradient of the input {_input(site)} is the first that differs while the forward pass agrees{after}"
            + _detail(delta)
        )
    if site.kind is Kind.ACTIVATION_GRADIENT and site.path == ROOT != diagnosis.reference:
        return f"{diagnosis.module}: the gradient that it gives {ROOT} is the first that differs, while the forward pass agrees"
    return (
        f"{diagnosis.module} is the first module in backward order whose gradient differs while the forward "
        f"pass agrees{after}" + _detail(delta)
    )


def _no_gradient(diagnosis: Diagnosis, site: Site, _delta: Delta | None) -> str:
    if site.path.startswith(f"{INPUTS}."):
        return f"the input {_input(site)} gets no gradient, while the forward pass agrees"
    return f"{diagnosis.module} gets no gradient, while the forward pass agrees"


def _cut(diagnosis: Diagnosis, _site: Site, _delta: Delta | None) -> str:
    if diagnosis.after or diagnosis.to:
        between = " and ".join(one for one in (diagnosis.after, diagnosis.to) if one)
        where = f"between {between}" if diagnosis.after and diagnosis.to else f"behind {between}"
        return f"{diagnosis.module} cuts the gradient off {where}, while the forward pass agrees"
    return f"{diagnosis.module} cuts the gradient off, while the forward pass agrees"


def _loop(_diagnosis: Diagnosis, _site: Site, _delta: Delta | None) -> str:
    return (
        "the gradients of parameters differ, while alone each module's backward pass agrees: look at what the loop does "
        "with gradients before the optimizer's step (zero_grad, clipping, accumulation, the loss's scale)"
    )


def _update(diagnosis: Diagnosis, site: Site, delta: Delta | None) -> str:
    name = _ours(site, diagnosis, delta).path
    if site.kind is Kind.OPTIMIZER:
        return f"{diagnosis.module}: its state {site.leaf} of {name} is the first site that differs" + _detail(delta)
    return (
        f"{diagnosis.module}: its update of {name} is the first that differs, while the weights, gradients and "
        "optimizer state that it starts from agree" + _detail(delta)
    )


_SENTENCES: dict[Fault, Callable[[Diagnosis, Site, Delta | None], str]] = {
    Fault.STRUCTURE: _structure,
    Fault.DATA: _data,
    Fault.WEIGHT: _weight,
    Fault.PROBE: _probe,
    Fault.MODULE: _module,
    Fault.BETWEEN: _between,
    Fault.SKIPPED: _skipped,
    Fault.NOT_CALLED: _not_called,
    Fault.VALUE: _value,
    Fault.BACKWARD: _backward,
    Fault.NO_GRADIENT: _no_gradient,
    Fault.CUT: _cut,
    Fault.LOOP: _loop,
    Fault.UPDATE: _update,
}


def _called(name: str, site: Site) -> str:
    """A module, with the number of its call where it is not the first; a bare number is said to be a module."""
    name = f"module {name}" if name.replace(".", "").isdigit() else name
    return f"{name} (call {site.call + 1})" if site.call else name


def _input(site: Site) -> str:
    return site.path.removeprefix(f"{INPUTS}.")


def _ours(site: Site, diagnosis: Diagnosis, delta: Delta | None) -> Site:
    """The site as the candidate names it."""
    own = diagnosis.candidate or (delta.candidate if delta is not None else "")
    return Site.parse(own) if own else site


def _detail(delta: Delta | None) -> str:
    return f": {delta.detail}" if delta is not None and delta.detail else ""
