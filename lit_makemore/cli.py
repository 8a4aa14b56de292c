"""The command line: finds the command, and turns what goes wrong into one line."""

import errno
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from time import perf_counter

from lit_makemore.commands.output import one_line, program, rank
from lit_makemore.runs.signals import ASKING, Stopped, noted
from lit_makemore.sampling.conditions import ArgumentError
from lit_makemore.training.native import build

USAGE = """usage: {program} <command> [options]

  fit        trains a network:          fit --config configs/quickstart.yaml
  validate   evaluates it on val words: validate --config runs/NAME/config.yaml --ckpt_path FILE
  test       evaluates it on test words
  sample     draws names from it:       sample --ckpt_path FILE --num 20 --seed 1
  score      scores words:              score --ckpt_path FILE emma zoe
  predict    scores a file of words, with several processes if there are many
  export     writes it as a web page:   export --ckpt_path FILE --format html
  gradcheck  compares hand-derived gradients with autograd's
  sweep      trains a network many times: sweep --config configs/sweep/lr.yaml
  compare    shows finished runs in a table: compare runs/NAME runs/OTHER
  exercise   judges layers and gradients of your own; without a name: a list

`{program} <command> --help` shows its options; --debug the traceback of an error.
"""
# With Lightning's options, by run(args, begun) of these modules of commands/. The others are
# functions in a module of their name, whose signature is the command line.
RUN = {"fit": "fit", "validate": "evaluate", "test": "evaluate", "predict": "evaluate"}
COMMANDS = [*RUN, "sample", "score", "export", "gradcheck", "sweep", "compare", "exercise"]
REMEDIES = {  # for what the system refuses
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "make room, and --resume the run"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "use a place that is yours"),
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG), "choose another place"),
    **dict.fromkeys((errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP), "use a disk with locks"),
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}


def main(args: Sequence[str] | None = None) -> int:
    """Runs one command; returns 0, 1 for a failure, 2 for bad use. Its parser raises SystemExit."""
    args = list(sys.argv[1:] if args is None else args)
    _open_streams()
    # Before torch is imported: its idle threads sleep. Spinning, they stop other runs' threads.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ["MPLBACKEND"] = "agg"  # a notebook leaves a backend that may not be there
    if debug := "--debug" in args:
        args.remove("--debug")
    if not args or args[0] in ("-h", "--help"):
        print(USAGE.format(program=program()), end="")
        return 0 if args else 2
    if args[0] not in COMMANDS:
        known = f"the commands are {', '.join(COMMANDS)}"
        print(f"error: no command {args[0]!r}; {known}", file=sys.stderr)
        return 2
    begun, number, trains = perf_counter(), 0, args[0] in ("fit", "sweep")
    try:
        number = rank()
        # A cluster sends SIGTERM and SIGUSR1 early: they are kept until the first update.
        with noted(*(signum for signum in ASKING if trains and signum != signal.SIGINT)):
            if trains:
                build.ahead()
            module = import_module(f"lit_makemore.commands.{RUN.get(args[0], args[0])}")
            if args[0] in RUN:
                module.run(args, begun)
                return 0
            from lit_makemore.commands.parsing import call

            return call(getattr(module, args[0]), args) or 0
    except KeyboardInterrupt:
        return 130
    except Stopped as stopped:
        if not number:
            print(stopped, file=sys.stderr)
        return 128 + stopped.signum
    except BrokenPipeError:  # the reader of the output, head for example, has enough
        sys.stdout = None  # type: ignore[assignment]
        return 141  # as if SIGPIPE had ended the process
    except Exception as error:
        if debug:
            raise
        print(f"rank {number}: " * bool(number) + f"error: {_line(error)}", file=sys.stderr)
        return 1


def _line(error: Exception) -> str:
    said = error.args[0] if isinstance(error, ArgumentError) else error
    line, kind = one_line(str(said)), type(error).__name__
    if isinstance(error, ModuleNotFoundError) and error.name:
        name = error.name.partition(".")[0]
        return f"this needs a package: pip install {name}; or PYTHONPATH=FOLDER, if {name} is yours"
    if isinstance(error, OSError) and error.errno in REMEDIES:
        return f"{line}; {REMEDIES[error.errno]}"
    if isinstance(error, ValueError | OSError | ModuleNotFoundError):  # these say what to do
        return line
    if "can't start new thread" in line:
        return f"{line}: raise the limits of processes or memory (ulimit -u, -v)"
    if kind in ("MemoryError", "OutOfMemoryError") or "can't allocate memory" in line:  # torch's
        kind = "there is not enough memory"
        line = "use a smaller network, shorter windows, a smaller batch or fewer samples"
    return f"{kind}: {line}; --debug shows where"


def _open_streams() -> None:
    """Output is UTF-8 in every locale, and a closed stream takes what nobody reads."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif stream is getattr(sys, f"__{name}__") and hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # not a test's stream
