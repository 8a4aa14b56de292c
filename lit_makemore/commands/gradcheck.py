"""`gradcheck`: compares hand-derived gradients with autograd's."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from lit_makemore import files
from lit_makemore.diagnostics.probe import layer_names, tensor_names
from lit_makemore.model import load
from lit_makemore.network import gradcheck as checks
from lit_makemore.network.fold import check_fold
from lit_makemore.network.layers import BatchNorm1d
from lit_makemore.network.mlp import MLP
from lit_makemore.words.corpus import NAMES_PATH, Corpus, read_corpus
from lit_makemore.words.splits import split_words
from lit_makemore.words.vocab import Vocabulary, difference
from lit_makemore.words.windows import Windows, encode, select_words

SPLIT_SEED = 278  # the exercise's
SMALL_PATH = "data/names_small.txt"
Comparison = tuple[str, str, list[checks.Line]]  # title, what is compared, and a line for each


def gradcheck(
    config: str | None = None,
    ckpt_path: str | None = None,
    dtype: Literal["float64", "float32"] = "float64",
    batch_size: int = 32,
    seed: int = 2147483647,
) -> int:
    """Compares hand-derived gradients with autograd's on a minibatch of real words.

    Without config and ckpt_path: the 26 gradients and two closed forms of the lecture's exercise, a
    two-layer network of 4,137 random parameters. With one of them: every gradient of that network,
    and its outputs with Batch Normalization folded away. The status is 1 if anything disagrees.

    Args:
        config: a training configuration, for its network (from random parameters) and its words.
        ckpt_path: a trained network; with config, on that configuration's words.
        dtype: precision to compute in.
        batch_size: examples of the minibatch.
        seed: of the parameters and the choice of examples.
    """
    if batch_size < 2:
        raise ValueError(f"Batch Normalization needs --batch_size 2 at least, not {batch_size}")
    kind, generator = getattr(torch, dtype), torch.Generator().manual_seed(seed)
    net, block_size = None, 3
    if config:
        net, corpus, block_size = _configured(config, generator)
    else:
        names = files.find(NAMES_PATH)
        corpus = read_corpus(names if names.exists() else files.find(SMALL_PATH))
    if ckpt_path:
        model = load(ckpt_path)
        if apart := difference(model.vocab.chars, corpus.chars):
            raise ValueError(f"the network has other characters: {apart}; name its --config")
        net, block_size = model.net, model.block_size
    x, y = draw(corpus, block_size, batch_size, generator)
    if net is None:
        p = checks.lecture_parameters(len(corpus.chars) + 1, generator, kind)
        count = sum(tensor.numel() for tensor in vars(p).values())
        title = f"The lecture's exercise, {count:,} parameters, {dtype}"
        found = iter([(title, "gradient", checks.check_lecture(p, x, y))])
    else:
        found = _comparisons(net.to(kind), str(config or ckpt_path), dtype, x, y)
    disagree = 0
    for title, what, lines in found:
        disagree += (failed := sum(not line.agrees for line in lines))
        verdict = f"{len(lines)} {what}s: " + (f"{failed} disagree" if failed else "all agree")
        print(f"{title}\n\n{checks.table(lines, f'{what} of')}\n\n{verdict}\n")
    return 1 if disagree else 0


def _comparisons(net: MLP, name: str, dtype: str, x: Tensor, y: Tensor) -> Iterator[Comparison]:
    """Those of a network, with names as in TensorBoard."""
    shown = layer_names(net) | tensor_names(net)

    def named(lines: list[checks.Line]) -> list[checks.Line]:
        return [replace(line, name=shown[line.name]) for line in lines]

    for mode in ("training", "evaluation"):
        lines = checks.check_network(net.train(mode == "training"), x, y)
        yield f"{name} in {mode} mode, {dtype}", "gradient", named(lines)
    if any(isinstance(layer, BatchNorm1d) for layer in net.layers):
        title = f"{name} with BatchNorm1d folded into the Linear layers, {dtype}"
        yield title, "output", named(check_fold(net, x))


def draw(
    corpus: Corpus, block_size: int, batch_size: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Windows (B, T) and next tokens (B,) of a list's training words."""
    train = split_words(corpus.n_words, [0.8, 0.1, 0.1], SPLIT_SEED)[0]
    stream = encode(corpus.text, Vocabulary(corpus.chars))
    windows = Windows(select_words(stream, train), block_size)
    return windows[torch.randint(0, len(windows), (batch_size,), generator=generator)]


def _configured(config: str, generator: torch.Generator) -> tuple[MLP, Corpus, int]:
    """Network, words, block size of a config, all values moved: zeros and ones hide mistakes."""
    from lit_makemore.commands.lightning_cli import MakemoreCLI
    from lit_makemore.commands.quiet import quiet_lightning

    options = ["--config", config, "--trainer.max_steps", "1", "--trainer.accelerator", "cpu"]
    with quiet_lightning(), torch.random.fork_rng([]):
        cli = MakemoreCLI("fit", options)
        torch.manual_seed(generator.initial_seed())
        cli.build()
    net, data = cli.model.net, cli.datamodule
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
        for layer in (one for one in net.layers if isinstance(one, BatchNorm1d)):
            layer.running_mean.normal_(generator=generator)
            layer.running_var.uniform_(0.5, 1.5, generator=generator)
    return net, data.corpus, data.block_size
