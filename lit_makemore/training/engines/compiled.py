"""The whole training step – forward, backward and update – as one compiled graph.

A network this small spends most of an eager step between its operations, not in them. Compiled as
one graph, the step takes a fraction of the time, and rounding aside it does the same.

Shapes: G minibatches of a group, B batch, T block_size, V vocab_size.
"""

import os
import shutil
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lit_makemore.network.mlp import cross_entropy

backend = "inductor"  # tests choose "eager", which traces the graph and does not compile it


class FusedStep:
    """Updates a network's parameters in place, a group of minibatches per call.

    The optimizer holds the settings and the state, as torch.optim would leave them after as many
    updates; a checkpoint of it goes on with either kind of step.

    Args:
        net: windows (B, T) to logits (B, V), in training mode.
        optimizer: SGD without momentum, or AdamW, of all parameters of the network in one group.
        clip_norm: largest 2-norm of the gradient of all parameters together.
        autocast: what the forward pass computes in where that is not the parameters' type.
        compiled: False to run the same step operation by operation.
    """

    def __init__(
        self,
        net: nn.Module,
        optimizer: torch.optim.Optimizer,
        clip_norm: float | None = None,
        autocast: torch.dtype | None = None,
        compiled: bool = True,
    ) -> None:
        self.optimizer = optimizer
        (group,) = optimizer.param_groups
        self.params: list[Tensor] = group["params"]
        self.adamw = isinstance(optimizer, torch.optim.AdamW)
        if self.adamw:
            for p in self.params:
                if not optimizer.state[p]:
                    zeros = {"exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
                    optimizer.state[p].update(step=torch.tensor(0.0, device=p.device), **zeros)
        states = [optimizer.state[p] for p in self.params]
        params, adamw, device = self.params, self.adamw, self.params[0].device.type

        # In float64 the sum is exact, so that how minibatches are grouped changes no digit of it.
        # Not a scalar, which the graph would take by value.
        self.total_loss = total_loss = torch.zeros(1, dtype=torch.float64, device=params[0].device)

        def step(x: Tensor, y: Tensor, scalars: Tensor) -> None:
            with torch.autocast(device, autocast, enabled=autocast is not None):
                logits = net(x)
            loss = cross_entropy(logits, y)
            gradients = torch.autograd.grad(loss, params)
            with torch.no_grad():
                if clip_norm is not None:
                    norm = torch.stack([g.square().sum() for g in gradients]).sum().sqrt()
                    scale = (clip_norm / (norm + 1e-6)).clamp(max=1)  # as clip_grad_norm_ does
                    gradients = tuple(g * scale for g in gradients)
                for p, gradient, state in zip(params, gradients, states, strict=True):
                    if adamw:
                        _adamw(p, gradient, state["exp_avg"], state["exp_avg_sq"], scalars, group)
                    else:
                        p.sub_(scalars[0] * gradient)
                total_loss.add_(loss)

        # Without it, the graph would end at torch.autograd.grad.
        torch._dynamo.config.trace_autograd_ops = True
        # The shapes never change, and looking again each time takes a tenth of the step.
        options: dict[str, Any] = {"guard_filter_fn": torch.compiler.skip_all_guards_unsafe}
        if device == "cpu":
            options["cpp_wrapper"] = True  # one call from Python for the whole graph
            options["cpp.use_decompose_tanh"] = True  # by the exponential, an eighth of the step
            options["cpp.threads"] = torch.get_num_threads()  # so that cached code is for as many
        elif device == "cuda":
            options["triton.cudagraphs"] = True  # one launch for all kernels
        compile: Any = torch.compile  # whose type lacks isolate_recompiles
        self._step = (
            step
            if not compiled
            else compile(
                step,
                fullgraph=True,
                dynamic=False,
                isolate_recompiles=True,
                backend=backend,
                options=options if backend == "inductor" else None,
            )
        )
        self._shapes: tuple[torch.Size, ...] | None = None

    def __call__(self, x: Tensor, y: Tensor, lrs: Sequence[float]) -> Tensor:
        """One update for each minibatch.

        Args:
            x: windows (G, B, T).
            y: next characters (G, B), or their distributions (G, B, V).
            lrs: the G learning rates.

        Returns:
            The sum of the G losses, a scalar in float64.
        """
        shapes = x.shape[1:], y.shape[1:]
        assert self._shapes in (None, shapes), "the graph is for minibatches of one shape"
        self._shapes = shapes
        self.total_loss.zero_()
        with torch.autocast(x.device.type, enabled=False):  # the graph has its own
            for minibatch in zip(x, y, self._scalars(lrs), strict=True):
                self._step(*minibatch)
        if self.adamw:
            for p in self.params:
                self.optimizer.state[p]["step"] += len(lrs)
        return self.total_loss[0].clone()

    def _scalars(self, lrs: Sequence[float]) -> Tensor:
        """What changes from update to update, (G, 3): learning rate and AdamW's two corrections.

        They go into the graph as tensors: a number would be compiled into it.
        """
        rows = [[lr, 1.0, 1.0] for lr in lrs]
        if self.adamw:
            (group,) = self.optimizer.param_groups
            done = int(self.optimizer.state[self.params[0]]["step"])
            for step, row in enumerate(rows, start=done + 1):
                row[1:] = [1 - beta**step for beta in group["betas"]]
        p = self.params[0]
        return torch.tensor(rows, dtype=p.dtype, device=p.device)


def _adamw(
    p: Tensor,
    gradient: Tensor,
    mean: Tensor,
    square: Tensor,
    scalars: Tensor,
    group: dict[str, Any],
) -> None:
    """Loshchilov & Hutter (2019, https://arxiv.org/abs/1711.05101), in torch.optim's order."""
    lr, correction1, correction2 = scalars.unbind()
    (beta1, beta2), eps, decay = group["betas"], group["eps"], group["weight_decay"]
    p.mul_(1 - lr * decay)
    mean.lerp_(gradient, 1 - beta1)
    square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    p.sub_(lr / correction1 * mean / ((square / correction2).sqrt() + eps))


def compiler() -> str | None:
    """The C++ compiler that a graph for the CPU is built with, or None."""
    named = os.environ.get("CXX")
    return next(filter(None, map(shutil.which, [named] if named else ["g++", "clang++"])), None)
