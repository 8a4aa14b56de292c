"""Public reports about similar programs, tried on this one: prints a line for each.

    python -m tests.reports [--output FILE] [WORD]

Each line stands for a kind of fault. Its tests are run, the slow ones too; WORD chooses lines that
contain it. Exit status 1 if one fails. Reports are named as project #number.
"""

import argparse
import os
import re
import sys
from collections import defaultdict
from pathlib import Path

import pytest

FILES = {  # how the tables below name the files of tests
    "around": "test_surroundings",
    "apple": "test_apple_gpu",
    "edits": "training/test_edits",
    "stock": "training/test_stock_trainer",
    "groups": "training/test_groups",
    "build": "training/native/test_build",
    "lightning": "commands/test_lightning_parts",
    "device": "commands/test_which_device",
    "export": "commands/test_export",
    "other": "diagnostics/test_other_model",
    "monitor": "diagnostics/test_monitor",
    "progress": "diagnostics/test_progress",
    "ends": "runs/test_ends",
    "logger": "runs/test_logger",
    "resume": "runs/test_resume",
    "formats": "words/test_formats",
    "corpus": "words/test_corpus",
    "streams": "test_streams",
}
REPORTS = {
    "an edit of optimizer, loss or forward is trained": "edits::code_counts",
    "a subclass trains as it says (pytorch #128413, Lightning #12759, #16489)": "edits::subclass",
    "a changed network: layers, hooks, frozen, shared": "edits::changed edits::every_module",
    "methods replaced in an object, compiled parts (Lightning #17283)": "edits::object",
    "a loader of one's own (Lightning #18808)": "edits::another_loader edits::its_own",
    "engine native refuses what it cannot do": "edits::native_refuses edits::by_hand_are_refused",
    "callbacks see every update": "groups::sees_every groups::lose_nothing edits::own_stays",
    "copies of what was trained (Lightning #14198)": "stock::copied stock::average",
    "a plain Trainer gives its figures": "stock::figures stock::predict other::judged",
    "loaders before and after a fit": "stock::before stock::no_mini groups::afterwards",
    "a page of layers that it cannot compute is refused": "export::refuses",
    "a damaged cache (pytorch #102539, llvm PR 220936)": "build::believed build::unreadable",
    "a cache of another machine, compiler or folder": "build::another build::folder build::loaded",
    "backends of notebooks (deepTools #1416, textgen #6783)": "around::reaches[backend",
    "containers without home, user or compiler (cpython #75650)": (
        "around::reaches[home around::reaches[compiler"
    ),
    "launchers and what they leave (Lightning #6853, #13374)": (
        "around::launcher around::rank_of around::torchrun"
    ),
    "clocks that go back (TensorBoard #5958, #1011)": "logger::clock",
    "checkpoints of the user (Lightning #18670, PR 21699)": (
        "lightning::of_the_user lightning::by_time"
    ),
    "forms of time (Lightning #19454)": "around::times around::form_of_time",
    "loggers through a resume (Lightning #1220)": "logger::goes_on logger::another_run",
    "paths and addresses (nap #36, aim #2194)": "around::path around::refuse_it around::home_f",
    "YAML that is not what it seems (pyyaml #165)": "around::configuration",
    "pipes (zstd #4340)": "around::pipe",
    "lists in other formats (FrequencyWords, hunspell, Census, JSON, HTML)": "formats::",
    "Unicode (cpython #78904)": "corpus::dotted corpus::utf_16 corpus::no_harm streams::",
    "early stopping and other ends (Lightning #8278)": "ends::",
    "a terminal that is closed": "around::terminal around::nohup",
    "tables of text (TensorBoard #830)": "around::tables",
    "a stopped run goes on by its name": "around::by_its_name resume::what_it_was_trained_with",
    "the time left is that of this start": "progress::time_left",
    "the parser speaks plainly": "around::plainly",
    "small networks where a GPU is found": "device::",
    "monitors in any order, on any module": "monitor::order monitor::another_module",
}


def nodes_of(names: str, collected: list[str]) -> list[str]:
    """The tests that these names stand for; raises ValueError for a name without any."""
    found = []
    for name in names.split():
        file, _, part = name.partition("::")
        part, _, case = part.partition("[")
        start = f"tests/{FILES[file]}.py::"
        chosen = [
            test
            for test in collected
            if test.startswith(start)
            and part in test.removeprefix(start).partition("[")[0]
            and case in test.partition("[")[2]
        ]
        if not chosen:
            raise ValueError(f"no test is named {name}")
        found += chosen
    return found


class Collected:
    """A plugin of pytest: the tests that there are, and how each ended."""

    def __init__(self) -> None:
        self.tests: list[str] = []
        self.ends: dict[str, list[pytest.TestReport]] = defaultdict(list)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.tests += [item.nodeid for item in session.items]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.ends[re.sub(r"@[\w./]+$", "", report.nodeid)].append(report)  # xdist's group


def run(arguments: list[str]) -> Collected:
    """Runs pytest without its printing."""
    seen, out = Collected(), sys.stdout
    with open(os.devnull, "w") as nowhere:
        sys.stdout = nowhere
        pytest.main(["-q", "-p", "no:cacheprovider", "-m", "", *arguments], plugins=[seen])
    sys.stdout = out
    return seen


def line(name: str, tests: list[str], seen: Collected) -> tuple[bool, str]:
    """Whether all tests of a report passed, and its line."""
    reports = [report for test in tests for report in seen.ends[test]]
    bad = [report.nodeid for report in reports if report.failed]
    passed = sum(report.passed for report in reports if report.when == "call")
    skipped = sum(report.skipped for report in reports)
    seconds = sum(report.duration for report in reports)
    right = passed > 0 and not bad and passed + skipped == len(tests)
    counted = f"{passed} of {len(tests)}" + (f", {skipped} skipped" if skipped else "")
    told = f"{'right' if right else 'WRONG':5}  {counted:18} {seconds:4.0f} s  {name}"
    return right, "\n".join([told, *(f"       {test}" for test in bad)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("word", nargs="?", default="", help="lines that contain it")
    parser.add_argument("--output", type=Path, help="a file for the lines")
    options = parser.parse_args()
    files = [f"tests/{file}.py" for file in FILES.values()]
    collected = run(["-n", "0", "--collect-only", *files]).tests
    rows = {name: nodes_of(tests, collected) for name, tests in REPORTS.items()}
    rows = {name: tests for name, tests in rows.items() if options.word in name}
    seen = run(sorted({test for tests in rows.values() for test in tests}))
    ends = [line(name, tests, seen) for name, tests in rows.items()]
    text = "\n".join(told for _, told in ends)
    text += f"\n{sum(right for right, _ in ends)} of {len(ends)} right"
    print(text)
    if options.output:
        options.output.write_text(text + "\n")
    return 0 if all(right for right, _ in ends) else 1


if __name__ == "__main__":
    sys.exit(main())
