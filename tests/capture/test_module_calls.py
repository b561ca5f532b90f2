"""The traps of observing module calls, each recorded and then checked."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from parity_studio import Studio, single
from torch import nn

from pytest_parity.site import Kind

X = torch.randn(3, 4, generator=torch.Generator().manual_seed(7))


class Wired(nn.Module):
    """A module whose forward is given, over named children."""

    def __init__(self, forward: Any, **children: nn.Module) -> None:
        super().__init__()
        for name, child in children.items():
            setattr(self, name, child)
        self._wiring = forward

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._wiring(self, *args, **kwargs)


def test_an_in_place_relu_after_a_captured_output_leaves_the_recorded_output_alone(studio: Studio) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True))
    studio.both(single(model, X))
    assert torch.equal(studio.tensor("activation/0#0"), nn.functional.linear(X, model[0].weight, model[0].bias))
    assert (studio.tensor("activation/0#0") < 0).any()


def test_an_input_overwritten_inside_the_module_is_recorded_as_it_came(studio: Studio) -> None:
    def overwrite(self: Any, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.detach().mul_(0.0) + 1.0)

    model = Wired(lambda self, x: self.inner(x), inner=Wired(overwrite, linear=nn.Linear(4, 2)))
    studio.both(single(model, X))
    assert torch.equal(studio.tensor("input/inner#0/in.0"), X)


def test_an_input_overwritten_after_its_use_is_compared_as_it_came(studio: Studio) -> None:
    shift = nn.Linear(4, 4).weight

    def model(*, overwrite: bool) -> nn.Module:
        def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
            out = x @ torch.eye(4) + self.shift[:3]
            if overwrite:
                x.zero_()
            return out

        inner = Wired(forward)
        inner.shift = nn.Parameter(shift.detach().clone())
        return Wired(lambda self, x: self.inner(x), inner=inner)

    studio.record(single(model(overwrite=False), X))
    assert studio.check(single(model(overwrite=True), X)).passed


def test_a_module_called_several_times_has_an_index_for_each_call(studio: Studio) -> None:
    model = Wired(lambda self, x: self.one(self.one(self.one(x))), one=nn.Linear(4, 4))
    studio.both(single(model, X))
    assert [s for s in studio.sites(Kind.ACTIVATION) if "one" in s] == [f"activation/one#{i}" for i in range(3)]


def test_a_call_too_few_is_missing_and_one_too_many_is_extra(studio: Studio) -> None:
    one = nn.Linear(4, 4)
    studio.record(single(Wired(lambda self, x: self.one(self.one(x)), one=one), X))
    fewer = studio.failure(single(Wired(lambda self, x: self.one(x), one=one), X))
    assert "activation/one#1" in str(fewer)
    assert "missing" in str(fewer)
    more = studio.failure(single(Wired(lambda self, x: self.one(self.one(self.one(x))), one=one), X))
    assert "activation/one#2" in str(more)
    assert "extra" in str(more)


def test_one_object_under_several_names_is_named_by_its_caller(studio: Studio) -> None:
    shared = nn.Tanh()
    block = [Wired(lambda self, x: self.act(self.lin(x)), lin=nn.Linear(4, 4), act=shared) for _ in range(3)]
    model = nn.Sequential(*block)
    studio.both(single(model, X))
    assert [s for s in studio.sites(Kind.ACTIVATION) if "act" in s.split("/")[1]] == [
        f"activation/{i}.act#0" for i in range(3)
    ]


def test_calls_with_keywords_only_are_numbered_by_the_signature(studio: Studio) -> None:
    class Keywords(nn.Module):
        def forward(self, *, left: torch.Tensor, right: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
            return left * scale - right

    model = Wired(lambda self, x: self.k(right=self.a(x), left=x), k=Keywords(), a=nn.Linear(4, 4))
    studio.both(single(model, X))
    assert torch.equal(studio.tensor("input/k#0/in.0"), X)
    assert [s for s in studio.sites(Kind.INPUT) if "/k#" in s] == ["input/k#0/in.0", "input/k#0/in.1"]

    positional = Wired(lambda self, x: self.k(x, self.a(x)), k=Positional(), a=model.a)
    assert studio.check(single(positional, X)).passed


class Positional(nn.Module):
    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return first * 1.0 - second


@dataclass
class Output:
    logits: torch.Tensor
    state: tuple[torch.Tensor, torch.Tensor]
    nothing: None = None


class ModelOutput(OrderedDict):  # as transformers has it: attributes and keys
    def __getattr__(self, name: str) -> Any:
        return self[name]


@pytest.mark.parametrize(
    ("wrap", "sites"),
    [
        (lambda a, b: (a, b), ["activation/inner#0/out.0", "activation/inner#0/out.1"]),
        (lambda a, b: {"a": a, "b": [b]}, ["activation/inner#0/out.a", "activation/inner#0/out.b.0"]),
        (
            lambda a, b: Output(a, (a, b)),
            [f"activation/inner#0/out.{leaf}" for leaf in ("logits", "state.0", "state.1", "nothing")],
        ),
        (lambda a, b: ModelOutput(logits=a, loss=b), ["activation/inner#0/out.logits", "activation/inner#0/out.loss"]),
        (lambda a, b: (a, None, b), [f"activation/inner#0/out.{i}" for i in range(3)]),
    ],
    ids=["tuple", "dict", "dataclass", "ModelOutput", "None inside"],
)
def test_nested_outputs_have_a_site_for_each_leaf(studio: Studio, wrap: Any, sites: list[str]) -> None:
    def model(scale: float = 1.0) -> nn.Module:
        inner = Wired(lambda self, x: wrap(x * scale, x + 1.0))
        return Wired(lambda self, x: (self.inner(x), self.lin(x))[1], inner=inner, lin=lin)

    lin = nn.Linear(4, 2)
    studio.both(single(model(), X))
    assert [s for s in studio.sites(Kind.ACTIVATION) if "inner" in s] == sites
    assert "activation/inner#0" in str(studio.failure(single(model(1.5), X)))


def test_a_tensor_where_the_golden_has_none_fails_and_so_does_the_reverse(studio: Studio) -> None:
    lin = nn.Linear(4, 2)
    nothing = Wired(lambda self, x: (self.inner(x), self.lin(x))[1], inner=Wired(lambda self, x: None), lin=lin)
    something = Wired(lambda self, x: (self.inner(x), self.lin(x))[1], inner=Wired(lambda self, x: x), lin=lin)
    studio.both(single(nothing, X))
    assert "activation/inner#0" in str(studio.failure(single(something, X)))
    studio.record(single(something, X))
    assert "activation/inner#0" in str(studio.failure(single(nothing, X)))


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x.t(),
        lambda x: x[:1].expand(5, 4),
        lambda x: x.double(),
        lambda x: x[:, ::2],
        lambda x: x.to(torch.bfloat16),
    ],
    ids=["transposed", "stride 0", "float64", "strided", "bfloat16"],
)
def test_outputs_of_any_layout_and_dtype(studio: Studio, make: Any) -> None:
    def model(shift: float = 0.0) -> nn.Module:
        inner = Wired(lambda self, x: make(x + shift))
        return Wired(lambda self, x: (self.inner(x), self.lin(x))[1], inner=inner, lin=lin)

    lin = nn.Linear(4, 2)
    studio.both(single(model(), X))
    assert torch.equal(studio.tensor("activation/inner#0"), make(X))
    assert "inner" in str(studio.failure(single(model(0.5), X))).splitlines()[0]


def test_modules_that_never_fire_are_listed_and_one_that_the_reference_calls_is_not_passed(studio: Studio) -> None:
    kept = {"a": nn.Linear(4, 4), "b": nn.Linear(4, 4)}
    studio.record(single(Wired(lambda self, x: self.b(self.a(x)), **kept), X))
    assert studio.golden().manifest["steps"]["0"]["never_called"] == []
    silent = Wired(lambda self, x: nn.functional.linear(self.a(x), self.b.weight, self.b.bias), **kept)
    failure = studio.failure(single(silent, X))
    assert "activation/b#0" in str(failure)
    assert "missing" in str(failure)
    studio.record(single(silent, X))
    assert studio.golden().manifest["steps"]["0"]["never_called"] == ["b"]


def test_a_root_whose_forward_is_called_directly_is_seen_by_its_children(studio: Studio) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
    studio.both(single(model, X, model.forward))
    assert studio.sites(Kind.ACTIVATION) == ["activation/0#0", "activation/1#0"]
    assert studio.golden().manifest["steps"]["0"]["never_called"] == ["(model)"]
    assert studio.check(single(model, X)).notes == ("modules of the candidate without a counterpart: (model)",)


def test_an_exception_inside_a_forward_leaves_the_names_of_later_calls_right(studio: Studio) -> None:
    class Fails(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.inner(x)
            raise ValueError("on purpose")

    def wiring(self: Any, x: torch.Tensor) -> torch.Tensor:
        with pytest.raises(ValueError, match="on purpose"):
            self.fails(x)
        return self.lin(x)

    model = Wired(wiring, fails=Fails(), lin=nn.Linear(4, 2))
    studio.both(single(model, X))
    assert studio.sites(Kind.ACTIVATION) == ["activation/fails.inner#0", "activation/lin#0", "activation/(model)#0"]


def test_a_failing_body_leaves_the_old_golden_untouched(studio: Studio) -> None:
    model = nn.Linear(4, 4)
    studio.record(single(model, X))
    before = {file: file.read_bytes() for file in studio.path.rglob("*") if file.is_file()}

    def fails(parity: Any) -> None:
        single(nn.Linear(4, 4), X)(parity)
        raise RuntimeError("the body failed")

    with pytest.raises(RuntimeError):
        studio.record(fails)
    assert {file: file.read_bytes() for file in studio.path.rglob("*") if file.is_file()} == before


def test_tied_weights_are_recorded_once_under_their_first_name(studio: Studio) -> None:
    class Tied(nn.Module):
        def __init__(self, first: str, second: str) -> None:
            super().__init__()
            setattr(self, first, nn.Linear(4, 4, bias=False))
            setattr(self, second, nn.Linear(4, 4, bias=False))
            getattr(self, second).weight = getattr(self, first).weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.a(x))

    torch.manual_seed(0)
    studio.both(single(Tied("a", "b"), X))
    assert studio.sites(Kind.WEIGHT) == ["weight/a.weight"]
    torch.manual_seed(0)
    assert studio.check(single(Tied("b", "a"), X)).passed  # the same tie, registered in the other order


@pytest.mark.parametrize(
    "wrapper", ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"]
)
def test_wrappers_do_not_show_in_names(studio: Studio, wrapper: str) -> None:
    inner = nn.Linear(4, 4)
    bare = Wired(lambda self, x: self.layer(x), layer=inner)
    studio.both(single(bare, X))

    class Wrapper(nn.Module):
        def __init__(self, wrapped: nn.Module) -> None:
            super().__init__()
            setattr(self, wrapper, wrapped)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return getattr(self, wrapper)(x)

    assert studio.check(single(Wired(lambda self, x: self.layer(x), layer=Wrapper(inner)), X)).passed
    assert studio.check(single(Wrapper(bare), X)).passed


def test_a_data_parallel_wrapper_does_not_show_in_names_and_an_attribute_called_module_does(studio: Studio) -> None:
    bare = nn.Sequential(nn.Linear(4, 4))
    studio.record(single(bare, X))
    assert studio.check(single(nn.DataParallel(bare), X)).passed

    studio.record(single(Wired(lambda self, x: self.module(x), module=nn.Linear(4, 4)), X))
    assert "activation/module#0" in studio.sites(Kind.ACTIVATION)


def test_activation_gradients_on_request(studio: Studio) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True), nn.Linear(4, 2))
    gradients: list[torch.Tensor] = []
    kinds = ["weight", "activation", "activation_gradient", "gradient"]

    def body(parity: Any) -> None:
        model.zero_grad()
        with parity.watch(model, kinds=kinds):
            out = model(parity.input("x", X.clone))
            out.register_hook(gradients.append)
            out.square().sum().backward()

    studio.both(body)
    assert studio.sites(Kind.ACTIVATION_GRADIENT) == [f"activation_gradient/{m}#0" for m in ("2", "(model)", "1", "0")]
    assert torch.equal(studio.tensor("activation_gradient/2#0"), gradients[0])


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_a_scripted_module_is_unobservable(studio: Studio) -> None:
    first, second = nn.Linear(4, 4), nn.Linear(4, 2)
    studio.record(single(nn.Sequential(first, second), X))
    comparison = studio.check(single(nn.Sequential(first, torch.jit.script(second)), X))
    assert comparison.passed
    assert {d.site for d in comparison.deltas} == {"input/1#0/in.0", "activation/1#0"}
    assert comparison.counts["unobservable"] == 2
