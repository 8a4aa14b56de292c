"""The callback that looks inside a network while it trains."""

import logging
from collections.abc import Sized
from concurrent.futures import Future, ThreadPoolExecutor
from math import inf, log, log10, nan
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import LearningRateFinder
from torch import nn

from lit_makemore.diagnostics import figures, probe
from lit_makemore.diagnostics.checks import CHECKS, Health, Seen, Verdict, judge, options_of
from lit_makemore.diagnostics.figures import Figures
from lit_makemore.diagnostics.probe import Probe, hidden_of, network_of, parameters_of
from lit_makemore.diagnostics.progress import erasing
from lit_makemore.diagnostics.settings import Diagnostics
from lit_makemore.diagnostics.tensorboard import Events, draw_guides, write
from lit_makemore.diagnostics.words import known_samples, sample_table
from lit_makemore.network.mlp import evaluating
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.groups import AtUpdates
from lit_makemore.training.module import LitMLP
from lit_makemore.training.schedules import is_due, is_round, until_due

logger = logging.getLogger(__name__)

FROM = 1000  # the update from which val is compared with counting; the end of a run is, in any case
LONGER = 10  # a validation draws once the run is so many times as long as at the last pictures
KEPT = 1000  # probes of the history; of more, every second one is forgotten
_ARTIST = ThreadPoolExecutor(1)  # draws: six pictures take a third of a second


class Unhealthy(ValueError):
    """A check of fail_on has failed."""


