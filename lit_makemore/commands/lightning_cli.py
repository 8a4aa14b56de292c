"""The options of fit, validate, test and predict, and what is built from them."""

import sys
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import yaml
from jsonargparse import ActionConfigFile, Namespace
from lightning.fabric.plugins.environments import ClusterEnvironment
from lightning.pytorch.callbacks import Checkpoint, DeviceStatsMonitor, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.loggers import Logger

from lit_makemore import files
from lit_makemore.commands import options, threads
from lit_makemore.commands.devices import check_launcher, trainer_for
from lit_makemore.commands.output import program
from lit_makemore.commands.parsing import OneLineErrors, check_config, short_help, telling
from lit_makemore.diagnostics.settings import Diagnostics
from lit_makemore.runs import slurm
from lit_makemore.runs.checkpoints import AtomicCheckpointIO
from lit_makemore.runs.stopping import StopOnSignal, stop_while_connecting
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.lightning_internals import leave_signals_alone
from lit_makemore.training.module import LitMLP
from lit_makemore.training.option_conflicts import refuse
from lit_makemore.training.recipe import Role, examples_of, options_for

DEFAULTS: dict[str, Any] = {
    # Updates are the only axis: epochs never end a run, and validations count updates too.
    "trainer.max_epochs": -1,
    "trainer.val_check_interval": 1000,
    "trainer.check_val_every_n_epoch": None,
    "trainer.log_every_n_steps": 100,
    "trainer.num_sanity_val_steps": 0,
    "trainer.enable_model_summary": False,
    "trainer.enable_autolog_hparams": False,  # the run folder has them: config.yaml, HParams
    "trainer.use_distributed_sampler": False,  # our loaders give each process its share
}
KINDS: dict[str, type] = {"model": LitMLP, "data": NamesDataModule, "diagnostics": Diagnostics}

# A default of Lightning's Timer is an enumeration of strings, which YAML would refuse.
yaml.SafeDumper.add_multi_representer(str, yaml.SafeDumper.represent_str)


class _Parser(OneLineErrors, LightningArgumentParser):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # a logger is made when the run folder is known, by FolderCallback
        self.add_instantiator(lambda kind, *args, **more: partial(kind, *args, **more), Logger)

    def add_class_arguments(self, theclass: Any, *args: Any, **kwargs: Any) -> Any:
        """Adds the options of a class; a logger's save_dir may be left out."""
        if issubclass(theclass, Logger) and "save_dir" in signature(theclass).parameters:
            kwargs["skip"] = {*(kwargs.get("skip") or ()), "save_dir"}
            self.add_argument("--save_dir", type=str, default="", help="By default the run folder.")
        return super().add_class_arguments(theclass, *args, **kwargs)


def parser_of(command: str) -> LightningArgumentParser:
    """All options of a command."""
    parser = _Parser(prog=f"{program()} {command}")

    def add(name: str, kind: Any, default: Any, text: str) -> None:
        parser.add_argument(name, type=kind, default=default, help=text)

    said = "YAML file of options; later files and options replace earlier ones."
    parser.add_argument("-c", "--config", action=ActionConfigFile, help=said)
    said = "Seed of the parameters and of the order of the minibatches, not of the split."
    add("--seed_everything", int, 42, said)
    parser.add_lightning_class_args(pl.Trainer, "trainer")
    parser.set_defaults(DEFAULTS)
    parser.add_lightning_class_args(LitMLP, "model")
    parser.add_lightning_class_args(NamesDataModule, "data")
    add("--name", str | None, None, "Name of the run folder; by default that of the config.")
    add("--runs_dir", str, "runs", "Folder that contains the run folders.")
    add("--threads", int | None, None, "CPU threads of torch; by default chosen by size.")
    said = "The length of the list chooses batch size, updates, validations and dropout, where"
    said += " no option does: for a network, or for a teacher. config.yaml has their values."
    add("--recipe", Role | None, None, said)
    said = "Losses on names.txt of what a configuration re-implements, and its steps."
    add("--published", dict[str, float], {}, said)
    add("--all_words", bool, False, "After a fit train once more, on all words.")
    if command == "fit":
        said = "Continue a run: true, auto (if there is one), its folder or checkpoint."
        add("--resume", str | None, None, said)
        add("--resume_override", bool, False, "Resume even if the configuration has changed.")
        add("--max_requeues", int, 20, "How often a SLURM job is queued again after SIGUSR1.")
    else:
        add("--ckpt_path", str | None, None, "The checkpoint of the network.")
    if command == "predict":
        add("--output", str | None, None, "CSV file to write; by default scores are printed.")
    parser.add_class_arguments(Diagnostics, "diagnostics")
    parser.link_arguments("data.chars", "model.chars", apply_on="instantiate")
    parser.link_arguments("data.block_size", "model.block_size", apply_on="instantiate")
    parser.link_arguments("seed_everything", "data.seed")
    return parser


