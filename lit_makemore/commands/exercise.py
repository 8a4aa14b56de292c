"""`exercise`: templates for the reader's own layers and gradients, and a judge for them."""

import inspect
import sys
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path

from lit_makemore import files
from lit_makemore.commands.exercises import foreign
from lit_makemore.commands.exercises.judging import texts
from lit_makemore.commands.output import program
from lit_makemore.files import PACKAGE, write_text
from lit_makemore.words.corpus import NAMES_PATH, fetch

EXERCISES = (
    *("linear", "batchnorm", "tanh", "embedding", "cross_entropy", "backprop"),
    *("initial_loss", "gain", "fold", "train", "mystery"),
)
DONE = "exercises_done.txt"  # in the folder where they are solved


def exercise(
    *name: str,
    hint: bool = False,
    solution: bool = False,
    seed: int | None = None,
    answer: str | None = None,
) -> int:
    """Has you write the lecture's layers and gradients, and judges them.

    Without a name: the exercises, and which are done. With one: writes a template NAME.py into this
    folder if there is none, and otherwise runs that file and says what is right, and the first
    thing that is wrong. The exit status is 1 if anything is. `mystery` has no file: it trains a
    network, perhaps with a fault, and you say which.

    Args:
        name: the exercise.
        hint: one step more than the message.
        solution: shows the project's own code instead, with file and line.
        seed: of mystery, which network.
        answer: of mystery, what is the matter with it.
    """
    if not name:
        print(_list())
        return 0
    if len(name) > 1 or name[0] not in EXERCISES:
        near = get_close_matches(name[0], EXERCISES, 1)
        meant = f"; did you mean {near[0]}?" if near else f": they are {', '.join(EXERCISES)}"
        raise ValueError(f"there is no exercise {' '.join(name)!r}{meant}")
    (which,) = name
    if which != "mystery" and (seed, answer) != (None, None):
        raise ValueError("--seed and --answer belong to mystery: exercise mystery --seed 7")
    if solution:
        print(_solution(which))
        return 0
    if which == "mystery":
        from lit_makemore.commands.exercises.mystery import mystery

        right = mystery(seed, answer, hint)
        return 0 if right is None else _note(which, right)
    path = Path(texts(which).get("file", f"{which}.py"))
    if not path.exists():
        write_text(path, texts(which)["template"])
        print(f"{path} is written: {texts(which)['about']}")
        print(f"Fill it in, then again: {program()} exercise {which}")
        return 0
    if which == "train":
        fetch(files.find(NAMES_PATH))
    sys.stdout.flush()  # before what the reader's code prints in its process
    verdict = foreign.apart(which, path, texts(which).get("seconds", 30))
    print("\n".join(verdict.lines(which, hint)))
    return _note(which, verdict.wrong is None)


def _list() -> str:
    marks = {name: "done" if name in _done() else "–" for name in EXERCISES}
    lines = [f"{mark:<6}{name:<15}{texts(name)['about']}" for name, mark in marks.items()]
    return "\n".join([*lines, "", f"{program()} exercise NAME writes a template, then judges it"])


def _done() -> list[str]:
    path = Path(DONE)
    return path.read_text("utf-8").split() if path.is_file() else []


def _note(name: str, right: bool) -> int:
    """Notes whether the last verdict was that all is right; the exit status."""
    done = [other for other in _done() if other != name] + [name] * right
    if done != _done():
        write_text(DONE, "".join(f"{one}\n" for one in done))
    return 0 if right else 1


def _solution(name: str) -> str:
    """The project's own code, as a student finds it in its files."""
    parts = []
    for module, names in map(str.split, texts(name)["solution"]):
        found = import_module(module)
        for attribute in names.split("."):
            found = inspect.unwrap(getattr(found, attribute))
        lines, first = inspect.getsourcelines(found)
        file = Path(inspect.getsourcefile(found) or "").relative_to(PACKAGE.parent)
        parts.append(f"{file}, line {first}\n{''.join(lines)}")
    return "\n".join(parts)
