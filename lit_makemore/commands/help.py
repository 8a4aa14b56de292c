"""The short --help of fit, validate, test and predict, made of what the parser says."""

from textwrap import fill
from typing import Any

EVALUATION = "config ckpt_path data.path threads trainer.devices"
COMMANDS = {  # what each does, and its usual options
    "fit": (
        "Trains a network. Later configs and options replace earlier ones; configs/ has many.",
        "config data.path data.column data.lowercase data.block_size data.batch_size data.targets "
        "model.n_layer model.n_hidden model.activation model.batch_norm model.optimizer model.lr "
        "model.schedule model.engine trainer.max_steps trainer.val_check_interval "
        "trainer.precision trainer.devices trainer.gradient_clip_val name resume recipe "
        "seed_everything threads diagnostics.enabled print_config",
    ),
    "validate": ("Evaluates a trained network on the val words. Nothing is written.", EVALUATION),
    "test": ("Evaluates a trained network on the test words. Nothing is written.", EVALUATION),
    "predict": (
        "Scores words: log-probability in nats, loss per character, and whether it is a training "
        "word. `score` does this with one process.",
        "ckpt_path data.predict_path output trainer.devices",
    ),
}


def asks_for_help(args: list[str]) -> bool:
    """Whether the short help of a command is asked for; --help_all asks for every option."""
    return bool({"-h", "--help"} & {*args})


def short_help(parser: Any, command: str) -> str:
    """The usual options of a command, each with the first sentence of its help."""
    does, names = COMMANDS[command]
    lines = [f"usage: {parser.prog} [--OPTION VALUE …]", "", fill(does, 100), ""]
    for name in names.split():
        option = f"  --{name:<28} "
        said = " ".join(parser._option_string_actions[f"--{name}"].help.split())
        first = said.partition(". ")[0].removesuffix(".")
        lines.append(fill(option + first, 100, subsequent_indent=" " * len(option)))
    return "\n".join([*lines, "", f"All options: {parser.prog} --help_all"])
