"""`validate` and `test`: the metrics of a checkpoint; nothing is written."""

from typing import Any

from lit_makemore.commands.lightning_cli import MakemoreCLI
from lit_makemore.commands.quiet import disconnected_afterwards, quiet_lightning

READ_ONLY: dict[str, Any] = {
    "callbacks": [],
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
}


def run(args: list[str], begun: float) -> None:
    """Runs `validate` or `test`, as args[0] says, and prints the metrics.

    Raises:
        ValueError, OSError: bad input; the line says what to do.
        SystemExit: after the help.
    """
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
