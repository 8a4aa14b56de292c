"""fit, validate, test and predict: Lightning's command line with this project's defaults."""

import gc
import logging
import os
import sys
import warnings
from contextlib import AbstractContextManager, nullcontext
from inspect import signature
from pathlib import Path
from time import perf_counter
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from lit_makemore.commands import options
from lit_makemore.commands import score as scoring
from lit_makemore.commands.parsing import OneLineErrors
from lit_makemore.commands.teachers import Teachers
from lit_makemore.diagnostics import diagnosis
from lit_makemore.diagnostics.curves import TrainingScalars
from lit_makemore.diagnostics.health import Health
from lit_makemore.diagnostics.progress import ProgressLine
from lit_makemore.diagnostics.settings import Diagnostics, observers
from lit_makemore.runs import resume, slurm, summary
from lit_makemore.runs.checkpoint_io import AtomicCheckpointIO
from lit_makemore.runs.checkpoints import BestCheckpoint, LastCheckpoint
from lit_makemore.runs.finite import FiniteGuard
from lit_makemore.runs.resume import Resumption
from lit_makemore.runs.run_folder import RunFolder
from lit_makemore.runs.stop import StopAfterCheckpoints, StopOnSignal
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.module import LitMLP

TRAINER_DEFAULTS: dict[str, Any] = {
    # Updates are the only axis: epochs never end a run, and validation counts updates too.
    "max_epochs": -1,
    "val_check_interval": 1000,
    "check_val_every_n_epoch": None,
    "log_every_n_steps": 100,
    "num_sanity_val_steps": 0,
    "enable_model_summary": False,
    "use_distributed_sampler": False,  # our loaders slice the batch themselves
}
SAVE_EVERY_N_STEPS = 1000

SILENCED = [
    "LightningCLI's args parameter",  # main(args) is how tests call it
    "The `srun` command is available",  # on every cluster's login node
    r"You passed `Trainer\(accelerator='cpu', precision='16",  # an error here
    "Be aware that when using `ckpt_path`",  # validate and test have no use for fit's callbacks
    "The number of training batches .* is smaller than the logging interval",  # we count updates
    "Using ModelCheckpoint with manual optimization",  # which is how fused steps are counted
    "Checkpoint directory .* exists and is not empty",  # a resumed run's, of course
    "`torch.distributed.nn.functional.all_gather` is deprecated",  # Lightning's
    "It is recommended to use `self.log.*sync_dist",  # SplitMetrics is reduced by itself
    r"`isinstance\(treespec, LeafSpec\)`",  # Lightning's own, at every start
]


class _Parser(OneLineErrors, LightningArgumentParser):
    pass


class _Finished(Exception):
    """There is nothing left to do."""


class _NoProfiler(PassThroughProfiler):
    """Lightning asks its profiler some fifty times a step; its default answers with a generator."""

    def profile(self, action_name: str) -> AbstractContextManager:  # type: ignore[override]
        return nullcontext()


