"""The gradient of the logits as a picture: a row for each example, a column for each character.

    python docs/lecture/dlogits.py runs/06_as_is/checkpoints/best.ckpt dlogits.png

It draws the first 32 training examples; black is negative, white positive, grey zero.
"""

import sys

import torch
from matplotlib.figure import Figure

from lit_makemore import load
from lit_makemore.network.backprop import cross_entropy_backward
from lit_makemore.training.datamodule import NamesDataModule


@torch.no_grad()
def main(path: str, output: str) -> None:
    model = load(path)
    data = NamesDataModule(block_size=model.block_size)
    data.setup("fit")
    x, y = data.splits["train"].windows[torch.arange(32)]
    d_logits = cross_entropy_backward(model.net(x), y)  # (softmax - one_hot) / 32

    figure = Figure(figsize=(4.6, 4.2), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    limit = d_logits.abs().max().item()
    axes.imshow(d_logits.numpy(), cmap="gray", vmin=-limit, vmax=limit)
    axes.set_xticks(range(len(model.vocab)), model.vocab.labels, fontsize=7)
    axes.set(title="gradient of the logits", ylabel="example")
    figure.savefig(output)
    print(f"largest sum of a row: {d_logits.sum(1).abs().max():.1e}")
    at_next = d_logits[torch.arange(32), y]
    print(f"negative at the right character: {(at_next < 0).sum()} of 32 rows")
    others = (d_logits < 0).sum() - (at_next < 0).sum()
    print(f"negative anywhere else: {others} entries")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
