"""A step written down as deltas: calls nest as they run, and every site agrees until it is said to fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from pytest_parity.diagnose import first_divergence
from pytest_parity.names import BoundNames
from pytest_parity.result import Delta, Metrics, Verdict
from pytest_parity.site import Kind, Site

APART = Metrics(4, 1, 0.5, 0.5, 0.1, 0.1, 0.9, 1.0, (0,), 1.5, 1.0, 0.1, 0, 0)


class Story:
    """Builds one step's deltas in execution order."""

    def __init__(self, step: int = 0, *, inputs: bool = True) -> None:
        self.step = step
        self.inputs = inputs
        self.deltas: list[Delta] = []
        self.counts: dict[str, int] = {}

    def site(self, kind: Kind, path: str, *, call: int | None = None, leaf: str = "", order: int | None = None) -> None:
        text = str(Site(kind, path, call, leaf))
        place = len(self.deltas) if order is None else order
        self.deltas.append(Delta(text, self.step, place, Verdict.EQUAL, elements=4))

    @contextmanager
    def call(self, path: str) -> Iterator[None]:
        index = self.counts[path] = self.counts.get(path, -1) + 1
        if self.inputs:
            self.site(Kind.INPUT, path, call=index, leaf="in.0")
        yield
        self.site(Kind.ACTIVATION, path, call=index, leaf="out")

    def leaf(self, path: str) -> None:
        with self.call(path):
            pass

    def each(self, kind: Kind, *paths: str) -> None:
        for path in paths:
            self.site(kind, path)

    def mark(self, verdict: Verdict, *sites: str, detail: str = "") -> Story:
        """Give these sites a verdict; a site that is not there yet is an extra."""
        metrics = APART if verdict is Verdict.DIFFERS else None
        for text in sites:
            places = [k for k, delta in enumerate(self.deltas) if delta.site == text]
            if not places:
                assert verdict is Verdict.EXTRA, text
                self.deltas.append(Delta(text, self.step, -1, verdict))
            for place in places:
                self.deltas[place] = replace(self.deltas[place], verdict=verdict, metrics=metrics, detail=detail)
        return self

    def fail(self, *sites: str) -> Story:
        return self.mark(Verdict.DIFFERS, *sites)

    def miss(self, *sites: str) -> Story:
        return self.mark(Verdict.MISSING, *sites)

    def fail_from(self, site: str) -> Story:
        """This site and everything later in the forward pass."""
        place = next(k for k, delta in enumerate(self.deltas) if delta.site == site)
        later = [delta.site for delta in self.deltas[place:] if delta.site.startswith(("input", "activation"))]
        return self.fail(*later)

    def diagnose(self, names: BoundNames | None = None, **options):
        return first_divergence(self.deltas, names=names or BoundNames.identity(), **options)


def block(story: Story, path: str) -> None:
    """A layer: a norm, an attention with functional code between its projections, a feed-forward."""
    with story.call(path):
        story.leaf(f"{path}.norm")
        with story.call(f"{path}.attn"):
            for part in ("q", "k", "out"):
                story.leaf(f"{path}.attn.{part}")
        with story.call(f"{path}.ff"):
            for part in ("up", "act", "down"):
                story.leaf(f"{path}.ff.{part}")


PARAMETERS = tuple(
    f"layers.{layer}.{part}.weight"
    for layer in (0, 1)
    for part in ("norm", "attn.q", "attn.k", "attn.out", "ff.up", "ff.down")
)


def transformer(step: int = 0, *, root: bool = True, inputs: bool = True) -> Story:
    """A training step of two layers and a head; with ``root`` off, the root's forward is called directly."""
    story = Story(step, inputs=inputs)
    story.site(Kind.BATCH, "loader", leaf="audio")
    story.each(Kind.WEIGHT, "embed.weight", *PARAMETERS, "head.weight")

    def body() -> None:
        story.leaf("embed")
        for layer in (0, 1):
            block(story, f"layers.{layer}")
        story.leaf("head")

    if root:
        with story.call("(model)"):
            body()
    else:
        body()
    story.site(Kind.OUTPUT, "logits")
    story.site(Kind.LOSS, "loss")
    story.each(Kind.GRADIENT, "embed.weight", *PARAMETERS, "head.weight")
    for path in ("embed.weight", *PARAMETERS, "head.weight"):
        story.site(Kind.OPTIMIZER, path, leaf="exp_avg")
    story.each(Kind.UPDATED_WEIGHT, "embed.weight", *PARAMETERS, "head.weight", "norm.running_mean")
    return story
