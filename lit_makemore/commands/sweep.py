"""`sweep`: trains a network many times with varying options, alone or beside other workers."""

import gc
import logging
import shlex
import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import yaml
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lit_makemore import files
from lit_makemore.commands import sweep_file
from lit_makemore.commands.fit import train
from lit_makemore.commands.lightning_cli import MakemoreCLI, asks_for_help
from lit_makemore.commands.notes import notes
from lit_makemore.commands.parsing import call
from lit_makemore.commands.program import program
from lit_makemore.commands.quiet import quiet_lightning
from lit_makemore.runs import signals, sweep_results
from lit_makemore.runs.folder import RunFolder
from lit_makemore.runs.resume import that_count
from lit_makemore.runs.signals import Stopped
from lit_makemore.runs.stop_on_nan import Diverged
from lit_makemore.runs.sweep import SEEDS, Sweep, Value, fit_arguments
from lit_makemore.runs.tables import shown
from lit_makemore.training.option_conflicts import check_fit

if TYPE_CHECKING:
    from lit_makemore.runs.study import Study, Trial

OURS = ("config", "name", "runs_dir", "resume", "resume_override")
COLUMNS = {"trainer.max_steps": "steps", SEEDS: "seed"}  # of the HParams page, where they differ
HELP = """usage: {program} sweep --config FILE [--name NAME] [--runs_dir FOLDER]

Trains a network many times, as a YAML file describes it (docs/sweeps.md):

  config: configs/names.yaml         the configuration of all runs, as for fit; or a list of several
  options: {{trainer.max_steps: 200}}  further options of all runs
  space:                             what varies
    model.lr: {{low: 0.001, high: 1, log: true, points: 20}}
    model.activation: [tanh, relu]
    seed_everything: [1, 2, 3]       every trial is trained with each; their mean counts
  sampler: grid                      everything; or random, or tpe (looks near what was good)
  trials: 20                         how many, for random and tpe
  objective: val_loss                the loss that counts; or val_loss_novel, train_loss

  --config configs/sweep/lr.yaml     the file; configs/sweep/ has more
  --name NAME                        the folder of the sweep, runs/NAME; by default that of the file
  --runs_dir FOLDER                  where it lies, instead of runs

The same command in another terminal is another worker. After Ctrl-C or a kill it goes on.
"""


def run(args: list[str], begun: float) -> None:
    """Runs the command.

    Raises:
        ValueError, OSError: bad input; the line says what to do.
        Stopped: a signal came, and the run that was being trained has been saved.
    """
    if asks_for_help(args):
        print(HELP.format(program=program()), end="")
        return
    call(sweep, args)


def sweep(config: str, name: str | None = None, runs_dir: str = "runs") -> None:
    """Trains a network many times; see HELP."""
    try:
        from lit_makemore.runs.study import Study
    except ModuleNotFoundError as error:
        raise ValueError(
            f"sweep needs Optuna, and {error.name} is missing: pip install optuna scipy"
        ) from error
    path = files.find(config)
    searched = sweep_file.read(path)
    name = name or path.stem
    if Path(name).name != name:
        raise ValueError(f"--name {name!r} must be a plain folder name; --runs_dir says where")
    with quiet_lightning(), notes(logging.ERROR):  # what is unhealthy stands in summary.json
        common = check(searched)
        study = Study(Path(runs_dir) / name, searched, common)
        _work(study)
    trials = sweep_results.best_first(study.trials())
    if left := searched.n_trials - sum(trial.value is not None for trial in trials):
        print(f"{left} trials are not finished: other workers have them; the last writes the table")
        return
    command = winners_command(searched, trials[0], f"{name}-best")
    print(sweep_results.write(study, trials, command))


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
        cli = MakemoreCLI("fit", fit_arguments(searched, parameters, (searched.seeds or [None])[0]))
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


def _work(study: "Study") -> None:
    """Trains runs until none is left that no other worker trains."""
    while work := study.take():
        trial, seed, folder = work
        try:
            if asked := signals.received():
                signum = signals.ASKING[asked - 1]
                raise Stopped(signum, f"stopped by {signum.name}; the same command goes on")
            _train(study, trial, seed, folder)
        finally:
            folder.close()
            gc.collect()  # else its Trainer and its words would stay in memory


def _train(study: "Study", trial: "Trial", seed: Value | None, folder: RunFolder) -> None:
    """Trains one run of a trial; enters the result if it was the last one of the trial."""
    run = study.folder / trial.run_name(seed)
    arguments = fit_arguments(study.sweep, trial.parameters, seed)
    arguments += ["--runs_dir", str(study.folder), "--name", run.name]
    if (run / "config.yaml").exists():
        arguments += ["--resume", "auto"]
    if not sys.stderr.isatty():
        arguments += ["--trainer.enable_progress_bar", "false"]
    begun = perf_counter()
    columns = [COLUMNS.get(name) or name.partition(".")[2] for name in study.sweep.space]
    said = ", ".join(f"{name} {shown(value)}" for name, value in trial.parameters.items())
    said = f"{run.name}: {said}" if said else run.name
    try:
        train(MakemoreCLI("fit", arguments), begun, folder, columns)
    except Diverged as error:
        study.diverged(trial)
        print(f"{said}: diverged ({error})")
        return
    except Stopped as stopped:
        line = f"{run.name}: {stopped}; the same sweep command goes on, too"
        raise Stopped(stopped.signum, line) from None
    except (ValueError, OSError, MisconfigurationException) as error:
        raise ValueError(f"{said}: {error}") from error
    study.settle(trial)
    loss = sweep_results.reached(run, study.sweep.objective)
    print(f"{said}: {study.sweep.objective} {loss} ({perf_counter() - begun:.1f} s)", flush=True)


def winners_command(searched: Sweep, trial: "Trial", name: str) -> str:
    """The command that trains the network of a trial by itself."""
    arguments = fit_arguments(searched, trial.parameters, (searched.seeds or [None])[0])
    return shlex.join([*program().split(), "fit", *arguments, "--name", name])
