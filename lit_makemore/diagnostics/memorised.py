"""How many of the names that a network draws are training words, and how many would be natural."""

import torch
from torch import Tensor, nn

from lit_makemore.diagnostics.outcome import Known
from lit_makemore.sampling.sampler import Sampler
from lit_makemore.words.corpus import word_hashes
from lit_makemore.words.splits import Split
from lit_makemore.words.vocab import Vocabulary

SEED, NUM = 2147483647, 200


def known_samples(
    net: nn.Module, vocab: Vocabulary, block_size: int, splits: dict[str, Split]
) -> Known:
    """Draws 200 names, and looks them up in the word list.

    A short list of short words holds much of what can be spelt: whoever knows how its words are
    made hits many of them, but held-out words as often as training words. And where words repeat,
    held-out words are training words too.

    Args:
        net: windows (B, T) to logits (B, V), in evaluation mode.
        vocab: the characters.
        block_size: T.
        splits: the word list.
    """
    sampler = Sampler(net, vocab, block_size, batch=NUM)
    sampler.limit = min(sampler.limit, splits["train"].longest + 1)  # longer ones are not there
    draw = next(sampler.draw(NUM, torch.Generator().manual_seed(SEED)))
    names = [name for name, cut in zip(draw.names, draw.cut.tolist(), strict=True) if not cut]
    drawn = word_hashes(iter(names))
    train = splits["train"].hashes.unique()
    held_out = torch.cat([splits["val"].hashes, splits["test"].hashes])
    repeats = torch.isin(held_out, train)
    novel = held_out[~repeats].unique()
    hits = _share(torch.isin(drawn, novel)) * len(names) / NUM
    natural = float(repeats.float().mean()) + hits * len(train) / max(len(novel), 1)
    return Known(NUM, _share(torch.isin(drawn, train)) * len(names) / NUM, min(natural, 1.0))


def _share(found: Tensor) -> float:
    return float(found.float().mean()) if len(found) else 0.0
