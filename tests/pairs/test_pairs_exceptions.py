"""What of the reference need not be there is said by name, as with a golden."""

from __future__ import annotations

import pytest
import torch
from pair_models import Block, first_line, seeded
from parity_studio import Studio

from pytest_parity import ParityFailure, assert_equivalent
from pytest_parity.session.parity import Parity
from pytest_parity.settings import Mode


class Inlined(Block):
    """Its activation is a function, and no module that is called."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.nn.functional.gelu(self.up(self.norm(x)) * self.scale)
        return self.batch(x + self.down(self.drop(hidden)))


@pytest.mark.parametrize("options", [{"coverage": 0.8}, {"ignore": ["act"]}])
def test_a_module_that_the_candidate_has_in_another_form(options: dict):
    x = torch.randn(6, 8)
    assert "act is never called" in first_line(seeded(Block), seeded(Inlined), x)
    assert assert_equivalent(seeded(Block), seeded(Inlined), x, **options).passed
    assert "what it hands to drop" in first_line(seeded(Block), seeded(Inlined, scale=1.01), x, **options)


def test_a_replayed_module_does_not_spoil_what_comes_after_it():
    class Other(torch.nn.Dropout):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) + 0.5

    candidate = seeded(Block)
    candidate.drop = Other(0.25)
    x = torch.randn(6, 8)
    assert "drop is the first module" in first_line(seeded(Block), candidate, x)
    comparison = assert_equivalent(seeded(Block), candidate, x, replay=["drop"])
    assert any(note.startswith("replayed, and the candidate's own output is another") for note in comparison.notes)


def test_tolerances_that_let_zeros_pass_compare_nothing(studio: Studio):
    one, other = torch.nn.Linear(8, 2), torch.nn.Linear(8, 2)
    other.load_state_dict(one.state_dict())
    other.register_forward_hook(lambda _module, _args, out: out * 1.5)
    x = torch.randn(6, 8)
    line = first_line(one, other, x, rtol=1.0, atol=10.0)
    assert line == (
        "Linear against Linear: nothing was compared: within the tolerances declared, zeros would have passed everywhere; "
        "give smaller ones, or none, and the noise floor decides"
    )
    parity = Parity(studio.settings(Mode.CHECK, collect=True))
    parity.assert_equivalent(one, other, x, rtol=1.0, atol=10.0)
    with pytest.raises(ParityFailure, match="Linear against Linear: nothing was compared"):
        parity.finish()
