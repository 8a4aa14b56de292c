import pytest
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lit_makemore.diagnostics.reference_lines import SHOWN, ReferenceLines
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.module import LitMLP
from tests.training.test_module import trainer


@pytest.mark.parametrize(
    ("limits", "steps"),
    [
        ({"max_steps": 30}, [0, 30]),
        ({"max_steps": -1, "max_epochs": 3}, [0, 24]),
    ],
)
def test_a_guide_is_a_level_line_from_the_start_to_the_end(word_list, tmp_path, limits, steps):
    data = NamesDataModule(str(word_list), batch_size=16)
    model = LitMLP(data.chars, 3, n_hidden=8, n_layer=1, engine="eager")
    logger = TensorBoardLogger(tmp_path, name="", version="")
    arguments = {"val_check_interval": 10, "logger": logger, "log_every_n_steps": 5, **limits}
    runner = trainer(30, callbacks=[ReferenceLines()], **arguments)
    runner.fit(model, data)
    for name in SHOWN:
        events = EventAccumulator(str(tmp_path / "guides" / name)).Reload()
        for split in ("train", "val"):
            points = events.Scalars(f"{split}/loss")
            assert sorted(point.step for point in points) == steps
            level = pytest.approx(data.baselines[name][split])
            assert all(point.value == level for point in points)
