"""What `sample` prints: names from a checkpoint, a batch of lines at a time."""

from collections.abc import Iterator
from typing import Any

import torch

from lit_makemore import checkpoint
from lit_makemore.network.sampling import BATCH, Decoding, Sampler
from lit_makemore.words.corpus import word_hashes

GIVE_UP = 50  # batches without a single new name


def generate(
    ckpt_path: str,
    num: int,
    seed: int | None,
    decoding: dict[str, Any],
    prefix: str,
    only_new: bool,
    max_length: int,
    scores: bool,
) -> Iterator[str]:
    """Lines of names, see `cli.sample` for the arguments.

    Raises:
        FileNotFoundError, ValueError: no checkpoint, an option out of range, nothing new to draw.
    """
    model = checkpoint.load(ckpt_path)
    sampler = Sampler(
        model.predictor, model.vocab, model.block_size, Decoding(**decoding), prefix, max_length
    )
    generator = torch.Generator()
    _ = generator.seed() if seed is None else generator.manual_seed(seed)

    barren = 0
    while num > 0:
        for draw in sampler.draw(BATCH if only_new else num, generator):
            names, log_p = draw.names, draw.log_probabilities
            if scores or only_new:
                known = torch.isin(word_hashes(iter(names)), model.train_hashes)
            if only_new:
                kept = (~known).nonzero().squeeze(1)[:num]
                names, log_p, known = [names[i] for i in kept], log_p[kept], known[kept]
                barren = 0 if names else barren + 1
                if barren == GIVE_UP:
                    raise ValueError(
                        f"none of {GIVE_UP * BATCH:,} names was new; "
                        "raise --temperature or drop --only_new"
                    )
            num -= len(names)
            if scores:
                rows = zip(names, log_p.tolist(), known.tolist(), strict=True)
                yield "".join(f"{n}\t{p:.4f}\t{'train' if k else 'new'}\n" for n, p, k in rows)
            elif names:
                yield "\n".join(names) + "\n"
