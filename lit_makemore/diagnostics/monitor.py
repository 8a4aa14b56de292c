"""The callback that looks inside a network while it trains."""

import logging
import sys
from collections.abc import Sized
from dataclasses import dataclass
from math import inf, log, nan
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import LearningRateFinder
from torch import Tensor, nn

from lit_makemore.diagnostics import checks, figures, probe
from lit_makemore.diagnostics.checks import CHECKS, Seen, Verdict, options_of
from lit_makemore.diagnostics.figures import Figures
from lit_makemore.diagnostics.health import Health, said
from lit_makemore.diagnostics.pictures import Pictures
from lit_makemore.diagnostics.probe import Probe, hidden_of, network_of, parameters_of
from lit_makemore.diagnostics.reference_lines import draw_reference_lines
from lit_makemore.diagnostics.settings import Diagnostics
from lit_makemore.diagnostics.tensorboard import Events, write
from lit_makemore.diagnostics.words import Known, known_samples, sample_table
from lit_makemore.network.mlp import evaluating
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.groups import AtUpdates
from lit_makemore.training.module import LitMLP
from lit_makemore.training.schedules import is_due, is_round, until_due
from lit_makemore.words.vocab import Vocabulary

logger = logging.getLogger(__name__)

FROM = 1000  # the update from which val is compared with counting; the end of a run is, in any case
LONGER = 10  # a validation draws once the run is so many times as long as at the last pictures
KEPT = 1000  # probes of the history; of more, every second one is forgotten


@dataclass
class _Begun:
    """A due update that has begun: what was seen before it."""

    step: int
    probe: Probe | None
    figures: Figures
    parameters: dict[str, Tensor]


