"""`fit`: trains a network in a run folder of its own, after the teachers that it learns from."""

import logging
from collections.abc import Collection
from time import perf_counter
from typing import Any

import lightning.pytorch as pl
import torch

from lit_makemore.commands import threads
from lit_makemore.commands.lightning_cli import MakemoreCLI, asks_for_help
from lit_makemore.commands.notes import notes, say
from lit_makemore.commands.processes import disconnected_afterwards
from lit_makemore.commands.program import program
from lit_makemore.commands.quiet import quiet_lightning
from lit_makemore.commands.teachers import is_config, train_teachers
from lit_makemore.diagnostics.monitor import Monitor
from lit_makemore.diagnostics.progress import ProgressLine
from lit_makemore.runs import closing_table, resume, slurm, summary
from lit_makemore.runs.checkpoints import BestCheckpoint, LastCheckpoint
from lit_makemore.runs.exact_resume import ExactResume
from lit_makemore.runs.folder import RunFolder
from lit_makemore.runs.folder_callback import FolderCallback
from lit_makemore.runs.logger import VARIED, RunLogger
from lit_makemore.runs.signals import ASKING, Stopped, note, noted
from lit_makemore.runs.stop_on_nan import FiniteGuard
from lit_makemore.runs.stop_on_signal import StopAfterCheckpoints, StopOnSignal, TakeSigterm
from lit_makemore.runs.weight_averaging import CurrentWeights
from lit_makemore.training.curves import TrainingCurves

SAVE_EVERY_N_STEPS, SAVE_SECONDS = 1000, 2.0
HELP = """usage: {program} fit --config FILE [--config FILE …] [--OPTION VALUE …]

Trains a network. Later configs and options replace earlier ones.

  --config configs/quickstart.yaml    a configuration; configs/ has more
  --data.path FILE                    your own words, one a line, with --config configs/words.yaml;
                                      --data.lowercase true
  --data.column NAME                  the column of the words, if the file is a table (CSV)
  --data.block_size N                 how many characters the network sees
  --data.batch_size N                 number of examples in one update
  --data.targets expected             train on the shares of all characters that follow a window
  --model.n_layer N, --model.n_hidden N, --model.activation tanh|relu
  --model.batch_norm false            a network without Batch Normalization
  --model.optimizer sgd|adamw, --model.lr RATE, --model.schedule step|one_cycle
  --trainer.max_steps N               updates of the run
  --trainer.val_check_interval N      updates between two validations
  --trainer.precision bf16-mixed, --trainer.devices N, --trainer.gradient_clip_val NORM
  --name NAME                         the run folder, runs/NAME
  --resume true                       continue the run; auto: start a new one if there is none
  --seed_everything N, --threads N
  --diagnostics.enabled false         no monitors, no pictures, no health table

All options: {program} fit --help_all. The resulting configuration: add --print_config.
"""


def run(args: list[str], begun: float) -> None:
    """Runs the command.

    Args:
        args: the command line, "fit" first.
        begun: when the command began, by perf_counter.

    Raises:
        ValueError, OSError: bad input; the line says what to do.
        Stopped: a signal came, and the run has been saved.
    """
    if asks_for_help(args):
        print(HELP.format(program=program()), end="")
        return
    with quiet_lightning(), disconnected_afterwards():
        cli = MakemoreCLI("fit", args[1:])
        shown = cli.config.trainer.enable_progress_bar is not False
        with notes(logging.INFO if shown else logging.WARNING):
            if not cli.config.trainer.fast_dev_run:
                say(*slurm.notes(cli.config.seed_everything))
            tables = train(cli, begun)
    if tables:
        print(tables)


def train(
    cli: MakemoreCLI,
    begun: float,
    folder: RunFolder | None = None,
    varied: Collection[str] = VARIED,
) -> str | None:
    """Trains what the options describe: the teachers first, then the network.

    Args:
        cli: the options.
        begun: when the command began, by perf_counter.
        folder: the run folder that the options name, if the caller has locked it.
        varied: the settings that TensorBoard's HParams page opens with.

    Returns:
        The closing tables, on the first process; None after a fast_dev_run, and if the run had
        been finished before.
    """
    config = cli.config
    if config.trainer.fast_dev_run:
        _try_out(cli)
        return None
    found = _find_run(cli)
    if found and found.finished:
        say(
            f"{found.folder} is already finished (update {found.step:,}); "
            "to train longer, set a larger --trainer.max_steps"
        )
        return None
    resumed = found.folder if found else None
    folder = folder or RunFolder(config.runs_dir, config.name, cli.stem, resumed)
    cli.build(callbacks=_callbacks(cli, folder, found), **_logger(config, folder, found, varied))
    if not (found and found.threads):
        _choose_threads(cli)
    trainer, data = cli.trainer, cli.datamodule
    # Without any update there is nothing to restore: the run starts again.
    ckpt_path = str(found.path) if found and found.path and found.step else None
    try:
        data.teachers = train_teachers(cli, folder, train)
        with noted(*ASKING):
            trainer.fit(cli.model, data, ckpt_path=ckpt_path, weights_only=True)
        return _close(cli, folder, begun) if trainer.is_global_zero else None
    except BaseException as error:
        if trainer.global_step == 0 and not _is_worth_keeping(folder, error):
            folder.discard()
        raise
    finally:
        for logger in _run_loggers(trainer):
            logger.close()
        folder.close()


