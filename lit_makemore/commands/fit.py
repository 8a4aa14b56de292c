"""`fit`: options → data, network and Trainer → teachers → fit → report, in a run folder."""

import json
import logging
import shlex
from pathlib import Path
from time import perf_counter
from typing import Any

from lit_makemore.commands import threads
from lit_makemore.commands.inner_runs import is_config, train_on_all_words, train_teachers
from lit_makemore.commands.lightning_cli import MakemoreCLI
from lit_makemore.commands.output import notes, program, rank, say
from lit_makemore.commands.quiet import quiet_lightning
from lit_makemore.diagnostics.checks import Health
from lit_makemore.diagnostics.monitor import Monitor, Unhealthy
from lit_makemore.diagnostics.progress import ProgressLine
from lit_makemore.files import write_text
from lit_makemore.model import load
from lit_makemore.runs import report, resume, slurm
from lit_makemore.runs.checkpoints import Checkpoints
from lit_makemore.runs.exact_resume import ExactResume, FolderCallback
from lit_makemore.runs.folder import RunFolder
from lit_makemore.runs.logger import RunLogger, close
from lit_makemore.runs.signals import ASKING, Stopped, noted
from lit_makemore.runs.stopping import StopOnNaN, StopOnSignal

SAVE_EVERY_N_STEPS, SAVE_SECONDS = 1000, 2.0

Reached = tuple[report.Result, Health | None, report.Samples, Path]  # for report.text


def run(args: list[str], begun: float) -> None:
    """Runs the command; `begun` is when it began, by perf_counter."""
    with quiet_lightning():
        cli = MakemoreCLI("fit", args[1:])
        shown = cli.config.trainer.enable_progress_bar is not False
        with notes(logging.INFO if shown else logging.WARNING):
            if cli.config.trainer.fast_dev_run:
                _try_out(cli)
                return
            say(*slurm.notes(cli.config.seed_everything))
            if reached := train(cli, begun):
                print(report.text(*reached), flush=True)
            assert cli.folder is not None
            best = cli.folder / "checkpoints" / "best.ckpt"
            if cli.config.all_words:
                best = train_on_all_words(cli.folder, train)
                print(f"{best.name} has learnt all words; the losses are those of the run before")
    if best.exists() and not rank():
        path, page = shlex.quote(str(best)), shlex.quote(f"{best.parent.parent.name}.html")
        print(f"draw names: {program()} sample --ckpt_path {path} --only_new")
        print(f"web page: {program()} export --ckpt_path {path} --output {page}")