class Monitor(AtUpdates):
    """Probes a network at some updates, judges what it sees, and writes it to the loggers.

    Works on any LightningModule with layers of torch.nn. Losses and gradients need a method
    `loss(batch)` of it, which returns the scalar loss of a minibatch. Validations add samples, and
    checks of words. docs/diagnostics.md lists every figure.

    Attributes:
        probe: the latest, for drawing.py; None if nothing can pass a minibatch through the module.
        figures: of the latest probe, by name.
        history: numbers of the probed updates, and their figures; of those before a resume, few.
        health: the verdicts, as a table and for summary.json.
    """

    alone = True  # a probe needs the minibatch of its update

    def __init__(self, options: Diagnostics = Diagnostics()) -> None:
        self.options = options
        self.fail_on = [name.strip() for name in options.fail_on.split(",") if name.strip()]
        if unknown := ", ".join(sorted({*self.fail_on} - {*CHECKS})):
            raise ValueError(f"--diagnostics.fail_on names {', '.join(CHECKS)}; not {unknown}")
        self._begin_anew()

    def _begin_anew(self) -> None:
        """What a fit begins with. In a notebook, a Monitor may see several."""
        self.probe: Probe | None = None
        self.figures: Figures = {}
        self.history: list[tuple[int, Figures]] = []
        self.health = Health()
        self._validations, self._drawn_at = 0, 0  # the update of the last pictures
        self._drawing: Future[None] | None = None

    def setup(self, trainer: Any, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit" and not trainer.global_step:
            self._begin_anew()
        usual = max(trainer.max_steps // 50, 50) if trainer.max_steps > 0 else 1000
        self.every_n_steps = self.options.every_n_steps or usual
        self._begun, self._has_guides = 0, False  # the due update that has begun, 0 for none
        data = trainer.datamodule if isinstance(pl_module, LitMLP) else None
        self._words = data if isinstance(data, NamesDataModule) else None

    def due(self, step: int) -> float:
        return step + until_due(step, self.every_n_steps)

    def on_train_start(self, trainer: Any, pl_module: pl.LightningModule) -> None:
        for callback in trainer.callbacks:
            if isinstance(callback, LearningRateFinder) and callback.optimal_lr is not None:
                tried = callback.optimal_lr.results
                for step, (lr, loss) in enumerate(zip(tried["lr"], tried["loss"], strict=True), 1):
                    write(trainer, step, {"scalars": {"lr_finder/lr": lr, "lr_finder/loss": loss}})

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, *args: Any) -> None:
        step = trainer.global_step + 1
        if self._begun or not is_due(step, self.every_n_steps):
            return  # an update counts once, also where the gradients of minibatches are added up
        net, self._begun, self.probe, self.figures = network_of(pl_module), step, None, {}
        if forward := probe.forward_of(pl_module, batch):
            with trainer.precision_plugin.forward_context():
                self.probe = probe.run_probe(net, forward)
            self.probe.when = f"before update {step:,}"
            self.figures = figures.of_probe(self.probe)
        self._parameters = figures.before_update(net)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        step, steps = trainer.global_step, trainer.max_steps
        if not self._begun or step != self._begun:
            return
        self._begun = 0
        self.figures |= self._figures_after(trainer, pl_module)
        if len(self.history) >= KEPT:
            del self.history[1::2]
        self.history.append((step, self.figures))
        if step == 1:
            self._draw(trainer, pl_module)
        net, vocab = network_of(pl_module), getattr(pl_module, "vocab", None)
        seen: dict[str, Any] = {"figures": self.figures, "hidden": hidden_of(net)}
        seen["nonfinite"] = figures.nonfinite_tensors(net, self.probe)
        seen["uniform"] = log(len(vocab)) if isinstance(vocab, Sized) else None
        seen["early"] = min(1000, max(1, steps // 10)) if steps > 0 else 1000
        if isinstance(pl_module, LitMLP):
            seen["full_rate"] = pl_module.lr_multiplier(step - 1) >= 0.5
        hides = ("loss", "held_out/")
        scalars = {k: x for k, x in self.figures.items() if x != -inf and not k.startswith(hides)}
        scalars["update_ratio/guide"] = figures.GUIDE
        if step == 1 and seen["uniform"] is not None and "loss" in self.figures:
            scalars["initial_loss/network"] = self.figures["loss"]
            scalars["initial_loss/uniform"] = seen["uniform"]
        histograms = figures.histograms(self.probe or Probe())
        events: Events = {"scalars": scalars, "histograms": histograms, "texts": {}}
        self._report(trainer, self._judge(trainer, **seen), events)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        self._validations += 1
        events: Events = {"scalars": {}, "texts": {}}
        found = dict[str, Any]()
        # The first process decides for all.
        if (data := self._words) is not None and trainer.is_global_zero:
            if not self._has_guides:
                draw_guides(trainer, pl_module, data)
                self._has_guides = True
            if "val/loss" in trainer.callback_metrics and trainer.global_step >= FROM:
                found["val"] = float(trainer.callback_metrics["val/loss"])
            if is_round(self._validations):
                with evaluating(pl_module):
                    found["known"] = known_samples(pl_module.model, data)
                    events["texts"]["samples"] = sample_table(pl_module.model, data)
        if trainer.global_step >= LONGER * self._drawn_at:
            self._draw(trainer, pl_module)
        self._report(trainer, self._judge(trainer, **found), events)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.global_step > self._drawn_at:
            self._draw(trainer, pl_module)

    def teardown(self, *args: Any, **kwargs: Any) -> None:
        if self._drawing is not None:
            self._drawing.result()

    on_exception = teardown

    def close(self, trainer: Any, predictor: nn.Module, val: float | None) -> Health:
        """Judges a run by its best weights, those of `predictor`; a val loss of None is NaN."""
        known = known_samples(predictor, trainer.datamodule)
        verdicts = self._judge(trainer, val=nan if val is None else val, known=known)
        self.health.verdicts |= {verdict.check: verdict for verdict in verdicts}
        return self.health

    def state_dict(self) -> dict[str, Any]:
        kept = ("update_ratio/", "held_out/lowest")
        history = [
            (step, {name: x for name, x in found.items() if name.startswith(kept)})
            for step, found in self.history
        ]
        verdicts = [verdict._asdict() for verdict in self.health.verdicts.values()]
        counters = {"validations": self._validations, "drawn_at": self._drawn_at}
        return {"history": history, "verdicts": verdicts, **counters}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history = list(state_dict["history"])
        self.health.add(Verdict(**verdict) for verdict in state_dict["verdicts"])
        self._validations, self._drawn_at = state_dict["validations"], state_dict["drawn_at"]

    def _figures_after(self, trainer: pl.Trainer, module: Any) -> Figures:
        step = trainer.global_step
        found = figures.update_ratios(self._parameters, parameters_of(network_of(module)))
        if trainer.precision == "16-mixed":  # skips updates, when its gradients overflow
            found = {name: x for name, x in found.items() if x > -inf}
        lr = module.lr_at(step - 1) if isinstance(module, LitMLP) else 0.0
        for name, ratio in self.figures.items():
            if name.startswith("grad_to_data/") and lr * ratio > 0:
                found[name.replace("grad_to_data", "lr_grad_ratio", 1)] = log10(lr * ratio)
        if (data := self._words) is not None:
            before = self.history[-1][1] if self.history else {}
            lowest = before.get("held_out/lowest", inf), before.get("held_out/lowest_step", 0)
            with trainer.precision_plugin.forward_context():
                for name in ("train", "val"):
                    loss = figures.held_out_loss(module, data.splits[name].windows)
                    found[f"held_out/{name}"] = loss
            found["held_out/lowest"], found["held_out/lowest_step"] = min(lowest, (loss, step))
        return found

    def _judge(self, trainer: Any, **found: Any) -> list[Verdict]:
        options = options_of(trainer, trainer.lightning_module)
        if "val" in found:
            rows = trainer.datamodule.baselines.items()
            found["counts"] = {name: row["val"] for name, row in rows if row["val"] is not None}
        return judge(Seen(trainer.global_step, self.options.bands, options, **found))

    def _draw(self, trainer: pl.Trainer, module: Any) -> None:
        """Lets the thread draw the latest probe, and the update ratios until then."""
        self.teardown()
        self._drawn_at = step = trainer.global_step
        shown, history, table = self.probe, self.history.copy(), None
        if shown is None or not (self.options.pictures and trainer.is_global_zero):
            return
        if isinstance(module, LitMLP):
            table = module.net.embedding.weight.detach().clone(), module.vocab.labels

        def draw() -> None:
            # matplotlib takes half a second to import, which a run without pictures saves
            from lit_makemore.diagnostics.drawing import pictures

            write(trainer, step, {"pictures": pictures(shown, history, table)})

        self._drawing = _ARTIST.submit(draw) if trainer.loggers else None

    def _report(self, trainer: pl.Trainer, verdicts: list[Verdict], events: Events) -> None:
        """Writes all, says what fails for the first time, and may stop the run."""
        failures, step = self.health.add(verdicts), trainer.global_step
        events["scalars"] |= {f"health/{v.check}": float(v.healthy) for v in verdicts}
        if failures:
            events["texts"]["health"] = "  \n".join(failures)
        write(trainer, step, events)
        for failure in failures if trainer.is_global_zero else ():
            logger.warning("%sunhealthy: %s", erasing(), failure)
        if self.fail_on:
            bad = [v for v in verdicts if not v.healthy and v.check in self.fail_on]
            reasons = [f"{verdict.check}: {verdict}" for verdict in bad]
            if reasons := trainer.strategy.broadcast(reasons):  # the first process decides for all
                raise Unhealthy(f"stopped by diagnostics.fail_on at update {step}: {reasons[0]}")
