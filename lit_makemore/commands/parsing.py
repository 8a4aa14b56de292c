"""Command lines of plain typed functions, errors on one line, and short help."""

import os
import re
import sys
from collections.abc import Callable
from datetime import timedelta
from difflib import get_close_matches
from inspect import Parameter, getdoc, signature
from pathlib import Path
from textwrap import fill
from typing import Any, NoReturn

import yaml
from jsonargparse import ArgumentParser
from jsonargparse.typing import register_type

from lit_makemore.commands.output import one_line, program
from lit_makemore.files import local
from lit_makemore.runs.folder import read_config
from lit_makemore.sampling.conditions import ArgumentError

# options that name files, of all commands; where others are used, files.find looks
PATHS = "runs_dir resume ckpt_path output file exclude data.predict_path".split()
# what jsonargparse says of an option that does not exist
UNKNOWN = re.compile(r"(?:unrecognized arguments: --|[Oo]ption ')([\w.]+)")
EVALUATION = "config ckpt_path data.path threads trainer.devices"
HELP = {  # what a command of LightningCLI does, and its usual options
    "fit": (
        "Trains a network. Later configs and options replace earlier ones; configs/ has many.",
        "config data.path data.column data.lowercase data.block_size data.batch_size data.targets "
        "model.n_layer model.n_hidden model.activation model.norm model.optimizer model.lr "
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


# what jsonargparse says of types, and of a word that belongs to no option
PLAIN = (
    (r"Expected a typing\.Literal\[(.*?)\]", r"must be one of \1"),
    ("Expected a <class 'int'>", "must be a whole number"),
    ("Expected a <class 'float'>", "must be a number"),
    ("Expected a <class 'bool'>", "must be true or false"),
    ("Expected a <class '(tuple|list)'>", "must be a list, as [1, 2]"),
    ("Expected a <class 'dict'>", "must be a mapping, as {a: 1}"),
    ("; Expected a <class 'NoneType'>", " or null"),
    (r"unrecognized arguments: (\S+\.ya?ml)\b", r"a configuration is given so: --config \1"),
)
TIME = re.compile(r"(?:(\d+)(?: days?, |:))?(\d+):(\d+):(\d+(?:\.\d+)?)")


def duration(text: str) -> timedelta:
    """A time of [days:]hours:minutes:seconds; jsonargparse reads 00:00:00:01 as no time at all."""
    if not (found := TIME.fullmatch(text)):
        raise ValueError(f"a time is days:hours:minutes:seconds, as 00:00:10:00, not {text!r}")
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return timedelta(days, seconds, hours=hours, minutes=minutes)


register_type(timedelta, deserializer=duration)


class OneLineErrors:
    """Mixin for a jsonargparse parser: bad use is one line and status 2, not pages of usage."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        print(f"error: {one_line(self.one_line(message))}", file=sys.stderr)
        sys.exit(2)

    def one_line(self, message: str) -> str:
        """What is wrong, with the option that was probably meant."""
        line = " ".join(telling(str(message)).split())
        for pattern, plain in PLAIN:
            line = re.sub(pattern, plain, line)
        if unknown := UNKNOWN.search(line):
            known = list(self.get_defaults().keys())  # type: ignore[attr-defined]
            similar = get_close_matches(unknown[1], known, n=1)
            line += f"; did you mean --{similar[0]}?" if similar else "; see --help"
        return line


def telling(message: str) -> str:
    """An error of jsonargparse, shortened where it lists every alternative of a type.

    What is wrong with a class that the user names is enough. Otherwise each alternative counts.
    """
    head, found, rest = message.partition("Errors:\n")
    if not found:
        return message
    errors, _, given = rest.partition("Given value type:")
    margin = len(errors) - len(errors.lstrip())
    alternatives = re.split(rf"^ {{{margin}}}- ", errors, flags=re.MULTILINE)[1:]
    distinct = list(dict.fromkeys(" ".join(one.split()) for one in alternatives))
    wrong = [one for one in distinct if not one.startswith(("Expected a", "Not a valid subclass"))]
    key = re.match(r'Parser key "[^"]*":', head)
    value = given.partition("Given value: ")[2]
    got = "" if "Namespace" in value else f". Got value: {value}"
    return (f"{key[0]} " if key else "") + "; ".join(wrong or distinct) + got


class _Once(yaml.SafeLoader):
    """Refuses two options of one name, of which YAML keeps the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if first := lines.get(name):
                raise ValueError(f"{name} stands in line {first} and again in line {line}")
            lines[name] = line
        return super().construct_mapping(node, deep)


def check_config(path: Path) -> None:
    """Raises ValueError if a file holds no options, or one twice. A pipe is read once, not here."""
    try:
        options = read_config(path, _Once) if path.is_file() else {}
    except yaml.YAMLError:
        return  # the parser says where
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(options, dict):
        raise ValueError(f"{path} holds no options, such as trainer: {{max_steps: 1000}}")


class Parser(OneLineErrors, ArgumentParser):
    """jsonargparse's parser with errors on one line."""


def call(function: Callable[..., Any], args: list[str]) -> Any:
    """Calls a typed function with a command line (the command first); its signature is the parser.

    A bool is a flag: it may stand alone, or before true or false. What *args is called takes the
    words that belong to no option.
    """
    parameters = signature(function).parameters.values()
    flags = {f"--{p.name}" for p in parameters if p.annotation is bool}
    does = str(getdoc(function)).partition("\n\nArgs:")[0]
    parser = Parser(prog=f"{program()} {args[0]}", description=does)
    parser.add_function_arguments(function, as_group=False)
    words = [p.name for p in parameters if p.kind is Parameter.VAR_POSITIONAL]
    for name in words:
        parser.add_argument(name, nargs="*", default=[], help=f"the {name}, without an option")
    given = [
        f"{arg}=true" if arg in flags and after not in ("true", "false") else arg
        for arg, after in zip(args[1:], [*args[2:], None], strict=False)
    ]
    options = vars(parser.parse_args(given))
    options.update({name: local(options[name]) for name in PATHS if options.get(name)})
    check_output(options)
    values = [value for name in words for value in options.pop(name)]
    try:
        return function(*values, **options)
    except ArgumentError as error:
        raise ValueError(*error.args) from error


def check_output(options: Any) -> None:
    """Raises ValueError if the file that a command writes is one that it reads."""
    output = options.get("output")
    for name in {*PATHS, "data.path"} - {"output"} if output else ():
        if (path := options.get(name)) and os.path.realpath(path) == os.path.realpath(output):
            raise ValueError(f"--output {output} would replace what --{name} reads; name another")


def short_help(parser: Any, command: str) -> str:
    """The usual options of a command, each with the first sentence of its help."""
    does, names = HELP[command]
    lines = [f"usage: {parser.prog} [--OPTION VALUE …]", "", fill(does, 100), ""]
    for name in names.split():
        option = f"  --{name:<28} "
        said = " ".join(parser._option_string_actions[f"--{name}"].help.split())
        first = said.partition(". ")[0].removesuffix(".")
        lines.append(fill(option + first, 100, subsequent_indent=" " * len(option)))
    return "\n".join([*lines, "", f"All options: {parser.prog} --help_all"])
