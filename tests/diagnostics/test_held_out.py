import lightning.pytorch as pl
import pytest
import torch

from lit_makemore.diagnostics.held_out import HeldOutMonitor
from lit_makemore.diagnostics.monitor import due_update
from lit_makemore.network.mlp import cross_entropy
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.module import LitMLP
from tests.training.test_module import trainer


class Recorder(pl.Callback):
    takes_groups = True

    def __init__(self) -> None:
        self.figures: dict[int, dict[str, float]] = {}

    def on_train_batch_end(self, trainer, *args) -> None:
        if found := due_update(trainer, trainer.global_step).figures:
            self.figures[trainer.global_step] = dict(found)


def fit(word_list, monitor):
    torch.manual_seed(1)
    data = NamesDataModule(str(word_list), batch_size=16)
    model = LitMLP(data.chars, 3, n_hidden=8, n_layer=2, dropout=0.5)
    recorder = Recorder()
    trainer(20, callbacks=[monitor, recorder]).fit(model, data)
    return model, data, recorder.figures


def test_it_measures_both_splits_in_evaluation_mode(word_list):
    model, data, figures = fit(word_list, HeldOutMonitor(10))
    assert list(figures) == [1, 10, 20]
    model.net.eval()
    for name in ("train", "val"):
        windows = data.splits[name].windows
        x, y = windows[torch.arange(len(windows))]
        expected = cross_entropy(model.net(x), y).item()
        assert figures[20][f"held_out/{name}"] == pytest.approx(expected, abs=1e-5)


def test_it_keeps_the_lowest_val_loss_also_in_a_checkpoint(word_list):
    monitor, resumed = HeldOutMonitor(10), HeldOutMonitor(10)
    _, _, figures = fit(word_list, monitor)
    least = min(figures, key=lambda step: figures[step]["held_out/val"])
    lowest = figures[20]["held_out/lowest"], figures[20]["held_out/lowest_step"]
    assert lowest == (figures[least]["held_out/val"], least)
    resumed.load_state_dict(monitor.state_dict())
    assert resumed.lowest == lowest
