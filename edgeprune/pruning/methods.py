"""Every pruning method by its name: what it judges by, when it cuts, what it needs, where it comes from."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import EdgepruneError
from ..naming import close_to, find_object, split_spec
from .criteria import CRITERIA, Criterion
from .schedules import SCHEDULES, Schedule


@dataclass(frozen=True)
class Method:
    """A criterion with the schedule it goes with; None where the run's data decides (iterative with training data, else one cut).

    `needs` is "nothing", "inputs" (training samples, no labels), "labels" (some training samples) or "training" (all of them).
    """

    name: str
    criterion: Criterion
    schedule: Schedule | None = None
    needs: str = "nothing"
    structured: bool = False
    paper: str = ""
    when: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for `edgeprune methods --json`."""
        kind = {None: "by the data"} | {schedule: name for name, schedule in SCHEDULES.items()}
        return {
            "name": self.name, "needs": self.needs, "schedule": kind.get(self.schedule, "its own"),
            "structured": self.structured, "paper": self.paper, "when": self.when,
        }  # fmt: skip


def _once(name: str, needs: str, paper: str, when: str) -> Method:
    return Method(name, CRITERIA[name], SCHEDULES["one-shot"], needs, paper=paper, when=when)


def _rounds(name: str, paper: str, when: str) -> Method:
    return Method(name, CRITERIA[name], paper=paper, when=when)


def _within(name: str, criterion: str, paper: str, when: str) -> Method:
    return Method(name, CRITERIA[criterion], SCHEDULES[name], "training", paper=paper, when=when)


def _whole(name: str, needs: str, paper: str, when: str) -> Method:
    return Method(name, CRITERIA["magnitude"], SCHEDULES[name], needs, True, paper, when)


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        _rounds(
            "magnitude",
            "Han et al. 2015; in rounds: Renda, Frankle and Carbin 2020",
            "the default: a trained network and data to retrain",
        ),
        _rounds("lamp", "Lee et al. 2021", "like magnitude, where layers differ much in scale or one of them empties"),
        _rounds("erk", "Mocanu et al. 2018; Evci et al. 2020", "fixed shares that favour narrow layers"),
        _rounds("igq", "Vysogorets and Kempe 2021", "fixed shares that keep small layers whole"),
        _rounds("layerwise", "Han et al. 2015", "the same share of every layer"),
        _rounds("random", "", "the floor to compare with"),
        _once("snip", "labels", "Lee, Ajanthan and Torr 2019", "an untrained network, mild ratios"),
        _once("grasp", "labels", "Wang, Zhang and Grosse 2020", "an untrained network, mild ratios"),
        _once("iterative-snip", "labels", "de Jorge et al. 2021", "an untrained network, high ratios"),
        _once("force", "labels", "de Jorge et al. 2021", "an untrained network, high ratios"),
        _once("synflow", "nothing", "Tanaka et al. 2020", "an untrained network, the highest ratios; no data"),
        _once("wanda", "inputs", "Sun et al. 2024", "no retraining, mild ratios"),
        _once("obc", "inputs", "Frantar and Alistarh 2022", "no retraining, mild ratios, layers of up to 2,048 inputs"),
        _once("sparsegpt", "inputs", "Frantar and Alistarh 2023", "no retraining, mild ratios, layers of any width"),
        _within("gradual", "magnitude", "Zhu and Gupta 2017", "one training instead of rounds"),
        _within("dpf", "magnitude", "Lin et al. 2020", "one training in which a cut weight may come back"),
        _within("rigl", "erk", "Evci et al. 2020", "one training that is sparse from its first step"),
        _within("set", "erk", "Mocanu et al. 2018", "like rigl, without dense gradients"),
        _within("dnw", "erk", "Wortsman, Farhadi and Rastegari 2019", "like dpf, at fixed shares of the layers"),
        _within("ac-dc", "magnitude", "Peste et al. 2021", "one training, when the dense network is wanted too"),
        _once("hydra", "training", "Sehwag et al. 2020", "a network that is to hold against attacks; with robust training"),
        _whole("l1-filters", "nothing", "Li et al. 2017", "whole filters go, dense layers stay; mild ratios"),
        _whole("tpp", "training", "Wang and Fu 2023", "whole filters, where many of them go"),
        _whole("polarization", "training", "Zhuang et al. 2020", "whole filters, the layers' shares found by the training"),
        _whole("stripes", "training", "Meng et al. 2020", "taps of filters go as a whole"),
    )
}


def find_method(method: str | Method | Criterion | Schedule) -> Method:
    """The method of this name, or made of a criterion `(module, context)` or a schedule `(run)`: a function, or its file.py:name.

    Naming a file runs it. Raises EdgepruneError for an unknown name and for a function that takes anything else.
    """
    if isinstance(method, Method):
        return method
    if isinstance(method, str):
        if method in METHODS:
            return METHODS[method]
        if ":" not in method:
            known = ", ".join(METHODS)
            raise EdgepruneError(
                f"method {method!r} is not known{close_to(method, METHODS)}; choose one of {known}, or path/to/file.py:function"
            )
        head, name = split_spec(method, "--method", "path/to/file.py:function or package.module:function")
        return _own(find_object(head, name, "--method", Path()), method)
    return _own(method, getattr(method, "__name__", repr(method)))


def _own(found: Any, name: str) -> Method:
    if isinstance(found, Method):
        return found
    if not callable(found):
        raise EdgepruneError(f"method {name} is a {type(found).__name__}; give a function of (module, context) or of (run)")
    parameters = inspect.signature(found).parameters.values()
    needed = [p for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(needed) == 2:
        return Method(name, found, when="a criterion of your own")
    if len(needed) == 1:
        return Method(name, CRITERIA["magnitude"], found, when="a schedule of your own")
    raise EdgepruneError(
        f"method {name} takes {len(needed)} arguments; a criterion takes (module, context), a schedule takes (run)"
    )
