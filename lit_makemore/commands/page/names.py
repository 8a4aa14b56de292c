"""Invents names and scores words, with numpy alone: `python names.py --num 10 --seed 1`, or

    import names
    names.generate(10, seed=1), names.score(["emma"])

names.js does the same steps. Token i is chars[i - 1], 0 the end mark; V tokens.
"""

import argparse
import zlib
from base64 import b64decode
from collections.abc import Iterable, Iterator
from functools import cache
from hashlib import blake2b
from random import randrange
from unicodedata import normalize

import numpy as np

DATA: dict = {}  # `export` writes it at the end of the file
ACTIVATE: dict = {"tanh": np.tanh, "relu": lambda x: np.maximum(x, 0), "linear": lambda x: x}
GIVE_UP = 100_000  # draws in a row of which none is wanted
_floats = cache(lambda text: np.frombuffer(b64decode(text), "<f4").astype(float))


def generate(
    num: int = 10, seed: int | None = None, *, temperature: float = 1.0, top_p: float | None = None,
    prefix: str = "", max_length: int = 100, unique: bool = False, only_new: bool = False,
) -> list[str]:  # fmt: skip
    """Names, fewer if no more are found; `top_p` cuts rare characters, `only_new` known words."""
    if not (temperature > 0 and (top_p is None or 0 < top_p <= 1)):
        raise ValueError("temperature must be positive, and top_p lie in (0, 1]")
    random = _random(randrange(2**32) if seed is None else seed)
    cumulative = cache(lambda last: _decoded(last, temperature, top_p or DATA["topP"]).cumsum())
    names, begin = list[str](), _tokens(prefix)
    barren = GIVE_UP if begin and begin[0] in DATA["spaces"] else 0
    while len(names) < num and barren < GIVE_UP:
        tokens, token, barren = [*begin], -1, barren + 1
        while token and len(tokens) <= max_length:
            p = cumulative(tuple(tokens[-DATA["blockSize"] :]))
            tokens.append(token := int((p <= next(random) * p[-1]).sum()))
        name = "".join(DATA["chars"][i - 1] for i in tokens if i)
        if not (token or (only_new and known(name)) or (unique and name in names)):
            names.append(name)
            barren = 0
    return names


def score(words: Iterable[str]) -> list[float | None]:
    """The network's log-probability of each word in nats; None where a character is unknown."""
    scores: list[float | None] = []
    for word in words:
        tokens = [*_tokens(word), 0] if set(word) <= set(DATA["chars"]) else []
        p = [_probabilities(tokens[:i])[token] for i, token in enumerate(tokens)]
        scores.append(float(np.log(p).sum()) if p else None)
    return scores


def known(word: str) -> bool:
    """Whether a word is in the list; wrong for the share `errorRate` of other words."""
    hashed = int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "little")
    lower, upper, bits = hashed & 0xFFFFFFFF, hashed >> 32 | 1, b64decode(DATA["filter"]["bits"])
    at = [(lower + i * upper) % (8 * len(bits)) for i in range(DATA["filter"]["positions"])]
    return all(bits[i >> 3] >> (i & 7) & 1 for i in at)


def _tokens(text: str) -> list[int]:
    text = normalize("NFC", text)
    if unknown := set(text) - set(DATA["chars"]):
        raise ValueError(f"no word has {' '.join(map(repr, sorted(unknown)))}; leave it out")
    return [DATA["chars"].index(c) + 1 for c in text]


def _random(seed: int) -> Iterator[float]:
    """Numbers in [0, 1): PCG-RXS-M-XS-32 (O'Neill, 2014, https://www.pcg-random.org)."""
    state = 2891336453 + seed
    while True:
        state = (state * 747796405 + 2891336453) & 0xFFFFFFFF
        word = (state >> ((state >> 28) + 4) ^ state) * 277803737 & 0xFFFFFFFF
        yield (word >> 22 ^ word) / 2**32


def _decoded(last: tuple[int, ...], temperature: float, top_p: float) -> np.ndarray:
    """What is drawn with, (V,): a name has a character, and no white space at its ends."""
    p, spaces = _probabilities(last), DATA["spaces"]
    if not last or last[-1] in spaces:
        p[[0] if last else [0, *spaces]] = 0
    p = (p / p.max()) ** (1 / temperature)
    p /= p.sum()
    if top_p < 1:
        order = np.argsort(-p, kind="stable")
        p[order[p[order].cumsum() - p[order] >= top_p]] = 0
    return p


def _probabilities(last: Iterable[int]) -> np.ndarray:
    """The distribution of the token after the last ones, (V,)."""
    network = DATA["network"]
    window = (*[0] * DATA["blockSize"], *last)[-DATA["blockSize"] :]
    embedding, rest = np.split(_floats(network["parameters"]), [np.prod(network["embedding"])])
    x = embedding.reshape(network["embedding"])[list(window)].ravel()
    for i, (n_out, n_in) in enumerate(network["layers"]):
        weight, bias, rest = np.split(rest, [n_out * n_in, n_out * (n_in + 1)])
        x = weight.reshape(n_out, n_in) @ (ACTIVATE[network["activation"]](x) if i else x) + bias
    p = np.exp(x - x.max())
    p /= p.sum()
    if "counts" not in DATA:
        return p
    q, _, total, kinds = _counted(window[1 - DATA["counts"]["width"] :])
    entropy = -p @ np.log(np.maximum(p, 1e-300))
    a = 1 / (1 + np.exp(-np.dot(DATA["weights"], [1, np.log(total), np.log(kinds), entropy])))
    return a * p + (1 - a) * q


@cache
def _counted(window: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Interpolated Kneser-Ney smoothing, (V,), of windows that end so; and the windows that were
    counted and end so, each with its next token and how often. Of the longest end that was counted:
    how many tokens follow it, and how many different ones."""
    size, width, d = len(DATA["chars"]) + 1, DATA["counts"]["width"], DATA["counts"]["discount"]
    if window:
        shorter, rows, total, kinds = _counted(window[1:])
        rows = rows[rows[:, -2 - len(window)] == window[0]]
    else:
        table = zlib.decompress(b64decode(DATA["counts"]["rows"]))  # column by column
        shorter, total, kinds = np.full(size, 1 / size), 1, 1
        rows = np.frombuffer(table, "<i4").reshape(width + 1, -1).T
    if len(rows) == 0:
        return shorter, rows, total, kinds
    counts = np.bincount(rows[:, -2], rows[:, -1], size)
    if len(window) < width - 1:  # counts the distinct tokens before it
        pairs = np.unique(rows[:, -3 - len(window)] * size + rows[:, -2])
        counts = np.bincount(pairs % size, minlength=size)
    total, kinds = int(counts.sum()), int(np.count_nonzero(counts))
    return (np.maximum(counts - d, 0) + d * kinds * shorter) / total, rows, total, kinds


def main() -> None:
    parser = argparse.ArgumentParser(description="Invents names, or scores words.")
    parser.add_argument("--score", nargs="+", metavar="WORD", help="print their log-probabilities")
    for name, default in {"num": 10, "seed": None, **(generate.__kwdefaults__ or {})}.items():
        kind = {"seed": int, "top_p": float}.get(name) or type(default)
        how: dict = {"action": "store_true"} if kind is bool else {"type": kind, "default": default}
        parser.add_argument(f"--{name}", **how)
    options = vars(parser.parse_args())
    words = options.pop("score")
    try:
        lines = map("{}\t{}".format, score(words), words) if words else generate(**options)
        print(*lines, sep="\n")
    except ValueError as error:
        parser.error(str(error))
