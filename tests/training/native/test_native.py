"""native.cpp against autograd in float64, and against torch.optim."""

import copy
import ctypes
import shutil
from itertools import pairwise

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from lit_makemore.network.backprop import layer_values
from lit_makemore.network.gradcheck import ROUNDINGS, sizes_of_terms
from lit_makemore.network.mlp import MLP, cross_entropy
from lit_makemore.training.native import build
from lit_makemore.training.native.native import NativeStep, _addresses

SIZES = {
    "B": st.integers(1, 70),
    "T": st.integers(1, 9),
    "V": st.integers(2, 40),
    "n_embd": st.integers(1, 20),
    "n_hidden": st.integers(1, 70),
    "n_layer": st.integers(1, 3),
}
OPTIONS = {
    "activation": st.sampled_from(["tanh", "relu", "linear"]),
    "norm": st.sampled_from(["batch", "none"]),
    "logits_batch_norm": st.booleans(),
    "bn_variance": st.sampled_from(["torch", "biased", "unbiased"]),
    "redundant_bias": st.booleans(),
    "dropout": st.sampled_from([0.0, 0.0, 0.3]),
}


def network(V, T, B, seed=1, scale=1.0, **options) -> tuple[MLP, int]:
    """A network in which no parameter is 0 or 1, and a batch size that it can take."""
    torch.manual_seed(seed)
    net = MLP(V, T, **options)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.1 * torch.randn_like(p)).mul_(scale)
    normalises = options.get("norm", "batch") == "batch" or options.get("logits_batch_norm", False)
    return net, max(B, 2) if normalises else B


def examples(B, T, V, soft=False, G=None):
    shape = (B,) if G is None else (G, B)
    y = torch.rand(*shape, V).softmax(-1) if soft else torch.randint(0, V, shape)
    return torch.randint(0, V, (*shape, T)), y


def sgd(net, lr=0.1):
    return torch.optim.SGD(net.parameters(), lr)


def adamw(net, lr=0.01):
    return torch.optim.AdamW(net.parameters(), lr, weight_decay=0.1)


def native(net, optimizer, B, **more) -> NativeStep:
    return NativeStep(build.library(), net, optimizer, B, **more)


def gradients(step: NativeStep, x, y) -> tuple[float, dict[str, torch.Tensor]]:
    """The loss of one minibatch and the gradient of each parameter by name; no update."""
    assert len(x) == step._batch_size
    addresses = _addresses(x, y.contiguous())
    loss = step._library.network_gradients(step._network, *addresses, step.updates)
    for count in step._counts:
        count += 1
    return loss, {name: step.gradient[p].clone() for name, p in step.net.named_parameters()}


