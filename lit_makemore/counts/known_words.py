"""How likely a word is a training word.

A network that sees long windows knows many training words by heart. So it gives them much of its
probability, more than they have among held-out words: most lists have each word once.

Shapes: D distinct examples, E edges, M windows, T block_size, V vocab_size.
"""

from copy import copy
from math import log

import torch
from torch import Tensor, nn

from lit_makemore.network.mlp import probabilities
from lit_makemore.words.windows import ranges, row_numbers


class KnownWords:
    """The factors that give training words another share of a model's probability.

    The model gives all training words together the probability `mass`. A factor share / mass
    for each of them, and (1 - share) / (1 - mass) for every other word, make it `share`. Then the
    distribution of the next character c after a prefix is

        p'(c | prefix) = p(c | prefix) · f(prefix c) / f(prefix)

    where f is the mean factor of the words that begin so: if the model makes a training word of the
    prefix with probability q, f = q · share / mass + (1 - q) · (1 - share) / (1 - mass).

    A window shows the whole prefix only while its first place is padding. So words of T characters
    and more count as others, even if they are training words.

    Args:
        rows: (E, T + 1) windows that show a whole prefix of training words, with the next token:
            the edges of the tree of these prefixes, sorted as windows.distinct sorts them.
        vocab_size: V.
        q: (E,) the probability that the prefix with this next token becomes a training word; None
            before the factors are fitted.
        mass: the probability of all training words.
        share: what it shall be.
    """

    def __init__(
        self,
        rows: Tensor,
        vocab_size: int,
        q: Tensor | None = None,
        mass: float = 0.0,
        share: float = 0.0,
    ) -> None:
        windows, self._next = rows[:, :-1].long(), rows[:, -1].long()
        after = torch.cat([windows[:, 1:], self._next[:, None]], 1)
        # Nodes of the tree: the window of padding has number 0.
        numbers = row_numbers(torch.cat([windows, after]), vocab_size)
        parent, child = numbers.unique(return_inverse=True)[1].split(len(rows))
        goes_on = (self._next != 0) & torch.isin(child, parent)
        self.rows, self.vocab_size = rows, vocab_size
        self._parent, self._child = parent, torch.where(goes_on, child, -1)
        self._keys = parent * vocab_size + self._next  # sorted, as the rows are
        self._set(q, mass, share)

    @classmethod
    def of_examples(cls, x: Tensor, y: Tensor, vocab_size: int) -> "KnownWords":
        """The words of distinct training examples: windows (D, T) and next tokens (D,)."""
        rows = torch.cat([x, y[:, None]], 1)[x[:, 0] == 0]
        return cls(rows.to(torch.uint8 if vocab_size <= 256 else torch.int16), vocab_size)

    def found_among(self, x: Tensor, y: Tensor, n: Tensor) -> tuple[int, int]:
        """How many words of other examples are training words, and how many words there are.

        Args:
            x: (D, T) their distinct windows.
            y: (D,) next tokens.
            n: (D,) how often each example occurs.
        """
        ends = y == 0
        node, n = self._node(x[ends]), n[ends]
        is_known = torch.isin(node * self.vocab_size, self._keys) & (node >= 0)
        return int(n[is_known].sum()), int(n.sum())

    @torch.no_grad()
    def fitted(self, model: nn.Module, found: int, words: int) -> "KnownWords":
        """The factors that give training words the share that they have among other words.

        One word of doubt is shared as the model would share it: few words change little, and the
        share is never 0 or 1.

        Args:
            model: windows (M, T) to logits (M, V), in evaluation mode.
            found: how many of the other words are training words.
            words: how many other words there are.
        """
        device = next(model.parameters()).device
        p = torch.cat(
            [
                probabilities(model(rows[:, :-1].long().to(device)))
                .cpu()
                .double()[torch.arange(len(rows)), rows[:, -1].long()]
                for rows in self.rows.split(8192)
            ]
        )
        length = (self.rows[:, :-1] != 0).sum(1)
        q = (self._next == 0).double()  # (E,) of an edge that ends a word; of the others below
        of_node = torch.zeros(int(self._parent.max()) + 1, dtype=torch.float64)
        for characters in range(self.rows.size(1) - 2, -1, -1):
            edges = (length == characters).nonzero().squeeze(1)
            on = edges[self._child[edges] >= 0]
            q[on] = of_node[self._child[on]]
            of_node.index_add_(0, self._parent[edges], p[edges] * q[edges])
        mass = float(of_node[0])
        known = copy(self)
        # mass is NaN, or 0 where no word is shorter than the window
        known._set(q if 0 < mass < 1 else None, mass, (found + mass) / (words + 1))
        return known

    def _set(self, q: Tensor | None, mass: float, share: float) -> None:
        self.q, self.mass, self.share = q, mass, share
        if q is None:
            return
        known, other = share / mass, (1 - share) / (1 - mass)
        self._log_other = log(other)
        self._log_edge = (other + (known - other) * q.double()).log()
        self._log_node = torch.zeros(int(self._parent.max()) + 1, dtype=torch.float64)
        on = self._child >= 0
        self._log_node[self._child[on]] = self._log_edge[on]

    def log_factors(self, x: Tensor) -> Tensor:
        """Windows (M, T) to log(f(prefix c) / f(prefix)) of each character c, (M, V) float64."""
        factors = torch.zeros((len(x), self.vocab_size), dtype=torch.float64)
        node = self._node(x)
        (at,) = (node >= 0).nonzero(as_tuple=True)
        node = node[at]
        first = torch.searchsorted(self._keys, node * self.vocab_size)
        count = torch.searchsorted(self._keys, (node + 1) * self.vocab_size) - first
        row, edge = ranges(first, count)
        found = torch.full((len(at), self.vocab_size), self._log_other, dtype=torch.float64)
        found[row, self._next[edge]] = self._log_edge[edge]
        factors[at] = found - self._log_node[node, None]
        return factors

    def _node(self, x: Tensor) -> Tensor:
        """The node of each window (M, T), (M,); -1 where training words do not begin so, or where
        the window does not show the whole prefix."""
        node = torch.where(x[:, 0] == 0, 0, -1)
        for token in x.T:
            wanted = node * self.vocab_size + token
            at = torch.searchsorted(self._keys, wanted).clamp(max=len(self._keys) - 1)
            found = (self._keys[at] == wanted) & (node >= 0)
            step = torch.where(found, self._child[at], -1)
            node = torch.where(token == 0, node, step)
        return node
