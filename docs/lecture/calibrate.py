"""The lecture's calibration: the statistics of Batch Normalization over the whole training set.

    python docs/lecture/calibrate.py runs/batchnorm/checkpoints/best.ckpt

It prints the losses with the running statistics of the training, and with the calibrated ones.
"""

import sys

import torch

from lit_makemore import model as checkpoint
from lit_makemore.network.layers import BatchNorm1d
from lit_makemore.network.mlp import MLP
from lit_makemore.runs.report import split_losses
from lit_makemore.training.datamodule import NamesDataModule


@torch.no_grad()
def calibrate(net: MLP, windows: torch.Tensor) -> None:
    """Replaces the running statistics by those of all windows (N, T), in one pass."""
    for layer in net.layers:
        if isinstance(layer, BatchNorm1d):
            layer.momentum = 1.0  # the new statistics count, the old ones do not
    net.train()(windows)
    net.eval()


def main(path: str) -> None:
    model = checkpoint.load(path)
    data = NamesDataModule(block_size=model.block_size)
    data.setup("fit")
    train = data.splits["train"].windows
    windows, _ = train[torch.arange(len(train))]
    print(f"{'statistics':<14}{'train':>8}{'val':>8}{'test':>8}")
    for name in ("running", "calibrated"):
        if name == "calibrated":
            calibrate(model.net, windows)
        losses = split_losses(model.net, data)
        print(f"{name:<14}" + "".join(f"{losses[s]:>8.4f}" for s in ("train", "val", "test")))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
