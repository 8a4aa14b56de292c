"""The whole training step – forward, backward and update – as one compiled graph.

An eager step of a network this small spends most of its time between the operations. One graph
does the same, up to rounding, in a fraction of the time.

Shapes: G minibatches of a group, B batch, T block_size, V vocab_size.
"""

import logging
from collections.abc import Callable, Sequence
from time import perf_counter
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor, nn

from lit_makemore.network.mlp import cross_entropy

log = logging.getLogger(__name__)

Step = Callable[[Tensor, Tensor, Tensor], None]  # windows, targets and scalars of one minibatch


class CompiledStep:
    """Updates the parameters of a network in place, one group of minibatches per call.

    The optimizer holds the settings and the state. Both are afterwards what torch.optim would
    leave, so a checkpoint goes on with either engine.

    Args:
        net: windows (B, T) to logits (B, V), in training mode.
        optimizer: SGD without momentum, or AdamW, with all parameters of the network in one group.
        clip_norm: largest 2-norm of the gradient of all parameters together; None for no limit.
        autocast: dtype of the forward pass, where it is not the parameters' dtype.
        required: whether a graph that cannot be compiled is an error; otherwise the same step runs
            uncompiled.
    """

    def __init__(
        self,
        net: nn.Module,
        optimizer: torch.optim.Optimizer,
        clip_norm: float | None = None,
        autocast: torch.dtype | None = None,
        required: bool = True,
    ) -> None:
        self.net = net
        self.clip_norm, self.autocast, self.required = clip_norm, autocast, required
        (self.group,) = optimizer.param_groups
        self.params: list[Tensor] = self.group["params"]
        self.adamw = isinstance(optimizer, torch.optim.AdamW)
        if self.adamw:
            _start_moments(optimizer, self.params)
        self.states = [optimizer.state[p] for p in self.params]
        # In float64 the sum is exact, so the size of the groups changes no digit of it. It has one
        # element, and is no scalar: torch.compile would copy a scalar into the graph.
        device = self.params[0].device
        self.total_loss = torch.zeros(1, dtype=torch.float64, device=device)
        self._compiled: Step | None = None
        self._shapes: tuple[torch.Size, ...] | None = None

    def __call__(self, x: Tensor, y: Tensor, lrs: Sequence[float]) -> Tensor:
        """Makes one update for each minibatch.

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
        with torch.autocast(x.device.type, enabled=False):  # the step has its own
            for minibatch in zip(x, y, self._scalars(lrs), strict=True):
                if self._compiled is None:
                    self._compiled = self._first(*minibatch)
                else:
                    self._compiled(*minibatch)
        if self.adamw:
            for state in self.states:
                state["step"] += len(lrs)
        return self.total_loss[0].clone()

    def step(self, x: Tensor, y: Tensor, scalars: Tensor) -> None:
        """One update, operation by operation: the function that is compiled."""
        with torch.autocast(x.device.type, self.autocast, enabled=self.autocast is not None):
            logits = self.net(x)
        loss = cross_entropy(logits, y)
        gradients = torch.autograd.grad(loss, self.params)
        with torch.no_grad():
            if self.clip_norm is not None:
                norm = torch.stack([g.square().sum() for g in gradients]).sum().sqrt()
                scale = (self.clip_norm / (norm + 1e-6)).clamp(max=1)  # as clip_grad_norm_ does
                gradients = tuple(g * scale for g in gradients)
            for p, gradient, state in zip(self.params, gradients, self.states, strict=True):
                if self.adamw:
                    _adamw(p, gradient, state, scalars, self.group)
                else:
                    p.sub_(scalars[0] * gradient)
            self.total_loss.add_(loss)

    def _first(self, x: Tensor, y: Tensor, scalars: Tensor) -> Step:
        """Makes the first update, which compiles the graph; returns what makes the next ones."""
        compiled, begun = _compile(self.step, x.device.type), perf_counter()
        try:
            compiled(x, y, scalars)
        except torch._dynamo.exc.TorchDynamoException as error:  # before anything has changed
            reason = " ".join(str(error).split("\n\n")[0].split())
            if self.required:
                raise ValueError(
                    f"the step cannot be compiled ({reason}); use --model.fused false"
                ) from error
            log.info("the step cannot be compiled (%s): it runs uncompiled", reason)
            self.step(x, y, scalars)
            return self.step
        log.info(
            "compiled in %.1f s; the next run takes the graph from the cache",
            perf_counter() - begun,
        )
        return compiled

    def _scalars(self, lrs: Sequence[float]) -> Tensor:
        """What changes from update to update, (G, 3): learning rate and AdamW's two corrections.

        The graph takes them as a tensor. A Python number would be compiled into it.
        """
        rows = [[lr, 1.0, 1.0] for lr in lrs]
        if self.adamw:
            done = int(self.states[0]["step"])
            for step, row in enumerate(rows, start=done + 1):
                row[1:] = [1 - beta**step for beta in self.group["betas"]]
        p = self.params[0]
        return torch.tensor(rows, dtype=p.dtype, device=p.device)


def _compile(step: Step, device: str) -> Step:
    torch._dynamo.config.trace_autograd_ops = True  # else the graph ends at torch.autograd.grad
    # The shapes never change. Checking them before each step would take a tenth of its time.
    options: dict[str, Any] = {"guard_filter_fn": torch.compiler.skip_all_guards_unsafe}
    if device == "cpu":
        options["cpp_wrapper"] = True  # one call from Python for the whole graph
        options["cpp.use_decompose_tanh"] = True  # by the exponential, an eighth of the step
        options["cpp.threads"] = torch.get_num_threads()  # so that cached code is for as many
    elif device == "cuda":
        options["triton.cudagraphs"] = True  # one launch for all kernels
    compiled: Step = torch.compile(_copy(step), fullgraph=True, dynamic=False, options=options)
    return compiled


def _copy(step: Step) -> Step:
    """The same method of the same object, with a code object of its own.

    torch keeps a graph with the code object that it was made from. Without checks, the second
    network of a process would be stepped by the graph of the first. From torch 2.13 on, the
    argument isolate_recompiles of torch.compile does the same.
    """
    assert isinstance(step, MethodType)
    function: Any = step.__func__
    copy = FunctionType(function.__code__.replace(), function.__globals__, function.__name__)
    return MethodType(copy, step.__self__)


def _start_moments(optimizer: torch.optim.Optimizer, params: Sequence[Tensor]) -> None:
    """Gives AdamW the state that it has before its first update."""
    for p in params:
        if not optimizer.state[p]:
            zeros = {"exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
            optimizer.state[p].update(step=torch.tensor(0.0, device=p.device), **zeros)


def _adamw(
    p: Tensor, gradient: Tensor, state: dict[str, Tensor], scalars: Tensor, group: dict[str, Any]
) -> None:
    """Loshchilov & Hutter (2019, https://arxiv.org/abs/1711.05101), in torch.optim's order."""
    lr, correction1, correction2 = scalars.unbind()
    (beta1, beta2), eps, decay = group["betas"], group["eps"], group["weight_decay"]
    mean, square = state["exp_avg"], state["exp_avg_sq"]
    p.mul_(1 - lr * decay)
    mean.lerp_(gradient, 1 - beta1)
    square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    p.sub_(lr / correction1 * mean / ((square / correction2).sqrt() + eps))
