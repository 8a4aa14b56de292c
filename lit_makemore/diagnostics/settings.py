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
        depth: smallest healthy ratio of the layers' smallest to largest spread, at the start.
        gradient: largest healthy ratio of the layers' largest to smallest gradient, at the start.
        update_ratio: healthy log10 of change over hidden weight, while lr is near its peak.
        batch_norm: largest healthy distance of the batch mean from the running one, in running σ.
        overfit: largest healthy rise of val above its lowest, unless train is as near, in nats.
        baseline: smallest healthy distance of val below counting single characters, in nats.
        memorised: largest healthy share of training words in samples, in %, beyond the natural.
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
        fail_on: checks that stop the run when they fail: nan,initial_loss for example.
        bands: the healthy range of each figure.
    """

    enabled: bool = True
    every_n_steps: int | None = None
    pictures: bool = True
    all_figures: bool = False
    fail_on: str = ""
    bands: Bands = Bands()

    def __post_init__(self) -> None:
        if (every := self.every_n_steps) is not None and every < 1:
            raise ValueError(f"--diagnostics.every_n_steps must be at least 1, not {every}")
