"""Where the seconds of a run go: the phases of one `fit`, which add up to the whole process.

    python -m tests.benchmarks.seconds [OPTIONS OF FIT …]

By default it is names.yaml with one thread. A phase has the seconds of its functions, without those
of another phase that is called inside them. "other" is what no phase has: above all Lightning's
loop, and the end of the process.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cached_property, wraps
from io import StringIO
from time import perf_counter
from typing import Any

begun = perf_counter()
USUAL = "--config configs/names.yaml --threads 1".split()


class Phases:
    """A clock with a name; it goes on only for the innermost phase."""

    def __init__(self) -> None:
        self.seconds = {"other": 0.0}
        self._name, self._since = "other", begun

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        before = self.turn(name)
        try:
            yield
        finally:
            self.turn(before)

    def turn(self, name: str) -> str:
        now, before = perf_counter(), self._name
        self.seconds[before] = self.seconds.get(before, 0.0) + now - self._since
        self._name, self._since = name, now
        return before

    def watch(self, name: str, owner: Any, *functions: str) -> None:
        """Measures the methods, functions or cached properties of an owner as a phase."""
        for function in functions:
            found = vars(owner)[function]
            cached = isinstance(found, cached_property)
            inside = self._inside(name, found.func if cached else found)
            if cached:
                inside = cached_property(inside)
                inside.__set_name__(owner, function)
            setattr(owner, function, inside)

    def _inside(self, name: str, function: Callable[..., Any]) -> Any:
        @wraps(function)
        def measured(*args: Any, **kwargs: Any) -> Any:
            with self.phase(name):
                return function(*args, **kwargs)

        return measured


def measure(options: list[str]) -> dict[str, float]:
    """The seconds of each phase of one fit."""
    phases = Phases()
    with phases.phase("import lightning.pytorch"):
        import lightning.pytorch  # noqa: F401
        from lightning.pytorch.loops.evaluation_loop import _EvaluationLoop
    with phases.phase("other imports"):
        from lit_makemore.cli import main
        from lit_makemore.commands import fit
        from lit_makemore.commands.lightning_cli import MakemoreCLI
        from lit_makemore.diagnostics.monitor import Monitor
        from lit_makemore.runs.checkpoints import Checkpoints
        from lit_makemore.training.datamodule import NamesDataModule
        from lit_makemore.training.engine import Engine
        from lit_makemore.training.module import LitMLP
        from lit_makemore.training.native.native import NativeStep
    hooks = [name for name in vars(Monitor) if name.startswith("on_")]
    rows: list[tuple[str, Any, list[str]]] = [
        ("options", MakemoreCLI, ["__init__", "build"]),
        ("data", NamesDataModule, ["__init__", "setup"]),
        ("counts", NamesDataModule, ["best_counts", "baselines"]),
        ("compiling and comparing", Engine, ["on_fit_start"]),
        ("training", NativeStep, ["__call__"]),
        ("training", LitMLP, ["training_step", "backward", "optimizer_step"]),
        ("validation", _EvaluationLoop, ["run"]),
        ("diagnostics", Monitor, [*hooks, "close", "teardown"]),
        ("checkpoints", Checkpoints, ["save"]),
        ("closing", fit, ["_report"]),
    ]
    for name, owner, functions in rows:
        phases.watch(name, owner, *[one for one in functions if one in vars(owner)])
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["fit", *(options or USUAL), "--runs_dir", folder, "--name", "run"]
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()) as said:
            status = main(arguments)
    if status:
        raise SystemExit(said.getvalue())
    phases.turn("other")
    return phases.seconds


if __name__ == "__main__":
    print(json.dumps({k: round(v, 3) for k, v in measure(sys.argv[1:]).items()}))
