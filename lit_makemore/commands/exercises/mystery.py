"""`exercise mystery`: a network of docs/verdicts.md is trained, and the reader says what it has."""

import json
from base64 import b64decode, b64encode
from itertools import product
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import lightning.pytorch as pl
import yaml

from lit_makemore.commands.exercises.judging import texts
from lit_makemore.commands.lightning_cli import MakemoreCLI
from lit_makemore.commands.output import program
from lit_makemore.commands.quiet import quiet_lightning
from lit_makemore.diagnostics.checks import Verdict
from lit_makemore.diagnostics.monitor import Monitor
from lit_makemore.diagnostics.progress import ProgressLine
from lit_makemore.diagnostics.tensorboard import CardLogger, Events, write
from lit_makemore.files import find, write_text
from lit_makemore.runs.stopping import Diverged, StopOnNaN

HEALTHY = "healthy"


class Silent(Monitor):
    """A monitor that keeps its verdicts to itself."""

    def _report(self, trainer: pl.Trainer, verdicts: list[Verdict], events: Events) -> None:
        self.health.add(verdicts)
        write(trainer, trainer.global_step, events)


def networks() -> list[dict[str, Any]]:
    """The networks of docs/verdicts.md that are trained for it."""
    text = Path(__file__).with_name("networks.yaml").read_text("utf-8")
    rows: list[dict[str, Any]] = yaml.safe_load(text)
    return rows


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
    answers = sorted({one.get("answer", HEALTHY) for one in networks()})
    if answer is not None and answer not in answers:
        raise ValueError(f"--answer is one of: {', '.join(answers)}; not {answer!r}")
    sealed = folder / ".answer"  # so that nobody reads it by accident
    if not sealed.exists():
        if answer is not None:
            raise ValueError(f"{folder} is not there yet: exercise mystery --seed {seed} trains it")
        with TemporaryDirectory() as lists:
            write_lists(Path(lists))
            options = network["options"].replace("LIST", f"{lists}/LIST").split()
            check, says = _train(network, options, folder)
        write_text(sealed, b64encode(json.dumps([check, says]).encode()).decode())
    if answer is None:
        print(f"look at it with: tensorboard --logdir {folder.parent}")
        print(f"what is the matter with it? One of: {', '.join(answers)}")
        print(f'{program()} exercise mystery --seed {seed} --answer "{answers[0]}"')
        return None
    check, says = json.loads(b64decode(sealed.read_text()))
    right = answer == network.get("answer", HEALTHY)
    card = texts("mystery")["cards"][check]
    if right:
        print(f"right  {answer} ({network['name']}: {network['what']})\nseen   {card}: {says}")
    else:
        print(f"wrong  it is something else than {answer!r}\nwhy    {card} says so")
        print(f"hint   {says}" if hint else "next   --hint says what is to be seen there")
    return right


def _train(network: dict[str, Any], options: list[str], folder: Path) -> tuple[str, str]:
    """The check that tells what is the matter, and what it says."""
    with quiet_lightning():
        cli = MakemoreCLI("fit", [*options, "--threads", "1"])
        monitor = Silent(cli.config.diagnostics)
        logger = CardLogger(folder.parent, name=folder.name, version="", default_hp_metric=False)
        logger.n_layer = cli.config.model.get("n_layer", 5)
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
    val = cli.trainer.callback_metrics.get("val/loss")
    health = monitor.close(cli.trainer, cli.model.model.eval(), None if val is None else float(val))
    for check in network.get("fails", "").split():
        verdict = health.verdicts.get(check)
        if verdict and not verdict.healthy:
            return check, f"at update {verdict.step:,}, {verdict.text}"
    return "none", "no figure is outside its band"
