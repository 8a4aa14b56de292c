"""The noise of Batch Normalization: one example, beside a thousand different companions.

    python docs/lecture/noise.py runs/10_batchnorm/checkpoints/best.ckpt

In training mode, mean and deviation come from the minibatch. So what the network says of an example
depends on the others in its minibatch, which chance has chosen.
"""

import sys

import torch

from lit_makemore import load
from lit_makemore.network.mlp import buffers_restored
from lit_makemore.training.datamodule import NamesDataModule

TIMES = 1000


@torch.no_grad()
def main(path: str) -> None:
    model = load(path)
    data = NamesDataModule(block_size=model.block_size)
    data.setup("fit")
    train, net = data.splits["train"].windows, model.net
    g = torch.Generator().manual_seed(2147483647)
    first, y = train[torch.tensor([0])]  # (1, T)
    print(f"{'minibatch':>9}{'std of its logits':>20}{'loss':>8}{'± std':>9}")
    for size in (8, 32, 128, 512):
        logits = []
        with buffers_restored(net.train()):
            for _ in range(TIMES):
                others, _ = train[torch.randint(len(train), (size - 1,), generator=g)]
                logits.append(net(torch.cat([first, others]))[0])
        found = torch.stack(logits)  # (TIMES, V)
        loss = -found.log_softmax(1)[:, y.item()]
        print(f"{size:>9}{found.std(0).mean():>20.3f}{loss.mean():>8.3f}{loss.std():>9.3f}")
    alone = -net.eval()(first).log_softmax(1)[0, y.item()]
    print(f"{'alone':>9}{0:>20.3f}{alone:>8.3f}{0:>9.3f}   (running statistics)")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
