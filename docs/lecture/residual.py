"""Twenty layers without Batch Normalization, with and without residual connections.

    python docs/lecture/residual.py 0.5 1    gains of the hidden layers

A block adds its input to its output. Only `forward` is another than the project's; loss, optimizer
and data are the same. Spreads are standard deviations before the first update: of the outputs of
the last tanh layer, and of the gradient of the first hidden weight.
"""

import logging
import sys

import lightning.pytorch as pl
import torch
from torch import Tensor

from lit_makemore import LitMLP, NamesDataModule
from lit_makemore.network.layers import Tanh
from lit_makemore.network.mlp import MLP, Init, cross_entropy
from lit_makemore.training.metrics import evaluate


class ResidualMLP(MLP):
    def forward(self, x: Tensor) -> Tensor:
        value = before = self.embedding(x).flatten(1)
        for layer in self.layers:
            value = layer(value)
            if isinstance(layer, Tanh):  # the end of a block
                if value.shape == before.shape:  # not the first block: it makes its input wider
                    value = value + before
                before = value
        return value


def spreads(net: MLP, x: Tensor, y: Tensor) -> tuple[float, float]:
    last, first = net.layers[-2], net.layers[0].weight
    outputs: list[Tensor] = []
    handle = last.register_forward_hook(lambda layer, args, output: outputs.append(output))
    (gradient,) = torch.autograd.grad(cross_entropy(net(x), y), first)
    handle.remove()
    return outputs[0].std().item(), gradient.std().item()


def main(gains: list[float]) -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    print(f"{'network':<14}{'gain':>5}{'last tanh':>12}{'first gradient':>17}{'val':>9}")
    for gain in gains:
        for kind in (MLP, ResidualMLP):
            data = NamesDataModule()  # a new one: the same minibatches for all
            data.setup("fit")
            model = LitMLP(data.chars, data.block_size, n_layer=20, norm="none")
            torch.manual_seed(42)
            init = Init(gain=gain)
            model.model.net = kind(len(data.vocab), n_layer=20, norm="none", init=init)
            x, y = data.splits["train"].windows[torch.arange(1000)]
            output, gradient = spreads(model.net, x, y)
            trainer = pl.Trainer(
                max_steps=1000, accelerator="cpu", logger=False, enable_checkpointing=False,
                enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
            )  # fmt: skip
            trainer.fit(model, data)
            val = evaluate(model.net, data.evaluation_loader("val"))["loss"]
            name = f"{kind.__name__:<14}{gain:>5g}"
            print(f"{name}{output:>12.2g}{gradient:>17.2g}{val:>9.4f}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main([float(gain) for gain in sys.argv[1:]])
