"""Networks A and B of the published networks, replayed from their own random numbers through this
project's data module, network, LightningModule and Trainer: the losses are the published ones."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lit_makemore.network.mlp import MLP, Init
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.metrics import evaluate
from lit_makemore.training.module import LitMLP
from tests.conftest import needs_names
from tests.devices import PRECISIONS
from tests.fits import Recorder, trainer

pytestmark = needs_names


def row_a() -> tuple[LitMLP, torch.Generator]:
    """The one-layer network and the generator of its minibatches."""
    init = Init(logits_gain=1.0, logits_bias_std=0.1, bn_gain=1.1, bn_bias=0.1)
    usual = {"bn_variance": "biased", "lr_milestones": (50_000,)}
    model = LitMLP("abcdefghijklmnopqrstuvwxyz", 3, n_layer=1, init=init, **usual)
    g = torch.Generator().manual_seed(2147483647)
    drawn = [
        torch.randn((27, 10), generator=g),
        torch.randn((30, 100), generator=g).T * (5 / 3) / 30**0.5,
        torch.randn((100, 27), generator=g).T * 0.1,
        torch.randn(27, generator=g) * 0.1,
    ]
    layers = model.net.layers
    copy_in(drawn, [model.net.embedding.weight, layers[0].weight, layers[3].weight, layers[3].bias])
    return model, torch.Generator().manual_seed(42)


def row_b() -> tuple[LitMLP, torch.Generator]:
    """The deep network; one generator draws its names, its weights and then its minibatches."""
    model = LitMLP("abcdefghijklmnopqrstuvwxyz", 3, bn_variance="biased", lr_milestones=(50_001,))
    g = torch.Generator().manual_seed(2147483657)
    for _ in range(131):
        torch.multinomial(torch.full((1, 27), 1 / 27), 1, generator=g)
    torch.randn((27, 10), generator=g)
    drawn = [torch.randn((27, 10), generator=g)]
    sizes = [30, 100, 100, 100, 100, 100, 27]
    for i, (fan_in, fan_out) in enumerate(zip(sizes, sizes[1:], strict=False)):
        gain = 0.1 if i == 5 else 5 / 3
        drawn.append(torch.randn((fan_in, fan_out), generator=g).T / fan_in**0.5 * gain)
    weights = [layer.weight for layer in model.net.layers if layer.__class__.__name__ == "Linear"]
    copy_in(drawn, [model.net.embedding.weight, *weights])
    return model, g


def copy_in(drawn: list[Tensor], parameters: list[Tensor]) -> None:
    with torch.no_grad():
        for values, parameter in zip(drawn, parameters, strict=True):
            parameter.copy_(values)


def replay(
    row: Callable[[], tuple[LitMLP, torch.Generator]],
    steps: int,
    device: str = "cpu",
    precision: str = "32-true",
) -> tuple[list[float], MLP, NamesDataModule]:
    model, generator = row()
    data = NamesDataModule()
    data.generator = generator
    recorder = Recorder()
    callbacks = [recorder] if steps == 1 else []  # without it, steps go in groups
    where = {"accelerator": device, "devices": 1, "precision": precision}
    trainer(steps, limit_val_batches=0, callbacks=callbacks, **where).fit(model, data)
    return recorder.losses, model.net, data


@pytest.mark.parametrize(("device", "precision"), PRECISIONS)
def test_row_b_starts_on_the_published_loss(device, precision):
    (loss,) = replay(row_b, 1, device, precision)[0]
    allowed = 5e-3 if "mixed" in precision else 1e-6 if device == "cpu" else 1e-5
    assert loss == pytest.approx(3.3017003536224365, abs=allowed)


def test_row_a_starts_as_a_hand_written_forward_pass_does():
    first = replay(row_a, 1)[0][0]
    g = torch.Generator().manual_seed(2147483647)
    C = torch.randn((27, 10), generator=g)
    W1 = torch.randn((30, 100), generator=g) * (5 / 3) / 30**0.5
    W2, b2 = torch.randn((100, 27), generator=g) * 0.1, torch.randn(27, generator=g) * 0.1
    data = NamesDataModule()
    data.setup()
    g = torch.Generator().manual_seed(42)
    x, y = data.splits["train"].windows[torch.randint(0, 182_625, (32,), generator=g)]
    hpreact = C[x].view(32, -1) @ W1
    bnraw = (hpreact - hpreact.mean(0)) / torch.sqrt(hpreact.var(0, unbiased=False) + 1e-5)
    logits = torch.tanh(1.1 * bnraw + 0.1) @ W2 + b2
    expected = -logits.log_softmax(1)[range(32), y].mean()
    assert first == pytest.approx(expected.item(), abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("row", "published"),
    [
        (row_a, {"train": 2.1354637145996094, "val": 2.154210090637207, "test": 2.15461802482605}),
        (row_b, {"train": 2.0422, "val": 2.0962}),
    ],
)
def test_a_replay_ends_on_the_published_losses(row, published):
    _, net, data = replay(row, 100_000)
    for split, loss in published.items():
        found = evaluate(net, data.evaluation_loader(split))["loss"]
        assert found == pytest.approx(loss, abs=5e-4), split
