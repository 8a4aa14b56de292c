"""Sampling: names from a trained network, one character at a time, thousands of names at once.

Shapes: B names in the making, T block_size, V vocab_size.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lit_makemore.network.mlp import log_probabilities
from lit_makemore.sampling.arguments import ArgumentError
from lit_makemore.sampling.scoring import logits_of
from lit_makemore.words.vocab import END, Vocabulary
from lit_makemore.words.windows import row_numbers

# names at once, however many are asked for: then a longer draw begins as a shorter one does
FIRST, GROWS, BATCH = 64, 4, 4096
LARGEST = 2**20  # probabilities of all names at once: of a large vocabulary, fewer names
TABLE = 2**20  # keeps all distributions that were computed if they are at most this many numbers
LONGEST = 5_000  # characters; what does not end before is no name
WORK = 50_000  # characters times vocabulary: words of few different characters are longer
# A name that is so many times as long as the longest training word has not ended for once; a
# network that forgets how long a word is already goes on for so long once in 20,000 names, at most.
TIMES = 10
GIVE_UP = 50  # batches of the largest size without a single name that is wanted


@dataclass(frozen=True)
class Decoding:
    """How the next character is chosen from the network's distribution.

    top_p keeps, after top_k, the fewest most likely characters whose probabilities sum to this
    value or more (Holtzman et al., 2020, https://arxiv.org/abs/1904.09751). A value out of range
    raises ValueError.
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
        if self.top_k is None and self.top_p == 1:
            return p / p.sum(1, keepdim=True)
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
    """A batch of names, and their log-probabilities in nats before any Decoding, end mark included.

    A name that had not ended at the limit is cut and has none.
    """

    names: list[str]
    log_probabilities: Tensor  # (B,)
    cut: Tensor  # (B,) bool

    def at(self, numbers: Sequence[int]) -> "Draw":
        names, numbers = [self.names[i] for i in numbers], list(numbers)
        return Draw(names, self.log_probabilities[numbers], self.cut[numbers])


class Sampler:
    """Draws names from a network.

    Many names of a batch have the same window, above all at their beginning, so the network sees
    the distinct windows only; short ones once for all batches.

    Args:
        net: windows (B, T) to logits (B, V), in evaluation mode. BatchNorm must not normalise by
            the statistics of unfinished names.
        prefix: the first characters of every name.
        max_length: the most characters of a name; if None, longer ones are cut at `limit`.
        fits: what must be true of a name, beside a max_length. Names that do not fit or do not end
            are drawn again.
        longest: characters of the longest training word, where it is known; decides about `limit`.
        batch: the number of names drawn at once; by default it grows up to one that depends on the
            vocabulary only.

    `tried` names were drawn so far, of which `kept` were not drawn again. A network in training
    mode, or a prefix with an unknown character, raises ValueError.
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
        longest: int | None = None,
        batch: int | None = None,
    ) -> None:
        if net.training:
            raise ValueError("sampling needs net.eval(): BatchNorm must use its running statistics")
        self.net, self.vocab, self.block_size = net, vocab, block_size
        self.decoding, self.max_length, self.fits = decoding, max_length, fits
        if max_length is None:
            self.limit = longest_name(vocab, longest) + len(prefix)
        else:  # the character after the last is the end mark
            self.limit = min(max_length, LONGEST + len(prefix)) + 1
        self.prefix = torch.tensor(vocab.encode(prefix, "the prefix"), dtype=torch.int64)
        self.batch, self._first = batch or names_at_once(vocab), batch or FIRST
        self._begin = torch.zeros((1, block_size), dtype=torch.int64)
        rows = len(vocab) ** block_size if len(vocab) ** (block_size + 1) <= TABLE else 0
        self._is_known = torch.zeros(rows, dtype=torch.bool)  # the windows that are in the table
        self._table = torch.empty(rows, len(vocab)), torch.empty(rows, len(vocab))

    def draw(self, num: int, generator: torch.Generator) -> Iterator[Draw]:
        """Draws num names in batches; ValueError if those that end in time and fit are too rare."""
        barren, size = 0, self._first
        while num > 0:
            batch = self._batch(min(size, self.batch), generator)
            size *= GROWS
            self.tried += (tried := len(batch.names))
            if self.max_length is not None:
                ended = (~batch.cut).nonzero().squeeze(1).tolist()
                batch = batch.at([i for i in ended if not self.fits or self.fits(batch.names[i])])
                barren = 0 if batch.names else barren + tried
                if barren >= GIVE_UP * self.batch:
                    what = f"ends within --max_length {self.max_length}; enlarge it, or --top_p"
                    if self.fits:
                        what = "fits; ask for less, or a longer --prefix, or --top_p 1"
                    raise ArgumentError(f"none of {barren:,} names {what}")
                if not batch.names:
                    continue
            self.kept += len(batch.names)
            yield batch.at(range(min(num, len(batch.names))))
            num -= len(batch.names)

    def _batch(self, size: int, generator: torch.Generator) -> Draw:
        """Draws names together, a character at a time, until each has ended or reached the limit.

        The end mark counts as a character.
        """
        log_p, cut = torch.zeros(size), torch.zeros(size, dtype=torch.bool)
        alive = torch.arange(size)  # the names that have not ended, and where they are
        place = self._begin.repeat_interleave(size, 0)
        columns = []  # the characters of all names at each position
        for position in range(self.limit):
            chosen, each, place = self._step(position, place, generator)
            log_p[alive] += each
            columns.append(torch.zeros(size, dtype=torch.int16))
            columns[-1][alive] = chosen.short()
            going_on = chosen != 0
            alive, place = alive[going_on], place[going_on]
            if len(alive) == 0:
                break
        columns.append(torch.zeros_like(columns[-1]))
        names = []
        for rows in torch.stack(columns, 1).split(256):  # bounds the memory
            shown = torch.ones_like(rows, dtype=torch.bool)
            shown[:, 1:] = rows[:, :-1] != 0  # the characters of a name, and one end mark
            names += "".join(map(self.vocab.itos.__getitem__, rows[shown].tolist())).split(END)[:-1]
        return Draw(names, log_p, cut.index_fill_(0, alive, True))

    def _step(
        self, position: int, window: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The next characters (B,) of names, their log-probabilities (B,), the windows after."""
        row, cumulative, log_p = self._lookup(window)
        if position < len(self.prefix):
            chosen = self.prefix[position].expand(len(window))
        else:
            chosen = choose(cumulative[row], torch.rand(len(window), generator=generator))
        return chosen, log_p[row, chosen], torch.cat([window[:, 1:], chosen[:, None]], 1)

    def _lookup(self, window: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Two tables as `_distributions` returns them, and for windows (B, T) their rows (B,)."""
        number = row_numbers(window, len(self.vocab))
        if len(self._is_known):
            new = number[~self._is_known[number]].unique()
            if len(new):
                places = len(self.vocab) ** torch.arange(self.block_size - 1, -1, -1)
                found = self._distributions(new[:, None] // places % len(self.vocab))
                for table, rows in zip(self._table, found, strict=True):
                    table[new] = rows
                self._is_known[new] = True
            return number, *self._table
        row = number.unique(return_inverse=True)[1]
        distinct = torch.zeros((int(row.max()) + 1, self.block_size), dtype=torch.int64)
        return row, *self._distributions(distinct.index_copy_(0, row, window))

    def _distributions(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Cumulative probabilities to draw with, and log-probabilities before Decoding; (B, V)."""
        logits = logits_of(self.net, windows).float()
        drawn = only_names(logits, windows, self.vocab)
        return self.decoding.probabilities(drawn).cumsum(1), log_probabilities(logits)


def only_names(logits: Tensor, windows: Tensor, vocab: Vocabulary) -> Tensor:
    """The logits (B, V) after windows (B, T), -inf for what no name has there.

    A name has at least one character, and no white space at either end.
    """
    white_space = torch.tensor([c.isspace() for c in vocab.itos])  # END is a line feed
    last = windows[:, -1]  # the end mark where nothing has been drawn
    excluded = (last == 0)[:, None] & white_space
    excluded[:, 0] = white_space[last]
    return logits.masked_fill(excluded, -torch.inf)


def longest_name(vocab: Vocabulary, longest: int | None = None) -> int:
    """After how many characters a name is cut, with `longest` as Sampler has it."""
    enough = WORK // len(vocab) if longest is None else TIMES * longest
    return max(100, min(enough, LONGEST))


def names_at_once(vocab: Vocabulary) -> int:
    return min(BATCH, max(1, LARGEST // len(vocab)))


def choose(cumulative: Tensor, uniform: Tensor) -> Tensor:
    """The first character whose cumulative probability exceeds a number in [0, 1), (B,)."""
    threshold = uniform * cumulative[:, -1]  # the last one is 1 up to rounding
    return (cumulative <= threshold[:, None]).sum(1)
