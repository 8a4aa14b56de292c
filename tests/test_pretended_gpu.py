"""The pretended GPU refuses what a GPU refuses, and nothing else; faults put into the package show.

Most of what breaks on a GPU is a tensor that is not moved. It is no proof that a GPU works.
"""

import numpy as np
import pytest
import torch

from tests.pretended_gpu import CPU, DEVICE, Mixed, pretended_gpu

here = torch.arange(6.0).view(2, 3)


@pytest.fixture
def there():
    with pretended_gpu():
        yield here.to(DEVICE)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda there: there + here,
        lambda there: here @ there.T,
        lambda there: torch.cat([here, there]),
        lambda there: torch.where(there > 0, there, here),
        lambda there: here[there.long()],
        lambda there: there.index_put_((torch.tensor([0]),), here[:1]),
        lambda there: there.clone().add_(here),
        lambda there: torch.zeros(()).add_(there.sum()),
        lambda there: torch.nn.functional.embedding(torch.tensor([1]), there),
        lambda there: torch.nn.Linear(3, 2)(there),
        lambda there: torch.nn.Linear(3, 2).to(DEVICE)(here),
        lambda there: torch.equal(there, here),
        lambda there: torch.zeros(2, device=DEVICE) * torch.zeros(2),
        lambda there: there.to(CPU) * there,
        lambda there: there.normal_(generator=torch.Generator()),
        lambda there: torch.multinomial(there + 1, 1, generator=torch.Generator()),
        lambda there: torch.multinomial(there + 1, 1).cpu() + there.long(),
        lambda there: there.numpy(),
        lambda there: np.asarray(there),
    ],
)
def test_what_a_gpu_refuses(there, wrong):
    with pytest.raises((Mixed, TypeError)):
        wrong(there)


@pytest.mark.parametrize(
    ("right", "device"),
    [
        (lambda there: there + 1, DEVICE),
        (lambda there: there * torch.tensor(2.0), DEVICE),
        (lambda there: there[torch.tensor([1])], DEVICE),
        (lambda there: there.index_put((torch.tensor([0]),), there[:1]), DEVICE),
        (lambda there: torch.zeros_like(there), DEVICE),
        (lambda there: there.new_ones(2), DEVICE),
        (lambda there: torch.ones(2, device=there.device), DEVICE),
        (lambda there: torch.as_tensor(2, device=there.device), DEVICE),
        (lambda there: here.to(there), DEVICE),
        (lambda there: here.to(there.device, torch.float64), DEVICE),
        (lambda there: torch.nn.Linear(3, 2).to(DEVICE)(there), DEVICE),
        (lambda there: torch.nn.Linear(3, 2).to(DEVICE).weight, DEVICE),
        (lambda there: there.clone().copy_(here), DEVICE),
        (lambda there: there.view(3, 2).T, DEVICE),
        (lambda there: there.double(), DEVICE),
        (lambda there: here.clone().copy_(there), CPU),
        (lambda there: there.cpu() + here, CPU),
        (lambda there: there.to("cpu", torch.float64), CPU),
        (lambda there: torch.zeros(2), CPU),
        (lambda there: torch.tensor(there.tolist()), CPU),
        (lambda there: torch.tensor(float(there.sum())), CPU),
    ],
)
def test_what_a_gpu_does(there, right, device):
    assert right(there).device == device


def test_a_tensor_that_was_moved_shares_no_memory(there):
    there.zero_()
    assert here.sum() == 15
    back = there.cpu()
    there.fill_(1)
    assert back.sum() == 0


def test_gradients_are_where_their_parameters_are(there):
    layer = torch.nn.Linear(3, 2).to(DEVICE)
    layer(there).sum().backward()
    assert layer.weight.grad.device == DEVICE
    assert (layer.weight - layer.weight.grad).device == DEVICE
