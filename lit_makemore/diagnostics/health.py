"""The verdicts of a whole run, and the closing table."""

from collections.abc import Iterable
from dataclasses import asdict
from textwrap import fill
from typing import Any

from lit_makemore.diagnostics.checks import CHECKS, Verdict

TABLE_WIDTH, INDENT = 100, 19  # columns


class Health:
    """Keeps of each check the first verdict that is not healthy, else the latest one.

    Attributes:
        verdicts: by check.
        missing: what the run does not have, of checks.LOSS, VOCAB and WORDS.
    """

    def __init__(self) -> None:
        self.verdicts: dict[str, Verdict] = {}
        self.missing: set[str] = set()

    def add(self, verdicts: Iterable[Verdict]) -> list[str]:
        """Adds verdicts; returns a line for each check that fails for the first time."""
        lines = []
        for verdict in verdicts:
            before = self.verdicts.get(verdict.check)
            if before is None or before.healthy:
                self.verdicts[verdict.check] = verdict
                if not verdict.healthy:
                    lines.append(f"{verdict.check} at update {verdict.step:,}: {said(verdict)}")
        return lines

    @property
    def failed(self) -> list[str]:
        """The checks that have failed."""
        return [verdict.check for verdict in self._all() if verdict.healthy is False]

    def table(self) -> str:
        """The closing table: a paragraph for each check."""
        lines = ["\nhealth"]
        for verdict in self._all():
            mark = {True: "ok", False: "BAD", None: "n/a"}[verdict.healthy]
            text = verdict.text
            if verdict.healthy is False:
                text = f"at update {verdict.step:,}: {said(verdict)}"
            start = f"{verdict.check:<14}{mark:<5}"
            lines.append(fill(start + text, TABLE_WIDTH, subsequent_indent=" " * INDENT))
        return "\n".join(lines)

    def summary(self) -> dict[str, str]:
        """The entry of summary.json: for each check "ok", its first failure, or why it is n/a."""
        return {
            verdict.check: {
                True: "ok",
                False: f"update {verdict.step}: {verdict.text}",
                None: f"n/a: {verdict.text}",
            }[verdict.healthy]
            for verdict in self._all()
        }

    def state_dict(self) -> dict[str, Any]:
        return {check: asdict(verdict) for check, verdict in self.verdicts.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.verdicts = {check: Verdict(**state) for check, state in state_dict.items()}

    def _all(self) -> list[Verdict]:
        """A verdict of each check; of one that was never judged, when it would be."""
        return [self.verdicts.get(name) or self._never(name) for name in CHECKS]

    def _never(self, name: str) -> Verdict:
        check = CHECKS[name]
        why = [f"is judged {check.when}", *(need for need in check.needs if need in self.missing)]
        return Verdict(name, 0, None, "; ".join(why))


def said(verdict: Verdict) -> str:
    """A failure with what to try."""
    return f"{verdict.text}; try {verdict.advice}"
