"""What a judge says: what is right, line by line, and the first thing that is wrong.

Each exercise is a file, NAME.yaml: what it asks, its template, its solution, and its messages. A
judge is a generator: it yields what is right, and raises Wrong with the name of a message. A
message may have mistakes below it. What a mistake gives, in place of what is right, stands beside
its own message, as Python in the judge's names.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from lit_makemore.commands.exercises.foreign import Code, Wrong


@cache
def texts(name: str) -> dict[str, Any]:
    """The file of an exercise, with the messages that all of them share; mistakes by `of`."""
    found, common = (
        yaml.safe_load(Path(__file__).with_name(f"{one}.yaml").read_text("utf-8"))
        for one in (name, "common")
    )
    messages: dict[str, Any] = common["messages"] | found["messages"]
    for other in found.get("and", []):
        messages |= texts(other)["messages"]
    for key, message in [*messages.items()]:
        message.setdefault("see", found["see"])
        for mistake, said in message.pop("mistakes", {}).items():
            messages[mistake] = {"see": message["see"], "of": key, **said}
    return {**found, "messages": messages}


@dataclass
class Verdict:
    """What is right, and the message of what is wrong, if anything is; `told` is its values."""

    right: list[str] = field(default_factory=list)
    wrong: str | None = None
    told: dict[str, str] = field(default_factory=dict)

    def lines(self, name: str, hint: bool) -> list[str]:
        """The verdict as the reader sees it."""
        found = [text if "\n" in text else f"right  {text}" for text in self.right]
        if self.wrong is None:
            return [*found, f"{name} is done"]
        said = texts(name)["messages"][self.wrong]
        more = said["hint"] if hint else f"--hint says more; see docs/lecture.md, {said['see']}"
        parts = (f"wrong  {said['wrong']}", f"why    {said['why']}", f"next   {more}")
        return [*found, *(part.format(**self.told) for part in parts)]


def judge(name: str, path: Path) -> Verdict:
    """Runs the reader's file, in this process, and judges it."""
    verdict, (module, function) = Verdict(), texts(name)["judge"].split()
    judged = getattr(import_module(f"{__package__}.{module}"), function)
    try:
        with torch.random.fork_rng([]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            for line in judged(Code(path, name)):
                verdict.right.append(line)
    except Wrong as wrong:
        verdict.wrong, verdict.told = _recognised(name, wrong), wrong.told
    except RuntimeError as error:  # of a backward pass, as after a write into what it needs
        told = {"file": path.name, "line": "?", "what": f"RuntimeError: {error}".splitlines()[0]}
        verdict.wrong, verdict.told = "exception", told
    return verdict


def _recognised(name: str, wrong: Wrong) -> str:
    """The message of a mistake that gives what the reader's code gave; else the general one."""
    for key, message in texts(name)["messages"].items():
        if message.get("of") == wrong.key and wrong.ours is not None:
            given = eval(message["gives"], {"torch": torch, **wrong.names})
            for one in given if isinstance(given, tuple) else (given,):
                if _which(wrong.ours, torch.as_tensor(one), wrong.limit) is not None:
                    return key
    return wrong.key


def agree(
    key: str,
    what: str,
    ours: Any,
    theirs: Tensor,
    names: Mapping[str, Any] = {},
    limit: float | None = None,
    several: bool = False,
    nan: str = "nan",
) -> int:
    """Raises Wrong if a value differs from what is right, by more than limit times its size.

    `names` are what mistakes are made of. `theirs` may be several values that are right, along the
    first dimension; returns which one it is.
    """
    shape = theirs.shape[several:]
    ours = tensor(what, ours, *shape).detach()
    if limit is None:
        limit = 1e-10 if ours.dtype == theirs.dtype == torch.float64 else 1e-4
    if (which := _which(ours, theirs.detach(), limit)) is not None:
        return which
    if not ours.isfinite().all():
        raise Wrong(nan, what=what)
    right = theirs.reshape(-1, *shape)[-1]
    wrong = Wrong(key, what=what, difference=f"{(ours - right).abs().max():.2g}")
    if not shape:
        wrong.told |= {"value": f"{ours:.4g}", "right": f"{right:.4g}"}
    wrong.ours, wrong.names, wrong.limit = ours, names, max(limit, 1e-10)
    raise wrong


def _which(ours: Tensor, theirs: Tensor, limit: float) -> int | None:
    """The first of one or several values that agrees."""
    if theirs.ndim <= ours.ndim:
        theirs = theirs.expand_as(ours)
    for i, one in enumerate(theirs.detach().reshape(-1, *ours.shape)):
        if (ours - one).abs().max() <= limit * (one.abs().max() + 1e-30):
            return i
    return None


def tensor(what: str, value: Any, *shape: int) -> Tensor:
    """What the reader's code returned: a tensor of this shape."""
    if value is None:
        raise Wrong("none", what=what)
    if not (isinstance(value, Tensor) and value.is_floating_point()):
        raise Wrong("no_tensor", what=what, kind=getattr(value, "dtype", type(value).__name__))
    if value.shape != shape:
        raise Wrong("shape", what=what, shape=tuple(value.shape), right=shape)
    return value
