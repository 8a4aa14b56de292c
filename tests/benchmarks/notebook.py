"""The loop that `fit` is compared with: two networks, written as in the lecture's notebook.

    python -m tests.benchmarks.notebook one_layer|deep STEPS [BATCH_SIZE [DEVICE]]

It prints the steps a second. The first hundredth of the steps does not count.
"""

import random
import sys
from time import perf_counter

import torch
import torch.nn.functional as F


def dataset() -> tuple[torch.Tensor, torch.Tensor]:
    words = open("data/names.txt").read().splitlines()  # noqa: SIM115 - as in a notebook
    chars = sorted(set("".join(words)))
    stoi = {s: i + 1 for i, s in enumerate(chars)}
    stoi["."] = 0
    random.seed(42)
    random.shuffle(words)
    X, Y = [], []
    for w in words[: int(0.8 * len(words))]:
        context = [0] * 3
        for ch in w + ".":
            X.append(context)
            Y.append(stoi[ch])
            context = context[1:] + [stoi[ch]]
    return torch.tensor(X), torch.tensor(Y)


def one_layer(steps: int) -> float:
    Xtr, Ytr = dataset()
    g = torch.Generator().manual_seed(2147483647)
    C = torch.randn((27, 10), generator=g)
    W1 = torch.randn((30, 100), generator=g) * (5 / 3) / (30**0.5)
    W2 = torch.randn((100, 27), generator=g) * 0.1
    b2 = torch.randn(27, generator=g) * 0.1
    bngain = torch.ones((1, 100)) * 1.1
    bnbias = torch.ones((1, 100)) * 0.1
    bnmean_running = torch.zeros((1, 100))
    bnvar_running = torch.ones((1, 100))
    parameters = [C, W1, W2, b2, bngain, bnbias]
    for p in parameters:
        p.requires_grad = True
    lossi = []
    for i in range(steps):
        if i == steps // 100:
            start = perf_counter()
        ix = torch.randint(0, Xtr.shape[0], (32,))
        Xb, Yb = Xtr[ix], Ytr[ix]
        emb = C[Xb]
        embcat = emb.view(emb.shape[0], -1)
        hprebn = embcat @ W1
        bnmean = hprebn.mean(0, keepdim=True)
        bnvar = hprebn.var(0, keepdim=True, unbiased=False)
        bnraw = (hprebn - bnmean) / torch.sqrt(bnvar + 1e-5)
        hpreact = bngain * bnraw + bnbias
        with torch.no_grad():
            bnmean_running = 0.9 * bnmean_running + 0.1 * bnmean
            bnvar_running = 0.9 * bnvar_running + 0.1 * bnvar
        h = torch.tanh(hpreact)
        logits = h @ W2 + b2
        loss = F.cross_entropy(logits, Yb)
        for p in parameters:
            p.grad = None
        loss.backward()
        lr = 0.1 if i < 50000 else 0.01
        for p in parameters:
            p.data += -lr * p.grad
        lossi.append(loss.log10().item())
    return (steps - steps // 100) / (perf_counter() - start)


class Linear:
    def __init__(self, fan_in, fan_out, bias=True):
        self.weight = torch.randn((fan_in, fan_out)) / fan_in**0.5
        self.bias = torch.zeros(fan_out) if bias else None

    def __call__(self, x):
        self.out = x @ self.weight
        if self.bias is not None:
            self.out += self.bias
        return self.out

    def parameters(self):
        return [self.weight] + ([] if self.bias is None else [self.bias])


class BatchNorm1d:
    def __init__(self, dim, eps=1e-5, momentum=0.1):
        self.eps = eps
        self.momentum = momentum
        self.training = True
        self.gamma = torch.ones(dim)
        self.beta = torch.zeros(dim)
        self.running_mean = torch.zeros(dim)
        self.running_var = torch.ones(dim)

    def __call__(self, x):
        if self.training:
            xmean = x.mean(0, keepdim=True)
            xvar = x.var(0, keepdim=True, unbiased=False)
        else:
            xmean = self.running_mean
            xvar = self.running_var
        xhat = (x - xmean) / torch.sqrt(xvar + self.eps)
        self.out = self.gamma * xhat + self.beta
        if self.training:
            with torch.no_grad():
                self.running_mean = (1 - self.momentum) * self.running_mean + self.momentum * xmean
                self.running_var = (1 - self.momentum) * self.running_var + self.momentum * xvar
        return self.out

    def parameters(self):
        return [self.gamma, self.beta]


class Tanh:
    def __call__(self, x):
        self.out = torch.tanh(x)
        return self.out

    def parameters(self):
        return []


def deep(steps: int, batch_size: int = 32, device: str = "cpu") -> float:
    torch.set_default_device(device)
    Xtr, Ytr = dataset()
    torch.manual_seed(42)
    C = torch.randn((27, 10))
    layers = [Linear(30, 100, bias=False), BatchNorm1d(100), Tanh()]
    for _ in range(4):
        layers += [Linear(100, 100, bias=False), BatchNorm1d(100), Tanh()]
    layers += [Linear(100, 27)]
    with torch.no_grad():
        layers[-1].weight *= 0.1
        for layer in layers[:-1]:
            if isinstance(layer, Linear):
                layer.weight *= 5 / 3
    parameters = [C] + [p for layer in layers for p in layer.parameters()]
    for p in parameters:
        p.requires_grad = True
    lossi = []
    for i in range(steps):
        if i == steps // 100:
            start = perf_counter()
        ix = torch.randint(0, Xtr.shape[0], (batch_size,))
        Xb, Yb = Xtr[ix], Ytr[ix]
        emb = C[Xb]
        x = emb.view(emb.shape[0], -1)
        for layer in layers:
            x = layer(x)
        loss = F.cross_entropy(x, Yb)
        for p in parameters:
            p.grad = None
        loss.backward()
        lr = 0.1 if i <= 50000 else 0.01
        for p in parameters:
            p.data += -lr * p.grad
        lossi.append(loss.log10().item())
    return (steps - steps // 100) / (perf_counter() - start)


if __name__ == "__main__":
    name, steps, *rest = sys.argv[1:]
    more = [int(rest[0]), *rest[1:]] if rest else []
    print({"one_layer": one_layer, "deep": deep}[name](int(steps), *more))
