"""Sampling under a condition, without a name that is drawn and thrown away.

A name in the making is at a place: the network's window and the state of the condition's automaton.
The chance that it will fit, in the end, follows from the chances one character later,

    chance_t(place) = p(end | window), if the name may end here,
                      + Σ_c p(c | window) · chance_t+1(the place after c)

and c is drawn with the probability of its term, divided by the sum. So each name has the network's
probability divided by chance_0 of the first place, that of the condition (Baum et al., 1970).
Shapes: B names in the making, P places, T block_size, V vocab_size.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_makemore.network.mlp import log_probabilities
from lit_makemore.sampling.conditions import ArgumentError, Automaton, Condition
from lit_makemore.sampling.sampler import Decoding, Sampler, choose, longest_name, only_names
from lit_makemore.sampling.scoring import logits_of
from lit_makemore.words.vocab import Vocabulary

MAX_CELLS = 2**21  # places times vocabulary, and
MAX_CHANCES = 2**25  # places times positions, to bound the memory
SETTLED = 1e-12  # a chance that changes by less, relative to itself, will not change any more


def find_places(
    automaton: Automaton, vocab: Vocabulary, block_size: int, max_length: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The places that a name of at most max_length characters which will fit can be at.

    Their windows (P, T), the first of which is where every name begins; the place after each
    character (P, V), which is P for none; and whether a name may end there (P,).
    """
    begin = ("\0" * block_size, 0)  # tokens as characters: such a window can be looked up
    numbers, depths, edges = {begin: 0}, [0], list[int]()
    for number, (window, state) in enumerate(queue := [begin]):
        depth = depths[number] + 1
        for c, after in automaton.moves[state].items():
            token = vocab.stoi[c]
            if depth + automaton.missing[after] > max_length:
                continue
            place = ((window + chr(token))[1:], after)
            if place not in numbers:
                numbers[place] = len(numbers)
                queue.append(place)
                depths.append(depth)
            edges += number, token, numbers[place]
        if len(queue) * len(vocab) > MAX_CELLS:
            raise MemoryError
    following = torch.full((len(queue), len(vocab)), len(queue))
    sources, tokens, targets = torch.tensor(edges, dtype=torch.int64).view(-1, 3).T
    following[sources, tokens] = targets
    windows = torch.tensor([list(map(ord, window)) for window, _ in queue])
    return windows, following, torch.tensor([automaton.accepts[state] for _, state in queue])


class ConditionedSampler(Sampler):
    """Draws names that the automaton accepts, and none in vain.

    `probability` is their share of all that the network draws. MemoryError if it takes too much
    memory; ValueError if no name fits.
    """

    def __init__(self, free: Sampler, automaton: Automaton, min_length: int, longest: int) -> None:
        self.vocab, self.min_length, self.max_length = free.vocab, min_length, None
        self.limit = longest + 1  # with the end mark
        self._begin = torch.zeros(1, dtype=torch.int64)
        places = find_places(automaton, free.vocab, free.block_size, longest)
        windows, self._following, accepts = places
        logits = logits_of(free.net, windows).float()
        self._log_p = log_probabilities(logits)  # (P, V)
        drawn = only_names(logits.double(), windows, free.vocab)
        self._p = free.decoding.probabilities(drawn)  # (P, V)
        self._ending = self._p[:, 0] * accepts
        self._chances = self._backwards()
        self.probability = float(self._chances[0][0])
        if not self.probability > 0:  # or it is NaN
            raise ArgumentError("the network draws no name that fits; ask for less, or --top_p 1")

    def _backwards(self) -> list[Tensor]:
        """The chance of each place at each position, (P + 1,) float64; the last place is none."""
        later, settled, different = torch.zeros(len(self._p) + 1, dtype=torch.float64), False, 0
        chances = [later]
        for position in reversed(range(self.limit)):
            may_end = position >= self.min_length
            if not (settled and may_end):
                chance = F.pad(self._weights(slice(None), later, may_end).sum(1), (0, 1))
                settled = may_end and bool((chance - later <= SETTLED * chance).all())
                later, different = chance, different + 1
                if different * len(later) > MAX_CHANCES:
                    raise MemoryError
            chances.append(later)
        return chances[::-1]

    def _weights(self, place: Tensor | slice, later: Tensor, may_end: bool) -> Tensor:
        """For each next character, the probability that it comes and the name will fit."""
        weights = self._p[place] * later[self._following[place]]
        weights[:, 0] = self._ending[place] if may_end else 0
        return weights

    def _step(
        self, position: int, place: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        later, may_end = self._chances[position + 1], position >= self.min_length
        cumulative = self._weights(place, later, may_end).cumsum(1)
        uniform = torch.rand(len(place), generator=generator, dtype=torch.float64)
        chosen = choose(cumulative, uniform)
        return chosen, self._log_p[place, chosen], self._following[place, chosen]


def sampler(
    net: nn.Module,
    vocab: Vocabulary,
    block_size: int,
    decoding: Decoding = Decoding(),
    condition: Condition = Condition(),
) -> Sampler:
    """What draws the names of a condition: exactly if its places are few enough.

    A prefix only has to be put in front, and names that are too long are few. Otherwise names are
    drawn until enough of them fit.
    """
    automaton, usual = condition.automaton(vocab), (net, vocab, block_size, decoding)
    free = Sampler(*usual, condition.prefix, condition.max_length)
    if condition.is_simple:
        return free
    least = max(condition.min_length, int(automaton.missing[0]))
    if least > (most := longest_name(vocab, least)):
        raise ArgumentError(f"--min_length {least:,} is too large here: {most:,} at most")
    most = min(most, condition.max_length or most)
    try:
        return ConditionedSampler(free, automaton, condition.min_length, most)
    except MemoryError:
        fits = partial(automaton.fits, min_length=condition.min_length)
        return Sampler(*usual, condition.begins_with(), most, fits)
