import torch
import torch.nn.functional as F


def backward(v, d, x, y):
    n = len(y)
    d.logprobs = torch.zeros_like(v.logprobs)
    d.logprobs[range(n), y] = -1.0 / n
    d.probs = (1.0 / v.probs) * d.logprobs
    d.counts_sum_inv = (v.counts * d.probs).sum(1, keepdim=True)
    d.counts = v.counts_sum_inv * d.probs
    d.counts_sum = (-(v.counts_sum**-2)) * d.counts_sum_inv
    d.counts += torch.ones_like(v.counts) * d.counts_sum
    d.norm_logits = v.counts * d.counts
    d.logits = d.norm_logits.clone()
    d.logit_maxes = (-d.norm_logits).sum(1, keepdim=True)
    d.logits += F.one_hot(v.logits.max(1).indices, num_classes=27) * d.logit_maxes
    d.h = d.logits @ v.W2.T
    d.W2 = v.h.T @ d.logits
    d.b2 = d.logits.sum(0)
    d.hpreact = (1.0 - v.h**2) * d.h
    d.bngain = (v.bnraw * d.hpreact).sum(0, keepdim=True)
    d.bnraw = v.bngain * d.hpreact
    d.bnbias = d.hpreact.sum(0, keepdim=True)
    d.bndiff = v.bnvar_inv * d.bnraw
    d.bnvar_inv = (v.bndiff * d.bnraw).sum(0, keepdim=True)
    d.bnvar = (-0.5 * (v.bnvar + 1e-5) ** -1.5) * d.bnvar_inv
    d.bndiff2 = (1.0 / (n - 1)) * torch.ones_like(v.bndiff2) * d.bnvar
    d.bndiff += (2 * v.bndiff) * d.bndiff2
    d.hprebn = d.bndiff.clone()
    d.bnmeani = (-d.bndiff).sum(0, keepdim=True)
    d.hprebn += 1.0 / n * (torch.ones_like(v.hprebn) * d.bnmeani)
    d.embcat = d.hprebn @ v.W1.T
    d.W1 = v.embcat.T @ d.hprebn
    d.b1 = d.hprebn.sum(0)
    d.emb = d.embcat.view(v.emb.shape)
    d.C = torch.zeros_like(v.C)
    for k in range(x.shape[0]):
        for j in range(x.shape[1]):
            d.C[x[k, j]] += d.emb[k, j]


def closed_logits(logits, y):
    d = F.softmax(logits, 1)
    d[range(len(y)), y] -= 1
    return d / len(y)


def closed_hprebn(dhpreact, v):
    n = len(dhpreact)
    return (
        v.bngain * v.bnvar_inv / n
        * (n * dhpreact - dhpreact.sum(0) - n / (n - 1) * v.bnraw * (dhpreact * v.bnraw).sum(0))
    )  # fmt: skip
