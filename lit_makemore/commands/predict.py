"""`predict`: scores the words of a file, a CSV row for each, in the order of the file."""

import sys
from collections.abc import Iterator
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from lit_makemore import model as checkpoint
from lit_makemore.commands import output as outputs
from lit_makemore.commands.evaluate import READ_ONLY
from lit_makemore.commands.lightning_cli import MakemoreCLI, asks_for_help
from lit_makemore.commands.processes import disconnected_afterwards
from lit_makemore.commands.program import program
from lit_makemore.commands.quiet import quiet_lightning
from lit_makemore.training.loaders import WordLoader
from lit_makemore.training.module import LitMLP
from lit_makemore.words.corpus import are_among, read_words

HELP = """usage: {program} predict --ckpt_path FILE --data.predict_path FILE

Scores words: log-probability in nats, loss per character, and whether it is a training word.
The network and its vocabulary come from the checkpoint. `score` does this with one process.

  --ckpt_path FILE            the checkpoint, as runs/NAME/checkpoints/best.ckpt
  --data.predict_path FILE    the words to score, one a line
  --output FILE               CSV file to write, instead of printing
  --trainer.devices N         processes, each with its share of the words

All options: {program} predict --help_all
"""
Scores = list[tuple[str, float | None]]
"""Words with their log-probabilities in nats; None where the vocabulary cannot spell the word."""


def run(args: list[str], begun: float) -> None:
    """Runs `predict`.

    Raises:
        ValueError, OSError: bad input; the line says what to do.
    """
    if asks_for_help(args):
        print(HELP.format(program=program()), end="")
        return
    with quiet_lightning(), disconnected_afterwards():
        cli = MakemoreCLI("predict", args[1:])
        data = cli.config.data
        if data.predict_path is None:
            raise ValueError("predict scores the words of a file: --data.predict_path FILE")
        words = read_words(data.predict_path, data.lowercase, data.strip)
        checkpoint.read(cli.config.ckpt_path)  # says what is wrong with it
        model = LitMLP.load_from_checkpoint(
            cli.config.ckpt_path, map_location="cpu", weights_only=True
        )
        cli.build_trainer(**READ_ONLY)
        rank, world_size = cli.trainer.global_rank, cli.trainer.world_size
        chunks: Any = cli.trainer.predict(
            model, WordLoader(words, rank=rank, world_size=world_size)
        )
        chunks = gather(chunks or [])  # None for a file without a word
    if cli.trainer.is_global_zero:
        write(chunks, model.model.train_hashes, cli.config.output)


def gather(chunks: list[Scores]) -> list[Scores]:
    """The scores of all processes. Each has its share of every chunk, in the order of the ranks."""
    if not torch.distributed.is_initialized():
        return chunks
    everyone: list[list[Scores]] = [[]] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(everyone, chunks)
    return [list(chain.from_iterable(shares)) for shares in zip(*everyone, strict=True)]


def write(chunks: list[Scores], train_hashes: Tensor, path: str | None) -> None:
    """Writes word, log_probability, loss_per_char and in_train to a file, or to stdout.

    The loss per character is in nats; the end mark is a character too. A word that the vocabulary
    cannot spell has an empty score; a line on stderr says how many there are.
    """
    outputs.write(_rows(chunks, train_hashes), path)
    if unspelled := sum(log_p is None for chunk in chunks for _, log_p in chunk):
        print(
            f"{unspelled} words have no score: they contain characters that never occur in the "
            "training words",
            file=sys.stderr,
        )


def _rows(chunks: list[Scores], train_hashes: Tensor) -> Iterator[str]:
    yield outputs.csv_row(["word", "log_probability", "loss_per_char", "in_train"])
    for chunk in chunks:
        known = are_among((word for word, _ in chunk), train_hashes).tolist()
        for (word, log_p), in_train in zip(chunk, known, strict=True):
            scores = ["", ""]
            if log_p is not None:
                scores = [f"{log_p:.6f}", f"{-log_p / (len(word) + 1):.6f}"]
            yield outputs.csv_row([word, *scores, int(in_train)])
