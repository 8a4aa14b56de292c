"""What a network invents: names drawn while it trains, and how many of them it knows by heart."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lit_makemore.sampling.sampler import Sampler
from lit_makemore.sampling.scoring import score
from lit_makemore.words.corpus import word_hashes
from lit_makemore.words.splits import Split, whereabouts
from lit_makemore.words.vocab import Vocabulary

SEED = 2147483647  # the lecture's
SHOWN, LOOKED_UP = 10, 200


@dataclass(frozen=True)
class Known:
    """How many of some samples are training words.

    Args:
        num: the samples.
        train: share that are training words.
        natural: share that would be if the network knew the list, but no word by heart.
    """

    num: int
    train: float
    natural: float


def sample_table(
    model: nn.Module, vocab: Vocabulary, block_size: int, splits: dict[str, Split]
) -> str:
    """Ten names as a table in Markdown. The random numbers are the same each time.

    Each name has its log-probability in nats, and whether it is a training word, held out or new.

    Args:
        model: windows (B, T) to logits (B, V), in evaluation mode.
        vocab: the characters.
        block_size: T.
        splits: the word list.
    """
    sampler = Sampler(model, vocab, block_size, longest=splits["train"].longest, batch=SHOWN)
    names = next(sampler.draw(SHOWN, torch.Generator().manual_seed(SEED))).names
    scores = score(model, vocab, block_size, names).tolist()
    rows = [
        f"| {name} | {value:.2f} | {whereabouts(splits, name)} |"
        for name, value in zip(names, scores, strict=True)
    ]
    return "\n".join(["| name | ln p | |", "|---|---|---|", *rows])


def known_samples(
    model: nn.Module, vocab: Vocabulary, block_size: int, splits: dict[str, Split]
) -> Known:
    """Draws 200 names, and looks them up in the word list.

    A short list of short words holds much of what can be spelt: whoever knows how its words are
    made hits many of them, but held-out words as often as training words. And where words repeat,
    held-out words are training words too. The arguments are those of `sample_table`.
    """
    sampler = Sampler(model, vocab, block_size, batch=LOOKED_UP)
    sampler.limit = min(sampler.limit, splits["train"].longest + 1)  # longer ones are not there
    draw = next(sampler.draw(LOOKED_UP, torch.Generator().manual_seed(SEED)))
    names = [name for name, cut in zip(draw.names, draw.cut.tolist(), strict=True) if not cut]
    drawn = word_hashes(iter(names))
    train = splits["train"].hashes.unique()
    held_out = torch.cat([splits["val"].hashes, splits["test"].hashes])
    repeats = torch.isin(held_out, train)
    novel = held_out[~repeats].unique()
    hits = _share(torch.isin(drawn, novel)) * len(names) / LOOKED_UP
    natural = float(repeats.float().mean()) + hits * len(train) / max(len(novel), 1)
    hits_train = _share(torch.isin(drawn, train)) * len(names) / LOOKED_UP
    return Known(LOOKED_UP, hits_train, min(natural, 1.0))


def _share(found: Tensor) -> float:
    return float(found.float().mean()) if len(found) else 0.0
