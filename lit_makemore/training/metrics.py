"""What validation and test report, exact over all examples and processes.

Shapes: B examples of a chunk, V vocab_size.
"""

from math import exp, log

import torch
from torch import Tensor
from torchmetrics import Metric

from lit_makemore.network.mlp import cross_entropy


class SplitMetrics(Metric):
    """The metrics of one split:

    loss            mean cross-entropy in nats
    loss_novel      the same over words that are not among the training words
    perplexity      exp(loss)
    bits_per_char   loss in bits
    top1, top5      how often the next character is the likeliest, or among the five likeliest
    """

    full_state_update = False
    sums: Tensor  # (3, 2): of losses, top-1 and top-5 hits, over all and over novel examples
    counts: Tensor  # (2,)

    def __init__(self) -> None:
        super().__init__()
        # In float64, so that how the examples are shared by processes changes no digit that is seen
        self.add_state("sums", torch.zeros(3, 2, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("counts", torch.zeros(2, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, logits: Tensor, y: Tensor, weights: Tensor) -> None:
        """Takes a chunk in.

        Args:
            logits: (B, V).
            y: (B,) the next tokens.
            weights: (B, 2) how often each example occurs, and how often in novel words.
        """
        losses = cross_entropy(logits, y, reduction="none")
        # How many are at least as likely as the right one, itself included; of NaN, all of them.
        place = (~(logits < logits.gather(1, y[:, None]))).sum(1)
        values = torch.stack([losses, place <= 1, place <= 5])  # (3, B)
        self.sums += values.to(self.sums.dtype) @ weights.to(self.sums.dtype)
        self.counts += weights.sum(0)

    def compute(self) -> dict[str, float]:
        (loss, loss_novel), (top1, _), (top5, _) = (self.sums / self.counts).tolist()
        return {
            "loss": loss,
            "loss_novel": loss_novel,
            "perplexity": exp(min(loss, 700.0)),
            "bits_per_char": loss / log(2),
            "top1": top1,
            "top5": top5,
        }
