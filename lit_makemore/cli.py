"""The command line: finds the command, and turns what goes wrong into one line.

Nothing heavy is imported here; each command imports what it uses.
"""

import sys
from collections.abc import Callable, Sequence
from time import perf_counter

STARTED = perf_counter()

USAGE = """usage: python train.py <command> [options]

  fit        train a network:             fit --config configs/quickstart.yaml
  validate   its losses on the val words: validate --config runs/NAME/config.yaml --ckpt_path FILE
  test       the same on the test words
  sample     draw names from it:          sample --ckpt_path FILE --num 20 --seed 1

`python train.py <command> --help` lists a command's options; --debug shows an error's traceback.
"""


def main(args: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status: 0, 1 for a failure, 2 for bad use."""
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
    try:
        commands[args[0]](args)
    except (ValueError, OSError) as error:  # what the project and Lightning raise for bad input
        if debug:
            raise
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def _commands() -> dict[str, Callable[[list[str]], None]]:
    return {"fit": _lightning, "validate": _lightning, "test": _lightning, "sample": _sample}


def _lightning(args: list[str]) -> None:
    from lit_makemore.lightning_cli import run

    run(args)


def _sample(args: list[str]) -> None:
    from lit_makemore.parsing import call

    call(sample, args[1:], prog="train.py sample")


def sample(ckpt_path: str, num: int = 20, seed: int | None = None) -> None:
    """Prints names drawn from a checkpoint, one a line.

    Args:
        ckpt_path: the checkpoint file; nothing else is read.
        num: how many names.
        seed: makes the draw repeatable; without one every draw differs.
    """
    import torch

    from lit_makemore import checkpoint
    from lit_makemore.sampling import sample as draw

    if num < 1:
        raise ValueError(f"--num must be at least 1, not {num}")
    model = checkpoint.load(ckpt_path)
    generator = torch.Generator()
    _ = generator.seed() if seed is None else generator.manual_seed(seed)
    print("\n".join(draw(model.net, model.vocab, model.block_size, num, generator)))
