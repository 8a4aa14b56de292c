"""Linear, BatchNorm1d and Tanh, with torch.nn's names and state_dict. B batch, F features."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

# The variance that normalises a minibatch, and the one that the running average takes in: biased
# (division by B) or unbiased (by B - 1) for both; torch normalises by the one, averages the other
Variance = Literal["torch", "biased", "unbiased"]


class Linear(nn.Module):
    """An affine map: y = x Wᵀ + b.

    The weight starts as N(0, 1)/√in_features, so that inputs of variance 1 give outputs of variance
    1 (He et al., 2015, https://arxiv.org/abs/1502.01852), the bias at zero; torch.nn.Linear draws
    both from a uniform distribution. A generator replaces torch's global one.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        weight = torch.randn((out_features, in_features), generator=generator) / in_features**0.5
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        y = x @ self.weight.T  # (B, out_features)
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"


class BatchNorm1d(nn.BatchNorm1d):
    """Batch normalisation of (B, F) inputs: y = γ (x - μ) / √(σ² + ε) + β.

    In training mode, μ and σ² are the mean and variance of each feature over the minibatch, and
    the layer updates running averages of both, which it uses in evaluation mode (Ioffe & Szegedy,
    2015, https://arxiv.org/abs/1502.03167). It is a torch.nn.BatchNorm1d with the forward pass
    written out and a choice of variance; (B, F, L) inputs are not supported. Statistics are
    computed in float32 at least, since bfloat16 has too few digits for x - μ.
    """

    num_batches_tracked: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        variance: Variance = "torch",
    ) -> None:
        super().__init__(num_features, eps, momentum, affine)
        if variance not in (known := get_args(Variance)):
            raise ValueError(f"variance is one of {', '.join(known)}, not {variance!r}")
        self.variance = variance

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 2 or x.size(1) != self.num_features:
            takes = f"(batch, {self.num_features}) inputs"
            raise ValueError(f"BatchNorm1d takes {takes}, not {tuple(x.shape)}")
        observes = self.training or self.running_mean is None  # None: without running averages
        if observes and len(x) < 2:
            raise ValueError("BatchNorm1d cannot normalise a training batch of one row")
        dtype = x.dtype
        x = x.to(torch.promote_types(dtype, torch.float32))
        # A GPU takes longer to start kernels than to run them: there one of torch's does all this.
        off_cpu, kept = x.device.type != "cpu", self.running_mean
        if off_cpu and self.variance == "torch" and (kept is None or x.dtype == kept.dtype):
            return super().forward(x).to(dtype)
        if observes:
            centred, var = self._observe(x)
        else:
            centred, var = x - self.running_mean, self.running_var
        scale = (var + self.eps).rsqrt()
        y = centred * (scale if self.weight is None else self.weight * scale)
        return (y if self.bias is None else y + self.bias).to(dtype)

    def _observe(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x - μ (B, F) and σ² (F,) of the minibatch; updates the running averages, if any."""
        n = x.size(0)
        mean = x.mean(0)
        centred = x - mean
        biased = (centred * centred).mean(0)
        bessel = n / (n - 1)  # turns the biased variance into the unbiased one
        var = biased * bessel if self.variance == "unbiased" else biased
        if not (self.training and self.track_running_stats) or self.running_mean is None:
            return centred, var
        self.num_batches_tracked.add_(1)
        weight = self.momentum  # of the new minibatch
        if weight is None:
            weight = 1.0 / float(self.num_batches_tracked)
        averaged = biased.detach() if self.variance == "biased" else biased.detach() * bessel
        self.running_mean.lerp_(mean.detach().to(self.running_mean.dtype), weight)
        self.running_var.lerp_(averaged.to(self.running_var.dtype), weight)
        return centred, var

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, variance={self.variance}"


class Tanh(nn.Module):
    """The hyperbolic tangent, with derivative 1 - tanh² x. Close to 1, the unit stops learning."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x)