@given(st.fixed_dictionaries(SIZES | OPTIONS), st.booleans(), st.integers(0, 99))
@example({"B": 32, "T": 3, "V": 27, "n_embd": 10, "n_hidden": 100, "n_layer": 5}, False, 1)
@example({"B": 1, "T": 1, "V": 2, "n_embd": 1, "n_hidden": 1, "norm": "none"}, True, 1)
@example({"B": 14, "T": 1, "V": 2, "n_embd": 1, "n_hidden": 41, "n_layer": 1}, False, 86)
@settings(max_examples=60)
def test_gradients_are_those_of_autograd_in_float64(sizes, soft, seed):
    net, B = network(seed=seed, **sizes)
    x, y = examples(B, sizes["T"], sizes["V"], soft)
    reference = copy.deepcopy(net).double()
    step = native(net, sgd(net), B)
    loss, ours = gradients(step, x, y)
    masks = step.dropout_masks()
    values = layer_values(reference, x, {i: mask.double() for i, mask in masks.items()})
    expected = cross_entropy(values[-1], y)
    parameters = dict(reference.named_parameters())
    theirs = torch.autograd.grad(expected, [values[-1], *parameters.values()])
    assert loss == pytest.approx(expected.item(), rel=1e-5, abs=1e-6)
    _, sizes_ = sizes_of_terms(reference, x, values, theirs[0])
    kept = 1 / (1 - sizes.get("dropout", 0)) ** sizes.get("n_layer", 5)
    for value, layer in zip(values, reference.layers, strict=False):
        if isinstance(layer, nn.BatchNorm1d):  # x - μ loses digits where x varies little
            std = (value.detach().var(0, correction=0) + layer.eps).sqrt()
            kept *= max(1.0, float((value.detach().abs().amax(0) / std).max()))
    for name, gradient in zip(parameters, theirs[1:], strict=True):
        rounding = ROUNDINGS * torch.finfo(torch.float32).eps * kept * sizes_[name]
        limit = 1e-5 * gradient.norm() + rounding
        assert (ours[name] - gradient).norm() <= limit, name
    for (name, a), b in zip(net.named_buffers(), reference.buffers(), strict=True):
        torch.testing.assert_close(a.double(), b.double(), rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("make", [sgd, adamw])
@pytest.mark.parametrize("clip_norm", [None, 0.5])
@pytest.mark.parametrize(
    "options",
    [
        {"bn_variance": "biased"},
        {"activation": "relu", "norm": "none"},
        {"logits_batch_norm": True, "bn_variance": "unbiased"},
        {"activation": "linear", "norm": "none"},
    ],
)
def test_a_hundred_updates_are_those_of_torch_optim(make, clip_norm, options):
    net, B = network(27, 3, 33, n_hidden=20, n_layer=2, **options)
    reference = copy.deepcopy(net).double()
    ours, theirs = make(net), make(reference)
    x, y = examples(B, 3, 27, G=100)
    lrs = [0.001 * (1 + i % 7) for i in range(100)]
    total = 0.0
    for minibatch, targets, lr in zip(x, y, lrs, strict=True):
        loss = cross_entropy(reference(minibatch), targets)
        theirs.zero_grad()
        loss.backward()
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(reference.parameters(), clip_norm)
        theirs.param_groups[0]["lr"] = lr
        theirs.step()
        total += loss.item()
    step = native(net, ours, B, clip_norm=clip_norm)
    assert float(step(x, y, lrs)) == pytest.approx(total, rel=1e-5)
    for a, b in zip(net.state_dict().values(), reference.state_dict().values(), strict=True):
        torch.testing.assert_close(a.double(), b.double(), rtol=2e-3, atol=2e-4)
    assert ours.param_groups[0]["lr"] == lrs[-1]
    for p, q in zip(net.parameters(), reference.parameters(), strict=True):
        for key, a in ours.state[p].items():
            b = theirs.state[q][key].double()
            torch.testing.assert_close(a.double(), b, rtol=2e-3, atol=1e-5, msg=key)


NETWORKS = {
    "dropout": {"n_hidden": 30, "dropout": 0.2},
    "targets": {"n_hidden": 37, "logits_batch_norm": True, "soft": True},
    "relu": {"n_hidden": 33, "activation": "relu", "norm": "none", "make": sgd},
}


def stepped(groups, threads=1, library=None, make=adamw, soft=False, **options):
    """The parameters, buffers and averages after 6 updates in groups of these sizes."""
    net, B = network(27, 3, 70, n_layer=2, **options)
    optimizer = make(net)
    x, y = examples(B, 3, 27, soft, G=6)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        step = NativeStep(library or build.library(), net, optimizer, B, clip_norm=0.5, seed=3)
    finally:
        torch.set_num_threads(before)
    for a, b in pairwise([0, *torch.tensor(groups).cumsum(0).tolist()]):
        step(x[a:b], y[a:b], [0.01] * (b - a))
    averages = [t for state in optimizer.state.values() for t in state.values()]
    return [*net.state_dict().values(), *averages]


def assert_same_bits(a, b):
    assert all(torch.equal(one, other) for one, other in zip(a, b, strict=True))


@pytest.mark.parametrize("options", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize(
    ("groups", "threads"), [([1] * 6, 1), ([2, 1, 3], 1), ([6], 2), ([1, 5], 3)]
)
def test_groups_and_threads_change_no_bit(groups, threads, options):
    assert_same_bits(stepped(groups, threads, **options), stepped([6], **options))


@pytest.mark.parametrize("flag", ["-O3", "-O1"])
@pytest.mark.parametrize("compiler", ["c++", pytest.param("clang++", marks=pytest.mark.slow)])
def test_compilers_and_their_effort_change_no_bit(tmp_path, compiler, flag):
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    build._compile([compiler], [*build.FLAGS, flag, *build.EXTRA[1]], tmp_path / "native.so")
    library = ctypes.CDLL(str(tmp_path / "native.so"))
    for options in NETWORKS.values():
        assert_same_bits(stepped([6], library=library, **options), stepped([6], **options))


def test_dropout_leaves_out_its_share_and_other_units_each_time():
    net, B = network(27, 3, 64, n_hidden=500, n_layer=2, dropout=0.25)
    x, y = examples(B, 3, 27)
    drawn = {}
    for seed, updates in ((1, 0), (1, 1), (2, 0)):
        step = native(net, sgd(net), B, seed=seed, updates=updates)
        gradients(step, x, y)
        drawn |= {(seed, updates, i): mask for i, mask in step.dropout_masks().items()}
    assert len(drawn) == 6
    for mask in drawn.values():
        assert mask.unique().tolist() == pytest.approx([0, 4 / 3])
        assert (mask == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
        for way in (0, 1):  # no unit and no example is special
            assert (mask == 0).float().mean(way).std() < 0.08
    keys = list(drawn)
    for i, a in enumerate(keys):
        for b in keys[:i]:
            same = (drawn[a] == drawn[b]).float().mean().item()
            assert same == pytest.approx(0.25**2 + 0.75**2, abs=0.02)  # independent


@pytest.mark.parametrize("activation", ["tanh", "relu", "linear"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_what_is_not_finite_stays_so(activation, value, clip_norm):
    net, B = network(27, 3, 8, n_hidden=10, n_layer=2, activation=activation)
    net.layers[0].weight.data[3, 4] = value
    x, y = examples(B, 3, 27, G=2)
    total = float(native(net, sgd(net), B, clip_norm=clip_norm)(x, y, [0.1, 0.1]))
    assert not torch.tensor(total).isfinite()
    assert net.layers[0].weight.isnan().any()


@pytest.mark.parametrize(("scale", "tolerance"), [(1e-4, 1e-5), (30.0, 1e-3)])
def test_tanh_and_the_loss_are_precise_near_zero_and_far_from_it(scale, tolerance):
    """Far from zero, 1 - tanh² has few digits, by autograd in float32 as well."""
    net, B = network(27, 3, 40, scale=scale, n_hidden=50, n_layer=1, norm="none")
    x, y = examples(B, 3, 27)
    reference = copy.deepcopy(net).double()
    expected = cross_entropy(reference(x), y)
    theirs = torch.autograd.grad(expected, list(reference.parameters()))
    loss, ours = gradients(native(net, sgd(net), B), x, y)
    assert loss == pytest.approx(expected.item(), rel=1e-6)
    for a, b in zip(ours.values(), theirs, strict=True):
        assert (a - b).norm() <= tolerance * b.norm() + 1e-30


@pytest.mark.parametrize(
    ("V", "T", "soft"), [(6, 3, False), (5, 2, False), (5, 4, True), (6, 3, True)]
)
def test_examples_of_another_network_are_not_read(V, T, soft):
    net, B = network(5, 3, 4, n_hidden=8, n_layer=1)
    x, y = examples(B, T, V, soft, G=2)
    if not soft:
        y[1, -1] = V - 1
    with pytest.raises(ValueError, match="made for other windows or characters"):
        native(net, sgd(net), B)(x, y, [0.1, 0.1])
