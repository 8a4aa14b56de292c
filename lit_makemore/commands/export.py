"""`export`: a trained network as a file that works without this program."""

import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch

from lit_makemore import model as checkpoint
from lit_makemore.commands.parsing import call
from lit_makemore.commands.web_page import web_page
from lit_makemore.counts.known_words import KnownWords
from lit_makemore.files import replacing

Format = Literal["html", "onnx", "safetensors"]
NEEDS = {"html": [], "onnx": ["onnx", "onnxscript"], "safetensors": ["safetensors"]}


def run(args: list[str], begun: float) -> None:
    """Runs `export` with the options of the command line."""
    call(export, args)


def export(ckpt_path: str, format: Format = "html", output: str | None = None) -> None:
    """Writes a trained network to one file, with Batch Normalization folded into its layers.

    html: a web page that draws names; it needs no server and no network.
    onnx: the network from windows (B, T) to logits (B, V), for other programs.
    safetensors: its parameters, with what is needed to build the network again.

    Args:
        ckpt_path: the checkpoint file; nothing else is read.
        format: html, onnx or safetensors.
        output: the file to write; by default the checkpoint's name, in the current folder.
    """
    missing = [package for package in NEEDS[format] if find_spec(package) is None]
    if missing:
        raise ValueError(
            f"--format {format} needs {' and '.join(missing)}, not installed; "
            f"pip install {' '.join(missing)}"
        )
    path = Path(output or f"{Path(ckpt_path).stem}.{format}")
    model = checkpoint.load(ckpt_path).folded()
    if not all(parameter.isfinite().all() for parameter in model.net.parameters()):
        raise ValueError(
            f"--ckpt_path {ckpt_path}: some parameters are not finite; use an earlier checkpoint"
        )
    content, left_out = WRITERS[format](model)
    try:
        with replacing(path) as file:
            file.write(content)
    except OSError as error:
        reason = error.strerror or "it is a folder"
        raise OSError(f"--output {path}: {reason}; name a file that can be written") from error
    count = sum(parameter.numel() for parameter in model.net.parameters())
    print(f"{path}: {count:,} parameters, {len(content):,} bytes")
    if left_out:
        print(
            f"without {left_out}; its losses differ from those of the run",
            file=sys.stderr,
        )


Written = tuple[bytes, str]
"""The content of a file, and what of the mixture is not in it, and why; empty if nothing is left
out."""


def _html(model: checkpoint.NameModel) -> Written:
    page, left_out = web_page(model)
    return page.encode(), left_out


def _onnx(model: checkpoint.NameModel) -> Written:
    window = torch.zeros((2, model.block_size), dtype=torch.int64)
    with _quiet():
        program = torch.onnx.export(
            model.net,
            (window,),
            input_names=["windows"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props.update(_description(model))
    proto = program.model_proto
    for part in (*proto.graph.node, *proto.graph.input, *proto.graph.output):
        part.ClearField("metadata_props")  # how this program was called, with paths of this machine
    left_out = "the counts of its mixture" if model.mixture else ""
    if isinstance(model.mixture, KnownWords):
        left_out += " and its known words"
    return proto.SerializeToString(), f"{left_out}: ONNX cannot hold them" if left_out else ""


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences what torch's exporter says of torchvision, and of itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def _safetensors(model: checkpoint.NameModel) -> Written:
    from safetensors.torch import save

    tensors = model.net.state_dict()
    description = _description(model) | {"architecture": json.dumps(model.architecture)}
    if model.mixture is not None:
        mixture = getattr(model.mixture, "mixture", model.mixture)
        counts, weight = mixture.counts, mixture.weight
        rows, numbers = counts.rows, counts.counts
        tensors |= {"counts.rows": rows, "counts.numbers": numbers}
        description["mixture"] = json.dumps({"weight": weight, "discount": counts.discount})
    if isinstance(known := model.mixture, KnownWords):
        assert known.q is not None  # a mixture has fitted ones only
        tensors |= {"known_words.rows": known.rows, "known_words.q": known.q}
        description["known_words"] = json.dumps({"mass": known.mass, "share": known.share})
    return save(tensors, description), ""


def _description(model: checkpoint.NameModel) -> dict[str, str]:
    """What is needed to build the network again and to use it; values are text."""
    return {
        "chars": model.vocab.chars,  # token i is chars[i - 1]; token 0 is the end mark
        "block_size": str(model.block_size),
    }


WRITERS: dict[Format, Callable[[checkpoint.NameModel], Written]] = {
    "html": _html,
    "onnx": _onnx,
    "safetensors": _safetensors,
}
