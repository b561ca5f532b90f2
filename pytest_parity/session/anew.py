"""Anew: a module call computed once more, with the module as it then is, to test what would make it agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from pytest_parity.capture import Leaving, Streams, leaves, rebuilt
from pytest_parity.capture.modules import ModuleObserver
from pytest_parity.site import Site

__all__ = ["Anew"]


@dataclass(frozen=True, slots=True)
class Anew:
    """Calls a module with the inputs of the call under way and its random streams; buffers are put back."""

    leaving: Leaving
    streams: Streams
    step: int
    leaf: str

    @classmethod
    def of(cls, modules: ModuleObserver, streams: Streams, site: Site) -> Anew | None:
        """``None`` where no call ends."""
        leaving = modules.leaving
        if leaving is None:
            return None
        return cls(leaving, streams, modules.step or 0, site.leaf)

    def __call__(self) -> torch.Tensor | None:
        """The same output, computed anew."""
        given = self.leaving.args, self.leaving.kwargs
        args, kwargs = rebuilt(given, dict(leaves(given, "in")), "in")  # copies, should it overwrite them
        output = self.called(*args, **kwargs)
        return dict(leaves(output, "out")).get(self.leaf or "out")

    def called(self, *args: Any, **kwargs: Any) -> Any:
        """What the module returns of other values, under the call's random streams."""
        call = self.leaving
        buffers = {name: one.clone() for name, one in call.module.named_buffers()}
        states = self.streams.enter(self.step, call.path, call.index)
        try:
            return call.module(*args, **kwargs)
        finally:
            self.streams.leave(states)
            with torch.no_grad():
                for name, one in call.module.named_buffers():
                    if name in buffers and buffers[name].shape == one.shape:
                        one.copy_(buffers[name])
