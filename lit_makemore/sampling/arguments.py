"""Errors that name an argument as their reader knows it."""

import re


class ArgumentError(ValueError):
    """Is raised with options as they are typed, --top_k. Its text has Python's arguments, top_k."""

    def __str__(self) -> str:
        return re.sub(r"(?<!\S)--(?=[a-z])", "", str(self.args[0]))
