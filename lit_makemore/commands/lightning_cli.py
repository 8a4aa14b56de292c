"""The options of fit, validate, test and predict, and what is built from them: LightningCLI."""

import sys
from functools import partial
from inspect import cleandoc, signature
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import yaml
from jsonargparse import Namespace
from lightning.fabric.plugins import CheckpointIO
from lightning.fabric.plugins.environments import ClusterEnvironment
from lightning.pytorch.callbacks import Checkpoint, DeviceStatsMonitor, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import Logger

from lit_makemore import files
from lit_makemore.commands import devices, options, threads
from lit_makemore.commands.output import program
from lit_makemore.commands.parsing import PATHS, OneLineErrors, check_config, short_help, telling
from lit_makemore.diagnostics.settings import Diagnostics
from lit_makemore.runs import slurm
from lit_makemore.runs.checkpoints import AtomicCheckpointIO
from lit_makemore.runs.stopping import stop_while_connecting
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.lightning_internals import leave_signals_alone
from lit_makemore.training.module import LitMLP
from lit_makemore.training.option_conflicts import refuse
from lit_makemore.training.recipe import Role, examples_of, options_for

TRAINER_DEFAULTS: dict[str, Any] = {
    # Updates are the only axis: epochs never end a run, and validations count updates too.
    "max_epochs": -1,
    "val_check_interval": 1000,
    "check_val_every_n_epoch": None,
    "log_every_n_steps": 100,
    "num_sanity_val_steps": 0,
    "enable_model_summary": False,
    "enable_autolog_hparams": False,  # the run folder has them: config.yaml, the HParams page
    "use_distributed_sampler": False,  # our loaders give each process its share
}

# A default of Lightning's Timer is an enumeration of strings, which YAML would refuse.
yaml.SafeDumper.add_multi_representer(str, yaml.SafeDumper.represent_str)


class _Parser(OneLineErrors, LightningArgumentParser):
    def add_class_arguments(self, theclass: Any, *args: Any, **kwargs: Any) -> Any:
        """Adds the options of a class. A logger's save_dir is no longer one that must be given."""
        places = issubclass(theclass, Logger) and "save_dir" in signature(theclass).parameters
        if places:
            kwargs["skip"] = {*(kwargs.get("skip") or ()), "save_dir"}
            self.add_argument("--save_dir", type=str, default="", help="By default the run folder.")
        return super().add_class_arguments(theclass, *args, **kwargs)


