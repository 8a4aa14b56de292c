"""The LightningModule: hyper-parameters, steps, optimizer, metrics.

Shapes: B batch, G minibatches of a group, T block_size, V vocab_size.
"""

import logging
from dataclasses import asdict
from functools import partial
from inspect import signature
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from lit_makemore.counts.known_words import KnownWords
from lit_makemore.counts.mixture import Mixture
from lit_makemore.counts.ngrams import KneserNey
from lit_makemore.model import KEY, check_network, describe, stored_mixture
from lit_makemore.network.backprop import gradients
from lit_makemore.network.layers import Variance
from lit_makemore.network.mlp import MLP, Activation, Init, cross_entropy
from lit_makemore.sampling.scoring import scores
from lit_makemore.training import option_conflicts
from lit_makemore.training.eager import EagerStep
from lit_makemore.training.engine import EngineName, choose
from lit_makemore.training.lightning_internals import count_updates
from lit_makemore.training.metrics import SplitMetrics
from lit_makemore.training.mixture_fit import MixtureFit
from lit_makemore.training.native import build
from lit_makemore.training.native.native import NativeStep
from lit_makemore.training.native.referee import disagreement
from lit_makemore.training.schedules import one_cycle, step_decay
from lit_makemore.training.step import Step
from lit_makemore.words.vocab import Vocabulary
from lit_makemore.words.windows import EvaluationBatch

log = logging.getLogger(__name__)

ARCHITECTURE = [
    name
    for name in signature(MLP).parameters
    if name not in ("vocab_size", "block_size", "generator")
]


