import pytest
import torch
from torch import nn

from lit_makemore.diagnostics.probe import (
    is_due,
    is_flat,
    labels,
    observe,
    parameters_of,
    until_due,
)
from lit_makemore.network.layers import Tanh
from lit_makemore.network.mlp import MLP, cross_entropy


def example(**kwargs):
    torch.manual_seed(3)
    net = MLP(9, n_hidden=6, n_layer=2, **kwargs)
    x, y = torch.randint(0, 9, (16, 3)), torch.randint(0, 9, (16,))
    return net, x, y


def test_it_sees_activations_and_their_gradients():
    net, x, y = example()
    seen = observe(net, lambda: cross_entropy(net(x), y))
    net.eval().train()
    hidden, outputs = net.embedding(x).flatten(1), {}
    for i, layer in enumerate(net.layers):
        hidden = layer(hidden)
        if isinstance(layer, Tanh):
            hidden.retain_grad()
            outputs[f"layers.{i}"] = hidden
    loss = cross_entropy(hidden, y)
    loss.backward()
    assert seen.loss == loss
    assert seen.activations.keys() == outputs.keys() == seen.saturating
    for name, t in outputs.items():
        assert torch.equal(seen.activations[name], t)
        torch.testing.assert_close(seen.gradients[name], t.grad)
    assert list(seen.weights) == [n for n, p in net.named_parameters() if p.ndim == 2]
    for name, g in seen.weight_gradients.items():
        torch.testing.assert_close(g, net.get_parameter(name).grad)


def test_it_sees_what_batch_norm_normalises_by():
    net, x, y = example()
    seen = observe(net, lambda: cross_entropy(net(x), y))
    inputs = net.layers[0](net.embedding(x).flatten(1))
    found = seen.batch_norms["layers.1"]
    torch.testing.assert_close(found.mean, inputs.mean(0))
    torch.testing.assert_close(found.var, inputs.var(0, correction=0))
    assert found.layer is net.layers[1]


def test_it_leaves_no_trace():
    net, x, y = example()
    net.layers.append(nn.Dropout(0.5))  # draws from the global random state
    before = {name: t.clone() for name, t in net.state_dict().items()}
    state = torch.get_rng_state()
    observe(net, lambda: cross_entropy(net(x), y))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], t) for name, t in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())
    assert not any(module._forward_hooks for module in net.modules())


def test_a_pass_that_fails_leaves_no_trace_either():
    net, x, _ = example()
    before = {name: t.clone() for name, t in net.state_dict().items()}

    def fail():
        net(x)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        observe(net, fail)
    assert all(torch.equal(before[name], t) for name, t in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())


@pytest.mark.parametrize(
    ("layer", "values", "expected"),
    [
        (Tanh(), [-0.98, -0.9, 0.0, 0.97, 0.975], [True, False, False, False, True]),
        (nn.Sigmoid(), [0.01, 0.5, 0.99], [True, False, True]),
        (nn.ReLU(), [0.0, 0.1, 5.0], [True, False, False]),
        (nn.GELU(), [0.0, 1.0], [False, False]),
    ],
)
def test_where_an_activation_is_flat(layer, values, expected):
    assert is_flat(layer, torch.tensor(values)).tolist() == expected


def test_names_are_padded_so_that_they_sort():
    names = ["layers.2.weight", "layers.10.weight", "embedding.weight"]
    assert list(labels(names).values()) == [
        "layers.02.weight", "layers.10.weight", "embedding.weight",
    ]  # fmt: skip
    net = MLP(9, n_hidden=6, n_layer=4)
    assert list(parameters_of(net))[1:3] == ["layers.00.weight", "layers.01.weight"]


def test_every_nth_update_is_due_and_a_few_early_ones():
    due = [step for step in range(2501) if is_due(step, 400)]
    assert due == [1, 10, 100, 400, 800, 1000, 1200, 1600, 2000, 2400]
    for step in range(2400):
        assert step + until_due(step, 400) == next(d for d in due if d > step)
