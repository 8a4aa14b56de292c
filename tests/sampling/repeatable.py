"""Names that a seed repeats in any language: how an exported page draws them.

torch's random numbers are hard to repeat elsewhere, and float32 sums depend on their order. Here
the generator has four lines and everything is computed in float64. Two machines differ in the last
digits only; that changes a name about once in 10^12. commands/page/names.js does the same steps.
"""

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import nn

from lit_makemore.words.vocab import Vocabulary

TRIES = 50  # names drawn for each one that is wanted, at most


class Random:
    """The generator PCG-RXS-M-XS-32 (O'Neill, 2014, https://www.pcg-random.org).

    Args:
        seed: only its lowest 32 bits count.
    """

    def __init__(self, seed: int) -> None:
        self._state = 0
        self.integer()
        self._state += seed
        self.integer()

    def integer(self) -> int:
        """The next number of 0 … 2³² - 1."""
        old = self._state & 0xFFFFFFFF
        self._state = old * 747796405 + 2891336453
        word = ((old >> ((old >> 28) + 4)) ^ old) * 277803737 & 0xFFFFFFFF
        return word >> 22 ^ word

    def uniform(self) -> float:
        """The next number in [0, 1)."""
        return self.integer() / 2**32


@torch.no_grad()
def draw_names(
    net: nn.Module,
    vocab: Vocabulary,
    block_size: int,
    num: int,
    seed: int,
    temperature: float = 1.0,
    prefix: str = "",
    min_length: int = 1,
    max_length: int = 100,
    known: Callable[[str], bool] = lambda name: False,
) -> list[str]:
    """Draws the names that the page of an exported network draws with the same options.

    One random number chooses each character after the prefix: the first one whose cumulative
    probability exceeds it. Names of another length, and known ones, are drawn again.

    Args:
        net: windows (1, T) to logits (1, V), in evaluation mode: `load(path).folded()`.
        num: the number of names. Fewer are returned if 50 · num draws do not give so many.
        known: whether to leave out a name.
    """
    net, random, names = deepcopy(net).double(), Random(seed), []
    for _ in range(TRIES * num):
        tokens = vocab.encode(prefix, "the prefix")
        while len(tokens) <= max_length:
            window = [*[0] * block_size, *tokens][-block_size:]
            logits = net(torch.tensor([window]))[0]  # (V,)
            cumulative = ((logits - logits.max()) / temperature).exp().cumsum(0)
            token = int((cumulative <= random.uniform() * cumulative[-1]).sum())
            if token == 0:
                break
            tokens.append(token)
        name = vocab.decode(tokens)
        if min_length <= len(tokens) <= max_length and not known(name):
            names.append(name)
            if len(names) == num:
                break
    return names
