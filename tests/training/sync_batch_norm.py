"""A fit by DDP with sync_batchnorm, for test_devices.py: DEVICE PROCESSES WORDS OUTPUT.

Saves the parameters and buffers after 20 updates. On a CPU, where torch has no synchronised layers,
the fit does without.
"""

import sys

import torch

from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.module import LitMLP
from tests.training.test_module import trainer


def main(device: str, processes: str, words: str, output: str) -> None:
    torch.manual_seed(1)
    data = NamesDataModule(words, batch_size=16)
    model = LitMLP(data.chars, 3, n_hidden=20, n_layer=2, engine="autograd")
    runner = trainer(
        20,
        accelerator=device,
        devices=int(processes),
        strategy="ddp",
        sync_batchnorm=device != "cpu",
        use_distributed_sampler=False,
    )
    runner.fit(model, data)
    if runner.is_global_zero:
        torch.save({k: v.cpu() for k, v in model.state_dict().items()}, output)


if __name__ == "__main__":
    main(*sys.argv[1:])
