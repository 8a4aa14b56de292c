"""The option group `diagnostics`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bands:
    """Where each figure is healthy.

    Args:
        initial_loss: largest healthy loss before the first update, in nats above ln V.
        loss: largest healthy loss later, in nats above ln V.
        saturation: largest healthy share of saturated values in a layer, in %, early in the run.
        dead: largest healthy share of dead units in a layer, in %, early in the run.
        depth: smallest healthy ratio of the smallest to the largest standard deviation of the
            layers' activations, before the first update.
        gradient: largest healthy ratio of the largest to the smallest standard deviation of the
            activations' gradients, before the first update.
        update_ratio: healthy range of log10 of change over weight, for hidden weights, while lr
            is at least half of its peak.
        batch_norm: largest healthy distance of the minibatch's mean from the running mean, in
            running standard deviations.
        overfit: largest healthy rise of the val loss above its lowest, in nats; it counts only as
            far as train is below that lowest.
        baseline: smallest healthy distance of the val loss below that of counting single
            characters (unigram), in nats.
        memorised: largest healthy share of the samples that are training words, in %, beyond what
            is natural for the list.
    """

    initial_loss: float = 0.8
    loss: float = 1.0
    saturation: float = 30.0
    dead: float = 25.0
    depth: float = 0.7
    gradient: float = 20.0
    update_ratio: tuple[float, float] = (-4.0, -1.5)
    batch_norm: float = 1.0
    overfit: float = 0.2
    baseline: float = 0.01
    memorised: float = 25.0


@dataclass(frozen=True)
class Diagnostics:
    """What the monitor writes while the network trains, for TensorBoard and the closing table.

    Args:
        enabled: false switches the monitor off.
        every_n_steps: updates between two probes; null: a fiftieth of the run, at least 50.
        pictures: whether to draw the lecture's pictures.
        all_figures: whether TensorBoard shows every figure of every layer, or a choice of about 40.
        fail_on: checks that stop the run when they fail, separated by commas; nan,initial_loss
            for example.
        bands: the healthy range of each figure.
    """

    enabled: bool = True
    every_n_steps: int | None = None
    pictures: bool = True
    all_figures: bool = False
    fail_on: str = ""
    bands: Bands = Bands()

    def __post_init__(self) -> None:
        if self.every_n_steps is not None and self.every_n_steps < 1:
            raise ValueError(
                f"--diagnostics.every_n_steps must be at least 1, not {self.every_n_steps}"
            )
