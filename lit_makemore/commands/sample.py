"""`sample`: draws names from a checkpoint."""

import sys
from collections.abc import Iterable, Iterator

from lit_makemore.commands import threads
from lit_makemore.files import write_parts
from lit_makemore.model import NameModel, load
from lit_makemore.sampling.conditioned import ConditionedSampler, sampler
from lit_makemore.sampling.conditions import Condition
from lit_makemore.sampling.generate import generate, ranked, seeded
from lit_makemore.sampling.sampler import USUAL, Decoding, Draw, Sampler
from lit_makemore.words.corpus import are_among, read_words


def sample(
    ckpt_path: str,
    num: int = 20,
    seed: int | None = None,
    temperature: float = USUAL.temperature,
    top_k: int | None = None,
    top_p: float = USUAL.top_p,
    prefix: str = "",
    suffix: str = "",
    pattern: str = "",
    min_length: int = 1,
    max_length: int | None = None,
    unique: bool = False,
    only_new: bool = False,
    not_near: bool = False,
    exclude: str | None = None,
    best: int | None = None,
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
        top_p: draw it from the likeliest ones that together reach this probability; 1 takes all.
        prefix: what every name begins with.
        suffix: what every name ends with.
        pattern: what every name looks like, as "Ma???a": ? is one character, * any number of them,
            and with a backslash themselves.
        min_length: the fewest characters of a name.
        max_length: the most characters of a name.
        unique: print no name twice.
        only_new: leave out the words of the list.
        not_near: leave out the words of the list, and names that are one edit away from one.
        exclude: a file of words and parts that no name contains, one a line, whatever their case.
        best: print the so many likeliest different names of those that were drawn, by their
            log-probability a character, the end mark included.
        scores: print, between tabs, name, log-probability in nats and "train", "list" (in the list,
            but not learnt from), "new" or "cut".
        output: file to write instead of printing.
    """
    threads.use(threads.asked(None) or threads.cores())
    model = load(ckpt_path)
    condition = Condition(prefix, suffix, pattern, min_length, max_length)
    decoding = Decoding(temperature, top_k, top_p)
    source = sampler(model, model.vocab, model.block_size, decoding, condition)
    wanted = unique, only_new, not_near, read_words(exclude) if exclude else ()
    draws = generate(source, num, seeded(seed), model.list_hashes, *wanted)
    write_parts(output, _lines(ranked(draws, best), model if scores else None, source.limit))
    if not condition.is_simple:
        print(_probability(source), file=sys.stderr)


def _lines(draws: Iterable[Draw], model: NameModel | None, limit: int) -> Iterator[str]:
    """The lines to print, a batch of names at a time; with their scores if there is a model."""
    cut = 0
    for draw in draws:
        cut += int(draw.cut.sum())
        lines = draw.names
        if model is not None:
            known = are_among(lines, model.list_hashes).int()
            known += are_among(lines, model.train_hashes)  # 2 if in both
            known[draw.cut] = 3
            words = [("new", "list", "train", "cut")[k] for k in known.tolist()]
            rows = zip(lines, draw.log_probabilities.tolist(), words, strict=True)
            lines = [f"{name}\t{log_p:.4f}\t{word}" for name, log_p, word in rows]
        yield "".join(f"{line}\n" for line in lines)
    if cut:
        line = f"names cut at {limit:,} characters, where they had not ended: {cut:,}"
        print(f"{line}; --max_length N draws only names that end within N", file=sys.stderr)


def _probability(source: Sampler) -> str:
    if isinstance(source, ConditionedSampler):
        return f"{100 * source.probability:.3g} % of the network's names, none of them empty, fit"
    begun = source.vocab.decode(source.prefix.tolist())
    which = f" that begin with {begun}" if begun else ""
    share = 100 * source.kept / max(source.tried, 1)
    return f"about {share:.3g} % of its names{which} fit: {source.kept:,} of {source.tried:,}"
