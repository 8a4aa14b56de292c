"""Reading the YAML file of a sweep."""

from pathlib import Path
from typing import NoReturn

from lit_makemore.commands.parsing import Parser
from lit_makemore.runs.sweep import Sweep


class _FileParser(Parser):
    """A parser of one file. What is wrong is a ValueError."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        line = self.one_line(message).replace("option --", "key ").replace("mean --", "mean ")
        given = line[line.find("Got value") :]
        if "Not a valid subclass of Range" in line:
            line = (
                "each option in space takes a list of values, or a mapping of low, high, log and "
                f"points. {given}"
            )
        elif "Union subtypes" in line:
            line = f"a value in space is a number, a word, true, false or null. {given}"
        raise ValueError(line.replace("; see --help", ""))


def read(path: Path) -> Sweep:
    """Reads the file of a sweep.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is no sweep; the line says what is wrong.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no sweep at {path.absolute()}")
    parser = _FileParser()
    parser.add_class_arguments(Sweep)
    try:
        return Sweep(**vars(parser.instantiate(parser.parse_string(path.read_text("utf-8")))))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
