import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lit_makemore.network import layers
from tests.pretended_gpu import DEVICE, pretended_gpu

FLOAT64 = {"dtype": torch.float64}
sizes = st.integers(1, 9)


def assert_same(ours: nn.Module, theirs: nn.Module, x: torch.Tensor) -> None:
    """Equal output and equal gradients of input and parameters, for a random cotangent."""
    theirs.load_state_dict(ours.state_dict())
    inputs = [x.clone().requires_grad_(), x.clone().requires_grad_()]
    outputs = [ours(inputs[0]), theirs(inputs[1])]
    torch.testing.assert_close(*outputs, rtol=1e-12, atol=1e-12)
    cotangent = torch.randn_like(outputs[0])
    grads = [
        torch.autograd.grad(output, [leaf, *module.parameters()], cotangent)
        for output, leaf, module in zip(outputs, inputs, (ours, theirs), strict=True)
    ]
    torch.testing.assert_close(*grads, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=1e-12, atol=1e-12)


@given(sizes, sizes, sizes, st.booleans(), st.integers(0, 2**31))
def test_linear_and_tanh_are_torchs(n, fan_in, fan_out, bias, seed):
    torch.manual_seed(seed)
    ours, x = layers.Linear(fan_in, fan_out, bias).double(), torch.randn(n, fan_in, **FLOAT64)
    assert_same(ours, nn.Linear(fan_in, fan_out, bias, **FLOAT64), x)
    assert_same(layers.Tanh(), nn.Tanh(), 3 * x)


@given(
    n=st.integers(2, 33),
    features=sizes,
    eps=st.sampled_from([1e-5, 1e-3, 0.1]),
    momentum=st.sampled_from([0.1, 0.001, 1.0, None]),
    affine=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_batch_norm_is_torchs(n, features, eps, momentum, affine, seed):
    torch.manual_seed(seed)
    ours = layers.BatchNorm1d(features, eps, momentum, affine).double()
    theirs = nn.BatchNorm1d(features, eps, momentum, affine, **FLOAT64)
    if affine:
        nn.init.normal_(ours.weight)
        nn.init.normal_(ours.bias)
    for _ in range(3):  # training, with running statistics
        assert_same(ours, theirs, torch.randn(n, features, **FLOAT64) * 2 + 1)
    ours.eval(), theirs.eval()
    assert_same(ours, theirs, torch.randn(1, features, **FLOAT64))


AVERAGES = ("running_mean", "running_var", "num_batches_tracked")


@pytest.mark.parametrize(
    "without", [("weight", "bias"), ("bias",), AVERAGES, ("track_running_stats",)]
)
def test_batch_norm_without_a_part_of_it_is_torchs(without):
    torch.manual_seed(1)
    ours, theirs = layers.BatchNorm1d(5).double(), nn.BatchNorm1d(5, **FLOAT64)
    for name in without:
        setattr(ours, name, None), setattr(theirs, name, None)
    for mode in (True, False):
        ours.train(mode), theirs.train(mode)
        assert_same(ours, theirs, torch.randn(9, 5, **FLOAT64) * 2 + 1)


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("variance", ["torch", "biased", "unbiased"])
def test_batch_norm_off_the_cpu_is_what_is_written_out(monkeypatch, variance, affine, momentum):
    """There torch's kernel does it, where it has that variance: one, not some twenty."""
    torch.manual_seed(1)
    kernels, batch_norm = [], nn.functional.batch_norm
    monkeypatch.setattr(
        nn.functional, "batch_norm", lambda *of, **how: kernels.append(1) or batch_norm(*of, **how)
    )
    ours = layers.BatchNorm1d(5, momentum=momentum, affine=affine, variance=variance)
    for parameter in ours.parameters():
        nn.init.normal_(parameter)
    state = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    x, cotangent = torch.randn(3, 8, 5) * 2 + 1, torch.randn(8, 5)
    found = {}
    for where in ("cpu", DEVICE):
        with pretended_gpu():
            ours.to("cpu").load_state_dict(state)
            layer, seen = ours.to(where).train(), []
            for part in x[:2].to(where):
                leaf = part.clone().requires_grad_()
                seen.append(layer(leaf))
                inputs = [leaf, *layer.parameters()]
                seen += torch.autograd.grad(seen[-1], inputs, cotangent.to(where))
            seen += [layer.eval()(x[2].to(where)), *layer.buffers()]
            found[where] = [tensor.detach().cpu().clone() for tensor in seen]
        assert bool(kernels) == (where == DEVICE and variance == "torch")
    torch.testing.assert_close(found[DEVICE], found["cpu"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("variance", "normalises_by", "remembers_by"),
    [("torch", 4, 3), ("biased", 4, 4), ("unbiased", 3, 3)],
)
def test_the_variance_convention_is_what_it_says(variance, normalises_by, remembers_by):
    layer = layers.BatchNorm1d(1, eps=0.0, momentum=1.0, variance=variance).double()
    x = torch.tensor([[1.0], [2.0], [4.0], [9.0]], dtype=torch.float64)  # mean 4, squares sum to 38
    expected = (x - 4) / (38 / normalises_by) ** 0.5
    torch.testing.assert_close(layer(x).detach(), expected)
    assert layer.running_mean.item() == 4
    assert layer.running_var.item() == pytest.approx(38 / remembers_by)
    assert layer.num_batches_tracked.item() == 1


def test_batch_norm_names_a_wrong_shape_and_variance_and_a_batch_of_one():
    layers.BatchNorm1d(3).eval()(torch.ones(1, 3))
    with pytest.raises(ValueError, match="batch of one"):
        layers.BatchNorm1d(3)(torch.ones(1, 3))
    for shape in ((4, 2), (4, 3, 5), (3,)):
        with pytest.raises(ValueError, match="takes \\(batch, 3\\)"):
            layers.BatchNorm1d(3)(torch.ones(shape))
    with pytest.raises(ValueError, match="torch, biased, unbiased"):
        layers.BatchNorm1d(3, variance="sample")


def test_batch_norm_keeps_float32_statistics_of_bfloat16_inputs():
    layer = layers.BatchNorm1d(2, momentum=1.0)
    x = (torch.randn(64, 2) + 100).bfloat16()
    y = layer(x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(layer.running_mean, x.float().mean(0), rtol=1e-6, atol=0)
