"""Names from a trained network, one character at a time, many at once.

Shapes: B names in the making, T block_size, V vocab_size.
"""

import torch
from torch import Tensor, nn

from lit_makemore.vocab import Vocabulary


@torch.no_grad()
def sample(
    net: nn.Module,
    vocab: Vocabulary,
    block_size: int,
    num: int,
    generator: torch.Generator,
    max_length: int = 100,
) -> list[str]:
    """Draws names: from an all-padding window, character after character, until the end mark.

    Args:
        net: windows (B, T) to logits (B, V); must be in evaluation mode, since a batch of names in
            the making is no sample of the data that BatchNorm could normalise by.
        vocab: its characters.
        block_size: T.
        num: how many names.
        generator: makes the draw repeatable; on the CPU.
        max_length: a name that has not ended by then is cut.
    """
    if net.training:
        raise ValueError("sampling needs net.eval(): BatchNorm must use its running statistics")
    device = next(net.parameters()).device
    names = torch.zeros((num, max_length), dtype=torch.int64)
    window = torch.zeros((num, block_size), dtype=torch.int64)  # (B, T)
    alive = torch.arange(num)
    for position in range(max_length):
        probabilities = net(window.to(device)).float().softmax(1).cpu()  # (B, V)
        drawn = torch.multinomial(probabilities, 1, generator=generator)  # (B, 1)
        names[alive, position] = drawn.squeeze(1)
        going_on = drawn.squeeze(1) != 0
        window = torch.cat([window[:, 1:], drawn], dim=1)[going_on]
        alive = alive[going_on]
        if len(alive) == 0:
            break
    return [_spell(row, vocab) for row in names]


def _spell(row: Tensor, vocab: Vocabulary) -> str:
    """The characters before the first end mark."""
    indices = row.tolist()
    return vocab.decode(indices[: indices.index(0)] if 0 in indices else indices)
