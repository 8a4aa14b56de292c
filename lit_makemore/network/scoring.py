"""Scoring: the log-probability that a network gives to words.

Shapes: B batch, T block_size, V vocab_size.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from lit_makemore.network.mlp import log_probabilities
from lit_makemore.words.vocab import END, Vocabulary
from lit_makemore.words.windows import Windows, encode, word_lengths

PIECE = 2**14  # windows that the network sees at once, to bound the memory


@torch.no_grad()
def logits_of(net: nn.Module, windows: Tensor) -> Tensor:
    """The logits (B, V) of any number of windows (B, T), on the CPU."""
    device = next(net.parameters()).device
    return torch.cat([net(piece.to(device)).cpu() for piece in windows.split(PIECE)])


def score(net: nn.Module, vocab: Vocabulary, block_size: int, words: Iterable[str]) -> Tensor:
    """The log-probability in nats of each word and its end mark, (words,).

    Args:
        net: windows (B, T) to logits (B, V), in evaluation mode.
        vocab: the characters.
        block_size: T.
        words: words of known characters.
    """
    stream = encode("".join(f"{word}{END}" for word in words), vocab)
    windows, lengths = Windows(stream, block_size), word_lengths(stream)
    scores = []  # of each character
    for index in torch.arange(len(windows)).split(PIECE):
        x, y = windows[index]
        log_p = log_probabilities(logits_of(net, x))  # (B, V)
        scores.append(log_p.gather(1, y[:, None]).squeeze(1))
    each = torch.cat(scores) if scores else torch.empty(0)
    word_of = torch.arange(len(lengths)).repeat_interleave(lengths)
    return each.new_zeros(len(lengths)).index_add(0, word_of, each)
