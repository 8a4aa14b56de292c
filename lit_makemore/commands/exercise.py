"""`exercise`: templates for the reader's own layers and gradients, and a judge for them."""

import inspect
from importlib import import_module
from pathlib import Path

from lit_makemore import files
from lit_makemore.commands.exercises.judging import judge, texts
from lit_makemore.commands.output import program

EXERCISES = """linear batchnorm tanh embedding cross_entropy backprop initial_loss gain fold train
mystery""".split()
DONE = Path("exercises_done.txt")  # in the folder where they are solved


def exercise(
    *name: str,
    hint: bool = False,
    solution: bool = False,
    seed: int | None = None,
    answer: str | None = None,
) -> int:
    """Has you write the lecture's layers and gradients, and judges them.

    Without a name: the exercises, and which are done. With one: writes a template NAME.py into this
    folder, or runs that file and says what is right, and the first thing that is wrong (exit status
    1). `mystery` trains a network, perhaps with a fault, and you say which.

    Args:
        name: the exercise.
        hint: one step more than the message.
        solution: shows the project's own code instead, with file and line.
        seed: of mystery, which network.
        answer: of mystery, what is the matter with it.
    """
    if not name:
        for one in EXERCISES:
            print(f"{'done' if one in _done() else '–':<6}{one:<15}{texts(one)['about']}")
        print(f"\n{program()} exercise NAME writes a template, then judges it")
        return 0
    if (which := " ".join(name)) not in EXERCISES:
        raise ValueError(f"there is no exercise {which!r}: they are {', '.join(EXERCISES)}")
    if which != "mystery" and (seed, answer) != (None, None):
        raise ValueError("--seed and --answer belong to mystery: exercise mystery --seed 7")
    text = texts(which)
    path = Path(text.get("file", f"{which}.py"))
    if solution:
        print("\n".join(_source(*place.split()) for place in text["solution"]))
    elif which == "mystery":
        from lit_makemore.commands.exercises.mystery import mystery

        if (right := mystery(seed, answer, hint)) is not None:
            return _note(which, right)
    elif path.exists():
        lines, wrong = judge(which, path, hint)
        print("\n".join(lines))
        return _note(which, wrong is None)
    else:
        files.write_text(path, text["template"])
        print(f"{path} is written: {text['about']}")
        print(f"Fill it in, then again: {program()} exercise {which}")
    return 0


def _done() -> list[str]:
    return DONE.read_text("utf-8").split() if DONE.is_file() else []


def _note(name: str, right: bool) -> int:
    """Notes what is done; the exit status."""
    if right and name not in _done():
        files.write_text(DONE, "\n".join([*_done(), name, ""]))
    return int(not right)


def _source(module: str, name: str) -> str:
    """Code of the project, as a student finds it in its files."""
    found = import_module(module)
    for attribute in name.split("."):
        found = inspect.unwrap(getattr(found, attribute))
    lines, first = inspect.getsourcelines(found)
    file = Path(inspect.getfile(found)).relative_to(files.PACKAGE.parent)
    return f"{file}, line {first}\n{''.join(lines)}"
