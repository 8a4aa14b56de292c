"""A correction of a mixture: training words get the share that they have among held-out words.

Shapes: D distinct examples, E edges, B batch, T block_size, V vocab_size.
"""

from collections.abc import Iterable
from math import log
from typing import Any

import torch
from torch import Tensor, nn

from lit_makemore.counts.mixture import Mixture
from lit_makemore.network.mlp import probabilities
from lit_makemore.words.windows import EvaluationBatch, row_numbers


class KnownWords(nn.Module):
    """Wraps a mixture: logits (B, V) and windows (B, T) to log-probabilities (B, V).

    The mixture gives all training words together the probability `mass`, too much if the network
    knows many by heart. A factor share / mass for each of them, and (1 - share) / (1 - mass) for
    every other word, make it `share`. The distribution of the next character c after a prefix is

        p'(c | prefix) = p(c | prefix) · f(prefix c) / f(prefix)

    where f is the mean factor of the words that begin so: if the mixture makes a training word of
    the prefix with probability q, f = q · share / mass + (1 - q) · (1 - share) / (1 - mass).
    A window shows the whole prefix only while its first place is padding: longer words count as
    others. Training windows x (D, T) that do are, with next tokens y, the edges of a prefix tree.
    """

    def __init__(self, mixture: Mixture, x: Tensor, y: Tensor) -> None:
        super().__init__()
        self.mixture, self.vocab_size = mixture, mixture.counts.vocab_size
        rows = torch.cat([x, y[:, None]], 1)[x[:, 0] == 0]
        self._grow(rows.to(torch.uint8 if self.vocab_size <= 256 else torch.int16))

    def _grow(self, rows: Tensor) -> None:
        """Builds the tree. Its nodes have numbers; the window of padding has number 0."""
        tokens, self._next = rows.long(), rows[:, -1].long()
        numbers = row_numbers(torch.cat([tokens[:, :-1], tokens[:, 1:]]), self.vocab_size)
        self._parent, child = numbers.unique(return_inverse=True)[1].view(2, len(rows))
        goes_on = (self._next != 0) & torch.isin(child, self._parent)
        self.rows, self._child = rows, torch.where(goes_on, child, -1)
        self._keys = self._parent * self.vocab_size + self._next  # sorted, as the rows are
        self._set(None, 0.0, 0.0)

    def _set(self, q: Tensor | None, mass: float, share: float) -> None:
        self.q, self.mass, self.share = q, mass, share  # q: (E,); None before the factors are there
        if q is not None:
            known, other = share / mass, (1 - share) / (1 - mass)
            self._log_other, self._log_edge = log(other), (other + (known - other) * q).log()
            self._log_node, on = q.new_zeros(2 * len(q)), self._child >= 0  # there are fewer nodes
            self._log_node[self._child[on]] = self._log_edge[on]

    def _edge(self, node: Tensor, token: Tensor) -> tuple[Tensor, Tensor]:
        """The edge of each token after a node, and whether there is one; there is none of -1."""
        wanted = node * self.vocab_size + token
        at = torch.searchsorted(self._keys, wanted).clamp(max=len(self._keys) - 1)
        return at, self._keys[at] == wanted

    def _node(self, x: Tensor) -> Tensor:
        """The node of each window; -1 where none is, or where the prefix is longer than that."""
        node = torch.where(x[:, 0] == 0, 0, -1)
        for token in x.T:
            at, found = self._edge(node, token)
            node = torch.where(token == 0, node, torch.where(found, self._child[at], -1))
        return node

    def forward(self, logits: Tensor, x: Tensor) -> Tensor:
        mixed = self.mixture(logits, x)
        if self.q is None:
            return mixed
        node = self._node(x.cpu())[:, None]
        at, found = self._edge(node, torch.arange(self.vocab_size))  # (B, V)
        factors = torch.where(found, self._log_edge[at], self._log_other) - self._log_node[node]
        factors = torch.where(node >= 0, factors, 0).to(mixed.dtype).to(mixed.device)
        return (mixed + factors).log_softmax(1)  # the factors may be those of the last validation

    @torch.no_grad()
    def fit(self, net: nn.Module, batches: Iterable[EvaluationBatch]) -> None:
        """Fits the mixture, then the factors, with one word of doubt: the share is never 0 or 1."""
        self.mixture.fit(net, batches)
        found = words = 0
        for x, inverse, y, weights in batches:
            ends = y == 0
            n, node = weights[ends, 0].cpu(), self._node(x[inverse[ends]].cpu())
            words += int(n.sum())
            found += int(n[self._edge(node, torch.tensor(0))[1]].sum())
        p = []  # (E,), of each edge
        for rows in self.rows.long().to(next(net.parameters()).device).split(8192):
            each = probabilities(self.mixture(net(rows[:, :-1]), rows[:, :-1]))
            p.append(each.gather(1, rows[:, -1:]).squeeze(1).cpu().double())
        q = (self._next == 0).double()  # of an edge that ends a word; of the others below
        of_node, length = q.new_zeros(2 * len(q)), (self.rows[:, :-1] != 0).sum(1)
        for characters in reversed(range(self.rows.size(1) - 1)):
            edges = (length == characters).nonzero().squeeze(1)
            on = edges[self._child[edges] >= 0]
            q[on] = of_node[self._child[on]]
            of_node.index_add_(0, self._parent[edges], torch.cat(p)[edges] * q[edges])
        mass = float(of_node[0])  # NaN, or 0 where no word is shorter than the window
        self._set(q if 0 < mass < 1 else None, mass, (found + mass) / (words + 1))

    def figures(self) -> dict[str, float]:  # the mass rises as the network memorises
        return {**self.mixture.figures(), "known_words": self.mass}

    def sentences(self) -> list[str]:
        said = (
            f"training words have {100 * self.share:.0f} % of the probability, as among the val "
            f"words, not the {100 * self.mass:.0f} % that this mixture would give them"
        )
        return [*self.mixture.sentences(), *([said] if self.q is not None else [])]

    def get_extra_state(self) -> dict[str, Any]:
        return {"rows": self.rows, "q": self.q, "mass": self.mass, "share": self.share}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self._grow(state["rows"])
        self._set(state["q"], state["mass"], state["share"])
