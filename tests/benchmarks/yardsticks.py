"""What networks reach that see the whole word so far, as the lectures after this one build them.

    python -m tests.benchmarks.yardsticks gru
    python -m tests.benchmarks.yardsticks transformer --makemore FOLDER

The transformer is that of makemore itself: FOLDER has its makemore.py
(https://github.com/karpathy/makemore), which is used as it is. The GRU is torch.nn's. Both are as
wide as makemore's defaults, and are trained as makemore trains by default, on the split of this
project: AdamW, a rate of 0.0005, minibatches of 32 words. The weights with the lowest val loss
count; training ends when it has not fallen for 20,000 updates. One thread, one seed.
"""

import argparse
import copy
import json
import sys
from importlib import import_module
from time import perf_counter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_makemore.training.datamodule import NamesDataModule

WIDTH, BATCH, EVERY, PATIENCE = 64, 32, 500, 20_000
SEED = 3407  # makemore's
NO_TARGET = -1  # after the end of a word


class GRU(nn.Module):
    """Tokens (B, T) to the logits (B, T, V) of the next ones."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, WIDTH)
        self.gru = nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.logits = nn.Linear(WIDTH, vocab_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(self.gru(self.embedding(x))[0])


class Transformer(nn.Module):
    """makemore's, with the logits alone."""

    def __init__(self, vocab_size: int, block_size: int) -> None:
        super().__init__()
        theirs: Any = import_module("makemore")
        self.net = theirs.Transformer(
            theirs.ModelConfig(block_size=block_size, vocab_size=vocab_size)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)[0]


def encoded(words: list[str], chars: str, longest: int) -> tuple[Tensor, Tensor]:
    """Inputs (W, longest + 1), from the token 0 on, and targets, with a 0 after each word."""
    x = torch.zeros((len(words), longest + 1), dtype=torch.int64)
    y = torch.full_like(x, NO_TARGET)
    for row, word in enumerate(words):
        tokens = torch.tensor([1 + chars.index(c) for c in word])
        x[row, 1 : len(word) + 1] = y[row, : len(word)] = tokens
        y[row, len(word)] = 0
    return x, y


def loss(net: nn.Module, x: Tensor, y: Tensor, reduction: str = "mean") -> Tensor:
    logits = net(x)
    return F.cross_entropy(
        logits.flatten(0, 1), y.flatten(), ignore_index=NO_TARGET, reduction=reduction
    )


@torch.no_grad()
def mean_loss(net: nn.Module, x: Tensor, y: Tensor) -> float:
    """Nats per character of a whole split."""
    net.eval()
    sums = [loss(net, a, b, "sum").item() for a, b in zip(x.split(500), y.split(500), strict=True)]
    net.train()
    return sum(sums) / int((y != NO_TARGET).sum())


def train(kind: str) -> dict[str, Any]:
    begun = perf_counter()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    data = NamesDataModule()
    words, chars = [*data.corpus.words()], data.corpus.chars
    longest = max(map(len, words))
    splits = {
        name: encoded([words[i] for i in numbers.tolist()], chars, longest)
        for name, numbers in zip(("train", "val", "test"), data.numbers, strict=True)
    }
    size = len(chars) + 1
    net = GRU(size) if kind == "gru" else Transformer(size, longest + 1)
    optimizer = torch.optim.AdamW(net.parameters(), lr=5e-4, weight_decay=0.01, betas=(0.9, 0.99))
    x, y = splits["train"]
    best, best_step, weights, step = float("inf"), 0, net.state_dict(), 0
    while step - best_step < PATIENCE:
        rows = torch.randint(0, len(x), (BATCH,))
        optimizer.zero_grad()
        loss(net, x[rows], y[rows]).backward()
        optimizer.step()
        step += 1
        if step % EVERY == 0 and (val := mean_loss(net, *splits["val"])) < best:
            best, best_step, weights = val, step, copy.deepcopy(net.state_dict())
            print(f"{step:,}: val {val:.4f}", file=sys.stderr, flush=True)
    net.load_state_dict(weights)
    found = {f"{name}_loss": mean_loss(net, *split) for name, split in splits.items()}
    size = sum(parameter.numel() for parameter in net.parameters())
    seconds = round(perf_counter() - begun)
    return {"net": kind, "parameters": size, "updates": best_step, "seconds": seconds} | found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.yardsticks")
    parser.add_argument("net", choices=("gru", "transformer"))
    parser.add_argument("--makemore", metavar="FOLDER", help="where makemore.py is")
    arguments = parser.parse_args()
    if arguments.makemore:
        sys.path.insert(0, arguments.makemore)
    print(json.dumps(train(arguments.net)))


if __name__ == "__main__":
    main()
