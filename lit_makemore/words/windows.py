"""Words → one flat stream of tokens → context windows.

Shapes: N tokens in a stream (one example each), B batch, T block_size, W words.
"""

import random
from array import array
from collections.abc import Sequence

import torch
from torch import Tensor

from lit_makemore.words.vocab import Vocabulary


def encode(text: str, vocab: Vocabulary) -> Tensor:
    """The tokens of words that each end in the end mark, (N,), a byte each where V allows."""
    code, dtype = ("latin-1", torch.uint8) if len(vocab) <= 256 else ("utf-16-le", torch.int16)
    if not text:  # which frombuffer refuses
        return torch.empty(0, dtype=dtype)
    numbered = text.translate({ord(c): i for c, i in vocab.stoi.items()})
    return torch.frombuffer(bytearray(numbered, code), dtype=dtype)


def split_words(n: int, splits: Sequence[float], seed: int) -> tuple[Tensor, ...]:
    """Shuffles the numbers 0 … n - 1 and cuts them into shares, an int32 tensor each.

    The order is that of random.seed(seed); random.shuffle(words), as published; a cut falls at
    int(n · share so far).

    Raises:
        ValueError: shares that do not sum to 1, or one that comes out empty.
    """
    if any(share <= 0 for share in splits) or abs(sum(splits) - 1) > 1e-9:
        raise ValueError(
            f"the splits {list(splits)} must be positive and sum to 1, as [0.8, 0.1, 0.1] do"
        )
    order = array("i", range(n))  # shuffles as a list does, at a tenth of the memory
    random.Random(seed).shuffle(order)
    cuts = [int(n * round(sum(splits[:i]), 9)) for i in range(1, len(splits))]
    parts = torch.frombuffer(order, dtype=torch.int32).tensor_split(cuts)
    if any(len(part) == 0 for part in parts):
        raise ValueError(
            f"{n} words split by {list(splits)} leave one part empty; "
            "use a longer list or other shares"
        )
    return parts


def select_words(stream: Tensor, numbers: Tensor) -> Tensor:
    """The words of a stream with these numbers, in this order, as a stream of their own."""
    lengths = word_lengths(stream)
    starts = lengths.cumsum(0, dtype=torch.int32) - lengths
    pieces = []
    for part in numbers.split(2**13):  # bounds what the indices below take
        length = lengths[part].long()
        within = torch.arange(int(length.sum())) - (length.cumsum(0) - length).repeat_interleave(
            length
        )
        pieces.append(stream[starts[part].repeat_interleave(length) + within])
    return torch.cat(pieces)


def word_lengths(stream: Tensor) -> Tensor:
    """Examples per word, (W,) int32: its characters and its end mark."""
    ends = (stream == 0).nonzero().squeeze(1).int()
    lengths = ends + 1
    lengths[1:] -= lengths[:-1].clone()
    return lengths


class Windows:
    """The examples of a stream: number i asks for token i given the T tokens before it.

    A window never looks back past the beginning of its word; what would lie there is the end mark,
    index 0. So the examples need no storage beside the stream itself.

    Args:
        stream: (N,) tokens, every word followed by 0.
        block_size: T.
    """

    def __init__(self, stream: Tensor, block_size: int) -> None:
        self.block_size = block_size
        self._padded = torch.cat([stream.new_zeros(block_size), stream])
        self._offsets = torch.arange(block_size + 1)

    def __len__(self) -> int:
        return len(self._padded) - self.block_size

    @property
    def device(self) -> torch.device:
        """Where the stream lies, and so the windows."""
        return self._padded.device

    def to(self, device: torch.device) -> "Windows":
        """Moves the stream to a device."""
        self._padded, self._offsets = self._padded.to(device), self._offsets.to(device)
        return self

    def __getitem__(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """The windows (B, T) and next tokens (B,) of the examples index (B,), int64."""
        index = index.to(self._offsets.device)
        tokens = self._padded[index[:, None] + self._offsets].long()  # (B, T + 1)
        x, y = tokens[:, :-1], tokens[:, -1]
        same_word = (x != 0).flip(1).cumprod(1).flip(1)  # 0 from the last end mark backwards
        return x * same_word, y


def distinct(
    windows: Windows, vocab_size: int, weights: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The distinct examples of a stream and how often each occurs; a short window has few.

    Args:
        windows: the N examples.
        vocab_size: V.
        weights: (N,) or (N, K), what to sum over equal examples instead of ones.

    Returns:
        Windows (D, T), next tokens (D,) and counts, or sums (D,) or (D, K), all int64 on the CPU,
        in an order in which equal windows are neighbours.
    """
    if weights is None:
        weights = torch.ones(1, dtype=torch.int64).expand(len(windows))
    rows = torch.empty((0, windows.block_size + 1), dtype=torch.int64)
    sums = torch.empty((0, *weights.shape[1:]), dtype=torch.int64)
    start = 0
    while start < len(windows):  # the memory is bounded by the number of distinct examples
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
    """A number for each row of tokens below `base`, equal for equal rows of one call only, (B,)."""
    width = rows.size(1)
    if base**width < 2**63:
        return rows @ base ** torch.arange(width - 1, -1, -1)
    return rows.unique(dim=0, return_inverse=True)[1]  # many times slower
