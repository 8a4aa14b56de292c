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
from lit_makemore.counts.mixture import Mixture
from lit_makemore.counts.ngrams import KneserNey
from lit_makemore.model import NameModel
from lit_makemore.network.layers import Linear
from lit_makemore.sampling.generate import POSITIONS, WordFilter

PARTS = Path(__file__).with_name("page")
MOST_COUNTS = 400_000  # bytes: a browser reads them in about a second


def beside_network(model: NameModel) -> tuple[Mixture | None, KnownWords | None]:
    """What a model has beside its network: a mixture with counts, and the known words around it.

    Known words without factors, as of words that are all longer than the window, change nothing.
    """
    if isinstance(model.mixture, KnownWords):
        known = model.mixture
        return known.mixture, known if known.q is not None else None
    return model.mixture, None


def web_page(model: NameModel) -> tuple[str, str]:
    """The page of a folded model, and what it does not hold; empty if it holds everything."""
    train_words, left_out = WordFilter(model.train_hashes), []
    mixture, known_words = beside_network(model)
    content: dict[str, Any] = {
        "chars": model.vocab.chars,
        "blockSize": model.block_size,
        "network": _network(model),
        "filter": {
            "bits": _base64(train_words.packed()),
            "positions": POSITIONS,
            "errorRate": train_words.error_rate,
        },
    }
    if mixture is not None:
        counts = mixture.counts
        if len(rows := packed_counts(counts)) > MOST_COUNTS:
            left_out.append(
                f"the counts of its mixture: they take {len(rows):,} bytes, a page has at most "
                f"{MOST_COUNTS:,}"
            )
        else:
            width = counts.rows.size(1)
            described = {"rows": _base64(rows), "width": width, "discount": counts.discount}
            content |= {"weight": mixture.weight, "counts": described}
    if known_words is not None:
        left_out.append("the known words: a page does not hold the training words")
    page = (PARTS / "page.html").read_text(encoding="utf-8")
    for name in ("names", "page"):
        script = (PARTS / f"{name}.js").read_text(encoding="utf-8")
        page = page.replace(f"{{{{ {name} }}}}", script)
    # The text cannot have "</script": base64 has no "<", and in sorted characters "/" comes first.
    return page.replace("{{ network }}", json.dumps(content)), "; ".join(left_out)


def packed_counts(counts: KneserNey) -> bytes:
    """The examples that were counted, for each: window with next token, and how often it occurs.

    The rows are sorted. Of each one: how many tokens it has in common with the row before, its
    other tokens, its count; numbers of seven bits a byte, the lowest first.
    """
    rows, numbers = counts.rows.tolist(), counts.counts.tolist()
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
