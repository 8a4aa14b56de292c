"""The LightningModule: hyper-parameters, loss, optimizer, metrics.

Shapes: B batch, T block_size, V vocab_size.
"""

from collections.abc import Iterable
from dataclasses import asdict
from functools import partial
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from torch import Tensor

from lit_makemore.counts.mixture import Mixture
from lit_makemore.model import ARCHITECTURE, KEY, PREFIX, NameModel
from lit_makemore.network.backprop import loss_by_hand
from lit_makemore.network.layers import Variance
from lit_makemore.network.mlp import MLP, Init, cross_entropy
from lit_makemore.training import option_conflicts
from lit_makemore.training.curves import TrainingCurves
from lit_makemore.training.engine import Engine, EngineName
from lit_makemore.training.metrics import SplitMetrics
from lit_makemore.training.schedules import one_cycle, step_decay
from lit_makemore.words.vocab import Vocabulary
from lit_makemore.words.windows import EvaluationBatch


class LitMLP(pl.LightningModule):
    """Trains and evaluates an MLP by the cross-entropy of the next character, in nats.

    Args:
        chars: the characters of the vocabulary; the command line takes them from the data.
        block_size: characters that the network sees; taken from the data.
        n_embd: length of the embedding vector of a character.
        n_hidden: units per hidden layer.
        n_layer: hidden layers.
        activation: tanh, relu, linear, or a class of torch.nn, as torch.nn.GELU; after each hidden
            layer.
        norm: what follows each hidden Linear layer: batch, layer, none, or a class of torch.nn that
            takes the width, as torch.nn.RMSNorm.
        logits_batch_norm: whether BatchNorm1d follows the logits too.
        bn_variance: the variance for normalising and for the running statistics: biased, unbiased,
            or torch (biased, then unbiased).
        redundant_bias: whether Linear layers keep the bias that BatchNorm makes redundant.
        dropout: share of the hidden units that is left out at random in training.
        count_mixture: whether predictions mix the network with the best count model. Each
            validation chooses how its weight follows from a window. Only the network is trained.
        init: the initial values of the parameters.
        optimizer: sgd is plain, without momentum; adamw has betas 0.9 and 0.999.
        lr: the base learning rate; the peak of a one-cycle schedule.
        weight_decay: weight decay of adamw.
        schedule: step multiplies lr by lr_gamma at each milestone; one_cycle rises, then falls.
        lr_milestones: steps at which lr is multiplied by lr_gamma; empty: constant.
        lr_gamma: the factor at each milestone.
        warmup: share of a one-cycle run in which lr rises to its peak.
        engine: how updates are made: autograd; manual, by the gradients of network/backprop.py;
            native, the same in C++, on a CPU; auto is native where that gives what this class says.
    """

    def __init__(
        self,
        chars: str,
        block_size: int,
        n_embd: int = 10,
        n_hidden: int = 100,
        n_layer: int = 5,
        activation: str = "tanh",
        norm: str = "batch",
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
        engine: EngineName = "auto",
    ) -> None:
        super().__init__()
        init = asdict(init if isinstance(init, Init) else Init(**init))  # type: ignore[assignment]
        lr_milestones = list(lr_milestones)  # type: ignore[assignment]
        self.save_hyperparameters()  # plain values, which YAML and a checkpoint can hold
        numbers = {k: v.item() for k, v in self.hparams.items() if hasattr(v, "item")}  # of NumPy
        self.hparams.update(numbers)
        option_conflicts.check_model(self.hparams, LitMLP.__init__)
        architecture = {name: self.hparams[name] for name in ARCHITECTURE}
        self.model = NameModel(Vocabulary(chars), block_size, architecture)
        self.split_metrics = SplitMetrics()
        self.lr_multiplier = partial(step_decay, milestones=(), gamma=1.0)
        self._rate: float | None = None  # the learning rate that was set last, if known
        self._restored = False
        self.engine = "autograd"  # what makes the updates; engine.py finds out

    @property
    def net(self) -> MLP:
        return self.model.net

    @property
    def vocab(self) -> Vocabulary:
        return self.model.vocab

    def forward(self, x: Tensor) -> Tensor:
        """Windows (B, T) to logits (B, V) of the network alone; `model` has the mixture, too."""
        return self.net(x)

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        x, y = batch
        return cross_entropy(self(x), y)

    def generate(self, num: int, seed: int | None = None, **options: Any) -> list[str]:
        """See NameModel.generate."""
        return self.model.generate(num, seed, **options)

    def score(self, words: Iterable[str]) -> list[float | None]:
        """See NameModel.score."""
        return self.model.score(words)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        if self.hparams["engine"] == "manual":
            return loss_by_hand(self.net, *batch)
        return self.loss(batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        o: Any = self.hparams
        total = self.trainer.max_steps
        self.lr_multiplier = partial(one_cycle, total_steps=total, warmup=o.warmup)
        if o.schedule == "step":
            self.lr_multiplier = partial(step_decay, milestones=o.lr_milestones, gamma=o.lr_gamma)
        # One kernel updates all parameters. In mixed precision, Lightning cannot clip with it.
        precision, clips = self.trainer.precision, bool(self.trainer.gradient_clip_val)
        fused = precision != "16-mixed" and not (precision == "bf16-mixed" and clips)
        optimizer: torch.optim.Optimizer = torch.optim.SGD(self.parameters(), o.lr, fused=fused)
        if o.optimizer == "adamw":
            decay = {"weight_decay": o.weight_decay}
            optimizer = torch.optim.AdamW(self.parameters(), o.lr, fused=fused, **decay)
        self._rate = None if self._restored else o.lr
        optimizer.register_step_pre_hook(self.set_lr)
        return optimizer

    def set_lr(self, optimizer: torch.optim.Optimizer, *args: Any) -> None:
        """Before each update: its learning rate, unless a callback sets or schedules it."""
        if not self.trainer.lr_scheduler_configs and not self.rate_is_anothers():
            optimizer.param_groups[0]["lr"] = self._rate = self.lr_at(self.global_step)

    def rate_is_anothers(self) -> bool:
        """Whether the optimizer's learning rate is not the one that this module has set last."""
        return self._rate not in (None, self.trainer.optimizers[0].param_groups[0]["lr"])

    def lr_at(self, step: int) -> float:
        return self.hparams["lr"] * self.lr_multiplier(step)

    def configure_callbacks(self) -> list[pl.Callback]:
        """What belongs to this module; a subclass adds its own to these."""
        return [TrainingCurves(), Engine()]

    def setup(self, stage: str) -> None:
        if self.trainer.strategy.root_device.type == "mps":  # which has no float64
            self.split_metrics.set_dtype(torch.float32)
        data: Any = getattr(self.trainer, "datamodule", None)
        if stage != "predict":  # which scores words by the module's own vocabulary
            option_conflicts.check_data(self.model, data)
        if stage == "fit":
            option_conflicts.check_model(self.hparams, LitMLP.__init__)
            option_conflicts.check_fit(self, self.trainer, data)
            if data is not None:
                self.model.train_hashes = data.train_hashes
                self.model.list_hashes = data.list_hashes
            if self.hparams["count_mixture"]:
                self.model.mixture = Mixture(data.best_counts)

    def on_validation_start(self) -> None:  # the val words fit the mixture to the network
        if self.trainer.state.fn == "fit" and self.model.mixture is not None:
            data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
            self.model.mixture.fit(self.net, data.evaluation_loader("val"))

    def validation_step(self, batch: EvaluationBatch, batch_idx: int) -> None:
        self.split_metrics.add(self.model, batch)

    test_step = validation_step

    def on_validation_epoch_end(self) -> None:
        self._report("val")

    def on_test_epoch_end(self) -> None:
        self._report("test")

    def predict_step(self, batch: list[str], batch_idx: int) -> list[tuple[str, float | None]]:
        return list(zip(batch, self.score(batch), strict=True))

    def _report(self, split: str) -> None:
        """Hands the figures of a split to the callbacks and, in a fit, to the loggers."""
        found = self.split_metrics.compute()
        if self.model.mixture is not None:
            found |= self.model.mixture.figures()
        named = {f"{split}/{name}": value for name, value in found.items()}
        self.split_metrics.reset()
        in_fit = self.trainer.state.fn == "fit"
        # What validate and test return, and a Trainer of theirs logs
        self.log_dict(named, logger=False if in_fit else None)
        if in_fit and not self.trainer.sanity_checking:
            for logger in self.loggers:  # self.log would stamp it one update early
                logger.log_metrics(named, step=self.global_step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[KEY] = self.model.described(self.engine)
        # a callback may have put averaged weights here, and knows nothing of what goes with them
        parts = {k: v for k, v in self.state_dict().items() if k.endswith("_extra_state")}
        checkpoint["state_dict"].update(parts)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._rate, self._restored = None, True  # the optimizer has the rate of the checkpoint
        entry, state, kind = checkpoint[KEY], checkpoint["state_dict"], self.hparams["optimizer"]
        self.model.check(entry)
        if self._trainer is None or self.trainer.state.fn != "fit":
            self.model.take_parts_of(entry)
            return
        if (theirs := checkpoint["hyper_parameters"].get("optimizer", kind)) != kind:
            raise ValueError(f"the checkpoint's optimizer is {theirs}, not {kind}; go on with that")
        if entry["mixture"] != (self.model.mixture is not None):  # the user has changed it
            mixture = f"{PREFIX}mixture."
            kept = {k: v for k, v in state.items() if not k.startswith(mixture)}
            ours = {k: v for k, v in self.state_dict().items() if k.startswith(mixture)}
            checkpoint["state_dict"] = {**kept, **ours}
