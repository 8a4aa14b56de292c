"""Names from a trained network, one character at a time, thousands of names at once.

Shapes: B names in the making, T block_size, V vocab_size.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

import torch
from torch import Tensor, nn

from lit_makemore.network.mlp import log_probabilities
from lit_makemore.sampling.conditions import ArgumentError
from lit_makemore.sampling.scoring import logits_of
from lit_makemore.words.vocab import Vocabulary
from lit_makemore.words.windows import row_numbers

# names at once, however many are asked for: then a longer draw begins as a shorter one does
FIRST, GROWS, BATCH = 64, 4, 4096
LARGEST = 2**20  # probabilities of all names at once: of a large vocabulary, fewer names
TABLE = 2**20  # keeps all distributions that were computed if they are at most this many numbers
LONGEST = 5_000  # characters; what does not end before is no name
WORK = 50_000  # characters times vocabulary: words of few different characters are longer


@dataclass(frozen=True)
class Decoding:
    """How the next character is chosen from the network's distribution.

    top_p keeps, after top_k, the fewest most likely characters whose probabilities sum to this
    value or more (Holtzman et al., 2020, https://arxiv.org/abs/1904.09751).
    """

    temperature: float = 1.0  # divides the logits
    top_k: int | None = None  # keeps only the k most likely characters
    top_p: float = 1.0  # 1 keeps all

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf"):
            raise ArgumentError(f"--temperature must be positive, not {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ArgumentError(f"--top_k must be at least 1, not {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ArgumentError(f"--top_p must lie in (0, 1], not {self.top_p}")

    def probabilities(self, logits: Tensor) -> Tensor:
        """Logits (B, V) to the probabilities (B, V) that characters are drawn with."""
        # The largest logit becomes 0, so that a tiny temperature causes no overflow.
        p = ((logits - logits.amax(1, keepdim=True)) / self.temperature).softmax(1)
        if self.top_k is not None or self.top_p < 1:
            ranked, order = p.sort(1, descending=True)
            keep = torch.ones_like(ranked, dtype=torch.bool)
            if self.top_k is not None:
                keep[:, self.top_k :] = False
                ranked = ranked * keep / (ranked * keep).sum(1, keepdim=True)
            if self.top_p < 1:
                keep &= ranked.cumsum(1) - ranked < self.top_p  # the sum before it is too small
            p = p * torch.zeros_like(keep).scatter(1, order, keep)
        return p / p.sum(1, keepdim=True)


USUAL = Decoding(top_p=0.9)  # what names are drawn with, unless one says otherwise: docs/names.md


@dataclass(frozen=True)
class Draw:
    """A batch of names, with log-probabilities in nats before any Decoding, end mark included."""

    names: list[str]
    log_probabilities: Tensor  # (B,)
    cut: Tensor  # (B,) bool

    def at(self, numbers: Sequence[int]) -> "Draw":
        names, numbers = [self.names[i] for i in numbers], list(numbers)
        return Draw(names, self.log_probabilities[numbers], self.cut[numbers])


class Sampler:
    """Draws names from a network: windows (B, T) to logits (B, V), in evaluation mode.

    Names begin with `prefix`, and are cut at `limit` characters. With a max_length, names that do
    not end within it, or for which `fits` is false, are left out. Of `tried` names so far, `kept`
    were not. A network in training mode, or an unknown character in the prefix, raises ValueError.
    """

    tried = kept = 0

    def __init__(
        self,
        net: nn.Module,
        vocab: Vocabulary,
        block_size: int,
        decoding: Decoding = Decoding(),
        prefix: str = "",
        max_length: int | None = None,
        fits: Callable[[str], bool] | None = None,
    ) -> None:
        if net.training:
            raise ValueError("sampling needs net.eval(): BatchNorm must use its running statistics")
        self.net, self.vocab, self.block_size, self.decoding = net, vocab, block_size, decoding
        self.max_length, self.fits = max_length, fits
        self.limit = longest_name(vocab, len(prefix))
        self.why_none = "fits; ask for less, or a longer --prefix, or --top_p 1"
        if max_length is not None:  # the character after the last is the end mark
            self.limit = min(max_length, LONGEST + len(prefix)) + 1
        if fits is None:
            self.why_none = f"ends within --max_length {max_length}; enlarge it, or --top_p"
        self.prefix = torch.tensor(vocab.encode(prefix, "the prefix"), dtype=torch.int64)
        self._begin = torch.zeros((1, block_size), dtype=torch.int64)
        rows = len(vocab) ** block_size if len(vocab) ** (block_size + 1) <= TABLE else 0
        self._table = torch.full((rows, 2, len(vocab)), torch.nan)

    @property
    def batch(self) -> int:
        """The most names at once."""
        return min(BATCH, max(1, LARGEST // len(self.vocab)))

    def draw(self, generator: torch.Generator, size: int = FIRST) -> Iterator[Draw]:
        """Draws names without end, in batches: `size` names in the first one, then more."""
        while True:
            batch = self._batch(size, generator)
            self.tried += size
            if self.max_length is not None:
                ended = (~batch.cut).nonzero().squeeze(1).tolist()
                batch = batch.at([i for i in ended if not self.fits or self.fits(batch.names[i])])
            self.kept += len(batch.names)
            yield batch
            size = min(size * GROWS, self.batch)

    def _batch(self, size: int, generator: torch.Generator) -> Draw:
        """Draws names together until each has ended or reached the limit, its end mark included."""
        alive = torch.arange(size)  # the names that have not ended, and where they are
        place = self._begin.repeat_interleave(size, 0)
        log_p, columns = torch.zeros(size), []  # the characters of all names at each position
        for position in range(self.limit):
            chosen, each, place = self._step(position, place, generator)
            log_p[alive] += each
            columns.append(torch.zeros(size, dtype=torch.int16))
            columns[-1][alive] = chosen.short()
            going_on = chosen != 0
            alive, place = alive[going_on], place[going_on]
            if len(alive) == 0:
                break
        names = []
        for rows in torch.stack(columns, 1).split(256):  # bounds the memory
            names += [self.vocab.decode(takewhile(bool, row)) for row in rows.tolist()]
        return Draw(names, log_p, torch.zeros(size).bool().index_fill(0, alive, True))

    def _step(
        self, position: int, window: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The next characters (B,) of names, their log-probabilities (B,), the windows after."""
        row, table = self._distributions(window)
        if position < len(self.prefix):
            chosen = self.prefix[position].expand(len(window))
        else:
            chosen = choose(table[row, 0], torch.rand(len(window), generator=generator))
        return chosen, table[row, 1, chosen], torch.cat([window[:, 1:], chosen[:, None]], 1)

    def _distributions(self, window: Tensor) -> tuple[Tensor, Tensor]:
        """The row (B,) of each window in a table of `_computed`."""
        number, table = row_numbers(window, len(self.vocab)), self._table
        if len(table):
            new = window[table[number, 0, 0].isnan()].unique(dim=0)
            if len(new):
                table[row_numbers(new, len(self.vocab))] = self._computed(new)
        else:
            number = number.unique(return_inverse=True)[1]
            distinct = window.new_zeros((int(number.max()) + 1, window.size(1)))
            table = self._computed(distinct.index_copy_(0, number, window))
        return number, table

    def _computed(self, windows: Tensor) -> Tensor:
        """Cumulative probabilities to draw with, log-probabilities before Decoding; (B, 2, V)."""
        logits = logits_of(self.net, windows).float()
        drawn = self.decoding.probabilities(only_names(logits, windows, self.vocab))
        return torch.stack([drawn.cumsum(1), log_probabilities(logits)], 1)


def only_names(logits: Tensor, windows: Tensor, vocab: Vocabulary) -> Tensor:
    """The logits (B, V), -inf for no character at all and for white space at an end of a name."""
    white_space = torch.tensor([c.isspace() for c in vocab.itos])  # END is a line feed
    last = windows[:, -1]  # the end mark where nothing has been drawn
    excluded = (last == 0)[:, None] & white_space
    excluded[:, 0] = white_space[last]
    return logits.masked_fill(excluded, -torch.inf)


def longest_name(vocab: Vocabulary, least: int) -> int:
    """After how many characters a name of at least so many is cut."""
    return min(least, LONGEST) + max(100, min(WORK // len(vocab), LONGEST))


def choose(cumulative: Tensor, uniform: Tensor) -> Tensor:
    """The first character whose cumulative probability exceeds a number in [0, 1), (B,)."""
    threshold = uniform * cumulative[:, -1]  # the last one is 1 up to rounding
    return (cumulative <= threshold[:, None]).sum(1)
