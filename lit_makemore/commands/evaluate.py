"""`validate` and `test`: the metrics of a checkpoint; nothing is written."""

import signal
from typing import Any

from lit_makemore.commands.lightning_cli import MakemoreCLI, asks_for_help
from lit_makemore.commands.processes import disconnected_afterwards
from lit_makemore.commands.program import program
from lit_makemore.commands.quiet import quiet_lightning
from lit_makemore.runs.stop_on_signal import TakeSigterm

SPLITS = {"validate": "val", "test": "test"}
HELP = """usage: {program} {command} --config runs/NAME/config.yaml --ckpt_path FILE

Evaluates a trained network on the {split} words. Nothing is written.

  --config runs/NAME/config.yaml    the configuration of the run
  --ckpt_path FILE                  its checkpoint, as runs/NAME/checkpoints/best.ckpt
  --data.path FILE                  its word list, if it lies somewhere else now
  --threads N, --trainer.devices N

All options: {program} {command} --help_all
"""
READ_ONLY: dict[str, Any] = {
    "callbacks": [TakeSigterm(signal.SIG_DFL)],
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
}


def run(args: list[str], begun: float) -> None:
    """Runs `validate` or `test`, as args[0] says, and prints the metrics.

    Raises:
        ValueError, OSError: bad input; the line says what to do.
    """
    if asks_for_help(args):
        print(HELP.format(program=program(), command=args[0], split=SPLITS[args[0]]), end="")
        return
    with quiet_lightning(), disconnected_afterwards():
        cli = MakemoreCLI(args[0], args[1:])
        cli.build(**READ_ONLY)
        evaluate = cli.trainer.validate if args[0] == "validate" else cli.trainer.test
        evaluate(
            cli.model,
            datamodule=cli.datamodule,
            ckpt_path=cli.config.ckpt_path,
            verbose=False,
            weights_only=True,
        )
    if cli.trainer.is_global_zero:
        for name, value in cli.trainer.callback_metrics.items():
            print(f"{name:<20}{float(value):>10.4f}")
