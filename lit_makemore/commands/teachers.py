"""The teachers of a run: each is a run of its own, in a folder inside the run's."""

import gc
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
import yaml
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lit_makemore import files
from lit_makemore.commands import threads
from lit_makemore.commands.lightning_cli import MakemoreCLI
from lit_makemore.commands.output import say
from lit_makemore.counts.targets import Teacher
from lit_makemore.files import write_text
from lit_makemore.runs.folder import RunFolder
from lit_makemore.training.option_conflicts import check_fit

Train = Callable[[MakemoreCLI, float], Any]


def train_teachers(cli: MakemoreCLI, folder: RunFolder, train: Train) -> tuple[str | Teacher, ...]:
    """Trains each configuration among data.teachers, in teachers/1, 2 … of the run folder.

    Args:
        cli: the options of the run that is taught.
        folder: its run folder.
        train: what trains a teacher: fit.train.

    Returns:
        All teachers: what was trained here, with its last weights (the best ones would be chosen by
        words that are held out); of others the checkpoint.
    """
    teachers = [str(files.find(teacher)) for teacher in cli.datamodule.teachers]
    if not any(map(is_config, teachers)):
        return tuple(teachers)
    if cli.trainer.world_size > 1:
        raise ValueError(
            "several processes cannot train teachers; train them first, and give their checkpoints "
            "to --data.teachers"
        )
    # Everything that can be refused is refused now, and not after minutes of training.
    check_fit(cli.model.hparams, cli.trainer, cli.datamodule)
    for teacher in teachers:
        if not is_config(teacher):
            cli.datamodule.load_teacher(teacher)
        elif not Path(teacher).is_file():
            raise FileNotFoundError(f"there is no teacher at {Path(teacher).absolute()}")
    path = folder.open()
    write_text(path / "config.yaml", cli.dump())
    trained: list[str | Teacher] = list(teachers)
    for i, teacher in enumerate(teachers):
        if is_config(teacher):
            trained[i] = _train_teacher(cli, teacher, path / "teachers" / str(i + 1), train)
            gc.collect()  # else its Trainer and its words would stay in memory
    return tuple(trained)


def is_config(teacher: str) -> bool:
    """Whether an entry of data.teachers is a configuration, not a checkpoint."""
    return Path(teacher).suffix in (".yaml", ".yml")


def _train_teacher(cli: MakemoreCLI, config: str, run: Path, train: Train) -> str | Teacher:
    """One teacher; the checkpoint, if an earlier, stopped run has trained it."""
    say(f"teacher {run.name}: {config}")
    threads_of_ours = torch.get_num_threads()
    device = cli.trainer.strategy.root_device
    # the random state of the run that it teaches must not change
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            one = MakemoreCLI("fit", _teacher_options(cli.config, config, run), [config])
            reached = train(one, perf_counter())
        except (ValueError, OSError, MisconfigurationException) as error:
            raise ValueError(f"{config}: {error}") from error
    threads.use(threads_of_ours)
    if reached is None:
        return str(run / "checkpoints" / "last.ckpt")
    val = reached[0].final["val"]
    say(f"teacher {run.name}: " + ("val unknown" if val is None else f"val {val:.4f}"))
    return Teacher(one.model.net.cpu().eval(), one.datamodule.block_size)


def _teacher_options(ours: Any, config: str, run: Path) -> dict[str, Any]:
    """The options of a teacher: its configuration, on the words and devices of this run."""
    try:
        options = yaml.safe_load(Path(config).read_text(encoding="utf-8"))
        data, model, trainer = (dict(options.get(n) or {}) for n in ("data", "model", "trainer"))
    except (yaml.YAMLError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"this is not a configuration: {error}") from error
    words = ("path", "column", "splits", "split_seed", "lowercase", "strip", "url")
    data.update({key: ours.data[key] for key in words}, teachers=[])
    data.setdefault("block_size", ours.data.block_size)
    model.setdefault("engine", ours.model.engine)
    trainer.update({key: ours.trainer[key] for key in ("accelerator", "devices")})
    trainer.update(num_nodes=1, strategy="auto", enable_checkpointing=True)
    silent = [key for key in ("enable_progress_bar", "logger") if ours.trainer[key] is False]
    options.update(
        data=data,
        model=model,
        trainer=trainer | dict.fromkeys(silent, False),
        runs_dir=str(run.parent),
        name=run.name,
        resume="auto" if run.exists() else "false",  # auto would say that it begins a new run
        seed_everything=(1000 * ours.seed_everything + int(run.name)) % 2**32,
        diagnostics={"enabled": False},
        **{key: ours[key] for key in ("resume_override", "max_requeues")},
    )
    return options if ours.threads is None else {**options, "threads": ours.threads}
