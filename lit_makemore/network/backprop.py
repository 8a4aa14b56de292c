"""The gradients of this project's networks, derived by hand.

`forward` and `backward` go through the lecture's two-layer network and back, a line per operation.
`gradients` applies one derivative per layer to any MLP. dx is the derivative of the loss by x. Two
rules explain most lines: where the forward pass broadcasts a value, the backward pass sums over
that dimension; the derivative of a value that is used twice is the sum of both.
Shapes: B or n batch, T block_size, C n_embd, H n_hidden, V vocab_size.
"""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_makemore.network.layers import BatchNorm1d, Linear, Tanh
from lit_makemore.network.mlp import MLP

EPS = 1e-5

# in the order of the backward pass
INTERMEDIATES = """logprobs probs counts_sum_inv counts_sum counts norm_logits logit_maxes logits h
W2 b2 hpreact bngain bnbias bnraw bnvar_inv bnvar bndiff2 bndiff bnmeani hprebn embcat W1 b1 emb
C""".split()


def forward(p: SimpleNamespace, x: Tensor, y: Tensor) -> SimpleNamespace:
    """The lecture's two-layer network with Batch Normalization, one operation per line.

    p has C (V, C), W1 (T·C, H), b1 (H), bngain and bnbias (1, H), W2 (H, V) and b2 (V). Windows
    x (n, T) and next tokens y (n,) to the parameters, intermediates and the loss, by name.
    """
    n = len(y)
    if n < 2:
        raise ValueError("Batch Normalization needs a batch of at least 2 examples, not 1")
    v = SimpleNamespace(**vars(p))
    v.emb = v.C[x]  # (n, T, C)
    v.embcat = v.emb.view(n, -1)  # (n, T·C)
    v.hprebn = v.embcat @ v.W1 + v.b1  # (n, H)
    v.bnmeani = v.hprebn.sum(0, keepdim=True) / n  # (1, H)
    v.bndiff = v.hprebn - v.bnmeani
    v.bndiff2 = v.bndiff**2
    v.bnvar = v.bndiff2.sum(0, keepdim=True) / (n - 1)  # unbiased, (1, H)
    v.bnvar_inv = (v.bnvar + EPS) ** -0.5
    v.bnraw = v.bndiff * v.bnvar_inv  # (n, H)
    v.hpreact = v.bngain * v.bnraw + v.bnbias
    v.h = torch.tanh(v.hpreact)
    v.logits = v.h @ v.W2 + v.b2  # (n, V)
    v.logit_maxes = v.logits.max(1, keepdim=True).values  # (n, 1)
    v.norm_logits = v.logits - v.logit_maxes  # exp cannot overflow
    v.counts = v.norm_logits.exp()
    v.counts_sum = v.counts.sum(1, keepdim=True)  # (n, 1)
    v.counts_sum_inv = v.counts_sum**-1
    v.probs = v.counts * v.counts_sum_inv  # (n, V)
    v.logprobs = v.probs.log()
    v.loss = -v.logprobs[range(n), y].mean()
    return v


