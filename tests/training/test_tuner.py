"""What Lightning's Tuner sets counts, also with a Trainer that is not the command line's."""

import lightning.pytorch as pl
import pytest
from lightning.pytorch.tuner import Tuner

from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.module import LitMLP
from tests.fits import trainer

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice


class Seen(pl.Callback):
    """The rows of each minibatch and the rate of its update."""

    def __init__(self) -> None:
        self.rows: set[int] = set()
        self.rates: set[float] = set()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.rows.add(len(batch[0]))
        self.rates.add(trainer.optimizers[0].param_groups[0]["lr"])


@pytest.fixture
def parts(word_list, tmp_path):
    data = NamesDataModule(str(word_list), batch_size=16)
    model = LitMLP(data.chars, 3, n_hidden=10, n_layer=1, engine="autograd")
    arguments = {"default_root_dir": tmp_path, "use_distributed_sampler": False}
    return trainer(20, callbacks=[seen := Seen()], **arguments), model, data, seen


def test_the_rate_that_it_finds_is_the_rate_of_the_fit(parts):
    trainer, model, data, seen = parts
    found = Tuner(trainer).lr_find(model, datamodule=data, num_training=30).suggestion()
    seen.rates.clear()
    trainer.fit(model, data)
    assert seen.rates == {found}
    assert found != 0.1


@pytest.mark.slow
def test_the_size_that_it_finds_is_the_size_of_the_fit(parts):
    trainer, model, data, seen = parts
    size = Tuner(trainer).scale_batch_size(model, datamodule=data, max_trials=3, steps_per_trial=2)
    seen.rows.clear()
    trainer.fit(model, data)
    assert seen.rows == {size} == {data.batch_size} == {8}
