import inspect
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from lit_makemore.network import backprop, gradcheck
from lit_makemore.network.mlp import MLP

FLOAT64 = {"dtype": torch.float64}


def exercise(n: int, seed: int = 1, vocab_size: int = 27, **sizes: int):
    """The lecture's network with random parameters, and a minibatch with repeated characters."""
    g = torch.Generator().manual_seed(seed)
    p = gradcheck.lecture_parameters(vocab_size, g, torch.float64, **sizes)
    block_size = p.W1.size(0) // p.C.size(1)
    x = torch.randint(0, vocab_size, (n, block_size), generator=g)
    return p, x, torch.randint(0, vocab_size, (n,), generator=g)


def names_that_disagree(lines) -> list[str]:
    return [line.name for line in lines if not line.agrees]


def test_the_exercise_has_26_gradients_and_4137_parameters():
    p, x, y = exercise(32)
    assert sum(tensor.numel() for tensor in vars(p).values()) == 4_137
    assert len(backprop.INTERMEDIATES) == 26
    assert list(backprop.backward(backprop.forward(p, x, y), x, y)) == backprop.INTERMEDIATES


def test_the_forward_pass_is_torch_nns():
    p, x, y = exercise(32)
    v = backprop.forward(p, x, y)
    hprebn = p.C[x].flatten(1) @ p.W1 + p.b1
    normalised = (hprebn - hprebn.mean(0)) / (hprebn.var(0, unbiased=True) + 1e-5).sqrt()
    logits = torch.tanh(p.bngain * normalised + p.bnbias) @ p.W2 + p.b2
    torch.testing.assert_close(v.loss, F.cross_entropy(logits, y), rtol=1e-12, atol=0)


@settings(max_examples=40)
@given(
    n=st.integers(2, 40),
    seed=st.integers(0, 2**31),
    vocab_size=st.integers(2, 30),
    sizes=st.builds(
        dict, block_size=st.integers(1, 6), n_embd=st.integers(1, 8), n_hidden=st.integers(1, 20)
    ),
)
def test_all_gradients_agree_with_autograd_for_any_shape(n, seed, vocab_size, sizes):
    lines = gradcheck.check_lecture(*exercise(n, seed, vocab_size, **sizes))
    assert names_that_disagree(lines) == []


@pytest.mark.parametrize("n", [3, 32])
def test_parameter_gradients_are_central_differences(n):
    p, x, y = exercise(n, vocab_size=5, n_embd=2, n_hidden=4)
    d = backprop.backward(backprop.forward(p, x, y), x, y)
    for name, tensor in vars(p).items():
        numeric = torch.zeros_like(tensor)
        for i in range(tensor.numel()):
            losses = []
            for step in (1e-5, -1e-5):
                moved = SimpleNamespace(**{**vars(p), name: tensor.clone()})
                getattr(moved, name).view(-1)[i] += step
                losses.append(backprop.forward(moved, x, y).loss)
            numeric.view(-1)[i] = (losses[0] - losses[1]) / 2e-5
        error = (d[name] - numeric).norm()
        assert error <= 1e-6 * numeric.norm() or error < 1e-9, name  # b1's vanishes


@pytest.mark.parametrize("name", backprop.INTERMEDIATES)
def test_a_mistake_in_any_gradient_of_the_backward_pass_is_found(name, monkeypatch):
    right = backprop.backward

    def wrong(v, x, y):
        found = right(v, x, y)
        found[name].view(-1)[0] += 1e-6
        return found

    monkeypatch.setattr(backprop, "backward", wrong)
    assert name in names_that_disagree(gradcheck.check_lecture(*exercise(32)))


CLOSED = {  # plausible mistakes in the layers' derivatives
    "cross_entropy_backward": (" - F.one_hot(y, logits.size(1))", ""),
    "batch_norm_backward": ("m = n - 1 if", "m = n if"),
    "linear_backward": ('"weight": dy.T @ x', '"weight": dy.T @ x / len(x)'),
    "tanh_backward": ("y * y", "y"),
    "relu_backward": ("dy * (y > 0)", "dy"),
    "embedding_backward": ("index_add", "index_copy"),
}


@pytest.mark.parametrize(("name", "change"), CLOSED.items())
def test_a_mistake_in_a_layers_derivative_is_found(name, change, monkeypatch):
    source = inspect.getsource(getattr(backprop, name))
    assert source.count(change[0]) == 1
    exec(source.replace(*change), namespace := dict(vars(backprop)))
    monkeypatch.setattr(backprop, name, namespace[name])
    found = []
    for activation in ("tanh", "relu"):
        for training in (True, False):
            net, x, y = network(activation=activation, bn_variance="unbiased", redundant_bias=True)
            found += names_that_disagree(gradcheck.check_network(net.train(training), x, y))
    assert found


def network(n: int = 16, seed: int = 1, **arguments):
    """A deep network, every parameter and running statistic off its initial value."""
    g = torch.Generator().manual_seed(seed)
    net = MLP(9, **{"n_hidden": 12, "n_embd": 4, "n_layer": 3, **arguments}, generator=g).double()
    with torch.no_grad():
        for tensor in [*net.parameters(), *net.buffers()]:
            if tensor.is_floating_point():
                tensor += 0.2 * torch.rand(tensor.shape, generator=g, **FLOAT64)
    x = torch.randint(0, 9, (n, net_block(net)), generator=g)
    return net, x, torch.randint(0, 9, (n,), generator=g)


def net_block(net: MLP) -> int:
    return net.layers[0].in_features // net.embedding.embedding_dim


NETWORKS = st.builds(
    dict, n_layer=st.integers(1, 6), block_size=st.integers(1, 5),
    activation=st.sampled_from(["tanh", "relu"]), norm=st.sampled_from(["batch", "none"]),
    bn_variance=st.sampled_from(["torch", "biased", "unbiased"]),
    logits_batch_norm=st.booleans(), redundant_bias=st.booleans(),
)  # fmt: skip


@settings(max_examples=60)
@given(st.integers(2, 40), st.integers(0, 2**31), NETWORKS, st.booleans())
def test_any_network_agrees_with_autograd(n, seed, options, training):
    net, x, y = network(n, seed, **options)
    assert names_that_disagree(gradcheck.check_network(net.train(training), x, y)) == []


def test_the_gradients_of_two_equal_examples_cancel_and_are_compared_by_difference():
    net, x, y = network(2)
    x[1], y[1] = x[0], (y[0] + 1) % 9
    lines = {line.name: line for line in gradcheck.check_network(net.train(), x, y)}
    assert all(line.agrees for line in lines.values())
    assert "zero up to rounding" in lines["layers.3.weight"].remark
    assert lines["layers.3"].relative_error <= 1e-12  # large and opposite for the two


def test_checking_leaves_the_buffers_alone():
    net, x, y = network()
    before = {name: tensor.clone() for name, tensor in net.named_buffers()}
    gradcheck.check_network(net.train(), x, y)
    assert all(torch.equal(before[name], tensor) for name, tensor in net.named_buffers())


def test_a_layer_without_a_derivative_is_named():
    net, x, y = network()
    net.layers[2] = torch.nn.GELU()
    with pytest.raises(ValueError, match="GELU has no derivative"):
        backprop.gradients(net, x, y)


def test_a_batch_of_one_is_an_error():
    with pytest.raises(ValueError, match="at least 2"):
        backprop.forward(*exercise(1))
    net, x, y = network(1)
    with pytest.raises(ValueError, match="batch of one"):
        backprop.gradients(net.train(), x, y)
