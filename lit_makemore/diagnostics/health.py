"""Verdicts while the network trains: what is not healthy, and what to try."""

import sys
from collections.abc import Collection
from dataclasses import asdict
from math import log
from typing import Any

import lightning.pytorch as pl

from lit_makemore.diagnostics import events
from lit_makemore.diagnostics.monitor import DueUpdate, Monitor
from lit_makemore.diagnostics.nonfinite import listed, nonfinite_tensors
from lit_makemore.diagnostics.probe import network_of
from lit_makemore.diagnostics.verdicts import ADVICE, CHECKS, Bands, Verdict, judge


class Health(Monitor):
    """Judges the figures of the other monitors, and comes after them. Writes

        health/<check>         1 healthy, 0 not, for each check (verdicts.CHECKS) that applies
        health                 the text of each check that fails for the first time
        initial_loss/network   loss of the first minibatch, before the first update
        initial_loss/uniform   ln V, the loss of guessing

    and prints on stderr each check that fails, once.

    Args:
        bands: where each figure is healthy.
        fail_on: checks that stop the run when they fail.
        every_n_steps: see Monitor.

    Raises:
        ValueError: fail_on names an unknown check; or, while it trains, one of its checks failed.
    """

    def __init__(
        self,
        bands: Bands = Bands(),
        fail_on: Collection[str] = (),
        every_n_steps: int | None = None,
    ) -> None:
        if unknown := set(fail_on) - set(CHECKS):
            raise ValueError(
                f"--diagnostics.fail_on has no check {', '.join(sorted(unknown))}; "
                f"the checks are {', '.join(CHECKS)}"
            )
        super().__init__(every_n_steps)
        self.bands, self.fail_on = bands, tuple(fail_on)
        # By check, with its step: the first verdict that is not healthy, else the latest one.
        self.verdicts: dict[str, tuple[int, Verdict]] = {}

    def after_update(self, trainer: pl.Trainer, module: pl.LightningModule, due: DueUpdate) -> None:
        names = nonfinite_tensors(network_of(module), due.probe)
        text = f"not finite: {listed(names)}" if names else "all numbers are finite"
        verdicts = [Verdict("nan", not names, text, ADVICE["nan"])]
        if due.probe is not None:
            uniform = _uniform(module)
            figures = dict(due.figures)
            if due.probe.loss is not None:
                figures["loss"] = float(due.probe.loss)
                if due.step == 1 and uniform is not None:
                    losses = {"initial_loss/network": figures["loss"]}
                    self.write(trainer, due, losses | {"initial_loss/uniform": uniform})
            early = min(1000, max(1, trainer.max_steps // 10)) if trainer.max_steps > 0 else 1000
            full_rate = _rate(module, due.step) >= 0.5
            hidden = due.probe.hidden
            verdicts += judge(figures, due.step, self.bands, uniform, hidden, early, full_rate)
        self._report(trainer, due, verdicts)
        self._stop_if_asked(trainer, due.step, verdicts)

    def _report(self, trainer: pl.Trainer, due: DueUpdate, verdicts: list[Verdict]) -> None:
        failed: list[str] = []
        for verdict in verdicts:
            before = self.verdicts.get(verdict.check)
            if before is None or before[1].healthy:
                self.verdicts[verdict.check] = due.step, verdict
                if not verdict.healthy:
                    failed.append(f"{verdict.check} at update {due.step:,}: {_advise(verdict)}")
        self.write(trainer, due, {f"health/{v.check}": float(v.healthy) for v in verdicts})
        if failed:
            events.write(trainer, due.step, texts={"health": "  \n".join(failed)})
        if trainer.is_global_zero:
            erase = "\r\033[K" if sys.stderr.isatty() else ""  # erases the progress line
            for line in failed:
                print(f"{erase}unhealthy: {line}", file=sys.stderr)

    def _stop_if_asked(self, trainer: pl.Trainer, step: int, verdicts: list[Verdict]) -> None:
        if not self.fail_on:
            return
        reasons = [
            f"{verdict.check}: {_advise(verdict)}"
            for verdict in verdicts
            if not verdict.healthy and verdict.check in self.fail_on
        ]
        reasons = trainer.strategy.broadcast(reasons)  # the first process decides for all
        if reasons:
            raise ValueError(f"stopped by diagnostics.fail_on at update {step}: {reasons[0]}")

    def state_dict(self) -> dict[str, Any]:
        return {check: (step, asdict(verdict)) for check, (step, verdict) in self.verdicts.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.verdicts = {check: (step, Verdict(**v)) for check, (step, v) in state_dict.items()}

    def table(self) -> str:
        """The closing table: one line for each check that applied; empty if none did."""
        if not self.verdicts:
            return ""
        lines = ["\nhealth"]
        for check in CHECKS:
            if check in self.verdicts:
                step, verdict = self.verdicts[check]
                mark = "ok" if verdict.healthy else "BAD"
                at = "" if verdict.healthy else f"at update {step:,}: "
                text = verdict.text if verdict.healthy else _advise(verdict)
                lines.append(f"{check:<14}{mark:<5}{at}{text}")
        return "\n".join(lines)

    def summary(self) -> dict[str, str]:
        """The entry of summary.json: for each check "ok" or its first failure."""
        return {
            check: "ok" if verdict.healthy else f"update {step}: {verdict.text}"
            for check, (step, verdict) in self.verdicts.items()
        }


def _advise(verdict: Verdict) -> str:
    return f"{verdict.text}; try {verdict.advice}"


def _uniform(module: Any) -> float | None:
    """ln V, or None for a module without a vocabulary."""
    return log(len(module.vocab)) if hasattr(module, "vocab") else None


def _rate(module: Any, step: int) -> float:
    """The learning rate of update number `step` as a share of its peak; 1 if unknown."""
    return module.lr_multiplier(step - 1) if hasattr(module, "lr_multiplier") else 1.0
