"""What `gradcheck` compares: the lecture's exercise, a configured network or a trained one."""

from collections.abc import Iterator
from pathlib import Path

import torch
import yaml
from torch import Tensor

from lit_makemore import checkpoint as checkpoints
from lit_makemore.network.gradcheck import (
    Line,
    check_lecture,
    check_network,
    lecture_parameters,
    table,
)
from lit_makemore.network.mlp import MLP
from lit_makemore.words.corpus import NAMES_PATH, Corpus, read_corpus
from lit_makemore.words.vocab import Vocabulary, difference
from lit_makemore.words.windows import Windows, encode, select_words, split_words

SPLIT_SEED = 278  # the exercise's
SMALL_PATH = "data/names_small.txt"


def tables(
    config: str | None, checkpoint: str | None, dtype: str, batch_size: int, seed: int
) -> Iterator[tuple[str, list[Line], str]]:
    """Title, comparison and its text, for each table; see `cli.gradcheck` for the arguments.

    Raises:
        FileNotFoundError, ValueError: a file that cannot be read, a batch of fewer than two.
    """
    if batch_size < 2:
        raise ValueError(
            f"--batch_size must be at least 2 for Batch Normalization, not {batch_size}"
        )
    kind, generator = getattr(torch, dtype), torch.Generator().manual_seed(seed)
    if not (config or checkpoint):
        vocab, x, y = _draw(_names(), 3, batch_size, generator)
        p = lecture_parameters(len(vocab), generator, kind)
        count = sum(tensor.numel() for tensor in vars(p).values())
        lines = check_lecture(p, x, y)
        yield f"The lecture's exercise, {count:,} parameters, {dtype}", lines, table(lines)
        return

    if config:
        net, corpus, block_size = _configured(config, generator)
    else:
        corpus = _names()
    if checkpoint:
        model = checkpoints.load(checkpoint)
        if apart := difference(model.vocab.chars, corpus.chars):
            raise ValueError(
                f"the network spells with other characters: {apart}; name its --config"
            )
        net, block_size = model.net, model.block_size
    _, x, y = _draw(corpus, block_size, batch_size, generator)
    net = net.to(kind)
    for training in (True, False):
        lines = check_network(net.train(training), x, y)
        mode = "training" if training else "evaluation"
        yield f"{config or checkpoint} in {mode} mode, {dtype}", lines, table(lines)


def _names() -> Corpus:
    return read_corpus(NAMES_PATH if Path(NAMES_PATH).exists() else SMALL_PATH)


def _draw(
    corpus: Corpus, block_size: int, batch_size: int, generator: torch.Generator
) -> tuple[Vocabulary, Tensor, Tensor]:
    """The list's vocabulary, and windows (B, T) and next tokens (B,) of its training words."""
    vocab = Vocabulary(corpus.chars)
    train = split_words(corpus.n_words, [0.8, 0.1, 0.1], SPLIT_SEED)[0]
    windows = Windows(select_words(encode(corpus.text, vocab), train), block_size)
    x, y = windows[torch.randint(0, len(windows), (batch_size,), generator=generator)]
    return vocab, x, y


def _configured(config: str, generator: torch.Generator) -> tuple[MLP, Corpus, int]:
    """Network, words and block size of a training configuration.

    Every parameter is moved off its initial value: zeros and ones hide mistakes.
    """
    from lit_makemore.commands.parsing import Parser
    from lit_makemore.training.datamodule import NamesDataModule
    from lit_makemore.training.module import LitMLP

    if not Path(config).is_file():
        raise FileNotFoundError(f"no configuration at {config}")
    try:
        given = yaml.safe_load(Path(config).read_text(encoding="utf-8"))
        sections = {key: given.get(key, {}) for key in ("data", "model")}
    except (yaml.YAMLError, AttributeError) as error:
        raise ValueError(f"{config} is not a training configuration: {error}") from error
    parser = Parser()
    parser.add_class_arguments(NamesDataModule, "data")
    parser.add_class_arguments(LitMLP, "model", skip={"chars", "block_size"})
    parsed = parser.parse_object(sections)
    data = NamesDataModule(**parsed.data.as_dict())
    with torch.random.fork_rng():
        torch.manual_seed(generator.initial_seed())
        net = LitMLP(data.chars, data.block_size, **parsed.model.as_dict()).net
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return net, data.corpus, data.block_size