def train(cli: MakemoreCLI, begun: float, folder: RunFolder | None = None) -> Reached | None:
    """Trains the teachers, then the network; `folder` is the run folder, if the caller has it.

    Returns what was reached, on the first process; None if the run had been finished before. Sets
    `cli.folder`; `cli.model` has the last weights. Stopped: a signal came, and the run is saved.
    """
    config, found = cli.config, _find_run(cli)
    cli.folder = found.folder if found else None
    if found and (larger := resume.finished(found, cli.dump())):
        longer = f"to train longer, set a larger {' or '.join(larger)}"
        say(f"{found.folder} is already finished (update {found.step:,}); {longer}")
        return None
    if found and found.path:
        say(f"resuming {found.folder} at update {found.step:,}")
    resumed, purge_step = (found.folder, found.purge_step) if found else (None, None)
    folder = folder or RunFolder(config.runs_dir, config.name, cli.stem, resumed)
    logger = RunLogger(folder, purge_step, config.diagnostics.all_figures)
    ours = {"logger": logger} if config.trainer.logger is not False else {}
    # before the teachers, so that a Trainer that is not possible is refused at once
    cli.build(callbacks=_callbacks(cli, folder, found), **ours)
    trainer, model, data = cli.trainer, cli.model, cli.datamodule
    if not (found and found.threads) and threads.asked(config.threads) is None:
        parameters, nodes = sum(p.numel() for p in model.parameters()), trainer.num_nodes
        here = (data.batch_size // nodes, trainer.world_size // nodes)
        threads.use(threads.for_training(parameters, *here))
    # without any update there is nothing to restore: the run starts again
    ckpt_path = str(found.path) if found and found.path and found.step else None
    try:
        data.teachers = train_teachers(cli, folder, train)
        with noted(*ASKING):
            trainer.fit(model, data, ckpt_path=ckpt_path, weights_only=True)
        cli.folder = folder.path
        return _report(cli, folder, begun) if trainer.is_global_zero else None
    except BaseException as error:
        # A run without an update can be continued if it was stopped, or has trained teachers.
        kept = "*.ckpt" if isinstance(error, Stopped) else "teachers/*/checkpoints/last.ckpt"
        if trainer.global_step == 0 and not (folder.path and any(folder.path.rglob(kept))):
            folder.discard()
        elif isinstance(error, Unhealthy) and trainer.is_global_zero:
            write_text(folder.checkpoints.parent / "failed.txt", str(error))
        raise
    finally:
        close(trainer.loggers)
        folder.close()


def _find_run(cli: MakemoreCLI) -> resume.Resumption | None:
    config = cli.config
    if (job := slurm.job()) and config.name is None:
        config.name = f"{cli.stem}-{job}"
    how = config.resume or ("auto" if job and slurm.restarts() else "false")
    if how == "false":
        return None
    found = resume.find(how, config.runs_dir, config.name, cli.stem)
    if found is None:
        say("nothing to resume: starting a new run")
        return None
    if config.threads is None and found.threads:
        threads.use(found.threads)
    changed = resume.check(found, cli.dump(), config.resume_override)
    say(*filter(None, [found.note, *changed]))
    return found


def _callbacks(cli: MakemoreCLI, folder: RunFolder, found: Any) -> list[Any]:
    """The callbacks of a fit. None relies on its place among them."""
    config, stop = cli.config, StopOnSignal()
    if config.trainer.enable_checkpointing is not False:
        stop = Checkpoints(folder, SAVE_EVERY_N_STEPS, SAVE_SECONDS, config.max_requeues)
    callbacks = [FolderCallback(folder, cli.dump(), found, lambda: cli.loggers), ExactResume()]
    if config.trainer.enable_progress_bar is not False:
        callbacks.append(ProgressLine())
    if config.diagnostics.enabled:
        callbacks.append(Monitor(config.diagnostics))
    return [*callbacks, StopOnNaN(), stop]


def _try_out(cli: MakemoreCLI) -> None:
    """A few minibatches, by --trainer.fast_dev_run; nothing is left behind."""
    cli.build()
    data = cli.datamodule
    if any(is_config(teacher) for teacher in data.teachers):
        data.teachers, data.targets = (), "kneser_ney"  # teachers would have to be trained first
    with noted(*ASKING):
        cli.trainer.fit(cli.model, data)


def _report(cli: MakemoreCLI, folder: RunFolder, begun: float) -> Reached:
    trainer, data, last = cli.trainer, cli.datamodule, cli.model.model
    callbacks: Any = {type(one): one for one in trainer.callbacks}  # type: ignore[attr-defined]
    kept, monitor, best = callbacks.get(Checkpoints), callbacks.get(Monitor), None
    if kept and kept.best_step is not None:
        is_last = kept.best_step == trainer.global_step
        best = last if is_last else load(folder.checkpoints / "best.ckpt")
    result = report.evaluate(last, best, trainer, cli.config.published)
    health = monitor.close(trainer, result.net, result.best["val"]) if monitor else None
    samples = report.draw_samples(result.net, data)
    path = folder.checkpoints.parent
    entries: dict[str, Any] = {"name": path.name, "config": ", ".join(cli.configs)}
    entries |= {"seed": cli.config.seed_everything, "wall_s": round(perf_counter() - begun, 2)}
    entries |= report.facts(result, health, trainer)
    write_text(path / "samples.txt", "".join(f"{name}\t{where}\n" for name, where in samples))
    write_text(path / "summary.json", json.dumps(entries, indent=2) + "\n")  # ends the run
    losses = {f"best/{split}": loss for split, loss in result.best.items() if loss is not None}
    for logger in trainer.loggers:
        logger.log_metrics(losses, trainer.global_step + 1)  # a longer run takes them back
        logger.finalize("success")
    return result, health, samples, path
