"""Verdicts while it trains: what is out of its healthy band, and what to try."""

import sys
from collections.abc import Collection
from dataclasses import asdict
from math import isfinite, log
from typing import Any

import lightning.pytorch as pl

from lit_makemore.diagnostics import diagnosis
from lit_makemore.diagnostics.monitor import Observer
from lit_makemore.diagnostics.probe import is_due
from lit_makemore.diagnostics.verdicts import ADVICE, CHECKS, Bands, Verdict, faults, judge, listed


class Health(Observer):
    """Judges what the other observers wrote; comes after them. Writes

        health/<check>   1 healthy, 0 not, for each check of verdicts.CHECKS that applies
        health           the text of each check that turns out badly for the first time
        initial_loss/…   of the network before its first update, and ln V

    and says so on stderr, once for each check.

    Args:
        bands: where each figure is healthy.
        fail_on: checks that stop the run: ValueError; the last checkpoint stays.
        every_n_steps: see Observer.
    """

    def __init__(
        self,
        bands: Bands = Bands(),
        fail_on: Collection[str] = (),
        every_n_steps: int | None = None,
    ) -> None:
        if unknown := set(fail_on) - set(CHECKS):
            raise ValueError(
                f"diagnostics.fail_on knows no {', '.join(sorted(unknown))}; "
                f"the checks are {', '.join(CHECKS)}"
            )
        super().__init__(every_n_steps)
        self.bands, self.fail_on = bands, tuple(fail_on)
        self._step = 0
        self.verdicts: dict[str, tuple[int, Verdict]] = {}  # the first bad one, else the latest

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any
    ) -> None:
        step = trainer.global_step
        # Not while gradients are still being added up.
        if step == self._step or not is_due(step, self.observes_every):
            return
        self._step = step
        shared = diagnosis.of(trainer)
        with shared.timed():
            seen = shared.latest
            found = faults(diagnosis.net_of(pl_module), seen)
            text = f"{listed(found)} not finite" if found else "all finite"
            verdicts = [Verdict("nan", not found, text, ADVICE["nan"])]
            if seen is not None:
                loss = {} if seen.loss is None else {"loss": float(seen.loss)}
                uniform = _uniform(pl_module)
                if step == 1 and loss and isfinite(uniform):
                    initial = {
                        "initial_loss/network": loss["loss"],
                        "initial_loss/uniform": uniform,
                    }
                    diagnosis.write(trainer, step, initial)
                verdicts += judge(
                    {**shared.values, **loss},
                    step,
                    self.bands,
                    uniform,
                    min(1000, max(1, trainer.max_steps // 10)) if trainer.max_steps > 0 else 1000,
                    _rate(pl_module, step) >= 0.5,
                )
            self._report(trainer, step, verdicts)

    def _report(self, trainer: pl.Trainer, step: int, verdicts: list[Verdict]) -> None:
        news: list[str] = []
        for verdict in verdicts:
            before = self.verdicts.get(verdict.check)
            if before is None or before[1].healthy:
                self.verdicts[verdict.check] = step, verdict
                if not verdict.healthy:
                    news.append(f"{verdict.check} at update {step:,}: {_say(verdict)}")
        scalars = {f"health/{v.check}": float(v.healthy) for v in verdicts}
        texts = {"health": "  \n".join(news)} if news else None
        diagnosis.write(trainer, step, scalars, texts=texts)
        if trainer.is_global_zero:
            erase = "\r\033[K" if sys.stderr.isatty() else ""  # the progress line
            for line in news:
                print(f"{erase}unhealthy: {line}", file=sys.stderr)
        if self.fail_on:  # the first process decides for all
            fatal = [v for v in verdicts if not v.healthy and v.check in self.fail_on]
            said = trainer.strategy.broadcast(fatal and f"{fatal[0].check}: {_say(fatal[0])}")
            if said:
                raise ValueError(f"stopped by diagnostics.fail_on at update {step}: {said}")

    def state_dict(self) -> dict[str, Any]:
        return {check: (step, asdict(verdict)) for check, (step, verdict) in self.verdicts.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.verdicts = {check: (step, Verdict(**v)) for check, (step, v) in state_dict.items()}

    def table(self) -> str:
        """The closing table: a line for each check that applied."""
        lines = [f"\n{'health':<14}"]
        for check in CHECKS:
            if check in self.verdicts:
                step, verdict = self.verdicts[check]
                said = verdict.text if verdict.healthy else f"at update {step:,}: {_say(verdict)}"
                lines.append(f"{check:<14}{'ok' if verdict.healthy else 'BAD':<5}{said}")
        return "\n".join(lines) if len(lines) > 1 else ""

    def summary(self) -> dict[str, str]:
        """What summary.json keeps of it: "ok" or the first bad figure, by check."""
        return {
            check: "ok" if verdict.healthy else f"update {step}: {verdict.text}"
            for check, (step, verdict) in self.verdicts.items()
        }


def _say(verdict: Verdict) -> str:
    return f"{verdict.text}; try {verdict.advice}"


def _uniform(pl_module: Any) -> float:
    """ln V, or without a vocabulary infinity: no loss is too high then."""
    vocab = getattr(pl_module, "vocab", None)
    return log(len(vocab)) if vocab is not None else float("inf")


def _rate(pl_module: Any, step: int) -> float:
    """The learning rate as a share of its peak; 1 if unknown."""
    multiplier = getattr(pl_module, "lr_multiplier", None)
    return multiplier(step - 1) if multiplier is not None else 1.0
