"""Where the same test runs: on the CPU always, on a GPU if there is one (pytest -m gpu)."""

import pytest
import torch

NO_GPU = "needs a GPU"


def on_gpu(*values, at_least: int = 1):
    """A parameter set for machines with GPUs."""
    missing = torch.cuda.device_count() < at_least
    reason = NO_GPU if at_least == 1 else f"needs {at_least} GPUs"
    return pytest.param(
        *values, marks=[pytest.mark.gpu, pytest.mark.skipif(missing, reason=reason)]
    )


DEVICES = ["cpu", on_gpu("cuda")]
PRECISIONS = [  # float16 is for GPUs only
    ("cpu", "32-true"),
    ("cpu", "bf16-mixed"),
    on_gpu("cuda", "32-true"),
    on_gpu("cuda", "bf16-mixed"),
    on_gpu("cuda", "16-mixed"),
]
