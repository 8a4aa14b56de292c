"""`sample`: draws names from a checkpoint."""

import sys
import unicodedata
from collections.abc import Iterator

import torch

from lit_makemore import checkpoint
from lit_makemore.atomic import replacing
from lit_makemore.commands import threads
from lit_makemore.commands.parsing import call
from lit_makemore.network.sampling import Decoding, Sampler
from lit_makemore.words.corpus import word_hashes
from lit_makemore.words.vocab import Vocabulary

GIVE_UP = 50  # batches without a single new name


def run(args: list[str], begun: float) -> None:
    """Runs `sample` with the options of the command line."""
    threads.use(threads.asked(None) or threads.cores())
    call(sample, args)


def sample(
    ckpt_path: str,
    num: int = 20,
    seed: int | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    prefix: str = "",
    only_new: bool = False,
    max_length: int | None = None,
    scores: bool = False,
    output: str | None = None,
) -> None:
    """Draws names from a checkpoint and prints them, one a line.

    Args:
        ckpt_path: the checkpoint file; nothing else is read.
        num: how many names. With the same seed, a longer draw begins like a shorter one.
        seed: makes the draw repeatable; without it every draw differs.
        temperature: below 1 likely characters become likelier, above 1 less likely.
        top_k: draw each character from the k likeliest ones only.
        top_p: draw it from the likeliest ones that together reach this probability.
        prefix: what every name begins with.
        only_new: leave out names that are among the training words.
        max_length: draw only names that have at most this many characters.
        scores: print name, log-probability in nats and "train", "new" or "cut", between tabs.
        output: file to write instead of printing.
    """
    if num < 1:
        raise ValueError(f"--num must be at least 1, not {num}")
    model = checkpoint.load(ckpt_path)
    decoding = Decoding(temperature, top_k, top_p)
    prefix = unicodedata.normalize("NFC", prefix)  # as the training words
    _check_case(prefix, model.vocab)
    sampler = Sampler(model.predictor, model.vocab, model.block_size, decoding, prefix, max_length)
    lines = _lines(sampler, model, num, seed, only_new, scores)
    if output is None:
        for part in lines:
            sys.stdout.write(part)
    else:
        with replacing(output) as file:
            for part in lines:
                file.write(part.encode())


def _check_case(prefix: str, vocab: Vocabulary) -> None:
    lower = prefix.lower()
    if lower != prefix and vocab.chars == vocab.chars.lower() and vocab.spells(lower):
        raise ValueError(f"the training words are lower-case; use --prefix {lower}, not {prefix}")


def _lines(
    sampler: Sampler,
    model: checkpoint.Checkpoint,
    num: int,
    seed: int | None,
    only_new: bool,
    scores: bool,
) -> Iterator[str]:
    """The lines to print, a batch of names at a time.

    Raises:
        ValueError: with only_new, nothing new is drawn.
    """
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)

    barren = cut = 0
    while num > 0:
        for draw in sampler.draw(sampler.batch if only_new else num, generator):
            names, log_p, is_cut = draw.names, draw.log_probabilities, draw.cut
            if scores or only_new:
                known = torch.isin(word_hashes(iter(names)), model.train_hashes)
            if only_new:
                kept = (~known).nonzero().squeeze(1)[:num]
                names, log_p, known = [names[i] for i in kept], log_p[kept], known[kept]
                is_cut = is_cut[kept]
                barren = 0 if names else barren + 1
                if barren == GIVE_UP:
                    raise ValueError(
                        f"none of {GIVE_UP * sampler.batch:,} names is new; "
                        "raise --temperature or leave out --only_new"
                    )
            num -= len(names)
            cut += int(is_cut.sum())
            if scores:
                rows = zip(names, log_p.tolist(), known.tolist(), is_cut.tolist(), strict=True)
                yield "".join(
                    f"{n}\t{p:.4f}\t{'cut' if c else 'train' if k else 'new'}\n"
                    for n, p, k, c in rows
                )
            elif names:
                yield "\n".join(names) + "\n"
            if num == 0:
                break
    if cut:
        print(
            f"{cut:,} names were cut at {sampler.limit:,} characters, where they had not ended; "
            "--max_length N draws only names that end within N",
            file=sys.stderr,
        )
