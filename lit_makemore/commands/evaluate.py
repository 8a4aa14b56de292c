"""`validate`, `test` and `predict`: what a checkpoint reaches on words; no run is made."""

from collections.abc import Iterator
from itertools import chain

import torch
from torch import Tensor

from lit_makemore.commands.lightning_cli import MakemoreCLI
from lit_makemore.commands.output import say
from lit_makemore.commands.quiet import quiet_lightning
from lit_makemore.commands.score import UNSPELLED, csv_row
from lit_makemore.files import write_parts
from lit_makemore.model import load
from lit_makemore.training.loaders import WordLoader
from lit_makemore.training.module import LitMLP
from lit_makemore.words.corpus import are_among, read_words
from lit_makemore.words.reader import Reading

Scores = list[tuple[str, float | None]]  # words with log-probabilities; None: cannot be spelled


def run(args: list[str], begun: float) -> None:
    with quiet_lightning():
        cli = MakemoreCLI(args[0], args[1:])
        if args[0] == "predict":
            predict(cli)
            return
        cli.build()
        evaluate, path = getattr(cli.trainer, args[0]), cli.config.ckpt_path
        evaluate(cli.model, cli.datamodule, ckpt_path=path, verbose=False, weights_only=True)
        if cli.trainer.is_global_zero:
            for name, value in cli.trainer.callback_metrics.items():
                print(f"{name:<20}{float(value):>10.4f}")


def predict(cli: MakemoreCLI) -> None:
    """Scores the words of a file in its order, a CSV row for each: nats, the end mark included."""
    data = cli.config.data
    if data.predict_path is None:
        raise ValueError("predict scores the words of a file: --data.predict_path FILE")
    reading = Reading(data.lowercase, data.strip, encoding=data.encoding)
    words = read_words(data.predict_path, reading)
    loaded = load(cli.config.ckpt_path).float()
    model = LitMLP(loaded.vocab.chars, loaded.block_size, **loaded.architecture)
    model.model = loaded
    cli.build(model)
    loader = WordLoader(words, cli.trainer.global_rank, cli.trainer.world_size)
    chunks: list[Scores] = cli.trainer.predict(model, loader) or []  # type: ignore[assignment]
    if torch.distributed.is_initialized():
        # each process has its share of every chunk, in the order of the ranks
        everyone: list[list[Scores]] = [[]] * cli.trainer.world_size
        torch.distributed.all_gather_object(everyone, chunks)
        chunks = [list(chain.from_iterable(shares)) for shares in zip(*everyone, strict=True)]
    if not cli.trainer.is_global_zero:
        return
    write_parts(cli.config.output, _rows(chunks, model.model.train_hashes))
    if unspelled := sum(log_p is None for _, log_p in chain.from_iterable(chunks)):
        say(f"words without a score: {unspelled:,}; {UNSPELLED}")


def _rows(chunks: list[Scores], train_hashes: Tensor) -> Iterator[str]:
    yield csv_row(["word", "log_probability", "loss_per_char", "in_train"])
    for chunk in chunks:
        known = are_among((word for word, _ in chunk), train_hashes).tolist()
        for (word, log_p), in_train in zip(chunk, known, strict=True):
            scores = () if log_p is None else (log_p, -log_p / (len(word) + 1))
            yield csv_row([word, *([f"{x:.6f}" for x in scores] or ["", ""]), int(in_train)])
