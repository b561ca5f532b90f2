"""A name map with transforms, in the marker and in a TOML file, as a user's test has it."""

from __future__ import annotations

import pytest

TEST = """
    import os
    import pytest, torch
    from torch import nn
    from pytest_parity.names import concat

    class Reference(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, x):
            return torch.cat([self.a(x), self.b(x)], -1)

    class Candidate(nn.Module):
        def __init__(self):
            super().__init__()
            self.ab = nn.Linear(4, 6)

        def forward(self, x):
            return self.ab(x)

    KINDS = ["weight", "gradient", "output", "optimizer", "updated_weight"]
    NAMES = %s

    @pytest.mark.parity("case", names=NAMES, kinds=KINDS)
    def test_case(parity):
        model = Reference() if parity.recording else Candidate()
        parity.load(model)
        optimizer = torch.optim.AdamW(model.parameters())
        with parity.watch(model, optimizer=optimizer) as run:
            for x in run.steps([torch.randn(5, 4) for _ in range(2)]):
                out = model(x)
                optimizer.zero_grad()
                out.square().sum().backward()
                optimizer.step()
                parity.assert_outputs(out)
"""


def ends(pytester: pytest.Pytester, names: str) -> pytest.RunResult:
    pytester.makepyfile(test_fused=TEST % names)
    pytester.runpytest("--parity-record", "--parity-noise=0").assert_outcomes()
    return pytester.runpytest()


def test_the_marker_takes_transforms(pytester: pytest.Pytester):
    ends(pytester, '{"ab": concat("a", "b")}').assert_outcomes(passed=1)


def test_parts_in_the_wrong_order_fail(pytester: pytest.Pytester):
    ends(pytester, '{"ab": concat("b", "a")}').stdout.fnmatch_lines(
        ["*the output outputs is the first site that differs*"]
    )


def test_the_marker_takes_a_file(pytester: pytest.Pytester):
    pytester.path.joinpath("names.toml").write_text('[names]\nab = { concat = ["a", "b"], dim = 0 }\n')
    ends(pytester, '"names.toml"').assert_outcomes(passed=1)


def test_a_file_that_is_not_there_is_said_so(pytester: pytest.Pytester):
    result = ends(pytester, '"nmaes.toml"')
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*names='nmaes.toml': there is no such file in *; `parity names` writes one*"])


def test_a_rule_that_does_not_fit_is_quoted(pytester: pytest.Pytester):
    ends(pytester, '{"ab": concat("a", "b", dim=1)}').stdout.fnmatch_lines(
        ["*name rule 'ab': concat('a', 'b', dim=1): it gives (3, 8), and the candidate's ab.weight has (6, 4)*"]
    )
