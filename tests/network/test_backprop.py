import inspect
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lit_makemore.network import backprop, gradcheck
from lit_makemore.network.layers import BatchNorm1d, Linear, Tanh
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


@pytest.mark.parametrize("step", [10, pytest.param(1, marks=pytest.mark.slow)])
def test_all_gradients_agree_with_autograd_for_every_batch_size_from_2_to_512(step):
    for n in range(2, 513, step):
        assert names_that_disagree(gradcheck.check_lecture(*exercise(n, seed=n))) == [], n


@settings(max_examples=40)
@given(
    n=st.integers(2, 40),
    seed=st.integers(0, 2**31),
    vocab_size=st.integers(2, 30),
    sizes=st.fixed_dictionaries(
        {
            "block_size": st.integers(1, 6),
            "n_embd": st.integers(1, 8),
            "n_hidden": st.integers(1, 20),
        }
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
    "one-hot dropped": ("cross_entropy_backward", (" - F.one_hot(y, logits.size(1))", "")),
    "n for n - 1": ("batch_norm_backward", ("m = n - 1 if", "m = n if")),
    "sum of g dropped": ("batch_norm_backward", ("n * g - g.sum(0) - ", "n * g - ")),
    "gain dropped": ("batch_norm_backward", ("g = dy * layer.weight if", "g = dy if")),
    "gain of weight": ("batch_norm_backward", ('"weight": (dy * x_hat)', '"weight": (g * x_hat)')),
    "bias unsummed": ("batch_norm_backward", ('"bias": dy.sum(0)', '"bias": dy.mean(0)')),
    "running mean ignored": ("batch_norm_backward", ("x - layer.running_mean", "x - x.mean(0)")),
    "mean of parameters": (
        "linear_backward",
        ('"weight": dy.T @ x', '"weight": dy.T @ x / len(x)'),
    ),
    "dx through W": ("linear_backward", ("return dy @ layer.weight", "return dy @ -layer.weight")),
    "square forgotten": ("tanh_backward", ("y * y", "y")),
    "relu ignored": ("relu_backward", ("dy * (y > 0)", "dy")),
    "repeated characters": ("embedding_backward", ("index_add", "index_copy")),
}


@pytest.mark.parametrize("mistake", CLOSED)
def test_a_mistake_in_a_layers_derivative_is_found(mistake, monkeypatch):
    name, change = CLOSED[mistake]
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


NETWORKS = st.fixed_dictionaries(
    {
        "n_layer": st.integers(1, 6),
        "block_size": st.integers(1, 5),
        "activation": st.sampled_from(["tanh", "relu"]),
        "bn_variance": st.sampled_from(["torch", "biased", "unbiased"]),
        "norm": st.sampled_from(["batch", "none"]),
        "logits_batch_norm": st.booleans(),
        "redundant_bias": st.booleans(),
    }
)


def described(n_layer, block_size, activation, bn_variance, *norms: str | bool) -> dict:
    keys = ("n_layer", "block_size", "activation", "bn_variance")
    keys += ("norm", "logits_batch_norm", "redundant_bias")
    return dict(zip(keys, (n_layer, block_size, activation, bn_variance, *norms), strict=True))


@settings(max_examples=60)
@given(st.integers(2, 40), st.integers(0, 2**31), NETWORKS, st.booleans())
@example(2, 171584418, described(4, 1, "tanh", "biased", "batch", False, True), True)  # two equal
@example(2, 1151285073, described(4, 1, "relu", "torch", "batch", True, True), True)
@example(3, 41499350, described(6, 1, "tanh", "unbiased", "batch", True, True), True)
@example(2, 1255419760, described(5, 4, "relu", "biased", "none", True, False), True)  # none equal
def test_any_network_agrees_with_autograd(n, seed, options, training):
    net, x, y = network(n, seed, **options)
    assert names_that_disagree(gradcheck.check_network(net.train(training), x, y)) == []


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("training", [True, False])
def test_only_gradients_that_are_zero_are_excused_where_batch_norm_sees_many_examples(
    seed, activation, training
):
    net, x, y = network(
        64, seed, activation=activation, redundant_bias=True, logits_batch_norm=True
    )
    lines = gradcheck.check_network(net.train(training), x, y)
    zero = {f"layers.{i}.bias" for i in (0, 3, 6, 9)} if training else set()  # before BatchNorm
    assert {line.name for line in lines if line.relative_error > 1e-12} <= zero
    assert {line.name for line in lines if "zero up to rounding" in line.remark} <= zero


def test_the_gradients_of_two_equal_examples_cancel_and_are_compared_by_difference():
    net, x, y = network(2)
    x[1], y[1] = x[0], (y[0] + 1) % 9
    lines = {line.name: line for line in gradcheck.check_network(net.train(), x, y)}
    assert all(line.agrees for line in lines.values())
    assert "zero up to rounding" in lines["layers.3.weight"].remark
    assert lines["layers.3"].relative_error <= 1e-12  # large and opposite for the two


@settings(max_examples=20)
@given(
    n=st.integers(2, 20),
    seed=st.integers(0, 2**31),
    activation=st.sampled_from(["tanh", "relu"]),
    variance=st.sampled_from(["biased", "unbiased"]),
    training=st.booleans(),
)
def test_no_gradient_is_larger_than_the_size_of_its_terms(n, seed, activation, variance, training):
    net, x, y = network(n, seed, activation=activation, bn_variance=variance, redundant_bias=True)
    values = [net.train(training).embedding(x).flatten(1)]
    for layer in net.layers:
        values.append(layer(values[-1]))
    parameters = dict(net.named_parameters())
    loss = F.cross_entropy(values[-1], y)
    gradients = torch.autograd.grad(loss, [*values, *parameters.values()])
    outputs, sizes = gradcheck.sizes_of_terms(net, x, values, gradients[len(net.layers)])
    bounds = [*outputs, *(sizes[name] for name in parameters)]
    for gradient, bound in zip(gradients, bounds, strict=True):
        assert gradient.norm() <= bound * (1 + 1e-9)


def test_checking_leaves_the_buffers_alone():
    net, x, y = network()
    before = {name: tensor.clone() for name, tensor in net.named_buffers()}
    gradcheck.check_network(net.train(), x, y)
    assert all(torch.equal(before[name], tensor) for name, tensor in net.named_buffers())


def by_hand(forward, backward):
    """A function of autograd's with this derivative: `backward(dy, x, y)`."""

    class ByHand(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = forward(x)
            ctx.save_for_backward(x, y)
            return y

        @staticmethod
        def backward(ctx, dy):
            return backward(dy, *ctx.saved_tensors)

    return ByHand.apply


@pytest.mark.parametrize("variance", ["torch", "biased", "unbiased"])
@pytest.mark.parametrize("training", [True, False])
def test_torchs_own_gradcheck_accepts_batch_norms_derivative(variance, training):
    layer = BatchNorm1d(3, variance=variance).double().train(training)
    torch.manual_seed(1)
    torch.nn.init.normal_(layer.weight)
    function = by_hand(layer, lambda dy, x, y: backprop.batch_norm_backward(dy, x, layer)[0])
    assert torch.autograd.gradcheck(function, torch.randn(5, 3, **FLOAT64, requires_grad=True))


def test_torchs_own_gradcheck_accepts_the_other_derivatives():
    torch.manual_seed(1)
    linear = Linear(4, 3).double()
    x, y = torch.randn(5, 4, **FLOAT64, requires_grad=True), torch.tensor([0, 3, 1, 1, 2])
    for function in (
        by_hand(linear.forward, lambda dy, x, y: backprop.linear_backward(dy, x, linear)[0]),
        by_hand(Tanh(), lambda dy, x, y: backprop.tanh_backward(dy, y)),
        by_hand(torch.relu, lambda dy, x, y: backprop.relu_backward(dy, y)),
        by_hand(
            lambda x: F.cross_entropy(x, y),
            lambda dy, x, _: dy * backprop.cross_entropy_backward(x, y),
        ),
    ):
        assert torch.autograd.gradcheck(function, x)


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