def _logger(
    config: Any, folder: RunFolder, found: resume.Resumption | None, varied: Collection[str]
) -> dict[str, RunLogger]:
    """The logger of the run folder, which comes before the user's; none with logger false."""
    if config.trainer.logger is False:
        return {}
    purge_step = None
    if found:  # what was logged after the checkpoint is logged again, and must not show twice
        purge_step = 0 if found.step == 0 else found.step + 1
    return {"logger": RunLogger(folder, purge_step, config.diagnostics.all_figures, varied)}


def _try_out(cli: MakemoreCLI) -> None:
    """A few minibatches, by --trainer.fast_dev_run; leaves nothing behind."""
    cli.build(
        callbacks=[TakeSigterm(note), StopOnSignal(None)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    data = cli.datamodule
    if any(is_config(teacher) for teacher in data.teachers):
        data.teachers, data.targets = (), "kneser_ney"  # teachers would have to be trained first
    with noted(*ASKING):
        cli.trainer.fit(cli.model, data)


def _choose_threads(cli: MakemoreCLI) -> None:
    """By the size of the network, unless the user says how many."""
    if threads.asked(cli.config.threads) is None:
        parameters = sum(p.numel() for p in cli.model.parameters())
        on_this_machine = cli.trainer.world_size // cli.trainer.num_nodes
        batch = cli.datamodule.batch_size // cli.trainer.num_nodes
        threads.use(threads.for_training(parameters, batch, on_this_machine))


def _find_run(cli: MakemoreCLI) -> resume.Resumption | None:
    """The run to go on with, if that is asked for, with a word about it."""
    config = cli.config
    if (job := slurm.job()) and config.name is None:
        config.name = f"{cli.stem}-{job}"
    if job and slurm.restarts() and config.resume is None:
        config.resume = "auto"
    if config.resume in (None, "false"):
        return None
    found = resume.find(
        config.resume, config.runs_dir, config.name, cli.stem, config.trainer.max_steps
    )
    if found is None:
        say("nothing to resume: starting a new run")
        return None
    if config.threads is None and found.threads:
        threads.use(found.threads)
    changed = resume.check(found, cli.dump(), config.resume_override)
    say(*found.notes, *changed)
    if found.path and not found.finished:
        say(f"resuming {found.folder or found.path} at update {found.step:,}")
    return found


def _callbacks(
    cli: MakemoreCLI, folder: RunFolder, found: resume.Resumption | None
) -> list[pl.Callback]:
    """The callbacks of a fit, in the order in which they run."""
    config = cli.config
    checkpoints: list[Any] = []
    stop: pl.Callback = StopOnSignal(None)
    if config.trainer.enable_checkpointing is not False:
        last = LastCheckpoint(SAVE_EVERY_N_STEPS, SAVE_SECONDS)
        checkpoints = [BestCheckpoint(), last]
        stop = StopAfterCheckpoints(last, config.max_requeues)
    progress = [] if config.trainer.enable_progress_bar is False else [ProgressLine()]
    return [
        TakeSigterm(note),
        FolderCallback(folder, cli.dump(), checkpoints, found, cli.loggers),
        *progress,
        *([Monitor(config.diagnostics)] if config.diagnostics.enabled else []),
        FiniteGuard(),
        ExactResume(),
        CurrentWeights(),
        *checkpoints,
        stop,  # last: it ends the run, after everything is saved
    ]


def _close(cli: MakemoreCLI, folder: RunFolder, begun: float) -> str:
    """Evaluates the run, draws samples, writes both into its folder; returns the closing tables."""
    path, trainer, data = folder.path, cli.trainer, cli.datamodule
    assert path is not None
    best = path / "checkpoints" / "best.ckpt"
    result = summary.evaluate_run(cli.model.model, data, best if best.exists() else None)
    samples = summary.draw_samples(result.net, data)
    callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    health = next((one for one in callbacks if isinstance(one, Monitor)), None)
    if health:
        health.close(trainer, result.net, result.best["val"])
    curves = next(one for one in callbacks if isinstance(one, TrainingCurves))
    facts = {
        "name": path.name,
        "config": ", ".join(cli.configs),
        "steps": trainer.global_step,
        "batch_size": data.batch_size,
        "block_size": data.block_size,
        "seed": cli.config.seed_everything,
        "lr": cli.model.hparams["lr"],
        "threads": torch.get_num_threads(),
        "engine": cli.model.engine,
        "precision": str(trainer.precision),
        "wall_s": round(perf_counter() - begun, 2),
        "steps_per_s": round(curves.steps_per_s, 1),
        **({"health": health.summary()} if health else {}),
        **summary.facts_of(result, data),
    }
    summary.write(path, facts, samples)
    for logger in _run_loggers(trainer):
        losses = {f"best/{split}": loss for split, loss in result.best.items() if loss is not None}
        # one step on, so that a resume with more steps takes them back
        logger.log_metrics(losses, trainer.global_step + 1)
    failed = health.failed if health else None
    parts = [closing_table.headline(result, failed), closing_table.text(result, samples)]
    if health:
        parts.append(health.table())
    parts.append(
        f"\nresults: {path} (summary.json, samples.txt, checkpoints/)\n"
        f"see them with: tensorboard --logdir {path.parent}"
    )
    return "\n".join(parts)


def _run_loggers(trainer: pl.Trainer) -> list[RunLogger]:
    """The logger of the run folder, in a list; none with logger false."""
    return [logger for logger in trainer.loggers if isinstance(logger, RunLogger)]


def _is_worth_keeping(folder: RunFolder, error: BaseException) -> bool:
    """Whether a run without an update can be continued: it was stopped, or has trained teachers."""
    if folder.path is None:
        return False
    stopped = isinstance(error, Stopped) and any(folder.path.rglob("*.ckpt"))
    return stopped or any((folder.path / "teachers").rglob("last.ckpt"))