class MakemoreCLI(LightningCLI):
    """`fit` trains in a run folder of its own; `validate` and `test` write nothing."""

    def __init__(self, args: list[str], begun: float) -> None:
        self._command, self._begun = args[0], begun
        self.folder: RunFolder | None = None
        try:
            super().__init__(
                LitMLP,
                NamesDataModule,
                save_config_callback=None,
                trainer_defaults=TRAINER_DEFAULTS,
                seed_everything_default=42,
                parser_class=_Parser,
                parser_kwargs={"prog": "train.py"},
                args=args,
                auto_configure_optimizers=False,
                load_from_checkpoint_support=False,
            )
        finally:
            if self.folder is not None and self.folder.run is not None:
                self.folder.run.close()

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """The one in use: the options of each take a tenth of a second to collect."""
        ours = {"model", "datamodule", "weights_only", "verbose"}  # set here, so not options
        loaders = {"train_dataloaders", "val_dataloaders", "dataloaders", "return_predictions"}
        method = signature(getattr(pl.Trainer, self._command))
        names = (ours | loaders) & set(method.parameters)
        return {self._command: names | {"ckpt_path"} if self._command == "fit" else names}

    def _prepare_subcommand_parser(
        self, klass: type, subcommand: str, **kwargs: Any
    ) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        if subcommand == "fit":
            go_on = "Go on with a run: true, auto (if there is one), its folder or its checkpoint."
            knowingly = "Resume even if the configuration has changed."
            parser.add_argument("--resume", type=str | None, default=None, help=go_on)
            parser.add_argument("--resume_override", type=bool, default=False, help=knowingly)
            again = "How often a SLURM job that is warned by SIGUSR1 is queued again."
            parser.add_argument("--max_requeues", type=int, default=20, help=again)
        if subcommand == "predict":
            to = "CSV file to write; by default the scores are printed."
            parser.add_argument("--output", type=str | None, default=None, help=to)
        return parser

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument(
            "--seed_everything",
            type=int,
            default=self.seed_everything_default,
            help="Seeds the parameters and the order of the minibatches; the split has its own.",
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        new = "Name of the run folder; by default the config's, with the first free suffix."
        cores = "CPU threads of torch; by default all cores."
        parser.add_argument("--name", type=str | None, default=None, help=new)
        parser.add_argument("--runs_dir", type=str, default="runs", help="Where run folders lie.")
        parser.add_argument("--threads", type=int | None, default=None, help=cores)
        parser.add_class_arguments(Diagnostics, "diagnostics")
        parser.link_arguments("data.chars", "model.chars", apply_on="instantiate")
        parser.link_arguments("data.block_size", "model.block_size", apply_on="instantiate")
        parser.link_arguments("seed_everything", "data.seed")

    def _parse_ckpt_path(self) -> None:
        """The configuration counts, not the checkpoint's; LitMLP refuses where they differ."""

    def before_instantiate_classes(self) -> None:
        config = self.config[self.subcommand]
        self.found: Resumption | None = None
        groups = {"model": LitMLP, "data": NamesDataModule, "diagnostics": Diagnostics}
        options.check(self._command, config, groups)
        if config.threads is not None:
            _use_threads(config.threads)
        if self.subcommand == "fit":
            if (job := slurm.job()) and config.name is None:
                config.name = f"{_stem(config.config)}-{job}"
            if job and slurm.restarts() and config.resume is None:
                config.resume = "auto"
            if config.resume not in (None, "false"):
                self._find_run(config)
        if config.trainer.profiler is None:  # a profile is printed as one of Lightning's notes
            logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)

    def _find_run(self, config: Any) -> None:
        stem = _stem(config.config)
        where = config.runs_dir, config.name, stem, config.trainer.max_steps
        self.found = resume.find(config.resume, *where)
        if self.found is None:
            rank_zero_only(_say)("nothing to resume: starting afresh")
            return
        if config.threads is None and self.found.threads:
            _use_threads(self.found.threads)
        changed = resume.check(self.found, self._dumped(), config.resume_override)
        rank_zero_only(_say)(*self.found.notes, *changed)
        folder, at = self.found.folder, f"at update {self.found.step:,}"
        if self.found.finished:
            rank_zero_only(_say)(
                f"{folder} is finished, {at}; a larger --trainer.max_steps goes on with it"
            )
            raise _Finished
        if self.found.path:
            rank_zero_only(_say)(f"resuming {folder} {at}")

    def _dumped(self) -> str:
        """The configuration, for another run as well: without this one's name."""
        config = self.config.fit.clone()
        config["name"] = None
        del config["resume"], config["resume_override"], config["max_requeues"]
        return self._parser("fit").dump(config, skip_none=False)

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        config = self.config_init[self.subcommand].trainer
        kwargs["val_check_interval"] = _in_batches(config)
        kwargs["plugins"] = [*_listed(config.plugins), AtomicCheckpointIO()]
        if self.subcommand == "fit" and not config.fast_dev_run:
            kwargs["callbacks"] = [*_listed(config.callbacks), *self._callbacks()]
            if config.logger in (None, True):
                kwargs["logger"] = False  # RunFolder brings it, once there is a folder
        else:
            kwargs.update(logger=False, enable_checkpointing=False, enable_progress_bar=False)
            if self.subcommand == "fit":  # signals are noted from its start on
                kwargs["callbacks"] = [*_listed(config.callbacks), StopOnSignal(None)]
        if config.profiler is None:
            kwargs["profiler"] = _NoProfiler()
        try:
            trainer: Any = super().instantiate_trainer(**kwargs)
        except TypeError as error:  # what Lightning calls some of its bad arguments
            raise ValueError(str(error)) from error
        options.check_trainer(trainer, config)
        # Lightning's handlers save, and ask the other processes, inside the handler, where they
        # wait for each other for ever; it also asks before every update. Ours: callbacks/signals.py
        trainer._signal_connector.register_signal_handlers = lambda: None
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None
        return trainer

    def before_fit(self) -> None:
        gc.freeze()  # what there is by now stays: the collector need not look at it again
        gc.enable()

    def _callbacks(self) -> list[Callback]:
        config = self.config_init.fit
        checkpoints: list[ModelCheckpoint] = []
        last = None
        if config.trainer.enable_checkpointing is not False:
            last = LastCheckpoint(SAVE_EVERY_N_STEPS)
            checkpoints = [BestCheckpoint(), last]
        self.folder = RunFolder(
            config.runs_dir,
            config.name,
            _stem(self.config.fit.config),
            self._dumped(),
            log=config.trainer.logger in (None, True),
            checkpoints=checkpoints,
            found=self.found,
        )
        self.scalars = TrainingScalars()
        bar = [] if config.trainer.enable_progress_bar is False else [ProgressLine()]
        watch = observers(config.diagnostics)
        self.health = next((one for one in watch if isinstance(one, Health)), None)
        # after everything that the saved state must hold
        requeues = config.max_requeues
        stop = StopAfterCheckpoints(last, requeues) if last else StopOnSignal(None)
        first = [self.folder, Teachers(self.folder, self.config.fit, run), self.scalars]
        return [*first, *bar, *watch, FiniteGuard(), *checkpoints, stop]

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        kwargs = super()._prepare_subcommand_kwargs(subcommand)
        kwargs["weights_only"] = True  # nothing in a checkpoint may run
        if subcommand == "fit":
            # A run that had made no update begins again, which is the same.
            kwargs["ckpt_path"] = str(self.found.path) if self.found and self.found.step else None
        return {**kwargs, "verbose": False} if subcommand in ("validate", "test") else kwargs

    def after_fit(self) -> None:
        run = self.folder.run if self.folder else None
        if run is None:  # no folder, or another process has it
            return
        best = run.checkpoints / "best.ckpt"
        facts = {
            "config": ", ".join(str(path) for path in self.config.fit.config or []),
            "steps": self.trainer.global_step,
            "batch_size": self.datamodule.batch_size,
            "block_size": self.datamodule.block_size,
            "seed": self.config.fit.seed_everything,
            "threads": torch.get_num_threads(),
            "stepping": self.model.stepping,
            "precision": str(self.trainer.precision),
            "wall_s": round(perf_counter() - self._begun, 2),
            "steps_per_s": round(self.scalars.steps_per_s, 1),
        }
        if self.health:
            facts["health"] = self.health.summary()
            facts["diagnostics_s"] = round(diagnosis.of(self.trainer).seconds, 2)
        closing = self.health.table() if self.health else ""
        weights = best if best.exists() else None
        summary.close(run, self.model.predictor(), self.datamodule, facts, weights, closing)

    def after_validate(self) -> None:
        self._print_metrics()

    def after_test(self) -> None:
        self._print_metrics()

    def after_predict(self) -> None:
        chunks = scoring.gather(self.trainer.predict_loop.predictions)
        if self.trainer.is_global_zero:
            scoring.write(chunks, self.model.train_hashes, self.config.predict.output)

    def _print_metrics(self) -> None:
        if self.trainer.is_global_zero:
            for name, value in self.trainer.callback_metrics.items():
                print(f"{name:<20}{float(value):>10.4f}")


