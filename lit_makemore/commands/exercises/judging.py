"""Judges the reader's code: what is right, line by line, and the first thing that is wrong.

NAME.yaml has an exercise: its template, solution and messages. A judge is a generator: it yields
what is right, and raises Wrong with the key of a message; mistakes below it say what they give.
"""

import faulthandler
import signal
import sys
import traceback
import warnings
from _thread import interrupt_main
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from importlib import import_module
from itertools import chain
from pathlib import Path
from threading import Timer
from typing import Any

import torch
import torch.nn.functional as F
import yaml
from torch import Tensor

GRACE = 5.0  # seconds more, after which the whole command ends


class Wrong(Exception):
    """The first thing that is wrong: the name of its message, and the values that it names."""

    names: Sequence[Mapping[str, Any]] = ()  # what mistakes are made of
    ours: Tensor  # what differs by more than `limit`
    limit: float

    def __init__(self, key: str, **told: Any) -> None:
        super().__init__(key)
        self.key, self.told = key, told

    def is_made_by(self, mistake: str) -> bool:
        """Whether a mistake gives what the reader's code gave."""
        given = [eval(mistake, {"torch": torch, **names}) for names in self.names]
        each = chain.from_iterable(one if isinstance(one, tuple) else (one,) for one in given)
        return any(near(self.ours, torch.as_tensor(one), self.limit) for one in each)


class Code(dict[str, Any]):
    """What the reader's file defines. It runs here, and can import from its folder."""

    def __init__(self, path: Path, exercise: str) -> None:
        self.path, self.exercise = path, exercise
        sys.path.append(str(path.parent))
        names = {"__name__": path.stem, "__file__": str(path)}
        exec(compile(path.read_bytes(), str(path), "exec"), names)
        super().__init__(names)

    def __missing__(self, name: str) -> Any:
        raise Wrong("missing", file=self.path.name, name=name)


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


def judge(name: str, path: Path, hint: bool = False) -> tuple[list[str], str | None]:
    """Runs the reader's file, and stops it in time: what is said, and the key of what is wrong."""
    file, path, lines = texts(name), path.resolve(), list[str]()
    module, function = file["judge"].split()
    judged = getattr(import_module(f"{__package__}.{module}"), function)
    seconds = file.get("seconds", 30)
    watch = Timer(seconds, interrupt_main)
    watch.start()
    faulthandler.dump_traceback_later(  # of what hangs in C
        seconds + GRACE, exit=True, file=sys.__stderr__ or 2
    )
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # else & would ignore it
    try:
        with torch.random.fork_rng([]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            for line in judged(Code(path, name)):
                lines.append(line if "\n" in line else f"right  {line}")
        return [*lines, f"{name} is done"], None
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        late = KeyboardInterrupt in (type(error), type(error.__context__))  # Lightning exits by it
        if late and not watch.finished.wait(0.1):
            raise  # by Ctrl-C
        wrong = error if isinstance(error, Wrong) else failure(error, path, late)
    finally:
        watch.cancel()
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGINT, before)
    messages = file["messages"]
    mistakes = [key for key, said in messages.items() if said.get("of") == wrong.key]
    key = next((key for key in mistakes if wrong.is_made_by(messages[key]["gives"])), wrong.key)
    said = messages[key]
    more = said["hint"] if hint else f"--hint says more; see docs/lecture.md, {said['see']}"
    parts = (f"wrong  {said['wrong']}", f"why    {said['why']}", f"next   {more}")
    return [*lines, *(part.format(**wrong.told) for part in parts)], key


def failure(error: BaseException, path: Path, late: bool) -> Wrong:
    """The message of an exception in the reader's code, or in a call of it."""
    if isinstance(error, SyntaxError):
        where = f"{Path(error.filename or path).name}, line {error.lineno}"
        return Wrong("syntax", where=where, what=error.msg)
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).parent == path.parent]
    where = f"{Path(own[-1].filename).name}, line {own[-1].lineno}" if own else path.name
    kinds = {
        "endless": late,
        "not_written": own and isinstance(error, NotImplementedError),
        "signature": not own and isinstance(error, TypeError),  # the call itself has failed
        "exception": True,
    }
    what = f"{type(error).__name__}: {error}".splitlines()[0][:160]
    return Wrong(next(key for key, holds in kinds.items() if holds), where=where, what=what)


def agree(
    key: str,
    what: str,
    ours: Any,
    *rights: Tensor,
    names: Sequence[Mapping[str, Any]] = ({},),
    limit: float | None = None,
    nan: str = "nan",
) -> int:
    """Which of the values that are right ours is, to limit times its size; Wrong if none.

    `names` are what mistakes are made of, for each value that is right.
    """
    ours, right = tensor(what, ours, rights[0].shape).detach(), rights[-1].detach()
    if limit is None:
        limit = 1e-10 if ours.dtype == right.dtype == torch.float64 else 1e-4
    for i, one in enumerate(rights):
        if near(ours, one, limit):
            return i
    if not ours.isfinite().all():
        raise Wrong(nan, what=what)
    numbers = {
        "difference": (ours - right).abs().max(),
        "value": ours.mean(),
        "right": right.mean(),
    }
    wrong = Wrong(key, what=what, **{name: f"{x:.4g}" for name, x in numbers.items()})
    wrong.ours, wrong.names, wrong.limit = ours, names, limit
    raise wrong


def near(ours: Tensor, right: Tensor, limit: float) -> bool:
    return bool((ours - right).abs().max() <= limit * (right.abs().max() + 1e-30))


def tensor(what: str, value: Any, *shapes: tuple[int, ...]) -> Tensor:
    """What the reader's code made: a tensor of one of these shapes."""
    if value is None:
        raise Wrong("none", what=what)
    if not (isinstance(value, Tensor) and value.is_floating_point()):
        raise Wrong("no_tensor", what=what, kind=getattr(value, "dtype", type(value).__name__))
    if value.shape not in shapes:
        raise Wrong("shape", what=what, shape=tuple(value.shape), right=tuple(shapes[0]))
    return value


def judge_table(code: Code) -> Iterator[str]:
    """The judge of functions: the checks in the exercise's file, made of what is `given` there."""
    file = texts(code.exercise)
    theirs = {name: code[name] for name in file["defines"].split()}
    for check in file["checks"]:  # each anew, since the reader's may write into their arguments
        names = {"torch": torch, "F": F, "randn": partial(torch.randn, dtype=torch.float64)}
        exec(file["given"], names)
        names["right"] = right = eval(check["right"], names)
        ours, what = eval(check["ours"], names | theirs), check.get("what", check["ours"])
        agree(check["wrong"], what, ours, right, names=[names], nan=check.get("nan", "nan"))
        yield check["says"]
