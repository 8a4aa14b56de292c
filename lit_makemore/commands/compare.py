"""`compare`: finished runs beside each other."""

from pathlib import Path

from lit_makemore.commands.output import program
from lit_makemore.commands.parsing import call
from lit_makemore.runs.comparison import all_below, comparison

HELP = """usage: {program} compare RUN [RUN …]

Shows finished runs in a table, the lowest val loss first: the options that differ, the losses in
nats, the checks that failed, and the seconds of a run. RUN is a run folder, as runs/names, or a
folder of run folders, as runs/lr.

Runs that differ in the seed alone are one row: mean ± standard deviation. Two rows of several seeds
have a one-sided t-test (this needs SciPy): p says how easily chance alone gives such a lead.
"""


def run(args: list[str], begun: float) -> None:
    """Runs `compare`.

    Raises:
        ValueError, OSError: bad input; the line says what to do.
    """
    if {"-h", "--help"} & {*args}:
        print(HELP.format(program=program()), end="")
    else:
        call(compare, args)


def compare(*runs: str) -> None:
    """Prints the table of finished runs; see HELP."""
    if not runs:
        raise ValueError("which runs? compare RUN [RUN …]; see compare --help")
    print(comparison(all_below(map(Path, runs))))