def backward(v: SimpleNamespace, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """The derivatives of the loss by all INTERMEDIATES, from last to first; v is from `forward`."""
    n = len(y)
    d = SimpleNamespace()
    # The loss is minus the mean of one entry per row: -1/n there, 0 elsewhere.
    d.logprobs = -F.one_hot(y, v.probs.size(1)).to(v.probs) / n
    # log' p = 1/p
    d.probs = d.logprobs / v.probs
    # The derivative of a product is the other factor. (n, 1) was broadcast over the row: sum.
    d.counts_sum_inv = (d.probs * v.counts).sum(1, keepdim=True)
    # (1/s)' = -1/s²
    d.counts_sum = -d.counts_sum_inv * v.counts_sum**-2
    # Used twice: in the product, and in its row's sum, where every term gets the sum's derivative.
    d.counts = d.probs * v.counts_sum_inv + d.counts_sum
    # exp' = exp
    d.norm_logits = d.counts * v.counts
    # Subtracted and broadcast over the row. Nearly zero: shifting a row's logits changes nothing.
    d.logit_maxes = -d.norm_logits.sum(1, keepdim=True)
    # Used twice: directly, and the largest logit of a row also as the maximum.
    d.logits = d.norm_logits + d.logit_maxes * F.one_hot(v.logits.argmax(1), v.logits.size(1))
    # logits_ij = Σ_k h_ik W2_kj + b2_j. The shapes allow only one way to multiply.
    d.h = d.logits @ v.W2.T
    d.W2 = v.h.T @ d.logits
    d.b2 = d.logits.sum(0)
    # tanh' = 1 - tanh²
    d.hpreact = d.h * (1 - v.h**2)
    # A product and a sum. Gain and bias were broadcast over the batch.
    d.bngain = (d.hpreact * v.bnraw).sum(0, keepdim=True)
    d.bnbias = d.hpreact.sum(0, keepdim=True)
    d.bnraw = d.hpreact * v.bngain
    # The product bndiff · bnvar_inv, with bnvar_inv broadcast over the batch.
    d.bnvar_inv = (d.bnraw * v.bndiff).sum(0, keepdim=True)
    # (v + ε)^-½ has the derivative -½ (v + ε)^-3/2
    d.bnvar = d.bnvar_inv * -0.5 * (v.bnvar + EPS) ** -1.5
    # Each square is one term of the sum over the batch, which is divided by n - 1.
    d.bndiff2 = d.bnvar / (n - 1) * torch.ones_like(v.bndiff2)
    # Used twice: in the product with bnvar_inv, and in the square.
    d.bndiff = d.bnraw * v.bnvar_inv + d.bndiff2 * 2 * v.bndiff
    # Subtracted from every row.
    d.bnmeani = -d.bndiff.sum(0, keepdim=True)
    # Used twice: directly, and in the mean with the factor 1/n.
    d.hprebn = d.bndiff + d.bnmeani / n
    # As for logits. db1 is nearly zero: Batch Normalization subtracts any constant again.
    d.embcat = d.hprebn @ v.W1.T
    d.W1 = v.embcat.T @ d.hprebn
    d.b1 = d.hprebn.sum(0)
    d.emb = d.embcat.view(v.emb.shape)
    # A row of C was used once for each time its character occurs: add up all derivatives.
    d.C = torch.zeros_like(v.C).index_add(0, x.flatten(), d.emb.flatten(0, 1))
    return vars(d)


def cross_entropy_backward(logits: Tensor, y: Tensor) -> Tensor:
    """The eight lines from the loss to the logits in one: (softmax - onehot) / n, (n, V).

    The loss of a row, log Σ_j e^(l_j) - l_y, has the derivative e^(l_j) / Σ e^l, minus 1 if j = y.
    """
    return (logits.softmax(1) - F.one_hot(y, logits.size(1))) / len(y)


def batch_norm_backward(
    dy: Tensor, x: Tensor, layer: BatchNorm1d
) -> tuple[Tensor, dict[str, Tensor]]:
    """The ten lines of the normalisation in one, for every variance convention.

    In training mode, x̂ = r (x - μ) with r = (σ² + ε)^-½ and σ² = Σ (x - μ)² / m, where m is n, or
    n - 1 for the unbiased variance. With g = γ dy = dx̂ and sums over the batch:

        dr = Σ g (x - μ),  dσ² = -½ r³ dr,  so σ² adds 2 (x - μ) dσ² / m to dx
        dx = r g - (1/n) Σ r g - (1/m) r x̂ Σ g x̂
           = r / n (n g - Σ g - (n/m) x̂ Σ g x̂)

    The mean adds nothing to the last term, because Σ x̂ = 0. In evaluation mode, μ and σ² are
    constants and dx = r g. Returns dx (n, F), and dγ and dβ (F,) as weight and bias.
    """
    n = len(x)
    if layer.training:
        centred = x - x.mean(0)
        m = n - 1 if layer.variance == "unbiased" else n
        r = ((centred * centred).sum(0) / m + layer.eps).rsqrt()
    else:
        centred, m = x - layer.running_mean, n
        r = (layer.running_var + layer.eps).rsqrt()
    x_hat = centred * r
    g = dy * layer.weight if layer.weight is not None else dy
    dx = r * g
    if layer.training:
        dx = r / n * (n * g - g.sum(0) - n / m * x_hat * (g * x_hat).sum(0))
    return dx, {"weight": (dy * x_hat).sum(0), "bias": dy.sum(0)}


def linear_backward(dy: Tensor, x: Tensor, layer: Linear) -> tuple[Tensor, dict[str, Tensor]]:
    """y = x Wᵀ + b: dx = dy W, dW = dyᵀ x, and db = Σ dy over the batch (b was broadcast)."""
    d = {"weight": dy.T @ x}
    if layer.bias is not None:
        d["bias"] = dy.sum(0)
    return dy @ layer.weight, d


def tanh_backward(dy: Tensor, y: Tensor) -> Tensor:
    """tanh' = 1 - tanh², computed from the layer's output y."""
    return dy * (1 - y * y)


def relu_backward(dy: Tensor, y: Tensor) -> Tensor:
    """The derivative is 1 where the output y is positive, and 0 elsewhere."""
    return dy * (y > 0)


def embedding_backward(dy: Tensor, x: Tensor, num_embeddings: int) -> Tensor:
    """Adds up the rows of dy (B, T, C) that belong to the same character of x (B, T): (V, C)."""
    rows = dy.flatten(0, 1)  # (B·T, C)
    return rows.new_zeros(num_embeddings, rows.size(1)).index_add(0, x.flatten(), rows)


def layer_values(net: MLP, x: Tensor, masks: Mapping[int, Tensor] = {}) -> list[Tensor]:
    """The input of each layer, and the logits; `masks` replace what Dropout layers draw."""
    values = [net.embedding(x).flatten(1)]
    for i, layer in enumerate(net.layers):
        values.append(values[-1] * masks[i] if i in masks else layer(values[-1]))
    return values


@torch.no_grad()
def gradients(net: MLP, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor], list[Tensor]]:
    """The loss of any MLP, each parameter's gradient by name, and those of embedding and layers.

    A layer without a derivative raises ValueError.
    """
    values = layer_values(net, x)
    loss = F.cross_entropy(values[-1], y)

    found: dict[str, Tensor] = {}
    outputs = [cross_entropy_backward(values[-1], y)]
    for i in reversed(range(len(net.layers))):
        d, own = _layer_backward(outputs[0], values[i], values[i + 1], net.layers[i])
        found |= {f"layers.{i}.{name}": gradient for name, gradient in own.items()}
        outputs.insert(0, d)
    d_emb = outputs[0].view(*x.shape, -1)  # (B, T, C)
    found["embedding.weight"] = embedding_backward(d_emb, x, net.embedding.num_embeddings)
    return loss, found, outputs


