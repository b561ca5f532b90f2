"""A run's document as `report/model.py` says, made up: an encoder of many blocks, one of which is wrong."""

from __future__ import annotations

import random
from typing import Any

CHILDREN = {
    "": "Block",
    ".norm": "LayerNorm",
    ".attention": "Attention",
    ".attention.query": "Linear",
    ".attention.key": "Linear",
    ".attention.value": "Linear",
    ".attention.out": "Linear",
    ".norm_out": "LayerNorm",
    ".up": "Linear",
    ".down": "Linear",
}
OWNERS = [name for name, kind in CHILDREN.items() if kind in {"Linear", "LayerNorm"}]
ORDER = [*[*CHILDREN][1:], ""]
"""Of a block's activations, its own the last."""
FACTOR = 10.0


class Story:
    """One case's sites and modules, with an error that begins in one block."""

    def __init__(self, blocks: int, faulty: int, seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.blocks, self.faulty = blocks, faulty
        self.sites: list[dict[str, Any]] = []
        self.path = f"blocks.{faulty}.attention"

    def add(self, kind: str, path: str, module: str | None, *, wrong: bool, call: str = "") -> None:
        size = self.random.uniform(0.2, 2.2) * (self.random.uniform(40, 4000) if wrong else 1.0)
        verdict = "differs" if wrong else self.random.choice(["equal", "close", "close"])
        site: dict[str, Any] = {
            "site": f"{kind}/{path}{call}",
            "kind": kind,
            "verdict": verdict,
            "order": len(self.sites),
        }
        site |= {
            "candidate": f"{kind}/encoder.{path}{call}",
            "elements": 4096,
            "shape": [4, 16, 64],
            "dtype": "float32",
        }
        site |= {"module": module} if module is not None else {}
        if verdict != "equal":
            site["floors"] = {"norm": size, "gain": size * self.random.random(), "factor": FACTOR}
            site |= {
                "share": size / FACTOR,
                "max_abs": size * 1e-6,
                "mean_abs": size * 1e-7,
                "relative_l2": size * 1e-7,
            }
        if wrong:
            site |= {"cosine": 0.99987, "mismatched": 3000, "worst": self.worst(), "histogram": self.histogram()}
        self.sites.append(site)

    def worst(self) -> list[dict[str, Any]]:
        return [{"index": [n % 4, n, 3 * n], "here": 0.5 + 0.01 * n, "reference": 0.5} for n in range(9, -1, -1)]

    def histogram(self) -> dict[str, Any]:
        counts = [int(600 * 2.7 ** (-((n - 9) ** 2) / 12)) for n in range(20)]
        return {"start": -9.0, "width": 0.25, "counts": counts, "equal": 4096 - sum(counts), "nonfinite": 0}

    def after(self, block: int, child: str) -> bool:
        """Whether an activation comes after the fault."""
        return (block, ORDER.index(child)) > (self.faulty, ORDER.index(".attention.out"))

    def build(self) -> list[dict[str, Any]]:
        self.add("batch", "tokens", None, wrong=False)
        owned = [(block, child) for block in range(self.blocks) for child in OWNERS]
        for block, child in owned:
            for name in ("weight", "bias"):
                self.add("weight", f"blocks.{block}{child}.{name}", f"blocks.{block}{child}", wrong=False)
        for block in range(self.blocks):
            for child in ORDER:
                path, wrong = (
                    f"blocks.{block}{child}",
                    self.after(block, child) or (block == self.faulty and child == ".attention"),
                )
                came_wrong = wrong and child != ".attention" and (block, child) != (self.faulty, "")
                self.add("input", path, path, wrong=came_wrong, call="#0/in.0")
                self.add("activation", path, path, wrong=wrong, call="#0")
        self.add("loss", "loss", None, wrong=True)
        for kind in ("gradient", "optimizer", "updated_weight"):
            for block, child in owned:
                for name in ("weight", "bias"):
                    leaves = ("/exp_avg", "/exp_avg_sq") if kind == "optimizer" else ("",)
                    for leaf in leaves:
                        path = f"blocks.{block}{child}"
                        self.add(
                            kind, f"{path}.{name}{leaf}", path, wrong=kind == "gradient" and self.random.random() < 0.8
                        )
        return self.sites

    def modules(self) -> list[dict[str, Any]]:
        found = [self.module("(model)", "Encoder")]
        found += [
            self.module(f"blocks.{block}{child}", kind)
            for block in range(self.blocks)
            for child, kind in CHILDREN.items()
        ]
        return found

    def module(self, path: str, kind: str) -> dict[str, Any]:
        own = [site for site in self.sites if site.get("module") == path]
        failing = sum(site["verdict"] == "differs" for site in own)
        at_fault = path == self.path
        row: dict[str, Any] = {
            "path": path,
            "candidate": path if path == "(model)" else f"encoder.{path}",
            "type": kind,
        }
        row |= {"parameters": 4160 if kind == "Linear" else 0, "calls": 1, "sites": len(own), "failing": failing}
        row |= {"verdict": "differs" if failing else "close" if own else "", "inherited": self.error(own, "input")}
        introduced = None if path == "(model)" else 31400.0 if at_fault else round(self.random.uniform(0.1, 1.4), 2)
        return row | {"introduced": introduced, "outgoing": self.error(own, "activation"), "faulty": at_fault}

    def error(self, sites: list[dict[str, Any]], kind: str) -> float | None:
        found = [site.get("floors", {}).get("norm", 0.0) for site in sites if site["kind"] == kind]
        return max(found) if found else None


def failed(case: str = "nest/tiny", blocks: int = 4, faulty: int = 1) -> dict[str, Any]:
    """A case that fails, with everything that a report can tell."""
    story = Story(blocks, faulty)
    sites, modules = story.build(), story.modules()
    wrong = sum(site["verdict"] == "differs" for site in sites)
    counts = {verdict: sum(site["verdict"] == verdict for site in sites) for verdict in ("equal", "close", "differs")}
    at = next(site for site in sites if site["site"] == f"activation/{story.path}#0")
    kinds = {site["kind"]: sum(other["kind"] == site["kind"] for other in sites) for site in sites}
    hint = {"cause": "scale", "text": "the attention's logits are not scaled: times 0.125 they agree to 0.8 floors"}
    row = {"step": 0, "call": 0, "site": at["site"], "order": at["order"]}
    return blank(case) | {
        "nodeid": "tests/test_encoder.py::test_training", "file": "tests/test_encoder.py", "line": 25, "outcome": "failed",
        "headline": f"{case} step 0: encoder.{story.path} is the first module whose output differs while its inputs agree",
        "message": "all of what the terminal says\n", "expected": len(sites), "compared": len(sites), "counts": counts, "kinds": kinds,
        "coverage": {"parameters": 32, "parameters_recorded": 32, "calls": 40, "calls_recorded": 40, "elements": 123456,
                     "elements_recorded": 123456, "outside": 234, "ignored": {}},
        "steps": [{"step": 0, "failing": wrong}], "step": 0, "sites": sites, "modules": modules,
        "environment": {"golden": {"torch": "2.13.0", "threads": "1"}, "here": {"torch": "2.13.0", "threads": "2"},
                        "differences": [{"name": "threads", "golden": "1", "here": "2"}]},
        "settings": [{"about": "constant", "name": "scale", "where": f"encoder.{story.path}", "golden": "0.125", "here": "1.0", "likely": True}],
        "notes": ["modules that were never called: (model)"],
        "diagnosis": {"fault": "module", "module": f"encoder.{story.path}", "reference": story.path, "site": at["site"], "step": 0,
                      "candidate": at["candidate"], "after": "", "to": "", "others": wrong - 1, "hints": [], "causes": [hint]},
        "isolation": {"step": 0, "calls": 40, "refused": "", "errors": [
            {"module": one["candidate"], "reference": one["path"], "call": 0, "inherited": one["inherited"], "outgoing": one["outgoing"],
             "introduced": one["introduced"], "order": next(site["order"] for site in sites if site["site"] == f"activation/{one['path']}#0")}
            for one in modules[1:]], "faulty": [row | {
            "part": "output", "module": f"encoder.{story.path}", "reference": story.path, "text": f"encoder.{story.path} returns another value: 31,400 noise floors off (relative 0.031)", "floors": 31400.0, "factor": FACTOR, "relative": 0.031,
            "candidate": at["candidate"], "after": "", "to": "", "hints": [hint]}]},
        "losses": [{"step": 0, "name": "loss", "reference": 4.6151, "candidate": 4.6209, "verdict": "differs"}],
        "history": [{"reason": "torch 2.13", "sites": {"within": 12}, "versions": {"torch": "2.13.0"}, "changes": {}}],
    }  # fmt: skip


def blank(case: str) -> dict[str, Any]:
    """A case of which nothing is known but that it passed."""
    return {
        "case": case, "nodeid": "", "file": "", "line": 0, "outcome": "passed", "headline": f"{case}: 3 of 3 sites compared", "message": "",
        "expected": 3, "compared": 3, "counts": {"equal": 3}, "kinds": {"loss": 3}, "coverage": None, "steps": [],
        "environment": {"golden": {}, "here": {}, "differences": []}, "settings": [], "notes": [], "remarks": [], "diagnosis": None, "isolation": None,
        "structure": [], "losses": [], "curves": [], "modules": [], "step": None, "sites": [], "history": [], "recorded": None,
    }  # fmt: skip


def run(*cases: dict[str, Any]) -> dict[str, Any]:
    """A run of these cases."""
    outcomes = {word: sum(case["outcome"] == word for case in cases) for word in ("failed", "passed", "recorded")}
    told = {
        "command": "check", "passed": not outcomes["failed"], "outcomes": outcomes, "golden": "golden", "candidate": "",
        "versions": {"pytest-parity": "0.1.0", "torch": "2.13.0"}, "device": "cpu", "dtypes": {"default": "float32"}, "lines": [], "complaints": [],
    }  # fmt: skip
    return {"schema": 1, "written_by": "pytest-parity", "run": told, "cases": [*cases]}
