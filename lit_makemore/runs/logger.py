"""The TensorBoard logger of a run."""

from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.tensorboard.summary import hparams as hparams_summaries

from lit_makemore.runs.folder import RunFolder


class RunLogger(TensorBoardLogger):
    """Writes event files into the run folder itself, and no hparams.yaml: config.yaml has the same.

    Writes nothing before `start`: a fit that is refused must not touch the curves of its run.

    Args:
        folder: the run folder, which may be opened later.
        purge_step: hides what was logged from this step on, before a resume.
    """

    def __init__(self, folder: RunFolder, purge_step: int | None = None) -> None:
        super().__init__("", name="", version="", default_hp_metric=False, purge_step=purge_step)
        self._folder, self._started = folder, False

    def start(self) -> None:
        """From here on it writes."""
        self._started = True

    @property
    def experiment(self) -> Any:
        """The SummaryWriter on the first process; None before `start`."""
        return super().experiment if self._started else None

    @property
    def save_dir(self) -> str:
        return str(self._folder.path or "")  # the Trainer's profiler asks before it is opened

    @property
    def root_dir(self) -> str:
        return self.save_dir

    @property
    def log_dir(self) -> str:
        return self.save_dir

    def save(self) -> None:
        if self._started:
            self.experiment.flush()

    def log_hyperparams(self, params: Any, metrics: Any = None, step: int | None = None) -> None:
        """Enters the run in TensorBoard's HParams page, with val/loss as its metric."""
        for summary in hparams_summaries(params, {"val/loss": None}):
            self.experiment.file_writer.add_summary(summary)


def settings_of(hparams: Any, batch_size: int) -> dict[str, Any]:
    """The hyper-parameters of LitMLP as one flat table of plain values, without the vocabulary."""
    settings = {**hparams, "batch_size": batch_size}
    del settings["chars"]
    settings.update({f"init.{key}": value for key, value in settings.pop("init").items()})
    return {k: v if isinstance(v, int | float | str) else str(v) for k, v in settings.items()}
