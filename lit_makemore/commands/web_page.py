"""A trained network as a web page: one file with the network, its counts and a filter of words.

The page is page/page.html with its two scripts and one line of JSON. page/names.js reads the JSON
and computes what this package computes.
"""

import base64
import json
from pathlib import Path
from typing import Any

import torch

from lit_makemore.counts.known_words import KnownWords
from lit_makemore.counts.ngrams import KneserNey
from lit_makemore.model import NameModel
from lit_makemore.network.layers import Linear
from lit_makemore.sampling.word_filter import POSITIONS, WordFilter

PARTS = Path(__file__).with_name("page")
MOST_COUNTS = 400_000  # bytes: a browser reads them in about a second


def web_page(model: NameModel) -> tuple[str, str]:
    """The page, and a sentence on what it does not hold; an empty one if it holds everything.

    Args:
        model: the network, with Batch Normalization folded away.
    """
    known = WordFilter(model.train_hashes)
    content: dict[str, Any] = {
        "chars": model.vocab.chars,
        "blockSize": model.block_size,
        "network": _network(model),
        "filter": {
            "bits": _base64(known.packed()),
            "positions": POSITIONS,
            "errorRate": known.error_rate,
        },
    }
    left_out = ""
    if model.mixture is not None:
        mixture = getattr(model.mixture, "mixture", model.mixture)
        counts, weight = mixture.counts, mixture.weight
        rows = packed_counts(counts)
        if len(rows) > MOST_COUNTS:
            left_out = (
                f"the counts of its mixture: they take {len(rows):,} bytes, a page has at most "
                f"{MOST_COUNTS:,}"
            )
        else:
            content["weight"] = weight
            content["counts"] = {
                "rows": _base64(rows),
                "width": counts.rows.size(1),
                "discount": counts.discount,
            }
    if isinstance(model.mixture, KnownWords):
        known_words = "the known words: a page does not hold the training words"
        left_out = f"{left_out}; {known_words}" if left_out else known_words
    page = (PARTS / "page.html").read_text(encoding="utf-8")
    for name in ("names", "page"):
        script = (PARTS / f"{name}.js").read_text(encoding="utf-8")
        page = page.replace(f"{{{{ {name} }}}}", script)
    # The text cannot have "</script": base64 has no "<", and in sorted characters "/" comes first.
    return page.replace("{{ network }}", json.dumps(content)), left_out


def packed_counts(counts: KneserNey) -> bytes:
    """The examples that were counted, for each: window with next token, and how often it occurs.

    The rows are sorted. Of each one: how many tokens it has in common with the row before, its
    other tokens, its count; numbers of seven bits a byte, the lowest first.
    """
    rows, numbers = (tensor.tolist() for tensor in (counts.rows, counts.counts))
    packed, before = bytearray(), [-1] * len(rows[0])
    for row, number in sorted(zip(rows, numbers, strict=True)):
        shared = next(i for i, token in enumerate(row) if token != before[i])
        for value in (shared, *row[shared:], number):
            while value > 127:
                packed.append(value & 127 | 128)
                value >>= 7
            packed.append(value)
        before = row
    return bytes(packed)


def _network(model: NameModel) -> dict[str, Any]:
    net = model.net
    linear = [layer for layer in net.layers if isinstance(layer, Linear)]
    parameters = [net.embedding.weight]
    for layer in linear:
        assert layer.bias is not None  # folding gives every layer one
        parameters += [layer.weight, layer.bias]
    flat = torch.cat([parameter.detach().flatten() for parameter in parameters])
    return {
        "embedding": list(net.embedding.weight.shape),
        "layers": [list(layer.weight.shape) for layer in linear],
        "activation": model.architecture["activation"],
        "parameters": _base64(flat.numpy().astype("<f4").tobytes()),
    }


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
