"""Verdicts while the network trains: what is not healthy, and what to try."""

import logging
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from math import log
from textwrap import fill
from typing import Any

import lightning.pytorch as pl

from lit_makemore.diagnostics import events
from lit_makemore.diagnostics.advice import advice, options_of
from lit_makemore.diagnostics.memorised import known_samples
from lit_makemore.diagnostics.monitor import DueUpdate, Monitor, due_update
from lit_makemore.diagnostics.nonfinite import listed, nonfinite_tensors
from lit_makemore.diagnostics.outcome import Known, judge_baseline, judge_memorised
from lit_makemore.diagnostics.probe import network_of
from lit_makemore.diagnostics.verdicts import CHECKS, Bands, Verdict, judge
from lit_makemore.network.restored import evaluating
from lit_makemore.training.schedules import is_round

logger = logging.getLogger(__name__)

FROM = 1000  # the update from which val is compared with counting; the end of a run is, in any case
TABLE_WIDTH, INDENT = 100, 19  # columns


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
        self._validations = 0

    def after_update(self, trainer: pl.Trainer, module: pl.LightningModule, due: DueUpdate) -> None:
        names = nonfinite_tensors(network_of(module), due.probe)
        text = f"not finite: {listed(names)}" if names else "all numbers are finite"
        options = options_of(trainer, module)
        verdicts = [Verdict("nan", not names, text, advice("nan", options))]
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
            verdicts += judge(
                figures, due.step, self.bands, uniform, hidden, early, full_rate, options
            )
        self._report(trainer, due, verdicts)
        self._stop_if_asked(trainer, due.step, verdicts)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        self._validations += 1
        verdicts = list(self._judge_words(trainer, pl_module))
        self._report(trainer, due_update(trainer, trainer.global_step), verdicts)
        self._stop_if_asked(trainer, trainer.global_step, verdicts)

    def _judge_words(self, trainer: pl.Trainer, module: Any) -> Iterator[Verdict]:
        """The verdicts of a validation, where there is a word list."""
        data = getattr(trainer, "datamodule", None)
        if data is None or not trainer.is_global_zero:  # the first process decides for all
            return
        options = options_of(trainer, module)
        val: Any = trainer.callback_metrics.get("val/loss")
        if trainer.global_step >= FROM and val is not None:
            yield judge_baseline(float(val), val_losses(data.baselines), self.bands, options)
        if is_round(self._validations):
            words = module.vocab, data.block_size, data.splits
            with evaluating(module.net):
                known = known_samples(module.model, *words)
            yield judge_memorised(known, self.bands, options)

    def close(
        self, trainer: pl.Trainer, val: float, counts: Mapping[str, float], known: Known
    ) -> None:
        """Judges what a run has reached: its best weights, in place of those on the way.

        Args:
            trainer: of the run.
            val: the val loss, in nats.
            counts: the val losses of the count models, by name.
            known: what the samples are.
        """
        options = options_of(trainer, trainer.lightning_module)
        for verdict in (
            judge_baseline(val, counts, self.bands, options),
            judge_memorised(known, self.bands, options),
        ):
            self.verdicts[verdict.check] = trainer.global_step, verdict

    def _report(self, trainer: pl.Trainer, due: DueUpdate, verdicts: list[Verdict]) -> None:
        failed: list[str] = []
        for verdict in verdicts:
            before = self.verdicts.get(verdict.check)
            if before is None or before[1].healthy:
                self.verdicts[verdict.check] = due.step, verdict
                if not verdict.healthy:
                    failed.append(f"{verdict.check} at update {due.step:,}: {_advise(verdict)}")
        self.write(trainer, due, {f"health/{v.check}": float(bool(v.healthy)) for v in verdicts})
        if failed:
            events.write(trainer, due.step, texts={"health": "  \n".join(failed)})
        if trainer.is_global_zero:
            erase = "\r\033[K" if sys.stderr.isatty() else ""  # erases the progress line
            for line in failed:
                logger.warning("%sunhealthy: %s", erase, line)

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
        verdicts = {check: (step, asdict(v)) for check, (step, v) in self.verdicts.items()}
        return {**verdicts, "validations": self._validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        verdicts = dict(state_dict)
        self._validations = verdicts.pop("validations", 0)  # earlier checkpoints have none
        self.verdicts = {check: (step, Verdict(**v)) for check, (step, v) in verdicts.items()}

    @property
    def failed(self) -> list[str]:
        """The checks that have failed."""
        return [check for check in CHECKS if self._verdict(check)[1].healthy is False]

    def table(self) -> str:
        """The closing table: a paragraph for each check."""
        lines = ["\nhealth"]
        for check in CHECKS:
            step, verdict = self._verdict(check)
            mark = {True: "ok", False: "BAD", None: "n/a"}[verdict.healthy]
            text = verdict.text
            if verdict.healthy is False:
                text = f"at update {step:,}: {_advise(verdict)}"
            start = f"{check:<14}{mark:<5}"
            lines.append(fill(start + text, TABLE_WIDTH, subsequent_indent=" " * INDENT))
        return "\n".join(lines)

    def summary(self) -> dict[str, str]:
        """The entry of summary.json: for each check "ok", its first failure, or why it is n/a."""
        said: dict[str, str] = {}
        for check in CHECKS:
            step, verdict = self._verdict(check)
            failed, never = f"update {step}: {verdict.text}", f"n/a: {verdict.text}"
            said[check] = {True: "ok", False: failed, None: never}[verdict.healthy]
        return said

    def _verdict(self, check: str) -> tuple[int, Verdict]:
        never = Verdict(check, None, f"is judged {CHECKS[check]}", "")
        return self.verdicts.get(check, (0, never))


def val_losses(baselines: Mapping[str, Mapping[str, float | None]]) -> dict[str, float]:
    """The val losses of the count models, by name."""
    return {name: loss for name, row in baselines.items() if (loss := row["val"]) is not None}


def _advise(verdict: Verdict) -> str:
    return f"{verdict.text}; try {verdict.advice}"


def _uniform(module: Any) -> float | None:
    """ln V, or None for a module without a vocabulary."""
    return log(len(module.vocab)) if hasattr(module, "vocab") else None


def _rate(module: Any, step: int) -> float:
    """The learning rate of update number `step` as a share of its peak; 1 if unknown."""
    return module.lr_multiplier(step - 1) if hasattr(module, "lr_multiplier") else 1.0