class MakemoreCLI:
    """Parses what follows a command; `build` makes the data, the network and the Trainer of it."""

    def __init__(self, command: str, args: list[str], common: Path | None = None) -> None:
        self.command, self.parser = command, parser_of(command)
        self.common = common  # where runs of a sweep have their teachers, if they share them
        self.folder: Path | None = None  # of the run, once `fit` has found or made it
        if {"-h", "--help"} & {*args}:
            print(short_help(self.parser, command))
            sys.exit()
        self.config = self._parsed(_typed(args))
        self.configs = list(map(str, self.config.config or []))
        pl.seed_everything(self.config.seed_everything, workers=True)
        for name, kind in KINDS.items():
            refuse(options.group_rows(name, self.config[name], kind))
        refuse(options.config_rows(command, self.config))
        threads.use(threads.asked(self.config.threads) or threads.cores())

    def _parsed(self, args: list[str]) -> Namespace:
        """The options. What the recipe chooses are defaults, which any option replaces."""
        config = self.parser.parse_args(args)
        # not beside --list+=, which would add to the run's list a second time
        grows = any(arg.partition("=")[0].endswith("+") for arg in args)
        if not grows and (resumed := _resumed(config)):
            args = ["--config", str(resumed), "--runs_dir", config.runs_dir, *args]
            config = self.parser.parse_args(args)
        if config.recipe and hasattr(config.data, "items"):
            examples = examples_of(NamesDataModule(**config.data))
            self.parser.set_defaults(options_for(config.recipe, examples))
            config = self.parser.parse_args(args)
            config.recipe = None  # now there are plain values
        return config

    def build(self, model: LitMLP | None = None, /, **ours: Any) -> None:
        """Makes datamodule, model and trainer; for a given model the trainer, and reads no list.

        `ours` add to the user's options of the Trainer; without any, nothing is kept.
        """
        ours = ours or {"callbacks": [StopOnSignal()], **options.NOTHING_KEPT}
        parser, config = self.parser, self.config
        if model is not None:
            parser, config = _Parser(), Namespace(trainer=config.trainer)
            parser.add_lightning_class_args(pl.Trainer, "trainer")
        try:
            made = parser.instantiate_classes(config)
            self.datamodule, self.model = made.get("data"), model or made["model"]
            loggers = options.listed(made.trainer.logger)
            self.loggers = [one for one in loggers if not isinstance(one, bool)]
            self.trainer = self._trainer(made.trainer, ours)
        except ValueError as error:
            raise ValueError(telling(str(error))) from error

    def _trainer(self, given: Any, ours: dict[str, Any]) -> pl.Trainer:
        plugins, interval = options.listed(given.plugins), given.val_check_interval
        if not any(isinstance(plugin, ClusterEnvironment) for plugin in plugins):
            plugins = [*plugins, *filter(None, [slurm.environment()])]
        if isinstance(interval, int):  # of updates; Lightning counts minibatches
            most = given.max_steps if given.max_steps > 0 else interval
            interval = min(interval, most) * given.accumulate_grad_batches
        added = {"plugins": [*plugins, AtomicCheckpointIO()], "val_check_interval": interval}
        added["callbacks"] = _joined(ours, options.listed(given.callbacks))
        make = partial(pl.Trainer, **{**given, **ours, **added})
        try:
            fits, batch_size = self.command == "fit", self.config.data.batch_size
            trainer = trainer_for(self.model, fits, batch_size, given, make)
        except TypeError as error:  # what Lightning calls some of its bad arguments
            raise ValueError(str(error)) from error
        leave_signals_alone(trainer)
        stop_while_connecting(trainer)
        refuse(options.trainer_rows(self.command, trainer, given))
        once_more = "--all_words true needs one process, and --trainer.enable_checkpointing true"
        lost = trainer.world_size > 1 or given.enable_checkpointing is False
        refuse([(fits and self.config.all_words and lost, once_more)])
        slurm.check(trainer.num_devices * trainer.num_nodes)
        check_launcher(trainer)
        return trainer

    @property
    def stem(self) -> str:
        """What a run is named after: its first config, or the folder of a run's config.yaml."""
        path = Path(self.configs[0] if self.configs else "run")
        return path.resolve().parent.name if path.name == "config.yaml" else path.stem

    def dump(self) -> str:
        """The configuration as YAML, for another run as well: without the name of this one."""
        config = self.config.clone()
        for key in ("resume", "resume_override", "max_requeues"):
            config.pop(key, None)
        config["name"] = None
        return str(self.parser.dump(config, skip_none=False))


def _typed(args: list[str]) -> list[str]:
    """The command line as the parser takes it, with the whole paths of shipped configurations."""
    found: list[str] = []
    for arg in args:
        found += arg.split("=", 1) if arg.startswith("--config=") else [arg]
        if found[-2:-1] == ["--config"]:
            check_config(path := files.find(found[-1]))
            found[-1] = str(path)
    return ["--help" if arg == "--help_all" else arg for arg in found]


def _resumed(config: Namespace) -> Path | None:
    """The configuration of the run that --resume names, where --config names none."""
    how = config.get("resume")
    if config.config or how in (None, "false"):
        return None
    folder = Path(config.runs_dir, config.name or "") if how in ("true", "auto") else Path(how)
    folder = folder.parent.parent if folder.is_file() else folder
    check_config(path := folder / "config.yaml")
    # The parser reads no surrogates, which an ASCII locale has for other letters.
    return path if path.is_file() and "\\uDC" not in path.read_text("utf-8") else None


def _joined(ours: dict[str, Any], theirs: list[pl.Callback]) -> list[pl.Callback]:
    """Our callbacks and the user's, whose progress bar takes the place of ours.

    A command that makes no run leaves out those of a run's configuration that write or need one.
    """
    if ours.get("logger") is False:  # as of NOTHING_KEPT
        of_a_run = (ProgressBar, Checkpoint, DeviceStatsMonitor)
        theirs = [one for one in theirs if not isinstance(one, of_a_run)]
    replaced = ProgressBar if any(isinstance(one, ProgressBar) for one in theirs) else ()
    return [*(one for one in ours["callbacks"] if not isinstance(one, replaced)), *theirs]
