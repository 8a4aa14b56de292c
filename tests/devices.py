"""Where the same test runs: on the CPU and a pretended GPU; on a GPU if there is one (-m gpu)."""

from contextlib import AbstractContextManager, nullcontext

import pytest
import torch

from tests.pretended_gpu import PRETENDED, lightning_has_it

NO_GPU = "needs a GPU"


def on_gpu(*values, at_least: int = 1):
    """A parameter set for machines with GPUs."""
    missing = torch.cuda.device_count() < at_least
    reason = NO_GPU if at_least == 1 else f"needs {at_least} GPUs"
    return pytest.param(
        *values, marks=[pytest.mark.gpu, pytest.mark.skipif(missing, reason=reason)]
    )


ACCELERATOR = {"cpu": "cpu", PRETENDED: "gpu", "cuda": "gpu"}  # of Lightning, for a device
DEVICES = ["cpu", PRETENDED, on_gpu("cuda")]
PRECISIONS = [  # float16 is for GPUs only
    ("cpu", "32-true"),
    ("cpu", "bf16-mixed"),
    on_gpu("cuda", "32-true"),
    on_gpu("cuda", "bf16-mixed"),
    on_gpu("cuda", "16-mixed"),
]
WHERE = [*PRECISIONS, (PRETENDED, "32-true")]


def device_of(request, monkeypatch) -> AbstractContextManager[None]:
    """Around a test, as a fixture has it: the pretended GPU, if the test is to run there."""
    parameters = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    pretended = parameters.get("device") == PRETENDED
    return lightning_has_it(monkeypatch) if pretended else nullcontext()
