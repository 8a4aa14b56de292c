"""`sweep`: trains a network many times with varying options, alone or beside other workers."""

import gc
import logging
import shlex
import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, NoReturn

import yaml
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lit_makemore import files
from lit_makemore.commands.fit import train
from lit_makemore.commands.lightning_cli import MakemoreCLI
from lit_makemore.commands.output import notes, program
from lit_makemore.commands.parsing import Parser, call
from lit_makemore.commands.quiet import quiet_lightning
from lit_makemore.runs import sweep_results
from lit_makemore.runs.comparison import losses, mean_and_sd, read
from lit_makemore.runs.folder import RunFolder
from lit_makemore.runs.resume import that_count
from lit_makemore.runs.signals import Stopped
from lit_makemore.runs.stopping import Diverged
from lit_makemore.runs.sweep import SEEDS, Sweep, Value
from lit_makemore.runs.tables import shown
from lit_makemore.training.option_conflicts import check_fit

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from lit_makemore.runs.study import Study

OURS = ("config", "name", "runs_dir", "resume", "resume_override")
COLUMNS = {"trainer.max_steps": "steps", SEEDS: "seed"}  # of the HParams page, where they differ


def run(args: list[str], begun: float) -> None:
    """Runs `sweep` with the options of the command line."""
    call(sweep, args)


def sweep(config: str, name: str | None = None, runs_dir: str = "runs") -> None:
    """Trains a network many times, as a YAML file describes it; see docs/sweeps.md.

    Args:
        config: the file, as configs/sweep/lr.yaml; configs/sweep has more. The same command in
            another terminal is another worker. After Ctrl-C or a kill it goes on.
        name: the folder of the sweep, runs/NAME; by default that of the file.
        runs_dir: the folder that contains it.

    Raises:
        ValueError, OSError: bad input; the line says what to do.
        Stopped: a signal came, and the run that was being trained has been saved.
    """
    try:
        from lit_makemore.runs.study import Study
    except ModuleNotFoundError as error:
        raise ValueError(
            f"sweep needs Optuna, and {error.name} is missing: pip install optuna scipy"
        ) from error
    path = files.find(config)
    searched = described_in(path)
    name = name or path.stem
    if Path(name).name != name:
        raise ValueError(f"--name {name!r} must be a plain folder name; --runs_dir says where")
    with quiet_lightning(), notes(logging.ERROR):  # what is unhealthy stands in summary.json
        common = check(searched)
        study = Study(Path(runs_dir) / name, searched, common)
        while work := study.take():
            _train(study, *work)
            gc.collect()  # else its Trainer and its words would stay in memory
    trials = sweep_results.best_first(study)
    if left := searched.n_trials - len(trials):
        print(f"{left} trials are not finished: other workers have them; the last writes the table")
        return
    arguments = searched.arguments(trials[0].parameters, (searched.seeds or [None])[0])
    command = shlex.join([*program().split(), "fit", *arguments, "--name", f"{name}-best"])
    print(sweep_results.write(study.folder, searched, trials, command))


class _FileParser(Parser):
    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise ValueError(message)


def described_in(path: Path) -> Sweep:
    """Reads the file of a sweep.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is no sweep; the line says what is wrong.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no sweep at {path.absolute()}")
    parser = _FileParser()
    parser.add_class_arguments(Sweep)
    try:
        return Sweep(**vars(parser.instantiate(parser.parse_string(path.read_text("utf-8")))))
    except ValueError as error:
        line = parser.one_line(str(error)).replace("no option --", "no key ").replace("--", "")
        if "runs.sweep.Range" in str(error) and "no key" not in line:
            line = (
                "each option in space takes a list of values, or a mapping of low, high, log and "
                f"points, not {str(error).rpartition('Given value: ')[2]}"
            )
        raise ValueError(f"{path}: {line.removesuffix('; see --help')}") from error


def check(searched: Sweep) -> dict[str, Any]:
    """Builds networks from each value of a list and the ends of each range; trains none.

    Returns:
        The options of all runs that change their results, without those that vary.

    Raises:
        ValueError: an option is not possible, or needs more than one device.
        SystemExit: from the parser, after its line: there is no such option.
    """
    for option in (*searched.space, *searched.options):
        if option in OURS:
            raise ValueError(f"a sweep sets --{option} itself; leave it out")
    for parameters in searched.ends():
        cli = MakemoreCLI("fit", searched.arguments(parameters, (searched.seeds or [None])[0]))
        if cli.config.trainer.fast_dev_run:
            raise ValueError("--trainer.fast_dev_run reaches nothing to compare; leave it out")
        cli.build(logger=False, callbacks=[], enable_checkpointing=False, enable_progress_bar=False)
        if cli.trainer.world_size > 1:
            raise ValueError(
                f"a trial trains on one device, not on {cli.trainer.world_size}; set "
                "trainer.devices to 1 in the options, and start more workers"
            )
        options: Any = cli.model.hparams
        check_fit(options, cli.trainer, cli.datamodule)
    common = that_count(yaml.safe_load(cli.dump()))
    return {name: value for name, value in common.items() if name not in searched.space}


def _train(study: "Study", trial: "FrozenTrial", seed: Value | None, folder: RunFolder) -> None:
    """Trains one run of a trial; enters the result if it was the last one of the trial."""
    begun = perf_counter()
    assert folder.path is not None
    run = folder.path
    arguments = study.sweep.arguments(trial.params, seed)
    arguments += ["--runs_dir", str(study.folder), "--name", run.name]
    if (run / "config.yaml").exists():
        arguments += ["--resume", "auto"]
    if not sys.stderr.isatty():
        arguments += ["--trainer.enable_progress_bar", "false"]
    columns = [COLUMNS.get(name) or name.partition(".")[2] for name in study.sweep.space]
    said = ", ".join(f"{name} {shown(value)}" for name, value in trial.params.items())
    said = f"{run.name}: {said}" if said else run.name
    try:
        train(MakemoreCLI("fit", arguments), begun, folder, columns)
    except Diverged as error:
        study.enter(trial, float("inf"))
        print(f"{said}: diverged ({error})")
        return
    except Stopped as stopped:
        line = f"{run.name}: {stopped}; the same sweep command goes on, too"
        raise Stopped(stopped.signum, line) from None
    except (ValueError, OSError, MisconfigurationException) as error:
        raise ValueError(f"{said}: {error}") from error
    finally:
        folder.close()
    study.settle(trial)
    loss = mean_and_sd(losses([read(run)], study.sweep.objective))
    print(f"{said}: {study.sweep.objective} {loss} ({perf_counter() - begun:.1f} s)", flush=True)
