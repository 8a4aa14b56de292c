"""The metrics of one split, exact over all its examples and over all processes.

Shapes: B examples of a batch, T block_size, V vocab_size, W distinct windows of a batch.
"""

from collections.abc import Iterable
from math import exp, log

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from lit_makemore.network.mlp import cross_entropy, evaluating
from lit_makemore.words.windows import EvaluationBatch


class SplitMetrics(Metric):
    """The metrics of one split:

    loss            mean cross-entropy in nats
    loss_novel      the same over words that are not among the training words; NaN without any
    perplexity, bits_per_char    exp(loss), and loss in bits
    top1, top5      how often the next character is the likeliest, or among the five likeliest

    With sync_on_compute they are of all processes, which share the examples.
    """

    full_state_update = False
    sums: Tensor  # (3, 2): of losses, top-1 and top-5 hits, over all and over novel examples
    counts: Tensor  # (2,)

    def __init__(self, sync_on_compute: bool = True) -> None:
        super().__init__(sync_on_compute=sync_on_compute)
        # In float64, the number of processes that share the examples changes no printed digit.
        self.add_state("sums", torch.zeros(3, 2, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("counts", torch.zeros(2, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, logits: Tensor, y: Tensor, weights: Tensor) -> None:
        """Adds logits (B, V) for next tokens y (B,), and how often each example occurs, and how
        often in novel words: weights (B, 2)."""
        logits, y, weights = (value.to(self.sums.device) for value in (logits, y, weights))
        losses = cross_entropy(logits, y, reduction="none")
        # The rank of the right character, 1 for the likeliest; a NaN counts as the worst rank.
        place = (~(logits < logits.gather(1, y[:, None]))).sum(1, dtype=torch.int32)
        weights = weights.to(self.sums.dtype)
        rows = [values.to(weights.dtype) @ weights for values in (losses, place <= 1, place <= 5)]
        # Not in place: Trainer.validate leaves tensors that only its inference mode may change.
        self.sums = self.sums + torch.stack(rows)
        self.counts = self.counts + weights.sum(0)

    def add(self, net: nn.Module, batch: EvaluationBatch | tuple[Tensor, Tensor]) -> None:
        """Adds a batch of an EvaluationLoader, or windows and next tokens of another loader."""
        if len(batch) == 2:
            once = torch.tensor([[1.0, 0.0]]).expand(len(batch[1]), 2)  # which words are novel?
            self.update(net(batch[0]), batch[1], once)
        else:
            x, inverse, y, weights = batch
            self.update(net(x)[inverse], y, weights)

    def compute(self) -> dict[str, float]:
        (loss, loss_novel), (top1, _), (top5, _) = (self.sums / self.counts).tolist()
        units = {"perplexity": exp(min(loss, 700.0)), "bits_per_char": loss / log(2)}
        return {"loss": loss, "loss_novel": loss_novel, **units, "top1": top1, "top5": top5}


@torch.no_grad()
def evaluate(net: nn.Module, batches: Iterable[EvaluationBatch]) -> dict[str, float]:
    """The metrics of a network, windows (B, T) to logits (B, V), in evaluation mode on a split."""
    metrics = SplitMetrics(sync_on_compute=False)  # this process has all; others have ended
    with evaluating(net):
        for batch in batches:
            metrics.add(net, batch)
    return metrics.compute()
