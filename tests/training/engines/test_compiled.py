import copy

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from lit_makemore.network.mlp import MLP, cross_entropy
from lit_makemore.training.engines.compiled import CompiledStep

V, GROUPS = 27, (3, 1, 6)
NETWORKS = [
    {"bn_variance": "biased"},
    {"activation": "relu", "batch_norm": False},
    {"logits_batch_norm": True, "bn_variance": "unbiased"},
]
OPTIMIZERS = {
    "sgd": lambda params: torch.optim.SGD(params, lr=0.1),
    "adamw": lambda params: torch.optim.AdamW(params, lr=0.01, weight_decay=0.1),
}


@pytest.fixture
def eager(trace):
    """The graph is traced, and not compiled."""
    trace("eager")


def minibatches(n, soft=False):
    g = torch.Generator().manual_seed(5)
    x, y = torch.randint(0, V, (n, 8, 3), generator=g), torch.randint(0, V, (n, 8), generator=g)
    return x, torch.rand(n, 8, V, generator=g).softmax(2) if soft else y


def plain(net, optimizer, x, y, lrs, clip_norm) -> list[float]:
    losses = []
    for i, lr in enumerate(lrs):
        loss = cross_entropy(net(x[i]), y[i])
        optimizer.zero_grad()
        loss.backward()
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(net.parameters(), clip_norm)
        optimizer.param_groups[0]["lr"] = lr
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def both(optimizer, clip_norm=None, soft=False, **network):
    """The same ten updates by a plain loop and fused; the losses' means agree."""
    torch.manual_seed(1)
    net = MLP(V, n_hidden=10, n_layer=2, **network)
    other = copy.deepcopy(net)
    ours, theirs = (
        OPTIMIZERS[optimizer](net.parameters()),
        OPTIMIZERS[optimizer](other.parameters()),
    )
    x, y = minibatches(sum(GROUPS), soft)
    lrs = [0.01 * (i + 1) for i in range(len(x))]
    expected = torch.tensor(plain(other, theirs, x, y, lrs, clip_norm)).split(GROUPS)
    step = CompiledStep(net, ours, clip_norm)
    groups = zip(x.split(GROUPS), y.split(GROUPS), torch.tensor(lrs).split(GROUPS), strict=True)
    losses = [float(step(x, y, lrs.tolist())) / len(x) for x, y, lrs in groups]
    assert losses == pytest.approx([float(e.mean()) for e in expected], rel=1e-5)
    return net, other, ours, theirs


def assert_same_state(ours, theirs):
    states = (torch.optim.Optimizer.state_dict(o)["state"] for o in (ours, theirs))
    for (_, a), (_, b) in zip(*(sorted(s.items()) for s in states), strict=True):
        assert a.keys() == b.keys()
        for key in a:
            torch.testing.assert_close(a[key], b[key], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("clip_norm", [None, 0.5])
def test_fused_updates_are_those_of_torch_optim(eager, optimizer, clip_norm, network):
    net, other, ours, theirs = both(optimizer, clip_norm, **network)
    for (name, a), b in zip(net.state_dict().items(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5, msg=name)
    if optimizer == "adamw":  # sgd has none
        assert_same_state(ours, theirs)


def test_targets_may_be_distributions(eager):
    both("adamw", soft=True)


def test_torch_optim_goes_on_from_the_state_it_left(eager):
    net, other, ours, theirs = both("adamw")
    x, y = minibatches(3)
    assert plain(net, ours, x, y, [0.01] * 3, None) == pytest.approx(
        plain(other, theirs, x, y, [0.01] * 3, None), rel=1e-4
    )


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_it_is_one_graph_that_is_compiled_once(trace, optimizer):
    counter = CompileCounter()
    trace(counter)
    both(optimizer)  # groups of several sizes, another learning rate at each update
    assert counter.frame_count == 1


@pytest.mark.parametrize("second", [{"n_layer": 1}, {"n_layer": 2}, {"batch_norm": False}])
def test_a_second_network_is_not_stepped_by_the_graph_of_the_first(eager, second):
    """A student may be stepped after its teacher, in one process."""
    for arguments in ({"n_layer": 1}, second):
        net = MLP(V, n_hidden=10, **arguments)
        other = copy.deepcopy(net)
        x, y = minibatches(3)
        step = CompiledStep(net, OPTIMIZERS["sgd"](net.parameters()))
        expected = plain(other, OPTIMIZERS["sgd"](other.parameters()), x, y, [0.1] * 3, None)
        assert float(step(x, y, [0.1] * 3)) == pytest.approx(sum(expected), rel=1e-5)
        for a, b in zip(net.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_another_shape_is_refused(eager):
    net = MLP(V, n_hidden=10, n_layer=1)
    step = CompiledStep(net, OPTIMIZERS["sgd"](net.parameters()))
    x, y = minibatches(2)
    step(x, y, [0.1, 0.1])
    with pytest.raises(AssertionError, match="one shape"):
        step(x[:, :7], y[:, :7], [0.1, 0.1])


def test_the_forward_pass_may_be_in_bfloat16(eager):
    net = MLP(V, n_hidden=10, n_layer=1)
    step = CompiledStep(net, OPTIMIZERS["sgd"](net.parameters()), autocast=torch.bfloat16)
    seen = []
    net.layers[0].register_forward_hook(lambda *args: seen.append(args[2].dtype))
    x, y = minibatches(2)
    step(x, y, [0.1, 0.1])
    assert set(seen) == {torch.bfloat16}
    assert all(p.dtype == torch.float32 for p in net.parameters())
