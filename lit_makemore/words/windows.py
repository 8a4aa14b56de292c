"""Words → one stream of tokens (N,), an example each → context windows.

Shapes: D distinct examples, B batch, T block_size, V vocab_size, W words.
"""

import torch
from torch import Tensor

from lit_makemore.words.vocab import Vocabulary

# distinct windows (D, T); the number of its window (B,), the next token (B,) and the weights (B, 2)
# of each example: how often it occurs in all words, and in novel words
EvaluationBatch = tuple[Tensor, Tensor, Tensor, Tensor]


def encode(text: str, vocab: Vocabulary) -> Tensor:
    """The tokens of a text of words and end marks, (N,): uint8, or int16 if V > 256."""
    code, dtype = ("latin-1", torch.uint8) if len(vocab) <= 256 else ("utf-16-le", torch.int16)
    if not text:  # frombuffer refuses an empty buffer
        return torch.empty(0, dtype=dtype)
    numbered = text.translate({ord(c): i for c, i in vocab.stoi.items()})
    return torch.frombuffer(bytearray(numbered, code), dtype=dtype)


def select_words(stream: Tensor, numbers: Tensor) -> Tensor:
    """A stream of the words that have these numbers in the given stream, in this order."""
    lengths = word_lengths(stream)
    starts = lengths.cumsum(0, dtype=torch.int32) - lengths
    pieces = numbers.split(2**13)  # bounds the memory that the indices take
    return torch.cat([stream[ranges(starts[i], lengths[i].long())[1]] for i in pieces])


def ranges(first: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """The numbers first[i] … first[i] + count[i] - 1 of each i, (N,), and before them their i."""
    i = torch.arange(len(first), device=first.device).repeat_interleave(count)
    before = (count.cumsum(0) - count)[i]  # how many numbers the earlier ones have
    return i, first[i] + torch.arange(len(i), device=first.device) - before


def word_lengths(stream: Tensor) -> Tensor:
    """The number of examples of each word, (W,) int32: one per character, one for the end mark."""
    return (stream == 0).nonzero().squeeze(1).int().diff(prepend=torch.tensor([-1]).int())


class Windows:
    """The examples of a stream (N,), in which 0 follows every word.

    Example i predicts token i from the T tokens before it. A window holds characters of its own
    word only; places before the first one are filled with the end mark, index 0.
    """

    def __init__(self, stream: Tensor, block_size: int) -> None:
        self.block_size = block_size
        self._padded = torch.cat([stream.new_zeros(block_size), stream])
        self.stream = self._padded[block_size:]
        self._offsets = torch.arange(block_size + 1, device=stream.device)

    def __len__(self) -> int:
        return len(self.stream)

    @property
    def device(self) -> torch.device:
        return self.stream.device

    def __getitem__(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """The windows (B, T) and next tokens (B,) of the examples index (B,), int64."""
        index = index.to(self._offsets.device)
        tokens = self._padded[index[:, None] + self._offsets].long()  # (B, T + 1)
        x, y = tokens[:, :-1], tokens[:, -1]
        same_word = (x != 0).flip(1).cumprod(1).flip(1)  # 0 up to the last end mark in the window
        return x * same_word, y


def distinct(
    windows: Windows, vocab_size: int, weights: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The distinct examples of a stream, int64: windows (D, T), next tokens (D,), sums of weights.

    Those of equal examples, (N,) or (N, K), are added up; ones if None. Equal windows lie together.
    """
    if weights is None:
        weights = torch.ones(1, dtype=torch.int64).expand(len(windows))
    rows = torch.empty((0, windows.block_size + 1), dtype=torch.int64)
    sums = torch.empty((0, *weights.shape[1:]), dtype=torch.int64)
    start = 0
    while start < len(windows):  # in pieces: memory for the distinct examples is enough
        index = torch.arange(start, min(start + max(2**16, len(rows)), len(windows)))
        x, y = windows[index]
        rows = torch.cat([rows, torch.cat([x, y[:, None]], 1).cpu()])
        sums = torch.cat([sums, weights[index].long()])
        found, inverse = row_numbers(rows, vocab_size).unique(return_inverse=True)
        rows = rows.new_empty((len(found), rows.size(1))).index_copy_(0, inverse, rows)
        sums = sums.new_zeros((len(found), *sums.shape[1:])).index_add_(0, inverse, sums)
        start += len(index)
    return rows[:, :-1], rows[:, -1], sums


def row_numbers(rows: Tensor, base: int) -> Tensor:
    """One number per row, (B,): equal rows of tokens below `base` get equal numbers in a call."""
    width = rows.size(1)
    if base**width < 2**63:
        return rows @ base ** torch.arange(width - 1, -1, -1)
    return rows.unique(dim=0, return_inverse=True)[1]  # many times slower
