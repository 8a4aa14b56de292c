from io import BytesIO
from types import SimpleNamespace

from lightning.pytorch.loggers import Logger
from PIL import Image

from lit_makemore.diagnostics import events


class Taking(Logger):
    """A logger that takes pictures and texts, as WandbLogger does."""

    name, version = "taking", 0

    def __init__(self) -> None:
        super().__init__()
        self.taken = {}

    def log_hyperparams(self, *args, **kwargs) -> None:
        pass

    def log_metrics(self, metrics, step=None) -> None:
        self.taken |= {(tag, step): value for tag, value in metrics.items()}

    def log_image(self, key, images, step=None) -> None:
        self.taken[key, step] = images[0].size

    def log_text(self, key, columns, data, step=None) -> None:
        self.taken[key, step] = data[0][0]


def test_pictures_and_texts_go_to_every_logger_that_takes_them():
    png = BytesIO()
    Image.new("RGB", (4, 3)).save(png, "PNG")
    logger = Taking()
    with_loggers = SimpleNamespace(is_global_zero=True, loggers=[logger])
    events.write(
        with_loggers, 7, {"a": 1.0}, pictures={"b": (3, 4, png.getvalue())}, texts={"c": "hello"}
    )
    assert logger.taken == {("a", 7): 1.0, ("b", 7): (4, 3), ("c", 7): "hello"}