class LitMLP(pl.LightningModule):
    """Trains and evaluates an MLP by the cross-entropy of the next character, in nats.

    Args:
        chars: the characters of the vocabulary; the command line takes them from the data.
        block_size: characters that the network sees; taken from the data.
        n_embd: length of the embedding vector of a character.
        n_hidden: units per hidden layer.
        n_layer: hidden layers.
        activation: the activation function after each hidden layer.
        batch_norm: whether BatchNorm1d follows each hidden Linear layer.
        logits_batch_norm: whether BatchNorm1d follows the logits too.
        bn_variance: the variance for normalising and for the running statistics: biased, unbiased,
            or torch (biased, then unbiased).
        redundant_bias: whether Linear layers keep the bias that BatchNorm makes redundant.
        dropout: share of the hidden units that is left out at random in training.
        count_mixture: whether predictions mix the network with the best count model. Each
            validation chooses the network's weight, from 0 to 1. Only the network is trained.
        known_words: whether the mixture gives training words the share that they have among the
            val words. A network knows many by heart, and gives them more. Each validation measures
            it. Words as long as the window, or longer, do not count.
        init: the initial values of the parameters.
        optimizer: sgd is plain, without momentum; adamw has betas 0.9 and 0.999.
        lr: the base learning rate; the peak of a one-cycle schedule.
        weight_decay: weight decay of adamw.
        schedule: step multiplies lr by lr_gamma at each milestone; one_cycle rises, then falls.
        lr_milestones: steps at which lr is multiplied by lr_gamma; empty: constant.
        lr_gamma: the factor at each milestone.
        warmup: share of a one-cycle run in which lr rises to its peak.
        backward: autograd, or manual for the hand-derived gradients of network/backprop.py. manual
            needs sgd, one process, and precision 32-true or 64-true.
        engine: what makes the updates: eager is PyTorch's autograd; native is the same derived by
            hand, in C++, for one process on a CPU in 32-true; auto takes native where it can.
    """

    def __init__(
        self,
        chars: str,
        block_size: int,
        n_embd: int = 10,
        n_hidden: int = 100,
        n_layer: int = 5,
        activation: Activation = "tanh",
        batch_norm: bool = True,
        logits_batch_norm: bool = False,
        bn_variance: Variance = "torch",
        redundant_bias: bool = False,
        dropout: float = 0.0,
        count_mixture: bool = False,
        known_words: bool = False,
        init: Init = Init(),
        optimizer: Literal["sgd", "adamw"] = "sgd",
        lr: float = 0.1,
        weight_decay: float = 0.0,
        schedule: Literal["step", "one_cycle"] = "step",
        lr_milestones: tuple[int, ...] = (),
        lr_gamma: float = 0.1,
        warmup: float = 0.2,
        backward: Literal["autograd", "manual"] = "autograd",
        engine: Literal["auto", "eager", "native"] = "auto",
    ) -> None:
        super().__init__()
        init = init if isinstance(init, Init) else Init(**init)  # a checkpoint holds a dictionary
        self.save_hyperparameters(ignore="init", logger=False)
        self.save_hyperparameters({"init": asdict(init)}, logger=False)
        option_conflicts.check_model(self.hparams)
        self.architecture = {name: self.hparams[name] for name in ARCHITECTURE}
        self.vocab = Vocabulary(chars)
        self.net = MLP(len(self.vocab), block_size, **{**self.architecture, "init": init})
        self.val_metrics, self.test_metrics = SplitMetrics(), SplitMetrics()
        self.train_hashes = torch.empty(0, dtype=torch.int64)  # of the words trained on
        self.counts: KneserNey | None = None  # what the network is mixed with
        self.mixture_weight = 1.0
        self.known: KnownWords | None = None  # the factors of training words in the mixture
        self.engine: EngineName = "eager"
        self.engine_before: str | None = None  # of a run that is resumed
        self._step: Step | None = None
        self._log_loss_to: dict[str, Any] | None = None  # see `setup`

    def forward(self, x: Tensor) -> Tensor:
        """Windows (B, T) to logits (B, V)."""
        return self.net(x)

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """The mean loss of a minibatch, a scalar."""
        x, y = batch
        return cross_entropy(self.net(x), y)

    def predictor(self) -> nn.Module:
        """What is evaluated and sampled from: the network, or its mixture with the counts."""
        if self.counts is None:
            return self.net
        return Mixture(self.net, self.counts, self.mixture_weight, self.known)

    @property
    def model(self) -> nn.Module:
        """What predicts: the network, or its mixture with the counts."""
        return self.predictor()

    def configure_callbacks(self) -> list[pl.Callback]:
        if self.trainer.state.fn == "fit":
            self.automatic_optimization = True  # Lightning checks the options; `setup` decides
        return [MixtureFit()] if self.hparams["count_mixture"] else []

    def setup(self, stage: str) -> None:
        if self.trainer.strategy.root_device.type == "mps":  # which has no float64
            option_conflicts.check_apple(self.trainer)
            for metrics in (self.val_metrics, self.test_metrics):
                metrics.set_dtype(torch.float32)
        if stage != "fit":
            return
        data = getattr(self.trainer, "datamodule", None)
        option_conflicts.check_fit(self.hparams, self.trainer, data)
        if data is not None:
            self.train_hashes = data.train_hashes
            self.counts = data.best_counts if self.hparams["count_mixture"] else None
            self.known = data.known_words if self.hparams["known_words"] else None
        choice = choose(
            self.trainer, self.hparams["engine"], self.hparams["backward"], self.engine_before
        )
        log.info(choice.why)
        self.engine, self.automatic_optimization = choice.engine, not choice.groups
        self._log_loss_to = self._takers_of_loss()
        self._step = None

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Any:
        """The loss of a minibatch; of a group, after its updates, the mean and the sum."""
        if not self.automatic_optimization:
            x, y = batch
            if x.ndim == 2:
                x, y = x[None], y[None]
            self._step = self._step or self._start_engine(x[0], y[0])
            step = self.global_step
            total = self._step(x, y, [self.lr_at(step + i) for i in range(len(x))])
            count_updates(self.trainer, len(x))
            self._log_loss(total / len(x))
            return {"loss": total / len(x), "sum": total}
        loss = self._training_loss(batch)
        self._log_loss(loss)
        return loss

    def _training_loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """The loss, for `backward`."""
        if self.hparams["backward"] == "manual":
            loss, self._gradients, _ = gradients(self.net, *batch)
            return loss
        return self.loss(batch)

    def _start_engine(self, x: Tensor, y: Tensor) -> Step:
        """What steps this run. The first minibatch tells whether the native step is right."""
        optimizer: Any = self.optimizers(use_pl_optimizer=False)
        limit: Any = self.trainer.gradient_clip_val
        if self.engine == "native":
            settings = limit or None, torch.initial_seed(), self.global_step
            native = NativeStep(build.library(), self.net, optimizer, len(x), *settings)
            wrong = disagreement(native, x, y)
            if wrong is None:
                return native
            log.warning("the native step is wrong here (%s): going on with eager steps", wrong)
            self.engine = "eager"
        clip = partial(
            self.clip_gradients, optimizer, limit, self.trainer.gradient_clip_algorithm or "norm"
        )
        context = self.trainer.precision_plugin.forward_context
        return EagerStep(self._training_loss, self.backward, clip, optimizer, context)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        if self.hparams["backward"] == "manual":
            for name, parameter in self.net.named_parameters():
                parameter.grad = self._gradients[name]
        else:
            super().backward(loss, *args, **kwargs)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        options: Any = self.hparams
        if options.schedule == "step":
            self.lr_multiplier = partial(
                step_decay, milestones=options.lr_milestones, gamma=options.lr_gamma
            )
        else:
            total = self.trainer.max_steps
            self.lr_multiplier = partial(one_cycle, total_steps=total, warmup=options.warmup)
        # One kernel updates all parameters. In mixed precision, Lightning cannot clip with it.
        precision, clips = self.trainer.precision, bool(self.trainer.gradient_clip_val)
        fused = precision != "16-mixed" and not (precision == "bf16-mixed" and clips)
        if options.optimizer == "sgd":
            return torch.optim.SGD(self.parameters(), lr=options.lr, fused=fused)
        decay = options.weight_decay
        return torch.optim.AdamW(self.parameters(), options.lr, weight_decay=decay, fused=fused)

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, closure: Any = None
    ) -> None:
        """Sets the learning rate, unless a callback has brought a scheduler."""
        if not self.trainer.lr_scheduler_configs:
            optimizer.param_groups[0]["lr"] = self.lr_at(self.global_step)
        super().optimizer_step(epoch, batch_idx, optimizer, closure)

    def lr_at(self, step: int) -> float:
        """The learning rate of the update that follows `step` others."""
        return self.hparams["lr"] * self.lr_multiplier(step)

    def validation_step(self, batch: EvaluationBatch, batch_idx: int) -> None:
        self._add(self.val_metrics, batch)

    def on_validation_epoch_end(self) -> None:
        self._report(self.val_metrics, "val")

    def test_step(self, batch: EvaluationBatch, batch_idx: int) -> None:
        self._add(self.test_metrics, batch)

    def on_test_epoch_end(self) -> None:
        self._report(self.test_metrics, "test")

    def predict_step(self, batch: list[str], batch_idx: int) -> list[tuple[str, float | None]]:
        """Each word with its log-probability in nats; None if the vocabulary cannot spell it."""
        found = scores(self.predictor(), self.vocab, self.hparams["block_size"], batch)
        return list(zip(batch, found, strict=True))

    def _log_loss(self, loss: Tensor) -> None:
        if self._log_loss_to is not None:
            self.log("train/loss", loss, **self._log_loss_to)

    def _takers_of_loss(self) -> dict[str, Any] | None:
        """Arguments of self.log for Lightning's progress bar and loggers; None if neither waits.

        Our own callbacks take the loss by themselves: self.log costs a third of a small step.
        """
        bar, callbacks = self.trainer.progress_bar_callback, self.trainer.callbacks  # type: ignore[attr-defined]
        shown = bar is not None and not getattr(bar, "takes_loss", False)
        logged = not any(getattr(one, "logs_loss", False) for one in callbacks)
        # logger=True would warn of a Trainer without one
        return {"prog_bar": shown, "logger": None if logged else False} if shown or logged else None

    def _add(self, metrics: SplitMetrics, batch: EvaluationBatch) -> None:
        x, inverse, y, weights = batch
        metrics.update(self.predictor()(x)[inverse], y, weights)

    def _report(self, metrics: SplitMetrics, split: str) -> None:
        """Hands the figures of a split to the checkpoint callback and, in a fit, to the loggers."""
        named = {f"{split}/{name}": value for name, value in metrics.compute().items()}
        if self.counts is not None:
            named[f"{split}/mixture_weight"] = self.mixture_weight
        if self.known is not None:  # as the network memorises, it rises
            named[f"{split}/known_words"] = self.known.mass
        metrics.reset()
        in_fit = self.trainer.state.fn == "fit"
        # What validate and test return, and a Trainer of theirs logs
        self.log_dict(named, logger=False if in_fit else None)
        if in_fit and not self.trainer.sanity_checking:
            for logger in self.loggers:  # self.log would stamp it one update early
                logger.log_metrics(named, step=self.global_step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        network = self.vocab.chars, self.hparams["block_size"], self.architecture
        checkpoint[KEY] = describe(*network, self.train_hashes, self.engine, self.predictor())

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        network = self.vocab.chars, self.hparams["block_size"], self.architecture
        check_network(checkpoint[KEY], *network)
        self.train_hashes = checkpoint[KEY]["train_hashes"]
        stored = stored_mixture(checkpoint[KEY])
        if stored is not None:
            self.counts, self.mixture_weight, self.known = stored
