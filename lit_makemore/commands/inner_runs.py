"""Runs inside a run: those of its teachers, and its network once more on all words."""

import gc
import hashlib
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from lit_makemore import files
from lit_makemore.commands import threads
from lit_makemore.commands.lightning_cli import MakemoreCLI
from lit_makemore.commands.output import say
from lit_makemore.commands.quiet import FAILURES
from lit_makemore.counts.targets import Teacher
from lit_makemore.model import KEY, PREFIX, load, read, write
from lit_makemore.runs.folder import RunFolder, alone, is_finished
from lit_makemore.runs.signals import Stopped
from lit_makemore.runs.tables import typed
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.option_conflicts import check_fit, refuse

Train = Callable[[MakemoreCLI, float], Any]  # fit.train
SHARED = (  # options that a teacher has from the run that it teaches
    "data.path data.column data.count data.encoding data.splits data.split_seed data.lowercase "
    "data.strip data.url trainer.accelerator trainer.devices trainer.limit_val_batches "
    "resume_override max_requeues"
).split()
SWITCHED_OFF = ("trainer.enable_progress_bar", "trainer.logger")  # these, if they are
ALONE = (
    "--data.teachers [] --trainer.num_nodes 1 --trainer.strategy auto --diagnostics.enabled false "
    "--trainer.enable_checkpointing true"
).split()
ON_ALL_WORDS = (  # the mixture trains nothing; it is added afterwards
    "--data.splits [1,0,0] --trainer.limit_val_batches 0 --trainer.logger false "
    "--trainer.max_epochs -1 --trainer.max_time null --model.count_mixture false "
    "--diagnostics.enabled false"
).split()


def is_config(teacher: str) -> bool:
    return Path(teacher).suffix in (".yaml", ".yml")


def train_teachers(cli: MakemoreCLI, folder: RunFolder, train: Train) -> tuple[str | Teacher, ...]:
    """Trains each configuration among data.teachers, in teachers/1, 2 … of the run folder.

    Returns these with their last weights, as held-out words choose the best; of others the file.
    """
    teachers = [str(files.find(teacher)) for teacher in cli.datamodule.teachers]
    if not any(map(is_config, teachers)):
        return tuple(teachers)
    remedy = "train them first, and give their checkpoints to --data.teachers"
    refuse([(cli.trainer.world_size > 1, f"several processes cannot train teachers; {remedy}")])
    # everything that can be refused is refused now, and not after minutes of training
    check_fit(cli.model, cli.trainer, cli.datamodule)
    for teacher in teachers:
        if not is_config(teacher):
            cli.datamodule.load_teacher(teacher)
        elif not Path(teacher).is_file():
            raise FileNotFoundError(f"there is no teacher at {Path(teacher).absolute()}")
    path, trained = folder.open(), list[str | Teacher](teachers)
    files.write_text(path / "config.yaml", cli.dump())
    for i, teacher in enumerate(teachers):
        if is_config(teacher):
            trained[i] = _train_teacher(cli, teacher, path / "teachers" / str(i + 1), train)
            gc.collect()  # else its Trainer and its words would stay in memory
    return tuple(trained)


def _train_teacher(cli: MakemoreCLI, config: str, run: Path, train: Train) -> str | Teacher:
    """One teacher; the checkpoint, if an earlier, stopped run or one of a sweep has trained it."""
    number, whole = run.name, run.parent.parent
    say(f"teacher {number}: {config}")
    threads_of_ours, device = torch.get_num_threads(), cli.trainer.strategy.root_device
    # the random state of the run that it teaches must not change
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            one = MakemoreCLI("fit", _teacher_options(cli.config, config, number))
            if cli.common:  # equal teachers of a sweep are one; who comes later waits for it
                options = one.dump().encode(errors="replace")
                run = cli.common / hashlib.sha256(options).hexdigest()[:12] / number
            run.parent.mkdir(parents=True, exist_ok=True)
            with alone(run.parent):
                trained = cli.common and is_finished(run)
                reached = None if trained else _train_inside(one, run, whole, train)
        except FAILURES as error:
            raise ValueError(f"{config}: {error}") from error
    threads.use(threads_of_ours)
    if reached is None:
        return str(run / "checkpoints" / "last.ckpt")
    val = reached[0].final["val"]
    say(f"teacher {number}: " + ("val unknown" if val is None else f"val {val:.4f}"))
    return Teacher(one.model.net.cpu().eval(), one.datamodule.block_size)


def _teacher_options(ours: Any, config: str, number: str) -> list[str]:
    """The command line of a teacher: its configuration, on the words and devices of this run."""
    defaults = {key: ours[key] for key in ("data.block_size", "model.engine")}
    given = {key: ours[key] for key in SHARED}
    given |= {key: ours[key] for key in SWITCHED_OFF if ours[key] is False}
    given |= {"threads": ours.threads} if ours.threads else {}
    given["seed_everything"] = (1000 * ours.seed_everything + int(number)) % 2**32
    before, after = ([f"--{k}={typed(v)}" for k, v in o.items()] for o in (defaults, given))
    return [*before, "--config", config, *after, *ALONE]


def train_on_all_words(folder: Path, train: Train) -> Path:
    """Trains the network of a finished run once more, on all words; returns its checkpoint.

    What val words have chosen stays: how many updates are best, and the mixture but for its counts.
    """
    best = folder / "checkpoints" / "best.ckpt"
    if not best.exists():  # nothing was validated
        best = best.with_name("last.ckpt")
    entries, run = read(best), folder / "all_words"
    say(f"once more, on all words, until update {entries['global_step']:,}")
    options = ["--config", str(folder / "config.yaml"), *ON_ALL_WORDS]
    one = MakemoreCLI("fit", [*options, "--trainer.max_steps", str(entries["global_step"])])
    _train_inside(one, run, folder, train)
    model = load(run / "checkpoints" / "last.ckpt")
    model.mixture = load(best).mixture
    if model.mixture is not None:
        chosen = model.mixture.counts
        data = NamesDataModule(**{**one.config.data, "block_size": chosen.order})
        data.setup("test")
        model.mixture.counts = data.best_counts
        model.mixture.counts.discount = chosen.discount
    state = {f"{PREFIX}{name}": value for name, value in model.state_dict().items()}
    ours = {KEY: model.described(entries[KEY]["engine"]), "state_dict": state}
    path = best.with_name("all_words.ckpt")
    write({**entries, **ours, "optimizer_states": None}, path)  # no run can go on from there
    summary = json.loads((folder / "summary.json").read_text("utf-8")) | {"trained_on": "all"}
    files.write_text(folder / "summary.json", json.dumps(summary, indent=2) + "\n")
    return path


def _train_inside(one: MakemoreCLI, run: Path, whole: Path, train: Train) -> Any:
    """Trains `one` in the folder `run`, or goes on there; a signal stops the run `whole`."""
    ours, resume = one.config, "auto" if run.exists() else "false"  # auto would speak of a new run
    ours.runs_dir, ours.name, ours.resume, ours.all_words = str(run.parent), run.name, resume, False
    try:
        return train(one, perf_counter())
    except Stopped as stopped:
        line = f"{run} was stopped; continue the whole run with fit --resume"
        raise Stopped(stopped.signum, f"{line} {shlex.quote(str(whole))}") from stopped
