"""A group of eager steps has the bits of Lightning's automatic optimization."""

import lightning.pytorch as pl
import pytest
import torch

from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.module import LitMLP
from tests.training.test_module import trainer


class OneByOne(pl.Callback):
    """Needs every minibatch, so it excludes groups."""

    def on_train_batch_end(self, *args) -> None:
        pass


def fit(word_list, callbacks, model_arguments, trainer_arguments):
    torch.manual_seed(1)
    data = NamesDataModule(str(word_list), batch_size=16)
    model = LitMLP(data.chars, 3, n_hidden=8, n_layer=2, engine="eager", **model_arguments)
    runner = trainer(40, callbacks=callbacks, **trainer_arguments)
    runner.fit(model, data)
    return model


@pytest.mark.parametrize(
    ("model_arguments", "trainer_arguments"),
    [
        ({"dropout": 0.2, "lr_milestones": (20,)}, {}),
        ({"optimizer": "adamw", "lr": 0.01, "weight_decay": 0.1, "schedule": "one_cycle"}, {}),
        ({}, {"gradient_clip_val": 0.1}),
        ({}, {"gradient_clip_val": 0.01, "gradient_clip_algorithm": "value"}),
        ({}, {"precision": "bf16-mixed"}),
        ({"optimizer": "adamw", "lr": 0.01}, {"precision": "bf16-mixed", "gradient_clip_val": 0.1}),
        ({}, {"precision": "64-true"}),
        ({"backward": "manual"}, {}),
        ({}, {"detect_anomaly": True}),
    ],
)
def test_groups_change_no_bit(word_list, model_arguments, trainer_arguments):
    together = fit(word_list, [], model_arguments, trainer_arguments)
    alone = fit(word_list, [OneByOne()], model_arguments, trainer_arguments)
    assert not together.automatic_optimization
    assert alone.automatic_optimization
    for name, tensor in alone.state_dict().items():
        assert torch.equal(together.state_dict()[name], tensor), name
