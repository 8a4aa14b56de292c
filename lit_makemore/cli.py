"""The command line: finds the command, and turns what goes wrong into one line.

Nothing heavy is imported here; each command imports what it uses.
"""

import atexit
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Literal

from lit_makemore.runs.folder import Stopped
from lit_makemore.runs.signals import ASKING, noted

USAGE = """usage: python train.py <command> [options]

  fit        train a network:             fit --config configs/quickstart.yaml
  validate   its losses on the val words: validate --config runs/NAME/config.yaml --ckpt_path FILE
  test       the same on the test words
  predict    score words:                 … --ckpt_path FILE --data.predict_path FILE
  sample     draw names from it:          sample --ckpt_path FILE --num 20 --seed 1
  gradcheck  hand-derived gradients beside autograd's

`python train.py <command> --help` lists a command's options; --debug shows an error's traceback.
"""


def main(args: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status: 0, 1 for a failure, 2 for bad use.

    Raises:
        SystemExit: from a command's own parser, after its help or an error.
    """
    args = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in args
    if debug:
        args.remove("--debug")
    commands = _commands()
    if not args or args[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0 if args else 2
    if args[0] not in commands:
        print(
            f"error: no command {args[0]!r}; the commands are {', '.join(commands)}",
            file=sys.stderr,
        )
        return 2
    # Ctrl-C ends what has not begun to train; the others may come from a cluster that will wait.
    early = [signum for signum in ASKING if args[0] == "fit" and signum != signal.SIGINT]
    with noted(*early):
        return _run(commands[args[0]], args, debug)


def _run(command: Callable[[list[str]], int | None], args: list[str], debug: bool) -> int:
    try:
        return command(args) or 0
    except KeyboardInterrupt:
        return 130
    except Stopped as stopped:
        if not _rank():
            print(stopped, file=sys.stderr)
        return 128 + stopped.signum
    except BrokenPipeError:  # whoever read the output, head for one, has enough
        sys.stdout = None  # type: ignore[assignment]
        return 141  # as if SIGPIPE had ended the process
    except Exception as error:
        if debug:
            raise
        line = " ".join(str(error).split())
        if not isinstance(error, ValueError | OSError):  # which say themselves what to do
            line = f"{type(error).__name__}: {line}; --debug shows where"
        whose = f"rank {_rank()}: " if _rank() else ""
        print(f"{whose}error: {line}", file=sys.stderr)
        return 1


def _rank() -> int:
    """The number of this process where there are several, as whoever started them has it."""
    ranks = (os.environ.get(name) for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))
    return int(next(filter(None, ranks), 0))


def _commands() -> dict[str, Callable[[list[str]], int | None]]:
    lightning = dict.fromkeys(("fit", "validate", "test", "predict"), _lightning)
    return {**lightning, "sample": _function(sample), "gradcheck": _function(gradcheck)}


def _lightning(args: list[str]) -> None:
    begun = perf_counter()
    # What a start imports and builds is no garbage: looking for some takes a fifth of the start,
    # and the interpreter's last look a second.
    gc.disable()
    atexit.register(gc.freeze)
    excepthook = threading.excepthook
    threading.excepthook = _say_of_thread
    try:
        from lit_makemore.commands.lightning_cli import run

        run(args, begun)
    finally:
        gc.enable()
        threading.excepthook = excepthook


def _say_of_thread(failure: threading.ExceptHookArgs) -> None:
    """TensorBoard's writer is a thread; the main one fails of the same soon after."""
    print(f"error: {failure.exc_type.__name__}: {failure.exc_value}", file=sys.stderr)


def _function(function: Callable[..., int | None]) -> Callable[[list[str]], int | None]:
    def run(args: list[str]) -> int | None:
        from lit_makemore.commands.parsing import call

        return call(function, args[1:], prog=f"train.py {args[0]}")

    return run


def sample(
    ckpt_path: str,
    num: int = 20,
    seed: int | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    prefix: str = "",
    only_new: bool = False,
    max_length: int = 100,
    scores: bool = False,
    output: str | None = None,
) -> None:
    """Draws names from a checkpoint and prints them, one a line.

    Args:
        ckpt_path: the checkpoint file; nothing else is read.
        num: how many names; with the same seed a longer draw begins like a shorter one.
        seed: makes the draw repeatable; without one every draw differs.
        temperature: below 1 plays safe, above 1 takes risks.
        top_k: draw each character from the k likeliest ones only.
        top_p: draw it from the likeliest ones that together reach this probability.
        prefix: what every name begins with.
        only_new: leave out names that are among the training words.
        max_length: characters after which a name is cut.
        scores: print name, log-probability in nats and "train" or "new", between tabs.
        output: file to write instead of printing.
    """
    from lit_makemore.commands.sample import generate

    if num < 1:
        raise ValueError(f"--num must be at least 1, not {num}")
    options = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    lines = generate(ckpt_path, num, seed, options, prefix, only_new, max_length, scores)
    if output is None:
        for part in lines:
            sys.stdout.write(part)
    else:
        from lit_makemore.atomic import replacing

        with replacing(output) as file:
            for part in lines:
                file.write(part.encode())


def gradcheck(
    config: str | None = None,
    checkpoint: str | None = None,
    dtype: Literal["float64", "float32"] = "float64",
    batch_size: int = 32,
    seed: int = 2147483647,
) -> int:
    """Compares hand-derived gradients with autograd's on a minibatch of real words.

    Without config and checkpoint: the lecture's exercise, a two-layer network of 4,137 random
    parameters, each of its 26 gradients and the two closed forms. The exit status is 1 if any
    gradient disagrees.

    Args:
        config: a training configuration, for its network (from random parameters) and its words.
        checkpoint: a trained network; with config, on that configuration's words.
        dtype: precision to compute in.
        batch_size: examples of the minibatch.
        seed: of the parameters and the choice of examples.
    """
    from lit_makemore.commands.gradcheck import tables

    agree = True
    for title, lines, text in tables(config, checkpoint, dtype, batch_size, seed):
        failed = sum(not line.agrees for line in lines)
        agree = agree and not failed
        verdict = f"{failed} disagree" if failed else "all agree"
        print(f"{title}\n\n{text}\n\n{len(lines)} gradients: {verdict}\n")
    return 0 if agree else 1
