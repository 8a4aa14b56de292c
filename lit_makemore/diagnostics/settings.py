"""The option group `diagnostics`."""

from dataclasses import dataclass

from lit_makemore.diagnostics.checks import Bands


@dataclass(frozen=True)
class Diagnostics:
    """What the monitors write while the network trains, for TensorBoard and the closing table.

    Args:
        enabled: false switches all monitors off.
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
