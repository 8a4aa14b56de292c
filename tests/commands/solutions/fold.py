import torch


def fold(weight, bias, gamma, beta, mean, var, eps):
    scale = gamma / torch.sqrt(var + eps)
    return weight * scale, (bias - mean) * scale + beta