def run(args: list[str], begun: float | None = None) -> None:
    """Runs a command.

    Args:
        args: of the command line: `fit`, `validate`, `test` or `predict` first.
        begun: when it began, by perf_counter; None for now.

    Raises:
        ValueError, OSError: bad input; says what to do.
    """
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    for message in SILENCED:
        warnings.filterwarnings("ignore", message=message)
    try:
        MakemoreCLI(args, perf_counter() if begun is None else begun)
    except _Finished:
        return
    except MisconfigurationException as error:  # what Lightning calls a bad argument
        raise ValueError(str(error)) from error


def _in_batches(trainer: Any) -> int | float | None:
    """The validation interval, which we give in updates, as Lightning counts it: in batches."""
    interval = trainer.val_check_interval
    if not isinstance(interval, int):
        return interval
    if trainer.max_steps > 0:
        interval = min(interval, trainer.max_steps)
    return interval * trainer.accumulate_grad_batches


def _stem(configs: list[Any] | None) -> str:
    """What a run is named after: the first config, or the folder of a run's own config.yaml."""
    if not configs:
        return "run"
    path = Path(str(configs[0]))
    return path.resolve().parent.name if path.name == "config.yaml" else path.stem


def _use_threads(n: int) -> None:
    torch.set_num_threads(n)
    os.environ["OMP_NUM_THREADS"] = str(n)  # else Lightning divides the cores by the processes


def _say(*lines: str) -> None:
    for line in lines:
        print(line, file=sys.stderr)


def _listed(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]
