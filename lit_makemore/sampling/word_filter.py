"""A small filter that tells whether a word was among the training words, with a known error rate.

Shapes: W words.
"""

import torch
from torch import Tensor

BITS = 10  # per word
POSITIONS = 7  # of a word; ln 2 · BITS has the lowest error rate


class WordFilter:
    """A Bloom filter (Bloom, 1970): a set of words in about ten bits a word.

    A word sets POSITIONS bits. A word counts as known if all of its bits are set, so every word of
    the set is known, and a few others are. The lower and the upper half of the word's 64-bit hash,
    l and u, give the positions: (l + i · u) mod size for i = 0, 1, … (Kirsch & Mitzenmacher, 2006);
    u is made odd.

    Args:
        hashes: (W,) int64, the hashes of the words as `word_hash` returns them.
    """

    def __init__(self, hashes: Tensor) -> None:
        self.size = max(64, 8 * -(-len(hashes) * BITS // 8))  # whole bytes
        self._bits = torch.zeros(self.size, dtype=torch.bool)
        self._bits[self._positions(hashes)] = True

    def __contains__(self, word_hash: int) -> bool:
        return bool(self.contains(torch.tensor([word_hash]))[0])

    def contains(self, hashes: Tensor) -> Tensor:
        """Whether each of the words with these hashes (W,) counts as known, (W,) bool."""
        return self._bits[self._positions(hashes)].all(1)

    @property
    def error_rate(self) -> float:
        """The share of other words that count as known."""
        return float(self._bits.double().mean()) ** POSITIONS

    def packed(self) -> bytes:
        """The bits as bytes; the first bit is the lowest of the first byte."""
        places = self._bits.view(-1, 8).long() << torch.arange(8)
        return bytes(places.sum(1).tolist())

    def _positions(self, hashes: Tensor) -> Tensor:
        """The positions of the bits of words with these hashes (W,), (W, POSITIONS)."""
        lower, upper = hashes & 0xFFFFFFFF, hashes >> 32 & 0xFFFFFFFF
        return (lower[:, None] + torch.arange(POSITIONS) * (upper[:, None] | 1)) % self.size
