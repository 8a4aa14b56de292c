"""Scoring: the log-probability that a network gives to words."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from lit_makemore.network.mlp import log_probabilities
from lit_makemore.words.vocab import END, Vocabulary
from lit_makemore.words.windows import Windows, encode, word_lengths

PIECE = 2**14  # windows that the network sees at once, to bound the memory


@torch.no_grad()
def logits_of(net: nn.Module, windows: Tensor) -> Tensor:
    """The logits (windows, vocab_size) of any number of windows, on the CPU."""
    device = next(net.parameters()).device
    return torch.cat([net(piece.to(device)).cpu() for piece in windows.split(PIECE)])


def character_scores(
    net: nn.Module, vocab: Vocabulary, block_size: int, words: Iterable[str]
) -> tuple[Tensor, Tensor]:
    """The log-probability in nats of each character and end mark, and how many are of each word."""
    stream = encode("".join(f"{word}{END}" for word in words), vocab)
    windows, found = Windows(stream, block_size), [torch.empty(0)]
    for index in torch.arange(len(windows)).split(PIECE):
        x, y = windows[index]
        found.append(log_probabilities(logits_of(net, x)).gather(1, y[:, None]).squeeze(1))
    return torch.cat(found[1:] or found), word_lengths(stream)


def score(net: nn.Module, vocab: Vocabulary, block_size: int, words: Iterable[str]) -> Tensor:
    """The log-probability in nats of each word and its end mark, (words,)."""
    each, lengths = character_scores(net, vocab, block_size, words)
    word_of = torch.arange(len(lengths)).repeat_interleave(lengths)
    return each.new_zeros(len(lengths)).index_add(0, word_of, each)
