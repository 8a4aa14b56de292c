"""The LightningModule: steps, optimizer and schedule, metrics.

Shapes: B batch, T block_size, V vocab_size.
"""

import sys
from dataclasses import asdict
from functools import partial
from inspect import signature
from time import perf_counter
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from lit_makemore.checkpoint import KEY, description
from lit_makemore.counts.mixture import Mixture, choose, kneser_ney
from lit_makemore.counts.ngrams import Baseline
from lit_makemore.network.backprop import gradients
from lit_makemore.network.layers import Variance
from lit_makemore.network.mlp import MLP, Activation, Init, cross_entropy
from lit_makemore.network.sampling import score
from lit_makemore.training import compatibility as combinations
from lit_makemore.training.engines import groups as stepping
from lit_makemore.training.engines.compiled import FusedStep
from lit_makemore.training.evaluation import Batch
from lit_makemore.training.metrics import SplitMetrics
from lit_makemore.training.schedules import one_cycle, step_decay
from lit_makemore.words.vocab import Vocabulary, difference

ARCHITECTURE = [
    name
    for name in signature(MLP).parameters
    if name not in ("vocab_size", "block_size", "generator")
]


class LitMLP(pl.LightningModule):
    """Trains and evaluates an MLP by the cross-entropy of the next character, in nats.

    Args:
        chars: the vocabulary's characters; the command line links them from the data.
        block_size: characters the network sees; linked from the data.
        n_embd: numbers per character.
        n_hidden: units per hidden layer.
        n_layer: hidden layers.
        activation: what follows each hidden layer.
        batch_norm: whether BatchNorm1d follows each hidden Linear layer.
        logits_batch_norm: whether one follows the logits, too.
        bn_variance: the variance that BatchNorm1d normalises with and the one it remembers.
        redundant_bias: whether Linear layers keep the bias that BatchNorm makes redundant.
        dropout: share of the hidden units that is left out at random while training.
        count_mixture: whether predictions mix the network with the count model, by a weight that
            each validation chooses; training is the network's alone.
        init: how the parameters start.
        optimizer: sgd is plain, without momentum; adamw has betas 0.9 and 0.999.
        lr: the base learning rate; the peak of a one-cycle schedule.
        weight_decay: adamw's.
        schedule: step multiplies lr by lr_gamma at each milestone; one_cycle rises, then falls.
        lr_milestones: updates made when the rate drops; none means a constant rate.
        lr_gamma: what it drops by.
        warmup: share of a one-cycle run that rises.
        clip_norm: largest 2-norm of the gradient of all parameters together; null for no limit.
        backward: autograd, or manual for the gradients derived by hand in backprop.py, which goes
            with sgd, one process, 32-true and 64-true.
        fused: whether forward, backward and update run as one compiled graph, many minibatches a
            Trainer step; auto does so where that is possible and saves time.
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
        init: Init = Init(),
        optimizer: Literal["sgd", "adamw"] = "sgd",
        lr: float = 0.1,
        weight_decay: float = 0.0,
        schedule: Literal["step", "one_cycle"] = "step",
        lr_milestones: tuple[int, ...] = (),
        lr_gamma: float = 0.1,
        warmup: float = 0.2,
        clip_norm: float | None = None,
        backward: Literal["autograd", "manual"] = "autograd",
        fused: Literal["auto"] | bool = "auto",
    ) -> None:
        super().__init__()
        init = (
            init if isinstance(init, Init) else Init(**init)
        )  # a checkpoint holds it as a dictionary
        self.save_hyperparameters(ignore="init", logger=False)
        self.save_hyperparameters({"init": asdict(init)}, logger=False)
        combinations.check_model(self.hparams)
        self.architecture = {name: self.hparams[name] for name in ARCHITECTURE}
        self._fused: FusedStep | None = None
        self.vocab = Vocabulary(chars)
        self.net = MLP(len(self.vocab), block_size, **{**self.architecture, "init": init})
        self.val_metrics, self.test_metrics = SplitMetrics(), SplitMetrics()
        self._counts: Baseline | None = None
        self.mixture_weight = 1.0

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning notes the name of the hook that runs some forty times a step, and the way
        # nn.Module sets an attribute takes a microsecond: 3 % of a small network's step.
        if name == "_current_fx_name":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    @property
    def stepping(self) -> str:
        """Which of the two ways to step a fit takes: "ordinary" or "fused"."""
        return "ordinary" if self.automatic_optimization else "fused"

    def forward(self, x: Tensor) -> Tensor:
        """Windows (B, T) to logits (B, V)."""
        return self.net(x)

    def predictor(self) -> nn.Module:
        """What losses are reported of and names are drawn from: windows (B, T) to logits (B, V)."""
        if self._counts is None:
            return self.net
        return Mixture(self.net, self._counts, self.mixture_weight)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Any:
        """The loss of a minibatch; with fused steps a group's mean and sum, after its updates."""
        x, y = batch
        if not self.automatic_optimization:
            return self._fused_steps(x, y)
        if self.hparams["backward"] == "manual":
            loss, self._gradients, _ = gradients(self.net, x, y)
            return loss
        return self.loss((x, y))

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """The mean loss of a minibatch, a scalar."""
        x, y = batch
        return cross_entropy(self.net(x), y)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        if self.hparams["backward"] == "manual":
            for name, parameter in self.net.named_parameters():
                parameter.grad = self._gradients[name]
        else:
            super().backward(loss, *args, **kwargs)

    def _fused_steps(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        step = self.global_step
        lrs = [self.lr_at(step + i) for i in range(len(x))]
        if self._fused:
            total = self._fused(x, y, lrs)
        else:  # not before a checkpoint's parameters and optimizer are in place
            self._fused, total = self._first_fused_steps(x, y, lrs)
        stepping.count(self.trainer, len(x))
        return {"loss": total / len(x), "sum": total}

    def _first_fused_steps(
        self, x: Tensor, y: Tensor, lrs: list[float]
    ) -> tuple[FusedStep, Tensor]:
        optimizer: Any = self.optimizers(use_pl_optimizer=False)
        autocast = torch.bfloat16 if self.trainer.precision == "bf16-mixed" else None
        arguments = self.net, optimizer, self.hparams["clip_norm"], autocast
        begun = perf_counter()
        try:
            fused = FusedStep(*arguments)
            total = fused(x, y, lrs)
            say(self, f"compiled in {perf_counter() - begun:.1f} s; the next time from a cache")
        except torch._dynamo.exc.TorchDynamoException as error:  # before anything has changed
            reason = " ".join(str(error).split("\n\n")[0].split())
            if self.hparams["fused"] is True:
                raise ValueError(
                    f"the step cannot be compiled ({reason}); use --model.fused false"
                ) from error
            say(self, f"the step cannot be compiled ({reason}): the same steps, uncompiled")
            fused = FusedStep(*arguments, compiled=False)
            total = fused(x, y, lrs)
        return fused, total

    def setup(self, stage: str) -> None:
        if stage != "fit":
            return
        trainer: Any = self.trainer
        hparams: Any = self.hparams
        fused, self._stepping = stepping.decide(
            trainer, hparams.fused, hparams.backward == "manual"
        )
        self.automatic_optimization = not fused
        combinations.check_fit(hparams, trainer)
        if hparams.count_mixture:
            self._counts = trainer.datamodule.count_model
        if trainer.strategy.root_device.type == "mps":  # which has no float64
            for metrics in (self.val_metrics, self.test_metrics):
                metrics.set_dtype(torch.float32)

    def on_fit_start(self) -> None:
        say(self, self._stepping)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        hparams: Any = self.hparams
        if hparams.schedule == "step":
            multiplier = partial(
                step_decay, milestones=hparams.lr_milestones, gamma=hparams.lr_gamma
            )
        else:
            total_steps = self.trainer.max_steps
            if total_steps < 1:
                raise ValueError(
                    "a one-cycle schedule must know its length; set --trainer.max_steps"
                )
            multiplier = partial(one_cycle, total_steps=total_steps, warmup=hparams.warmup)
        self.lr_multiplier = multiplier
        # One kernel for all parameters; with a gradient scaler it would leave no room for clipping.
        fused = self.trainer.precision != "16-mixed"
        if hparams.optimizer == "sgd":
            return torch.optim.SGD(self.parameters(), lr=hparams.lr, fused=fused)
        return torch.optim.AdamW(
            self.parameters(), lr=hparams.lr, weight_decay=hparams.weight_decay, fused=fused
        )

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, closure: Any = None
    ) -> None:
        """Sets the learning rate, a function of the step that needs no state; then Lightning's."""
        optimizer.param_groups[0]["lr"] = self.lr_at(self.global_step)
        super().optimizer_step(epoch, batch_idx, optimizer, closure)

    def lr_at(self, step: int) -> float:
        """The learning rate of the update made after `step` others."""
        return self.hparams["lr"] * self.lr_multiplier(step)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        clip_norm = self.hparams["clip_norm"]
        limit = clip_norm if clip_norm is not None else gradient_clip_val
        if limit is not None:
            self.clip_gradients(optimizer, limit, gradient_clip_algorithm or "norm")

    def on_validation_epoch_start(self) -> None:
        if self._counts is not None and self.trainer.state.fn == "fit":
            examples = self.trainer.datamodule.evaluation_loader("val")  # type: ignore[attr-defined]
            self.mixture_weight = choose(self.net, self._counts, examples)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._observe(self.val_metrics, batch)

    def on_validation_epoch_end(self) -> None:
        self._report(self.val_metrics, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._observe(self.test_metrics, batch)

    def on_test_epoch_end(self) -> None:
        self._report(self.test_metrics, "test")

    def predict_step(self, batch: list[str], batch_idx: int) -> list[tuple[str, float | None]]:
        """Each word with its log-probability in nats; None if the vocabulary cannot spell it."""
        spelled = [self.vocab.spells(word) for word in batch]
        known = [word for word, known in zip(batch, spelled, strict=True) if known]
        net = self.predictor()
        scores = iter(score(net, self.vocab, self.hparams["block_size"], known).tolist())
        return [(w, next(scores) if ok else None) for w, ok in zip(batch, spelled, strict=True)]

    def _observe(self, metrics: SplitMetrics, batch: Batch) -> None:
        x, inverse, y, weights = batch
        metrics.update(self.predictor()(x)[inverse], y, weights)

    def _report(self, metrics: SplitMetrics, split: str) -> None:
        """Hands a split's figures to the checkpoint callback and, in a fit, to the logger."""
        named = {f"{split}/{name}": value for name, value in metrics.compute().items()}
        if self._counts is not None:
            named[f"{split}/mixture_weight"] = self.mixture_weight
        metrics.reset()
        self.log_dict(named, logger=False)
        if self.trainer.state.fn == "fit" and not self.trainer.sanity_checking:
            for logger in self.loggers:  # self.log would stamp it one update early
                logger.log_metrics(named, step=self.global_step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        hashes = torch.empty(0, dtype=torch.int64)
        if datamodule := getattr(self.trainer, "datamodule", None):
            hashes = datamodule.splits["train"].hashes
        checkpoint[KEY] = description(
            self.vocab.chars,
            self.hparams["block_size"],
            self.architecture,
            hashes,
            self.stepping,
        )
        if self._counts is not None:
            rows, counts = self.trainer.datamodule.ngrams  # type: ignore[attr-defined]
            checkpoint[KEY]["mixture"] = {
                "weight": self.mixture_weight,
                "rows": rows,
                "counts": counts,
            }
        device = self.trainer.strategy.root_device
        cuda = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
        checkpoint[KEY]["rng"] = [torch.get_rng_state(), *cuda]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        theirs = checkpoint[KEY]
        self.train_hashes: Tensor = theirs["train_hashes"]
        fitting = self._trainer is not None and self.trainer.state.fn == "fit"
        mixture = theirs.get("mixture")
        if mixture and (self.hparams["count_mixture"] or not fitting):
            self.mixture_weight = mixture["weight"]
            self._counts = kneser_ney(mixture["rows"], mixture["counts"], len(self.vocab))
        if apart := difference(theirs["chars"], self.vocab.chars):
            raise ValueError(
                f"the checkpoint has another vocabulary than the word list: {apart}; "
                "use the list it was trained on"
            )
        ours = {"block_size": self.hparams["block_size"], **self.architecture}
        for name, value in {"block_size": theirs["block_size"], **theirs["architecture"]}.items():
            if name != "init" and value != ours[name]:
                raise ValueError(
                    f"the checkpoint's network has {name} {value}, the config's {ours[name]}; "
                    "use the config.yaml beside the checkpoints folder"
                )
        if fitting:
            self._go_on(theirs)

    def _go_on(self, theirs: dict[str, Any]) -> None:
        """What going on exactly takes beside Lightning's own state."""
        datamodule = getattr(self.trainer, "datamodule", None)
        if datamodule is not None:
            words = datamodule.splits["train"].hashes.unique()
            if not torch.equal(words, theirs["train_hashes"]):
                raise ValueError(
                    f"the words of {datamodule.path} are not those that the run was trained on; "
                    "restore the list, or start a run of its own"
                )
        stepped = theirs["stepping"]
        manual = self.hparams["backward"] == "manual"
        possible = stepped == "ordinary" or not stepping.obstacles(self.trainer, manual)
        if self.hparams["fused"] == "auto" and stepped != self.stepping and possible:
            self.automatic_optimization = stepped == "ordinary"
            self._stepping = f"{stepped} steps, as before"
        torch.set_rng_state(theirs["rng"][0])
        device = self.trainer.strategy.root_device
        if device.type == "cuda" and len(theirs["rng"]) > 1:
            torch.cuda.set_rng_state(theirs["rng"][1], device)


def say(module: LitMLP, line: str) -> None:
    """A line for whoever watches the command line."""
    if module.trainer.is_global_zero and module.trainer.progress_bar_callback:
        print(line, file=sys.stderr)
