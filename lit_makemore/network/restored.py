"""Uses of a network that leave it as it was."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def buffers_restored(net: nn.Module) -> Iterator[None]:
    """The buffers, as running averages, are after the block what they were before it."""
    buffers = {buffer: buffer.clone() for buffer in net.buffers()}
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in buffers.items():
                buffer.copy_(value)


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """The network is in evaluation mode inside the block."""
    training = net.training
    net.eval()
    try:
        yield
    finally:
        net.train(training)
