"""`compare`: finished runs beside each other."""

import sys
from pathlib import Path

from lit_makemore.commands.output import program
from lit_makemore.runs.comparison import comparison
from lit_makemore.runs.finished import all_below

HELP = """usage: {program} compare RUN [RUN …]

Shows finished runs in a table, the lowest val loss first: the options that differ, the losses in
nats, the checks that failed, and the seconds of a run. RUN is a run folder, as runs/names, or a
folder of run folders, as runs/lr.

Runs that differ in the seed alone are one row: mean ± standard deviation. Two rows of several seeds
have a one-sided t-test (this needs SciPy): p says how easily chance alone gives such a lead.
"""


def run(args: list[str], begun: float) -> int | None:
    """Runs `compare`.

    Raises:
        ValueError, OSError: bad input; the line says what to do.
    """
    paths = args[1:]
    if {"-h", "--help"} & {*paths}:
        print(HELP.format(program=program()), end="")
        return None
    if not paths or any(path.startswith("-") for path in paths):
        what = next((path for path in paths if path.startswith("-")), None)
        wrong = f"there is no option {what}" if what else "which runs?"
        print(f"error: {wrong}: compare RUN [RUN …]; see compare --help", file=sys.stderr)
        return 2
    print(comparison(all_below(map(Path, paths))))
    return None
