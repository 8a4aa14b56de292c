"""Names from a trained network, one character at a time, thousands at once; scores of given words.

Shapes: B names in the making, T block_size, V vocab_size.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lit_makemore.words.vocab import END, Vocabulary
from lit_makemore.words.windows import Windows, encode, word_lengths

BATCH = 4096  # names drawn at once, however few are asked for: a longer draw begins like a shorter
TABLE = 2**20  # a network with at most this many windows × characters is tabulated whole


@dataclass(frozen=True)
class Decoding:
    """How the next character is chosen from the network's distribution.

    Args:
        temperature: divides the logits; below 1 likely characters gain, above 1 unlikely ones.
        top_k: keeps the k likeliest characters only.
        top_p: keeps the likeliest characters that together reach this probability, after top_k
            (Holtzman et al., 2020, https://arxiv.org/abs/1904.09751).

    Raises:
        ValueError: a value outside its range; names the option.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"--temperature must be positive, not {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"--top_k must be at least 1, not {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"--top_p must lie in (0, 1], not {self.top_p}")

    def probabilities(self, logits: Tensor) -> Tensor:
        """Logits (B, V) to the probabilities (B, V) that a character is drawn by."""
        # shifted first: a tiny temperature must not make it overflow
        p = ((logits - logits.amax(1, keepdim=True)) / self.temperature).softmax(1)
        ranked, order = p.sort(1, descending=True)
        keep = torch.ones_like(ranked, dtype=torch.bool)
        if self.top_k is not None:
            keep[:, self.top_k :] = False
            ranked = ranked * keep / (ranked * keep).sum(1, keepdim=True)
        if self.top_p is not None:
            keep &= ranked.cumsum(1) - ranked < self.top_p  # what comes before falls short of p
        p = p * torch.zeros_like(keep).scatter(1, order, keep)
        return p / p.sum(1, keepdim=True)


@dataclass(frozen=True)
class Draw:
    """A batch of names and their log-probabilities in nats under the network itself.

    The end mark counts as a character, except in a name that was cut at max_length.
    """

    names: list[str]
    log_probabilities: Tensor  # (B,)


class Sampler:
    """Draws names from a network.

    Few windows are distinct, above all the first ones of a name, and each needs computing once: a
    network with a short window is tabulated before the first draw, one with a longer window is
    asked for the distinct windows of a batch only.

    Args:
        net: windows (B, T) to logits (B, V), in evaluation mode: a batch of names in the making is
            no sample of the data that BatchNorm could normalise by.
        vocab: its characters.
        block_size: T.
        decoding: how a character is chosen.
        prefix: what every name begins with.
        max_length: characters after which a name that has not ended is cut.
        batch: names drawn at a time; few are not worth tabulating the network.

    Raises:
        ValueError: a network in training mode, a prefix that the vocabulary cannot spell, a
            max_length that the prefix exceeds.
    """

    def __init__(
        self,
        net: nn.Module,
        vocab: Vocabulary,
        block_size: int,
        decoding: Decoding = Decoding(),
        prefix: str = "",
        max_length: int = 100,
        batch: int = BATCH,
    ) -> None:
        if net.training:
            raise ValueError("sampling needs net.eval(): BatchNorm must use its running statistics")
        if max_length < max(len(prefix), 1):
            raise ValueError(
                f"--max_length must be at least {max(len(prefix), 1)}, not {max_length}"
            )
        self.net, self.vocab, self.block_size = net, vocab, block_size
        self.decoding, self.max_length = decoding, max_length
        self.prefix = torch.tensor(vocab.encode(prefix), dtype=torch.int64)
        self._device = next(net.parameters()).device
        self._weights = len(vocab) ** torch.arange(block_size - 1, -1, -1)  # a window as a number
        self.batch = batch
        self._tabulated = len(vocab) ** (block_size + 1) <= TABLE and batch == BATCH
        self._countable = len(vocab) ** block_size < 2**63
        if self._tabulated:
            windows = torch.cartesian_prod(*[torch.arange(len(vocab))] * block_size)
            self._table = self._distributions(windows.view(-1, block_size))

    def draw(self, num: int, generator: torch.Generator) -> Iterator[Draw]:
        """Draws `num` names, a batch at a time, so that any number takes the same memory.

        Args:
            num: how many names.
            generator: makes the draw repeatable; on the CPU.
        """
        while num > 0:
            batch = self._batch(generator)
            yield Draw(batch.names[:num], batch.log_probabilities[:num])
            num -= len(batch.names)

    @torch.no_grad()
    def _batch(self, generator: torch.Generator) -> Draw:
        tokens = torch.zeros((self.batch, self.max_length + 1), dtype=torch.int64)
        log_probabilities = torch.zeros(self.batch)
        alive = torch.arange(self.batch)
        window = torch.zeros((self.batch, self.block_size), dtype=torch.int64)  # (B, T)
        for position in range(self.max_length):
            row, cumulative, log_p = self._lookup(window)
            if position < len(self.prefix):
                chosen = self.prefix[position].expand(len(alive))
            else:
                chosen = _choose(cumulative[row], torch.rand(len(alive), generator=generator))
            log_probabilities[alive] += log_p[row, chosen]
            tokens[alive, position] = chosen
            window = torch.cat([window[:, 1:], chosen[:, None]], 1)
            going_on = chosen != 0
            if not going_on.all():
                alive, window = alive[going_on], window[going_on]
            if len(alive) == 0:
                break
        return Draw(_spell(tokens[:, : position + 2], self.vocab), log_probabilities)

    def _lookup(self, window: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """For windows (B, T): their rows (B,) in the two tables that `_distributions` makes."""
        if not self._countable:  # too many possible windows for a 64-bit number each
            return torch.arange(len(window)), *self._distributions(window)
        number = window @ self._weights
        if self._tabulated:
            return number, *self._table
        number, row = number.unique(return_inverse=True)
        distinct = number[:, None] // self._weights % len(self.vocab)
        return row, *self._distributions(distinct)

    @torch.no_grad()
    def _distributions(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Cumulative probabilities to draw by, the network's own log-probabilities; (B, V)."""
        pieces = [self.net(part.to(self._device)).float().cpu() for part in windows.split(2**14)]
        logits = torch.cat(pieces)
        return self.decoding.probabilities(logits).cumsum(1), logits.log_softmax(1)


def _choose(cumulative: Tensor, uniform: Tensor) -> Tensor:
    """The first character whose cumulative probability exceeds a number in [0, 1), (B,)."""
    threshold = uniform * cumulative[:, -1]  # the last one is 1 but for rounding
    return (cumulative <= threshold[:, None]).sum(1)


def _spell(tokens: Tensor, vocab: Vocabulary) -> list[str]:
    """Rows of tokens (B, L), each with at least one end mark, to the words before the first one."""
    before = (tokens != 0).cumprod(1).bool()  # the characters of the name
    ends = torch.zeros_like(before).scatter(1, before.sum(1, keepdim=True), True)
    flat = tokens[before | ends].tolist()
    return "".join(map(vocab.itos.__getitem__, flat)).split(END)[:-1]


@torch.no_grad()
def score(net: nn.Module, vocab: Vocabulary, block_size: int, words: Iterable[str]) -> Tensor:
    """Log-probability in nats of each word, end mark included, (words,).

    Args:
        net: windows (B, T) to logits (B, V), in evaluation mode.
        vocab: its characters.
        block_size: T.
        words: words that the vocabulary can spell.
    """
    stream = encode("".join(f"{word}{END}" for word in words), vocab)
    windows, device = Windows(stream, block_size), next(net.parameters()).device
    parts = []
    for index in torch.arange(len(windows)).split(2**14):
        x, y = windows[index]
        parts.append(-nn.functional.cross_entropy(net(x.to(device)).cpu(), y, reduction="none"))
    lengths = word_lengths(stream)
    word_of = torch.arange(len(lengths)).repeat_interleave(lengths)
    losses = torch.cat(parts) if parts else torch.empty(0)
    return torch.zeros(len(lengths)).to(losses).index_add(0, word_of, losses)
