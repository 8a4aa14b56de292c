"""The reader's code: a file that the user has named, loaded and called.

What goes wrong in it becomes one line, with file and line. `apart` runs it in a process of its own,
which ends when its time is up.
"""

import ast
import faulthandler
import multiprocessing
import re
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any


class Wrong(Exception):
    """The first thing that is wrong: the name of its message, and the values that it names.

    With `ours`, what the reader's code gave, `names` are what mistakes are made of.
    """

    ours: Any = None
    names: Mapping[str, Any]
    limit: float

    def __init__(self, key: str, **told: Any) -> None:
        super().__init__(key)
        self.key, self.told = key, {name: str(value) for name, value in told.items()}


class Code:
    """A file of the reader's. Its code runs here, and can import from its folder."""

    def __init__(self, path: Path, exercise: str) -> None:
        self.path, self.exercise = path.resolve(), exercise
        self._names: dict[str, Any] = {"__name__": path.stem, "__file__": str(self.path)}
        try:
            tree = ast.parse(path.read_text("utf-8-sig"))
            code = compile(tree, str(self.path), "exec")
        except UnicodeDecodeError as error:
            raise Wrong("unreadable", file=path.name) from error
        except (SyntaxError, ValueError) as error:  # ValueError: a null byte
            line, what = getattr(error, "lineno", "?"), getattr(error, "msg", error)
            raise Wrong("syntax", file=path.name, line=line, what=what) from error
        if all(isinstance(node, ast.Expr) for node in tree.body):
            raise Wrong("empty", file=path.name)
        sys.path.append(str(self.path.parent))
        self.call(exec, code, self._names)

    def get(self, name: str) -> Any:
        """What the file defines by this name."""
        if name not in self._names:
            raise Wrong("missing", file=self.path.name, name=name)
        return self._names[name]

    def call(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Calls something of the reader's."""
        try:
            return function(*args, **options)
        except (Exception, SystemExit) as error:
            frames = traceback.extract_tb(error.__traceback__)
            own = [f for f in frames if Path(f.filename).resolve().parent == self.path.parent]
            if isinstance(error, TypeError) and not own:  # the call itself has failed
                raise Wrong("signature", error=error) from error
            file, line = (
                (Path(own[-1].filename).name, own[-1].lineno) if own else (self.path.name, "?")
            )
            if isinstance(error, NotImplementedError):
                raise Wrong("not_written", file=file, line=line) from error
            said = f"{type(error).__name__}: {error}".splitlines()[0][:160]
            raise Wrong("exception", file=file, line=line, what=said) from error


def apart(name: str, path: Path, seconds: int) -> Any:
    """The Verdict of an exercise, judged in another process, which has so many seconds."""
    from lit_makemore.commands.exercises.judging import Verdict

    started = multiprocessing.get_context("spawn")
    receiver, sender = started.Pipe(duplex=False)
    with TemporaryDirectory() as folder:
        trace = Path(folder, "trace")
        process = started.Process(target=_judge, args=(name, path, seconds, trace, sender))
        process.start()
        sender.close()
        try:
            verdict = receiver.recv()
        except EOFError:  # it has ended without one
            verdict = None
        process.join()  # what the reader's code prints comes first
        if verdict is not None:
            return verdict
        for file, line in re.findall(r'File "(.*)", line (\d+)', trace.read_text("utf-8")):
            if Path(file).parent == path.resolve().parent:
                told = {"file": Path(file).name, "line": line, "seconds": str(seconds)}
                return Verdict(wrong="endless", told=told)
    return Verdict(wrong="ended", told={"file": path.name, "status": str(process.exitcode)})


def _judge(name: str, path: Path, seconds: int, trace: Path, sender: Any) -> None:
    """The other process: a watchdog thread ends it in time, with a note of where it was."""
    from lit_makemore.commands.exercises.judging import judge

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once
    with trace.open("w") as file:
        faulthandler.dump_traceback_later(seconds, exit=True, file=file)
        sender.send(judge(name, path))
