import torch


def tanh(x):
    e = torch.exp(-2 * x.abs())
    return x.sign() * (1 - e) / (1 + e)


def tanh_backward(dy, y):
    return dy * (1 - y**2)
