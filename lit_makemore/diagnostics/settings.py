"""The option group `diagnostics`, and the monitors that it switches on."""

from dataclasses import dataclass

import lightning.pytorch as pl

from lit_makemore.diagnostics.activations import ActivationMonitor
from lit_makemore.diagnostics.batch_norm import BatchNormMonitor
from lit_makemore.diagnostics.gradients import GradientMonitor
from lit_makemore.diagnostics.health import Health
from lit_makemore.diagnostics.held_out import HeldOutMonitor
from lit_makemore.diagnostics.pictures import Pictures
from lit_makemore.diagnostics.reference_lines import ReferenceLines
from lit_makemore.diagnostics.samples import SampleMonitor
from lit_makemore.diagnostics.updates import UpdateMonitor
from lit_makemore.diagnostics.verdicts import Bands


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


def monitors(options: Diagnostics) -> list[pl.Callback]:
    """The callbacks, in the order in which they must run."""
    if not options.enabled:
        return []
    every = options.every_n_steps
    checks = [check.strip() for check in options.fail_on.split(",") if check.strip()]
    pictures: list[pl.Callback] = [Pictures(every)] if options.pictures else []
    return [
        ActivationMonitor(every),
        GradientMonitor(every),
        UpdateMonitor(every),
        BatchNormMonitor(every),
        HeldOutMonitor(every),
        ReferenceLines(),
        SampleMonitor(),
        *pictures,
        Health(options.bands, checks, every),  # last: it may stop the run
    ]
