"""`export`: a trained network as a file that works without this program."""

import base64
import json
import logging
import re
import sys
import warnings
import zlib
from html import escape
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from lit_makemore.counts.mixture import Mixture
from lit_makemore.counts.ngrams import KneserNey
from lit_makemore.files import replacing
from lit_makemore.model import NameModel, load
from lit_makemore.network.layers import Linear, Tanh
from lit_makemore.network.mlp import ACTIVATIONS
from lit_makemore.sampling.generate import POSITIONS, word_filter
from lit_makemore.sampling.sampler import USUAL

Format = Literal["html", "python", "onnx", "safetensors"]
TITLE = "Names that a neural network invents"
PARTS = Path(__file__).with_name("page")
# what page/names.js and names.py compute; they leave out Dropout and Identity
PAGE_LAYERS = (Linear, Tanh, nn.ReLU, nn.Identity, nn.Dropout)
MOST_COUNTS = 400_000  # bytes: a browser reads them in about a second


def export(
    ckpt_path: str, format: Format = "html", output: str | None = None, title: str | None = None
) -> None:
    """Writes a trained network to one file, with Batch Normalization folded into its layers.

    Args:
        ckpt_path: the checkpoint file; nothing else is read.
        format: html is a web page that draws names, and needs no server and no network; python is a
            program and module that draws names and scores words, and needs numpy; onnx is the
            network for other programs, from windows (B, T) to logits (B, V); safetensors has its
            parameters, and what is needed to build it again.
        output: the file to write; by default the checkpoint's name, in the current folder.
        title: the heading of the page.
    """
    if title is not None and format != "html":
        raise ValueError(f"--title is of a page; leave it out, or --format {format}")
    path = Path(output or f"{Path(ckpt_path).stem}.{'py' if format == 'python' else format}")
    model = load(ckpt_path).folded()
    if format == "html":
        content, left_out = web_page(model, title or TITLE)
    else:
        content, left_out = {"python": python, "onnx": onnx, "safetensors": safetensors}[format](
            model
        )
    with replacing(path) as file:
        file.write(content)
    count = sum(p.numel() for p in model.net.parameters())
    print(f"{path}: {count:,} parameters, {len(content):,} bytes")
    if left_out:
        print(f"without {left_out}; its losses differ from those of the run", file=sys.stderr)


def web_page(model: NameModel, title: str = TITLE) -> tuple[bytes, str]:
    """page/page.html with its scripts and a folded model, and what of it is left out, if any."""
    content, left_out = described(model), ""
    if (mixture := model.mixture) is not None:
        if (size := len(rows := packed_counts(mixture.counts))) <= MOST_COUNTS:
            content |= mixed(mixture, rows)
        else:
            sizes = f"they take {size:,} bytes, a page has at most {MOST_COUNTS:,}"
            left_out = f"the counts of its mixture: {sizes}"
    # The text cannot have "</script": base64 has no "<", and in sorted characters "/" comes first.
    parts = {name: (PARTS / f"{name}.js").read_text("utf-8") for name in ("names", "texts", "page")}
    parts |= {"title": escape(title), "network": json.dumps(content)}
    page = (PARTS / "page.html").read_text("utf-8")
    return re.sub(r"{{ (\w+) }}", lambda part: parts[part[1]], page).encode(), left_out


def python(model: NameModel) -> tuple[bytes, str]:
    """page/names.py with a folded model; nothing is left out."""
    content, program = described(model), (PARTS / "names.py").read_text("utf-8")
    if (mixture := model.mixture) is not None:  # for numpy: column by column it is small
        counts = mixture.counts
        table = torch.cat([counts.rows, counts.counts[:, None]], 1).T.contiguous()
        content |= mixed(mixture, zlib.compress(table.numpy().astype("<i4").tobytes()))
    run = 'if __name__ == "__main__":\n    main()\n'
    return f"{program}\n\nDATA = {content!r}\n\n{run}".encode(), ""


def described(model: NameModel) -> dict[str, Any]:
    """A folded model as page/names.js and names.py read it, but for its mixture."""
    net, (bits, error_rate) = model.net, word_filter(model.list_hashes)
    if unknown := [type(x).__name__ for x in net.layers if type(x) not in PAGE_LAYERS]:
        remedy = "nor can the Python file; use --format onnx or safetensors"
        raise ValueError(f"a page cannot compute {unknown[0]}, {remedy}")
    linear = [layer for layer in net.layers if isinstance(layer, Linear)]
    # the embedding, and of each layer weight and bias: folding gives every one a bias
    parameters = [p for part in (net.embedding, *linear) for p in part.parameters()]
    flat = torch.cat([p.flatten() for p in parameters])
    active = {type(layer) for layer in net.layers}
    return {
        "chars": model.vocab.chars,
        "spaces": [i for i, char in enumerate(model.vocab.chars, 1) if char.isspace()],
        "blockSize": model.block_size,
        "topP": USUAL.top_p,
        "network": {
            "embedding": list(net.embedding.weight.shape),
            "layers": [list(layer.weight.shape) for layer in linear],
            "activation": next(name for name, kind in ACTIVATIONS.items() if kind in active),
            "parameters": _base64(flat.detach().numpy().astype("<f4").tobytes()),
        },
        "filter": {"bits": _base64(bits), "positions": POSITIONS, "errorRate": error_rate},
    }


def mixed(mixture: Mixture, rows: bytes) -> dict[str, Any]:
    """The same of a mixture; each program reads rows of its own kind."""
    width, discount = mixture.counts.rows.size(1), mixture.counts.discount
    counts = {"rows": _base64(rows), "width": width, "discount": discount}
    return {"weights": mixture.weights.tolist(), "counts": counts}


def packed_counts(counts: KneserNey) -> bytes:
    """The sorted windows with next token that were counted: of each one, how many tokens it has in
    common with the one before, the others, its count; seven bits a byte, the lowest first.
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


def onnx(model: NameModel) -> tuple[bytes, str]:
    """The network of a folded model for other programs, and what ONNX cannot hold."""
    windows = torch.zeros((2, model.block_size), dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)  # torch's exporter speaks of torchvision, and of itself
        try:
            program = torch.onnx.export(
                model.net,
                (windows,),
                input_names=["windows"],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                dynamo=True,
                verbose=False,
            )
        finally:
            logging.disable(logging.NOTSET)
    assert program is not None
    program.model.metadata_props.update(_description(model))
    proto = program.model_proto
    for part in (*proto.graph.node, *proto.graph.input, *proto.graph.output):
        part.ClearField("metadata_props")  # how this program was called, with paths of this machine
    left_out = "the counts of its mixture: ONNX cannot hold them" if model.mixture else ""
    return proto.SerializeToString(), left_out


def safetensors(model: NameModel) -> tuple[bytes, str]:
    """The tensors of a folded model, with text that describes them; nothing is left out."""
    from safetensors.torch import save

    tensors, described = model.net.state_dict(), _description(model)
    architecture = {name: value for name, value in model.architecture.items() if name != "init"}
    described["architecture"] = json.dumps(architecture)
    if (mixture := model.mixture) is not None:
        counts, weights = mixture.counts, mixture.weights.tolist()
        tensors |= {"counts.rows": counts.rows, "counts.numbers": counts.counts}
        described["mixture"] = json.dumps({"weights": weights, "discount": counts.discount})
    return save(tensors, described), ""


def _description(model: NameModel) -> dict[str, str]:
    """What is needed to use a network: token i is chars[i - 1]; token 0 is the end mark."""
    return {"chars": model.vocab.chars, "block_size": str(model.block_size)}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