class MakemoreCLI(LightningCLI):
    """Parses the options of a command; `build` makes the data, the network and the Trainer of them.

    args is what follows the command on the command line; common is where runs of a sweep have their
    teachers, if they share them.
    """

    def __init__(self, command: str, args: list[str], common: Path | None = None) -> None:
        self.command, self.common = command, common
        self._short = bool({"-h", "--help"} & {*args})
        super().__init__(
            LitMLP,
            NamesDataModule,
            save_config_callback=None,
            trainer_defaults=TRAINER_DEFAULTS,
            parser_class=_Parser,
            parser_kwargs={"prog": f"{program()} {command}"},
            args=_typed(args),
            run=False,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )
        self.folder: Path | None = None  # of the run, once `fit` has found or made it
        self.configs = list(map(str, self.config.config or []))

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        said = "Seed of the parameters and of the order of the minibatches, not of the split."
        parser.add_argument("--seed_everything", type=int, default=42, help=said)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        def add(name: str, kind: Any, default: Any, text: str) -> None:
            parser.add_argument(name, type=kind, default=default, help=cleandoc(text))

        add("--name", str | None, None, "Name of the run folder; by default that of the config.")
        add("--runs_dir", str, "runs", "Folder that contains the run folders.")
        add("--threads", int | None, None, "CPU threads of torch; by default chosen by size.")
        text = """The length of the list chooses batch size, updates, validations and dropout, where
            no option does: for a network, or for a teacher. config.yaml then has their values."""
        add("--recipe", Role | None, None, text)
        text = "Losses on names.txt of what a configuration re-implements, and its steps."
        add("--published", dict[str, float], {}, text)
        add("--all_words", bool, False, "After a fit train once more, on all words.")
        if self.command == "fit":
            resume = "Continue a run: true, auto (if there is one), its folder or checkpoint."
            add("--resume", str | None, None, resume)
            add("--resume_override", bool, False, "Resume even if the configuration has changed.")
            add("--max_requeues", int, 20, "How often a SLURM job is queued again after SIGUSR1.")
        else:
            add("--ckpt_path", str | None, None, "The checkpoint of the network.")
        if self.command == "predict":
            add("--output", str | None, None, "CSV file to write; by default scores are printed.")
        parser.add_class_arguments(Diagnostics, "diagnostics")
        parser.link_arguments("data.chars", "model.chars", apply_on="instantiate")
        parser.link_arguments("data.block_size", "model.block_size", apply_on="instantiate")
        parser.link_arguments("seed_everything", "data.seed")
        # A logger is made when the run folder is known: see `loggers`.
        parser.add_instantiator(_later, Logger)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses the options. What the recipe chooses are defaults, which any option replaces."""
        if self._short:
            print(short_help(parser, self.command))
            sys.exit()
        self._parse(parser, args)
        # Not beside --list+=, which would add to the run's list a second time.
        grows = any(arg.partition("=")[0].endswith("+") for arg in args)
        if not grows and (resumed := self._resumed()):
            args = ["--config", str(resumed), "--runs_dir", self.config.runs_dir, *args]
            self._parse(parser, args)
        if self.config.recipe is None or not hasattr(self.config.data, "items"):
            return
        data = NamesDataModule(**self.config.data)
        parser.set_defaults(options_for(self.config.recipe, examples_of(data)))
        self._parse(parser, args)
        self.config.recipe = None  # now there are plain values

    def _parse(self, parser: LightningArgumentParser, args: Any) -> None:
        super().parse_arguments(parser, args)
        for name in PATHS:
            if self.config.get(name):
                self.config[name] = files.local(self.config[name])

    def _resumed(self) -> Path | None:
        """The configuration of the run that --resume names, where --config names none."""
        how, name = self.config.get("resume"), self.config.name
        if self.config.config or how in (None, "false"):
            return None
        folder = Path(self.config.runs_dir, name or "") if how in ("true", "auto") else Path(how)
        folder = folder.parent.parent if folder.is_file() else folder
        check_config(path := folder / "config.yaml")
        # The parser reads no surrogates, which an ASCII locale has for other letters.
        return path if path.is_file() and "\\uDC" not in path.read_text("utf-8") else None

    def before_instantiate_classes(self) -> None:
        groups = {"model": LitMLP, "data": NamesDataModule, "diagnostics": Diagnostics}
        for name, kind in groups.items():
            refuse(options.group_rows(name, self.config[name], kind))
        refuse(options.config_rows(self.command, self.config))
        threads.use(threads.asked(self.config.threads) or threads.cores())

    def instantiate_classes(self) -> None:
        """Nothing yet: the command looks at the options first, and then calls `build`."""

    def build(self, model: LitMLP | None = None, /, **trainer_arguments: Any) -> None:
        """Makes datamodule, model and trainer; for a given model the trainer, and reads no list.

        trainer_arguments add to the user's options. Callbacks come after the user's.
        """
        self._trainer_arguments = trainer_arguments
        parser, config = self.parser, self.config
        if model is not None:
            parser, config = _Parser(), Namespace(trainer=config.trainer)
            parser.add_lightning_class_args(self.trainer_class, "trainer")
            parser.add_instantiator(_later, Logger)
        try:
            self.config_init = parser.instantiate_classes(config)
            self.datamodule = self.config_init.get("data")
            self.model = model or self.config_init["model"]
            self.trainer = self.instantiate_trainer()
        except ValueError as error:
            raise ValueError(telling(str(error))) from error

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        given, ours = self.config_init.trainer, self._trainer_arguments
        plugins = options.listed(given.plugins)
        for name in [type(one).__name__ for one in plugins if isinstance(one, CheckpointIO)]:
            why = "a run writes its checkpoints itself, so that a kill leaves each whole"
            raise ValueError(f"{name} among --trainer.plugins does not work here; {why}")
        if not any(isinstance(plugin, ClusterEnvironment) for plugin in plugins):
            plugins = [*plugins, *filter(None, [slurm.environment()])]
        added = {
            "callbacks": _joined(ours, options.listed(given.callbacks)),
            "plugins": [*plugins, AtomicCheckpointIO()],
            "val_check_interval": options.validation_interval(given),
        }
        make = partial(super().instantiate_trainer, **{**ours, **added})
        fits, batch_size = self.command == "fit", self.config.data.batch_size
        try:
            trainer = devices.trainer_for(self.model, fits, batch_size, given, make)
        except TypeError as error:  # what Lightning calls some of its bad arguments
            raise ValueError(str(error)) from error
        leave_signals_alone(trainer)
        stop_while_connecting(trainer)
        refuse(options.trainer_rows(self.command, trainer, given))
        kept = trainer.world_size == 1 and given.enable_checkpointing is not False
        once_more = "--all_words true needs one process, and --trainer.enable_checkpointing true"
        refuse([(fits and self.config.all_words and not kept, once_more)])
        slurm.check(trainer.num_devices * trainer.num_nodes)
        devices.check_launcher(trainer)
        return trainer

    def loggers(self) -> list[partial[Logger]]:
        given = self.config_init.trainer.logger
        return [] if isinstance(given, bool) else options.listed(given)

    @property
    def stem(self) -> str:
        """What a run is named after: its first config, or the folder of a run's config.yaml."""
        if not self.configs:
            return "run"
        path = Path(self.configs[0])
        return path.resolve().parent.name if path.name == "config.yaml" else path.stem

    def dump(self) -> str:
        """The configuration as YAML, for another run as well: without the name of this one."""
        config = self.config.clone()
        config["name"] = None
        for key in ("resume", "resume_override", "max_requeues"):
            config.pop(key, None)
        return str(self.parser.dump(config, skip_none=False))


def _typed(args: list[str]) -> list[str]:
    """The command line as the parser takes it, with the whole paths of shipped configurations."""
    found = []
    for before, arg in zip(["", *args], args, strict=False):
        if before == "--config" or arg.startswith("--config="):
            path = files.find(arg.removeprefix("--config="))
            check_config(path)
            arg = str(path) if before == "--config" else f"--config={path}"
        found.append("--help" if arg == "--help_all" else arg)
    return found


def _joined(ours: dict[str, Any], theirs: list[pl.Callback]) -> list[pl.Callback]:
    """Our callbacks and the user's, whose progress bar takes the place of ours.

    Where a command has no bar, checkpoints or logger, as validate has none, those of a run's
    configuration are left out.
    """
    needed = {
        "enable_progress_bar": ProgressBar,
        "enable_checkpointing": Checkpoint,
        "logger": DeviceStatsMonitor,
    }
    without = tuple(kind for option, kind in needed.items() if ours.get(option) is False)
    theirs = [one for one in theirs if not isinstance(one, without)]
    replaced = ProgressBar if any(isinstance(one, ProgressBar) for one in theirs) else ()
    return [*(one for one in ours["callbacks"] if not isinstance(one, replaced)), *theirs]


def _later(kind: type[Logger], *args: Any, **kwargs: Any) -> partial[Logger]:
    return partial(kind, *args, **kwargs)
