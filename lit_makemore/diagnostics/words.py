"""What a network invents: names drawn while it trains, and how many of them it knows by heart."""

import re
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lit_makemore.sampling.sampler import LONGEST, Draw, Sampler
from lit_makemore.sampling.scoring import score
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.words.corpus import word_hashes
from lit_makemore.words.splits import whereabouts

SEED = 2147483647  # the lecture's
SHOWN, LOOKED_UP = 10, 200
MARKS = re.compile(r"[\\`*_~|<>&\[\]]")  # Markdown would read them


class Known(NamedTuple):
    """How many of `num` samples are training words."""

    num: int
    train: float  # share that are
    natural: float  # share that would be if the network knew the list, but no word by heart


def samples(model: nn.Module, data: NamesDataModule, num: int) -> Draw:
    """Draws names by a model in evaluation mode, with the same random numbers each time."""
    sampler = Sampler(model, data.vocab, data.block_size)
    sampler.limit = min(max(100, 10 * data.splits["train"].longest), LONGEST)
    return next(sampler.draw(torch.Generator().manual_seed(SEED), num))


def sample_table(model: nn.Module, data: NamesDataModule) -> str:
    """Ten `samples` in Markdown, each with ln p in nats and whether it is a training word."""
    names = samples(model, data, SHOWN).names
    rows = ["| name | ln p | |", "|---|---|---|"]
    scores = score(model, data.vocab, data.block_size, names).tolist()
    for name, value in zip(names, scores, strict=True):
        text = MARKS.sub(lambda mark: f"&#{ord(mark[0])};", name)
        rows.append(f"| {text} | {value:.2f} | {whereabouts(data.splits, name)} |")
    return "\n".join(rows)


def known_samples(model: nn.Module, data: NamesDataModule) -> Known:
    """Draws 200 names, and looks them up in the word list. The model is as in `samples`.

    Whoever knows how the words of a short list are made hits many of them, but held-out words as
    often as training words. And where words repeat, held-out words are training words too.
    """
    splits, sampler = data.splits, Sampler(model, data.vocab, data.block_size)
    sampler.limit = min(sampler.limit, splits["train"].longest + 1)  # longer ones are not there
    draw = next(sampler.draw(torch.Generator().manual_seed(SEED), LOOKED_UP))
    ended = (name for name, cut in zip(draw.names, draw.cut.tolist(), strict=True) if not cut)
    drawn, train = word_hashes(ended), splits["train"].hashes.unique()
    held_out = torch.cat([splits["val"].hashes, splits["test"].hashes])
    repeats = torch.isin(held_out, train)
    novel = held_out[~repeats].unique()

    def share(words: Tensor) -> float:
        return float(torch.isin(drawn, words).sum()) / LOOKED_UP

    natural = float(repeats.float().mean()) + share(novel) * len(train) / max(len(novel), 1)
    return Known(LOOKED_UP, share(train), min(natural, 1.0))