class _ByHand(torch.autograd.Function):
    """The loss of `gradients` to autograd, whose backward pass only hands its gradients on."""

    @staticmethod
    def forward(ctx: Any, net: MLP, x: Tensor, y: Tensor, *parameters: Tensor) -> Tensor:
        loss, found, _ = gradients(net, x, y)
        ctx.save_for_backward(*(found[name] for name, _ in net.named_parameters()))
        return loss

    @staticmethod
    def backward(ctx: Any, d_loss: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        return (None, None, None, *(d_loss * gradient for gradient in ctx.saved_tensors))


def loss_by_hand(net: MLP, x: Tensor, y: Tensor) -> Tensor:
    """The loss of a minibatch, whose gradients are those of `gradients`."""
    return _ByHand.apply(net, x, y, *net.parameters())


def _layer_backward(
    dy: Tensor, x: Tensor, y: Tensor, layer: nn.Module
) -> tuple[Tensor, dict[str, Tensor]]:
    if isinstance(layer, Linear):
        return linear_backward(dy, x, layer)
    if isinstance(layer, BatchNorm1d):
        return batch_norm_backward(dy, x, layer)
    if isinstance(layer, Tanh):
        return tanh_backward(dy, y), {}
    if isinstance(layer, nn.ReLU):
        return relu_backward(dy, y), {}
    if isinstance(layer, nn.Identity):  # no activation
        return dy, {}
    raise ValueError(f"{layer.__class__.__name__} has no derivative written by hand in backprop.py")
