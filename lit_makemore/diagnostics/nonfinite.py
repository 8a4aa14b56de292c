"""Which tensors of a network hold a NaN or an infinity."""

import torch
from torch import Tensor, nn

from lit_makemore.diagnostics.names import tensor_names
from lit_makemore.diagnostics.probe import Probe


def nonfinite_tensors(net: nn.Module, probe: Probe | None = None) -> list[str]:
    """The names of all tensors that hold a NaN or an infinity; an empty list for a sound network.

    Args:
        net: its parameters and buffers are checked.
        probe: its loss, activations and gradients are checked, too.
    """
    tensors: dict[str, Tensor] = {}
    if probe is not None:
        if probe.loss is not None:
            tensors["the loss"] = probe.loss
        tensors |= {f"activation {name}": t for name, t in probe.activations.items()}
        tensors |= {f"gradient of {name}": t for name, t in probe.gradients.items()}
        tensors |= {f"gradient of {name}": t for name, t in probe.weight_gradients.items()}
    shown = tensor_names(net)
    tensors |= {f"parameter {shown[name]}": p for name, p in net.named_parameters()}
    tensors |= {shown[name]: b for name, b in net.named_buffers() if b.is_floating_point()}
    with torch.no_grad():
        # One test of all sums: the device is waited for once as long as nothing is wrong.
        if torch.stack([t.sum().isfinite() for t in tensors.values()]).all():
            return []
        return [name for name, t in tensors.items() if not t.isfinite().all()]


def listed(names: list[str]) -> str:
    """The first four names, and how many more there are."""
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
