import torch


def embedding(C, ix):
    return C[ix]


def embedding_backward(dy, ix, vocab_size):
    dC = torch.zeros(vocab_size, dy.shape[2], dtype=dy.dtype)
    for b in range(ix.shape[0]):
        for t in range(ix.shape[1]):
            dC[ix[b, t]] += dy[b, t]
    return dC