class Monitor(AtUpdates):
    """Probes a network at some updates, judges what it sees, and writes it to the loggers.

    Works on any LightningModule with layers of torch.nn. Losses and gradients need a method
    `loss(batch)` of it, which returns the scalar loss of a minibatch.

    Every n-th update is due, and a few early ones (schedules.EARLY). Before it, an extra pass over
    its first minibatch shows the figures of figures.py; after it, the change that it made is known.
    The checks of checks.py judge the figures. Then all is written at once:

        <figure>              see figures.py; loss and held_out are only judged
        activations/<layer>, gradients/<layer>, weight_gradients/<weight>   their histograms
        update_ratio/guide    -3, the rule of thumb
        initial_loss/network, initial_loss/uniform   of the first minibatch; ln V, of guessing
        health/<check>        1 healthy, 0 not, for each check that applies
        health                the text of each check that fails for the first time; also on stderr

    After validations there are, of words: health/baseline, health/memorised, after the 1st, 2nd,
    5th, 10th, 20th … a text `samples`, and the lines of reference_lines.py. Pictures are drawn of
    the latest probe (see pictures.py). What a LearningRateFinder has tried is written before the
    first update: lr_finder/lr, lr_finder/loss.

    Args:
        options: see Diagnostics.

    Attributes:
        figures: of the latest probe, by name.
        history: numbers of the probed updates, and their figures. After a resume, the update ratios
            only of those before it.

    Raises:
        ValueError: fail_on names an unknown check; or, while it trains, one of its checks failed.
    """

    alone = True  # a probe needs the minibatch of its update

    def __init__(self, options: Diagnostics = Diagnostics()) -> None:
        self.options = options
        self.fail_on = [name.strip() for name in options.fail_on.split(",") if name.strip()]
        if unknown := {*self.fail_on} - {*CHECKS}:
            raise ValueError(
                f"--diagnostics.fail_on has no check {', '.join(sorted(unknown))}; "
                f"the checks are {', '.join(CHECKS)}"
            )
        self.figures: Figures = {}
        self.history: list[tuple[int, Figures]] = []
        self.health = Health()
        self._lowest: tuple[float, int] | None = None  # held_out/val, and after which update
        self._validations = 0
        self._probe: Probe | None = None  # the latest
        self._pictures = Pictures()

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        steps = trainer.max_steps
        usual = max(steps // 50, 50) if steps > 0 else 1000
        self.every_n_steps = self.options.every_n_steps or usual
        self._begun: _Begun | None = None
        self._has_lines = False
        has = {
            checks.LOSS: probe.loss_of(pl_module),
            checks.VOCAB: _uniform(pl_module),
            checks.WORDS: _words(trainer, pl_module),
        }
        self.health.missing = {need for need, found in has.items() if found is None}

    def due(self, step: int) -> float:
        return step + until_due(step, self.every_n_steps)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, LearningRateFinder) and callback.optimal_lr is not None:
                tried = callback.optimal_lr.results
                for step, (lr, loss) in enumerate(zip(tried["lr"], tried["loss"], strict=True), 1):
                    write(trainer, step, Events({"lr_finder/lr": lr, "lr_finder/loss": loss}))

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step + 1
        if self._begun is not None or not is_due(step, self.every_n_steps):
            return  # an update counts once, also where the gradients of minibatches are added up
        net, shown = network_of(pl_module), None
        if forward := probe.forward_of(pl_module, batch):
            with trainer.precision_plugin.forward_context():
                shown = probe.run_probe(net, forward)
        found = figures.of_probe(shown) if shown else {}
        self._begun = _Begun(step, shown, found, figures.before_update(net))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any
    ) -> None:
        begun = self._begun
        if begun is None or begun.step != trainer.global_step:
            return
        self._begun, self._probe = None, begun.probe
        self.figures = self._figures_after(trainer, pl_module, begun)
        if len(self.history) >= KEPT:
            del self.history[1::2]
        self.history.append((begun.step, self.figures))
        self._pictures.write(trainer, wait=False)
        if begun.step == 1:
            self._draw(trainer, pl_module)
        seen = self._seen(trainer, pl_module, begun)
        scalars = {name: x for name, x in self.figures.items() if _is_written(name, x)}
        scalars["update_ratio/guide"] = figures.GUIDE
        if begun.step == 1 and seen.uniform is not None and "loss" in self.figures:
            scalars["initial_loss/network"] = self.figures["loss"]
            scalars["initial_loss/uniform"] = seen.uniform
        histograms = figures.histograms(begun.probe) if begun.probe else {}
        self._report(trainer, checks.judge(seen), Events(scalars, histograms))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        self._validations += 1
        verdicts, events = list[Verdict](), Events()
        data = _words(trainer, pl_module)
        if data is not None and trainer.is_global_zero:  # the first process decides for all
            if not self._has_lines:
                draw_reference_lines(trainer, pl_module, data)
                self._has_lines = True
            loss, known = trainer.callback_metrics.get("val/loss"), None
            val = float(loss) if loss is not None and trainer.global_step >= FROM else None
            if is_round(self._validations):
                predictor = pl_module.model if isinstance(pl_module, LitMLP) else pl_module
                words = predictor, data.vocab, data.block_size, data.splits
                with evaluating(pl_module):
                    known, events.texts["samples"] = known_samples(*words), sample_table(*words)
            verdicts = self._judge_words(trainer, data, val, known)
        self._pictures.write(trainer, wait=False)
        if trainer.global_step >= LONGER * self._pictures.drawn_at:
            self._draw(trainer, pl_module)
        self._report(trainer, verdicts, events)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.global_step > self._pictures.drawn_at:
            self._draw(trainer, pl_module)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._pictures.write(trainer)

    def on_exception(self, trainer: pl.Trainer, *args: Any) -> None:
        self._pictures.write(trainer)

    def close(self, trainer: pl.Trainer, predictor: nn.Module, val: float | None) -> None:
        """Judges what a run has reached: its best weights, in place of those on the way.

        Args:
            trainer: of the run, with a NamesDataModule.
            predictor: windows (B, T) to logits (B, V), with the best weights.
            val: its val loss, in nats; None if it is not a number.
        """
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        known = known_samples(predictor, data.vocab, data.block_size, data.splits)
        verdicts = self._judge_words(trainer, data, nan if val is None else val, known)
        self.health.verdicts |= {verdict.check: verdict for verdict in verdicts}

    def table(self) -> str:
        """The closing table: a paragraph for each check."""
        return self.health.table()

    def summary(self) -> dict[str, str]:
        """The entry of summary.json: for each check "ok", its first failure, or why it is n/a."""
        return self.health.summary()

    @property
    def failed(self) -> list[str]:
        """The checks that have failed."""
        return self.health.failed

    def state_dict(self) -> dict[str, Any]:
        ratios = [
            (step, {name: x for name, x in found.items() if name.startswith("update_ratio/")})
            for step, found in self.history
        ]
        return {
            "history": ratios,
            "lowest": self._lowest,
            "verdicts": self.health.state_dict(),
            "validations": self._validations,
            "drawn_at": self._pictures.drawn_at,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history, self._lowest = list(state_dict["history"]), state_dict["lowest"]
        self.health.load_state_dict(state_dict["verdicts"])
        self._validations = state_dict["validations"]
        self._pictures.drawn_at = state_dict["drawn_at"]

    def _figures_after(self, trainer: pl.Trainer, module: Any, begun: _Begun) -> Figures:
        """What was seen before an update, and what it did."""
        net = network_of(module)
        ratios = figures.update_ratios(begun.parameters, parameters_of(net))
        if trainer.precision == "16-mixed":  # skips updates, when its gradients overflow
            ratios = {name: x for name, x in ratios.items() if x > -inf}
        found = begun.figures | ratios
        if hasattr(module, "lr_at"):
            found |= figures.lr_grad_ratios(begun.figures, module.lr_at(begun.step - 1))
        if (data := _words(trainer, module)) is not None:
            with trainer.precision_plugin.forward_context():
                train, val = (
                    figures.held_out_loss(module, data.splits[name].windows)
                    for name in ("train", "val")
                )
            if self._lowest is None or val < self._lowest[0]:
                self._lowest = val, begun.step
            lowest = {"lowest": self._lowest[0], "lowest_step": float(self._lowest[1])}
            held_out = {"train": train, "val": val, **lowest}
            found |= {f"held_out/{name}": x for name, x in held_out.items()}
        return found

    def _seen(self, trainer: pl.Trainer, module: Any, begun: _Begun) -> Seen:
        """What the checks read of an update."""
        net, step, steps = network_of(module), begun.step, trainer.max_steps
        rate = module.lr_multiplier(step - 1) if hasattr(module, "lr_multiplier") else 1.0
        return Seen(
            step,
            self.options.bands,
            options_of(trainer, module),
            self.figures,
            nonfinite=figures.nonfinite_tensors(net, begun.probe),
            uniform=_uniform(module),
            hidden=hidden_of(net),
            early=min(1000, max(1, steps // 10)) if steps > 0 else 1000,
            full_rate=rate >= 0.5,  # of its peak
        )

    def _judge_words(
        self, trainer: pl.Trainer, data: NamesDataModule, val: float | None, known: Known | None
    ) -> list[Verdict]:
        rows = data.baselines.items()
        counts = {name: loss for name, row in rows if (loss := row["val"]) is not None}
        options = options_of(trainer, trainer.lightning_module)
        more: dict[str, Any] = {"val": val, "counts": counts, "known": known}
        return checks.judge(Seen(trainer.global_step, self.options.bands, options, **more))

    def _draw(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.options.pictures:
            self._pictures.draw(trainer, module, self._probe, self.history)

    def _report(self, trainer: pl.Trainer, verdicts: list[Verdict], events: Events) -> None:
        """Writes all, says what fails for the first time, and may stop the run."""
        failures = self.health.add(verdicts)
        events.scalars |= {f"health/{v.check}": float(bool(v.healthy)) for v in verdicts}
        if failures:
            events.texts["health"] = "  \n".join(failures)
        write(trainer, trainer.global_step, events)
        erase = "\r\033[K" if sys.stderr.isatty() else ""  # erases the progress line
        for failure in failures if trainer.is_global_zero else ():
            logger.warning("%sunhealthy: %s", erase, failure)
        bad = [v for v in verdicts if not v.healthy and v.check in self.fail_on]
        reasons = [f"{verdict.check}: {said(verdict)}" for verdict in bad]
        if self.fail_on:
            reasons = trainer.strategy.broadcast(reasons)  # the first process decides for all
        if reasons:
            step = trainer.global_step
            raise ValueError(f"stopped by diagnostics.fail_on at update {step}: {reasons[0]}")


def _is_written(name: str, figure: float) -> bool:
    """Not what is only judged, and no update ratio of minus infinity, which cannot be drawn."""
    only_judged = name == "loss" or name.startswith("held_out/")
    return not only_judged and not (name.startswith("update_ratio/") and figure == -inf)


def _uniform(module: Any) -> float | None:
    """ln V, or None for a module without a vocabulary."""
    vocab = getattr(module, "vocab", None)
    return log(len(vocab)) if isinstance(vocab, Sized) else None


def _words(trainer: Any, module: Any) -> NamesDataModule | None:
    """The words of the run, if the module predicts their characters."""
    data, vocab = getattr(trainer, "datamodule", None), getattr(module, "vocab", None)
    known = isinstance(data, NamesDataModule) and isinstance(vocab, Vocabulary)
    return data if known else None
