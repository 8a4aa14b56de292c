"""Command lines of plain typed functions, and errors on one line."""

import sys
from collections.abc import Callable
from inspect import signature
from typing import Any, NoReturn

from jsonargparse import ArgumentParser


class OneLineErrors:
    """Mixin for a jsonargparse parser: bad use is one line and status 2, not pages of usage."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        print(f"error: {' '.join(str(message).split())}", file=sys.stderr)
        sys.exit(2)


class Parser(OneLineErrors, ArgumentParser):
    """jsonargparse's parser with errors on one line."""


def call(function: Callable[..., Any], args: list[str], prog: str) -> Any:
    """Calls a function with arguments from the command line; its signature is the parser.

    A bool is a flag that takes no value.
    """
    flags = {f"--{p.name}" for p in signature(function).parameters.values() if p.annotation is bool}
    parser = Parser(prog=prog)
    parser.add_function_arguments(function)
    return function(**vars(parser.parse_args([f"{a}=true" if a in flags else a for a in args])))
