"""What a fit does once, and what it does in any order."""

import random

import pytest
import torch
import yaml

from lit_makemore import model as checkpoint
from lit_makemore.cli import main
from lit_makemore.commands import lightning_cli
from lit_makemore.commands.lightning_cli import MakemoreCLI
from lit_makemore.runs.stopping import StopOnSignal
from lit_makemore.training import recipe
from lit_makemore.words import corpus
from tests.conftest import ROOT
from tests.same_run import differences, same


@pytest.fixture
def counted(monkeypatch):
    """Counts the calls of a function, by the name that is given to it."""
    calls: dict[str, int] = {}

    def count(name: str, owner: object, attribute: str) -> None:
        function = getattr(owner, attribute)

        def counting(*args, **kwargs):
            calls[name] = calls.get(name, 0) + 1
            return function(*args, **kwargs)

        monkeypatch.setattr(owner, attribute, counting)

    count.calls = calls
    return count


@pytest.mark.slow
def test_the_list_is_read_once_and_a_checkpoint_only_for_the_best_weights(
    tmp_path, counted, monkeypatch
):
    """Four teachers and a network: five Trainers."""
    words = (ROOT / "data" / "names_small.txt").read_text().split()[:300]
    (tmp_path / "words.txt").write_text("\n".join(words) + "\n")
    monkeypatch.setattr(recipe, "UPDATES", (10, 20))
    counted("lists", corpus, "Corpus")
    counted("Trainers", MakemoreCLI, "_trainer")
    counted("checkpoints", torch, "load")
    arguments = ["--config", "configs/words.yaml", "--data.path", str(tmp_path / "words.txt")]
    arguments += ["--model.schedule", "step", "--diagnostics.enabled", "false"]
    arguments += ["--model.lr_milestones", "[30]", "--model.lr_gamma", "300"]  # then it gets worse
    arguments += ["--name", "run", "--runs_dir", str(tmp_path), "--trainer.accelerator", "cpu"]
    assert main(["fit", *arguments]) == 0
    assert counted.calls == {"lists": 1, "Trainers": 5, "checkpoints": 1}
    assert checkpoint.read(tmp_path / "run" / "checkpoints" / "best.ckpt")["global_step"] < 40


@pytest.fixture
def fit(tmp_path, word_list):
    config = {
        "data": {"path": str(word_list), "batch_size": 16, "sampling": "shuffled"},
        "model": {"n_hidden": 8, "n_layer": 1, "dropout": 0.2, "lr": 0.01, "optimizer": "adamw"},
        "trainer": {"max_steps": 30, "val_check_interval": 7, "log_every_n_steps": 5},
        "diagnostics": {"enabled": False},
        "threads": 1,
    }
    (tmp_path / "tiny.yaml").write_text(yaml.dump(config))
    usual = ["fit", "--config", str(tmp_path / "tiny.yaml"), "--runs_dir", str(tmp_path)]
    return lambda name, *more: main([*usual, "--name", name, "--trainer.accelerator", "cpu", *more])


AVERAGED = ["--trainer.callbacks+=lightning.pytorch.callbacks.EMAWeightAveraging"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "more", [["--model.count_mixture=true"], AVERAGED], ids=["native", "averaged"]
)
def test_callbacks_may_stand_in_any_order(tmp_path, fit, monkeypatch, more):
    """The same files and bits, also of a run that was stopped in its middle."""
    joined, end = lightning_cli._joined, StopOnSignal.on_train_batch_end
    orders = []

    def shuffled(*args):
        callbacks = joined(*args)[::-1]  # the user's own before ours
        if len(orders) < 3:
            callbacks.sort(key=lambda one: type(one).__name__)
            random.Random(len(orders)).shuffle(callbacks)
        orders.append([type(one).__name__ for one in callbacks])
        return callbacks

    def stop(self, trainer, *args):
        if trainer.global_step >= 17:
            raise ValueError("stopped")
        end(self, trainer, *args)

    assert fit("whole", *more) == 0
    monkeypatch.setattr(lightning_cli, "_joined", shuffled)
    monkeypatch.setattr("lit_makemore.commands.fit.SAVE_EVERY_N_STEPS", 3)
    monkeypatch.setattr("lit_makemore.commands.fit.SAVE_SECONDS", 0.0)
    for name in ("one", "two"):
        with monkeypatch.context() as patch:
            patch.setattr(StopOnSignal, "on_train_batch_end", stop)
            assert fit(name, *more) == 1
        assert fit(name, *more, "--resume", "true") == 0
        assert differences(tmp_path / name, tmp_path / "whole") == []
        files = [
            {path.name.partition(".tfevents")[0] for path in (tmp_path / run).rglob("*")}
            for run in (name, "whole")
        ]
        assert files[0] == files[1]
        trained = [
            checkpoint.read(tmp_path / run / "checkpoints" / "last.ckpt").get("current_model_state")
            for run in (name, "whole")
        ]
        assert same(*trained)
    assert len({*map(tuple, orders)}) == 4
