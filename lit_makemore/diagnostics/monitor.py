"""When an observer looks."""

import lightning.pytorch as pl


class Observer(pl.Callback):
    """A callback that looks at every n-th update and at a few early ones (observation.is_due).

    Args:
        every_n_steps: updates between two looks; None gives 50 looks at a run, but none within 50
            updates.

    Attribute observes_every, set when a fit is set up, is the interval in use; fused steps make a
    group of such an update.
    """

    def __init__(self, every_n_steps: int | None = None) -> None:
        self.every_n_steps = every_n_steps

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        chosen = max(trainer.max_steps // 50, 50) if trainer.max_steps > 0 else 1000
        self.observes_every = chosen if self.every_n_steps is None else self.every_n_steps
