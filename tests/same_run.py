"""Whether two finished runs are the same, to the last bit."""

from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lit_makemore import model as checkpoint

COMPARED = ("state_dict", "optimizer_states", "global_step", checkpoint.KEY)
OF_THE_CLOCK = ("7_progress/steps_per_s",)


def same(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)  # type: ignore[arg-type]
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)  # type: ignore
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))  # type: ignore[arg-type]
    return a == b


def curves(folder: Path) -> dict[str, list[tuple[int, Any]]]:
    """What TensorBoard shows of a run, scalars and texts: tag to steps with their values."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0}).Reload()
    found: dict[str, list[tuple[int, Any]]] = {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
        if tag not in OF_THE_CLOCK
    }
    for tag in events.Tags()["tensors"]:
        # this reader, unlike TensorBoard, keeps what a resumed run has taken back
        texts = {event.step: event.tensor_proto.string_val[0] for event in events.Tensors(tag)}
        found[tag] = sorted(texts.items())
    return found


def differences(ours: Path, theirs: Path) -> list[str]:
    """What two finished runs do not have in common."""
    found = []
    for name in ("last", "best"):
        a, b = (checkpoint.read(run / "checkpoints" / f"{name}.ckpt") for run in (ours, theirs))
        found += [f"{name}.ckpt: {key}" for key in COMPARED if not same(a[key], b[key])]
        if not same(a["NamesDataModule"], b["NamesDataModule"]):
            found.append(f"{name}.ckpt: order of the minibatches")
    if (ours / "samples.txt").read_text() != (theirs / "samples.txt").read_text():
        found.append("samples.txt")
    a, b = curves(ours), curves(theirs)
    return found + [f"curve {tag}" for tag in a.keys() | b.keys() if a.get(tag) != b.get(tag)]
