"""What `predict` writes: a CSV row for each word, in the order of the file."""

import csv
import sys
from contextlib import nullcontext
from io import TextIOWrapper
from itertools import chain

import torch
from torch import Tensor

from lit_makemore.atomic import replacing
from lit_makemore.words.corpus import word_hashes

Scores = list[tuple[str, float | None]]
"""Words with their log-probabilities in nats; None where the vocabulary cannot spell the word."""


def gather(chunks: list[Scores]) -> list[Scores]:
    """The scores of all processes: each has its share of every chunk, in the order of the ranks."""
    if not torch.distributed.is_initialized():
        return chunks
    everyone: list[list[Scores]] = [[]] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(everyone, chunks)
    return [list(chain.from_iterable(shares)) for shares in zip(*everyone, strict=True)]


def write(chunks: list[Scores], train_hashes: Tensor, path: str | None) -> None:
    """Writes word, log_probability, loss_per_char and in_train to a file, or to stdout.

    The loss per character is in nats, the end mark counted as one. A word that the vocabulary
    cannot spell has an empty score; how many there are is said on stderr.
    """
    unspelled = 0
    with replacing(path) if path else nullcontext(sys.stdout.buffer) as binary:
        out = TextIOWrapper(binary, encoding="utf-8", newline="")
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow(["word", "log_probability", "loss_per_char", "in_train"])
        for chunk in chunks:
            known = torch.isin(word_hashes(word for word, _ in chunk), train_hashes).tolist()
            for (word, log_p), in_train in zip(chunk, known, strict=True):
                if log_p is None:
                    rows.writerow([word, "", "", int(in_train)])
                    unspelled += 1
                else:
                    per_char = -log_p / (len(word) + 1)
                    rows.writerow([word, f"{log_p:.6f}", f"{per_char:.6f}", int(in_train)])
        out.flush()
        out.detach()
    if unspelled:
        print(f"{unspelled} words have characters the vocabulary lacks: no score", file=sys.stderr)
