"""`exercise mystery`: a network of docs/verdicts.md is trained, and the reader says what it has."""

from itertools import product
from math import nan
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import lightning.pytorch as pl

from lit_makemore.commands.exercises.judging import texts
from lit_makemore.commands.lightning_cli import MakemoreCLI
from lit_makemore.commands.quiet import quiet_lightning
from lit_makemore.diagnostics.checks import Verdict
from lit_makemore.diagnostics.monitor import Monitor
from lit_makemore.diagnostics.progress import ProgressLine
from lit_makemore.diagnostics.tensorboard import CardLogger, Events, write
from lit_makemore.files import find, write_text
from lit_makemore.runs.stopping import Diverged, StopOnNaN


class Silent(Monitor):
    """A monitor that keeps its verdicts to itself."""

    def _report(self, trainer: pl.Trainer, verdicts: list[Verdict], events: Events) -> None:
        self.health.add(verdicts)
        write(trainer, trainer.global_step, events)


def networks() -> Any:
    """The networks of docs/verdicts.md that are trained for it."""
    return texts("mystery")["networks"]


def write_lists(folder: Path) -> None:
    """Writes the word lists that some of them are trained on, LIST.<name>."""
    random, names = Random(1), find("data/names_small.txt").read_text("utf-8").split()
    syllables = ["".join(pair) for pair in product("bdfgklmnprstvz", "aeiou")]
    invented = {"".join(random.choices(syllables, k=random.randint(2, 4))) for _ in range(60)}
    numbers = random.sample([f"{i:03}" for i in range(1000)], 900)
    few, many = random.sample(names, 300), random.sample(names, 2000)
    found = {"invented": sorted(invented), "few": few, "numbers": numbers, "repeated": many * 10}
    for name, words in found.items():
        write_text(folder / f"LIST.{name}", "\n".join(words) + "\n")


def mystery(seed: int | None, answer: str | None, hint: bool) -> bool | None:
    """Trains a network in runs/mystery-SEED, or judges an answer; None without one."""
    if seed is None:
        raise ValueError("which network? any number will do: exercise mystery --seed 7")
    folder, network = Path("runs", f"mystery-{seed}"), Random(seed).choice(networks())
    answers = sorted({one.get("answer", "healthy") for one in networks()})
    if answer not in (None, *answers):
        raise ValueError(f"--answer is one of: {', '.join(answers)}; not {answer!r}")
    sealed = folder / ".answer"  # hidden, so that nobody reads it by accident
    if not sealed.exists():
        write_text(sealed, "\n".join(_train(network, folder)))
    if answer is None:
        print(f"look at it with: tensorboard --logdir {folder.parent}")
        print(f"what is the matter with it? Add --answer, with one of: {', '.join(answers)}")
        return None
    check, says = sealed.read_text("utf-8").splitlines()
    right, card = answer == network.get("answer", "healthy"), texts("mystery")["cards"][check]
    if right:
        print(f"right  {answer} ({network['name']}: {network['what']})\nseen   {card}: {says}")
    else:
        print(f"wrong  it is something else than {answer!r}\nwhy    {card} says so")
        print(f"hint   {says}" if hint else "next   --hint says what is to be seen there")
    return right


def _train(network: dict[str, Any], folder: Path) -> tuple[str, str]:
    """The check that tells what is the matter, and what it says."""
    with TemporaryDirectory() as lists, quiet_lightning():
        write_lists(Path(lists))
        options = network["options"].replace("LIST", f"{lists}/LIST").split()
        cli = MakemoreCLI("fit", [*options, "--threads", "1"])
        monitor = Silent(cli.config.diagnostics)
        logger = CardLogger(folder.parent, name=folder.name, version="", default_hp_metric=False)
        logger.n_layer = cli.config.model.n_layer
        callbacks = [monitor, ProgressLine(), StopOnNaN()]
        cli.build(callbacks=callbacks, logger=logger, enable_checkpointing=False)
        try:
            cli.trainer.fit(cli.model, cli.datamodule)
        except Diverged as error:
            says = str(error).partition(";")[0].partition(". Try")[0]
            print(says)
            return "nan", says
        finally:
            logger.experiment.close()
    val = float(cli.trainer.callback_metrics.get("val/loss", nan))
    verdicts = monitor.close(cli.trainer, cli.model.model.eval(), val).verdicts
    for check in network.get("fails", "").split():
        if check in verdicts and not verdicts[check].healthy:
            return check, f"at update {verdicts[check].step:,}, {verdicts[check].text}"
    return "none", "no figure is outside its band"
