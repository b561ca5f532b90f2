"""Live: the pairs of models that a test compares besides its golden, or without one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pytest_parity.compare.valid import Valid
from pytest_parity.errors import ParityFailure
from pytest_parity.report import failure_text
from pytest_parity.result import Comparison
from pytest_parity.session.pairing import Loss, Model, OptimizerFactory, adamw
from pytest_parity.session.together import together
from pytest_parity.settings import MarkerOptions, Settings

__all__ = ["LivePairs"]


class LivePairs:
    """What of a ``Parity`` is about pairs; ``drawn``: its body runs again for the noise floor of a recording."""

    def __init__(self, settings: Settings, *, drawn: bool) -> None:
        self.settings = settings
        self.case = settings.case
        self._collecting = settings.collect
        self._failed = False
        self._drawn = drawn
        self._pairs: list[Comparison] = []

    def assert_equivalent(
        self,
        reference: Model,
        candidate: Model,
        inputs: Any,
        *,
        names: Any = None,
        loss: Loss | None = None,
        optimizer: OptimizerFactory | Sequence[OptimizerFactory] | None = adamw,
        kinds: Iterable[str] | None = None,
        valid: Mapping[str, Valid] | None = None,
        replay: Iterable[str] | None = None,
        ignore: Iterable[str] | None = None,
        coverage: float | None = None,
        tolerances: Mapping[str, Any] | None = None,
        rtol: float | None = None,
        atol: float | None = None,
        factor: float | None = None,
        rng: str | None = None,
        draws: int = 3,
        train: bool | None = True,
        input_gradients: bool = True,
        settings: Any = None,
    ) -> None:
        """Two live models, with no golden: see ``pytest_parity.assert_equivalent``.

        Recording or checking, it compares and raises; the test's seed, tolerances and rng policy stand behind its own.
        """
        from pytest_parity.session.equivalent import compare_pair, pair_options  # noqa: PLC0415  it makes sessions itself

        if self._drawn:  # it is no part of the recording
            return
        options = pair_options(
            names=names,
            loss=loss,
            optimizer=optimizer,
            kinds=kinds,
            valid=valid,
            replay=replay,
            ignore=ignore,
            coverage=coverage,
            tolerances=tolerances,
            rtol=rtol,
            atol=atol,
            factor=factor,
            draws=draws,
            train=train,
            input_gradients=input_gradients,
        )
        marker = MarkerOptions(rng=self.settings.marker.rng if rng is None else rng)
        base = replace(self.settings, marker=marker, names=None, probe=False)
        try:
            self._pairs.append(compare_pair(reference, candidate, inputs, options, base, settings=settings))
        except ParityFailure as failure:
            if failure.comparison is not None:
                self._pairs.append(failure.comparison)
            if failure.comparison is None:
                raise
            if not self._collecting:
                raise ParityFailure(str(failure), self.comparison()) from None
            self._failed = True

    def comparison(self) -> Comparison | None:
        """What a check knows so far."""
        return self._with_pairs(self._own())

    def _own(self) -> Comparison | None:
        """What is known of the test's own golden."""
        return None

    @property
    def _pairs_fail(self) -> bool:
        return not all(one.passed for one in self._pairs)

    def _with_pairs(self, own: Comparison | None) -> Comparison | None:
        """The test's own comparison, where it has one, and the pairs'."""
        found = [*([] if own is None else [own]), *self._pairs]
        return together(self.case, found) if len(found) > 1 or self._pairs else own

    def _failure_with(self, own: Comparison | None) -> ParityFailure:
        """One failure for the pairs that fail, and for the golden where its comparison does."""
        failing = [one for one in self._pairs if not one.passed]
        failing += [own] if own is not None and (own.failures or own.failing_curves) else []
        return ParityFailure("\n\n".join(map(failure_text, failing)), self._with_pairs(own))
