import json

import pytest
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lit_makemore.diagnostics.monitor import Monitor
from lit_makemore.diagnostics.tensorboard import draw
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.module import LitMLP
from tests.training.test_module import trainer


def points(folder, tag):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return [(point.step, point.value) for point in events.Scalars(tag)]


@pytest.mark.parametrize(
    ("limits", "end"), [({"max_steps": 30}, 30), ({"max_steps": -1, "max_epochs": 3}, 24)]
)
def test_counting_and_the_rule_of_thumb_are_level_lines(word_list, tmp_path, limits, end):
    data = NamesDataModule(str(word_list), batch_size=16)
    model = LitMLP(data.chars, 3, n_hidden=8, n_layer=1, engine="autograd")
    logger = TensorBoardLogger(tmp_path, name="", version="run")
    arguments = {"val_check_interval": 10, "logger": logger, "log_every_n_steps": 5, **limits}
    runner = trainer(30, callbacks=[Monitor()], **arguments)
    runner.fit(model, data)
    (guide,) = (tmp_path / "guides").iterdir()
    assert guide.name.startswith("words-")
    levels = {"update_ratio/hidden1/linear/weight": -3.0}
    levels["val/loss"] = data.baselines["kneser_ney"]["val"]
    levels |= {f"counting/{name}": losses["val"] for name, losses in data.baselines.items()}
    for tag, level in levels.items():
        steps, values = zip(*points(guide, tag), strict=True)
        assert (steps[0], steps[-1]) == (0, end)
        assert list(values) == pytest.approx([level] * len(values))


def test_runs_share_lines_and_a_longer_or_deeper_one_adds_what_is_missing(tmp_path):
    draw(tmp_path, {"loss": 2.0, "hidden1": -3.0}, 100)
    draw(tmp_path, {"loss": 2.0, "hidden1": -3.0}, 50)
    assert len(list(tmp_path.glob("events.*"))) == 1
    draw(tmp_path, {"loss": 2.0, "hidden1": -3.0, "hidden2": -3.0}, 200)
    draw(tmp_path, {"loss": 2.0, "hidden2": -3.0}, 200)
    assert len(list(tmp_path.glob("events.*"))) == 2
    for tag, level in (("loss", 2.0), ("hidden1", -3.0), ("hidden2", -3.0)):
        steps, values = zip(*points(tmp_path, tag), strict=True)
        assert list(steps) == sorted(steps)  # TensorBoard forgets what a step back overtakes
        assert (steps[0], steps[-1]) == (0, 200)
        assert set(values) == {level}
    assert json.loads((tmp_path / "lines.json").read_text()) == {
        "loss": 200, "hidden1": 200, "hidden2": 200,
    }  # fmt: skip
