import torch.nn.functional as F


def tanh(x):
    return x.tanh()


def embedding(C, ix):
    return F.one_hot(ix, len(C)).to(C.dtype) @ C


def cross_entropy(logits, y):
    return F.nll_loss(logits.log_softmax(1), y)
