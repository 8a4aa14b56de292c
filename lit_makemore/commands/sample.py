"""`sample`: draws names from a checkpoint."""

import sys
from collections.abc import Iterable, Iterator

from torch import Tensor

from lit_makemore.commands import threads
from lit_makemore.files import write_parts
from lit_makemore.model import load
from lit_makemore.sampling.conditioned import ConditionedSampler, sampler
from lit_makemore.sampling.conditions import Condition
from lit_makemore.sampling.generate import generate, seeded
from lit_makemore.sampling.sampler import Decoding, Draw, Sampler
from lit_makemore.words.corpus import are_among


def sample(
    ckpt_path: str,
    num: int = 20,
    seed: int | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    prefix: str = "",
    suffix: str = "",
    pattern: str = "",
    min_length: int = 0,
    max_length: int | None = None,
    unique: bool = False,
    only_new: bool = False,
    not_near: bool = False,
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
        suffix: what every name ends with.
        pattern: what every name looks like: ? is one character and * any number of them, as in
            "Ma???a". A backslash before ? or * makes it an ordinary character.
        min_length: draw only names that have at least this many characters.
        max_length: draw only names that have at most this many characters.
        unique: print no name twice.
        only_new: leave out names that are among the training words.
        not_near: leave out training words and names within one edit of one: a character inserted,
            deleted or replaced.
        scores: print name, log-probability in nats and "train", "new" or "cut", between tabs.
        output: file to write instead of printing.
    """
    if num < 1:
        raise ValueError(f"--num must be at least 1, not {num}")
    threads.use(threads.asked(None) or threads.cores())
    model = load(ckpt_path)
    condition = Condition(prefix, suffix, pattern, min_length, max_length)
    decoding = Decoding(temperature, top_k, top_p)
    source = sampler(model, model.vocab, model.block_size, decoding, condition)
    wanted = unique, only_new, not_near
    draws = generate(source, num, seeded(seed), model.train_hashes, *wanted)
    write_parts(output, _lines(draws, model.train_hashes if scores else None, source.limit))
    if not condition.is_simple:
        print(_probability(source), file=sys.stderr)


def _lines(draws: Iterable[Draw], train_hashes: Tensor | None, limit: int) -> Iterator[str]:
    """The lines to print, a batch of names at a time; with their scores if there are hashes."""
    cut = 0
    for draw in draws:
        cut += int(draw.cut.sum())
        lines = draw.names
        if train_hashes is not None:
            known = are_among(draw.names, train_hashes).tolist()
            columns = draw.log_probabilities.tolist(), known, draw.cut.tolist()
            lines = [
                f"{name}\t{p:.4f}\t{'cut' if c else 'train' if k else 'new'}"
                for name, p, k, c in zip(draw.names, *columns, strict=True)
            ]
        yield "".join(f"{line}\n" for line in lines)
    if cut:
        print(
            f"names cut at {limit:,} characters, where they had not ended: {cut:,}; "
            "--max_length N draws only names that end within N",
            file=sys.stderr,
        )


def _probability(source: Sampler) -> str:
    if isinstance(source, ConditionedSampler):
        return f"{100 * source.probability:.3g} % of the network's names fit"
    begun = source.vocab.decode(source.prefix.tolist())
    which = f" that begin with {begun}" if begun else ""
    share = 100 * source.kept / max(source.tried, 1)
    return f"about {share:.3g} % of its names{which} fit: {source.kept:,} of {source.tried:,}"
