"""`sweep`: trains a network many times with varying options, alone or beside other workers."""

import gc
import logging
import shlex
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import yaml

from lit_makemore import files
from lit_makemore.commands.fit import train
from lit_makemore.commands.lightning_cli import MakemoreCLI
from lit_makemore.commands.output import notes, program
from lit_makemore.commands.parsing import Parser, check_config
from lit_makemore.commands.quiet import FAILURES, quiet_lightning
from lit_makemore.runs import sweep_results
from lit_makemore.runs.folder import RunFolder, plain
from lit_makemore.runs.resume import that_count
from lit_makemore.runs.signals import Stopped
from lit_makemore.runs.stopping import Diverged
from lit_makemore.runs.sweep import FrozenTrial, Study, Sweep, Value
from lit_makemore.runs.tables import losses, mean_and_sd, read, shown
from lit_makemore.training.option_conflicts import check_fit, refuse

# the sweep sets them itself, or nothing would be reached
OURS = "config name runs_dir resume resume_override help trainer.fast_dev_run".split()


def sweep(config: str, name: str | None = None, runs_dir: str = "runs") -> None:
    """Trains a network many times, as a YAML file describes it; see docs/sweeps.md.

    Args:
        config: the file, as one of configs/sweep. The same command in another terminal is another
            worker; after Ctrl-C or a kill it goes on.
        name: the folder of the sweep, runs/NAME; by default that of the file.
        runs_dir: the folder that contains it.
    """
    path = files.find(config)
    name = plain(name or path.stem)
    searched = described_in(path)
    with quiet_lightning(), notes(logging.ERROR):  # what is unhealthy stands in summary.json
        study = Study(Path(runs_dir) / name, searched, check(searched))
        while work := study.take():
            _train(study, *work)
            gc.collect()  # else its Trainer and its words would stay in memory
    trials = sweep_results.best_first(study)
    if left := searched.n_trials - len(trials):
        print(f"trials not finished: {left}; other workers have them, the last writes the table")
        return
    arguments = searched.arguments(trials[0].parameters, (searched.seeds or [None])[0])
    command = shlex.join([*program().split(), "fit", *arguments, "--name", f"{name}-best"])
    print(sweep_results.write(study.folder, searched, trials, command))


def described_in(path: Path) -> Sweep:
    """Reads the file of a sweep; raises ValueError, OSError or the parser's SystemExit."""
    check_config(path)
    parser = Parser()
    parser.add_class_arguments(Sweep)
    return Sweep(**vars(parser.instantiate(parser.parse_string(path.read_text("utf-8")))))


def check(searched: Sweep) -> dict[str, Any]:
    """Builds a network from each value of a list and the ends of each range; trains none.

    Returns the options of all runs that change their results, without those that vary.
    """
    given = {**searched.space, **searched.options}
    refuse((name in given, f"--{name} does not work in a sweep; leave it out") for name in OURS)
    no_words = "--all_words true leaves no words that compare trials; leave it out"
    remedy = "set trainer.devices to 1 in the options, and start more workers"
    for parameters in searched.ends():
        cli = MakemoreCLI("fit", searched.arguments(parameters, (searched.seeds or [None])[0]))
        cli.build()
        number = cli.trainer.world_size
        several = f"a trial trains on one device, not on {number}; {remedy}"
        refuse([(cli.config.all_words, no_words), (number > 1, several)])
        check_fit(cli.model, cli.trainer, cli.datamodule)
    common = that_count(yaml.safe_load(cli.dump()))
    return {name: value for name, value in common.items() if name not in searched.space}


def _train(study: Study, trial: FrozenTrial, seed: Value | None, folder: RunFolder) -> None:
    """Trains one run of a trial; the last one enters the result of the trial."""
    begun, run = perf_counter(), folder.open()
    arguments = study.sweep.arguments(trial.params, seed)
    arguments += ["--runs_dir", str(study.folder), "--name", run.name]
    if (run / "config.yaml").exists():
        arguments += ["--resume", "auto"]
    if not sys.stderr.isatty():
        arguments += ["--trainer.enable_progress_bar", "false"]
    varied = ", ".join(f"{name} {shown(value)}" for name, value in trial.params.items())
    said = f"{run.name}: {varied}".removesuffix(": ")
    try:
        train(MakemoreCLI("fit", arguments, study.folder / "teachers"), begun, folder)
    except Diverged as error:
        study.enter(trial, float("inf"))
        print(f"{said}: diverged ({error})")
        return
    except Stopped as stopped:
        line = f"{run.name}: {stopped}; the same sweep command goes on, too"
        raise Stopped(stopped.signum, line) from None
    except FAILURES as error:
        raise ValueError(f"{said}: {error}") from error
    finally:
        folder.close()
    study.settle(trial)
    loss = mean_and_sd(losses([read(run)], study.sweep.objective))
    print(f"{said}: {study.sweep.objective} {loss} ({perf_counter() - begun:.1f} s)", flush=True)
