"""A fit, and what is done with its network, on a CPU, a pretended GPU and a GPU."""

import subprocess
import sys

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.plugins import TorchSyncBatchNorm

from lit_makemore import model as checkpoint
from lit_makemore.network.mlp import MLP
from lit_makemore.runs.checkpoints import AtomicCheckpointIO
from lit_makemore.runs.exact_resume import ExactResume
from lit_makemore.sampling.sampler import Sampler
from lit_makemore.sampling.scoring import score
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.metrics import evaluate
from lit_makemore.training.module import LitMLP
from tests.conftest import ROOT
from tests.devices import ACCELERATOR, DEVICES, WHERE, device_of, on_gpu
from tests.same_run import same
from tests.training.test_module import Recorder, trainer

STEPS = 30
TOLERANCE = {"32-true": 1e-4, "bf16-mixed": 0.05, "16-mixed": 0.05}  # in nats a character


@pytest.fixture(autouse=True)
def _there(request, monkeypatch):
    with device_of(request, monkeypatch):
        yield


class Run:
    """A small fit, with what is left of it."""

    def __init__(self, words, device, precision, steps=STEPS, ckpt_path=None) -> None:
        torch.manual_seed(1)
        self.data = NamesDataModule(str(words), batch_size=16, predict_path=str(words))
        arguments = {"n_hidden": 20, "n_layer": 2, "optimizer": "adamw", "lr": 0.01}
        self.model = LitMLP(self.data.chars, 3, dropout=0.1, engine="autograd", **arguments)
        recorder = Recorder()
        where = {"accelerator": ACCELERATOR[device], "devices": 1, "precision": precision}
        parts = {"callbacks": [recorder, ExactResume()], "plugins": [AtomicCheckpointIO()]}
        usual = {"gradient_clip_val": 1.0, "val_check_interval": 10}
        self.trainer = trainer(steps, **where, **parts, **usual)
        self.trainer.fit(self.model, self.data, ckpt_path=ckpt_path, weights_only=True)
        self.losses = recorder.losses

    def state(self) -> list[torch.Tensor]:
        return [tensor.detach().cpu() for tensor in self.model.state_dict().values()]


@pytest.mark.parametrize(("device", "precision"), WHERE)
def test_a_fit_learns_and_keeps_float32_parameters(word_list, device, precision):
    run = Run(word_list, device, precision, steps=100)
    assert run.trainer.strategy.root_device.type == device
    assert sum(run.losses[-10:]) / 10 < run.losses[0] - 0.3
    assert all(p.dtype == torch.float32 for p in run.model.parameters())
    assert all(tensor.isfinite().all() for tensor in run.state())


@pytest.mark.parametrize(("device", "precision"), WHERE)
def test_a_resumed_fit_ends_as_one_that_was_not_stopped(tmp_path, word_list, device, precision):
    """Dropout has its random state on the device, 16-mixed its scale in the checkpoint."""
    whole = Run(word_list, device, precision)
    part = Run(word_list, device, precision, steps=STEPS // 2 + 2)
    part.trainer.save_checkpoint(tmp_path / "part.ckpt")
    rest = Run(word_list, device, precision, ckpt_path=tmp_path / "part.ckpt")
    assert part.losses + rest.losses == whole.losses
    assert all(map(torch.equal, rest.state(), whole.state()))


@pytest.mark.parametrize(("device", "precision"), WHERE)
def test_evaluation_agrees_with_a_cpu_in_float32(tmp_path, word_list, device, precision):
    run = Run(word_list, device, precision)
    run.trainer.save_checkpoint(tmp_path / "run.ckpt")
    net, data = checkpoint.load(tmp_path / "run.ckpt").net, NamesDataModule(str(word_list))
    data.setup()  # without a trainer: on the CPU
    for split, command in (("val", run.trainer.validate), ("test", run.trainer.test)):
        command(run.model, datamodule=run.data, verbose=False)
        found = float(run.trainer.callback_metrics[f"{split}/loss"])
        expected = evaluate(net, data.evaluation_loader(split))["loss"]
        assert found == pytest.approx(expected, abs=TOLERANCE[precision])
    (rows,) = run.trainer.predict(run.model, run.data)
    assert len(rows) == 30
    expected = score(net, data.vocab, 3, [word for word, _ in rows]).tolist()
    for (word, found), log_p in zip(rows, expected, strict=True):
        assert found == pytest.approx(log_p, abs=TOLERANCE[precision] * (len(word) + 1))


@pytest.mark.parametrize("device", DEVICES)
def test_names_are_sampled_on_the_networks_device(word_list, device):
    run = Run(word_list, device, "32-true")
    net = run.model.net.to(device).eval()
    draw = next(Sampler(net, run.model.vocab, 3).draw(torch.Generator().manual_seed(1), 50))
    scores = score(net.cpu(), run.model.vocab, 3, draw.names)
    whole = torch.tensor([len(name) < 100 for name in draw.names])  # others have no end mark
    assert whole.any()
    torch.testing.assert_close(draw.log_probabilities[whole], scores[whole], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("device", "precision"), WHERE)
def test_a_checkpoint_goes_to_a_cpu_and_back(tmp_path, word_list, device, precision):
    first = Run(word_list, device, precision, steps=10)
    first.trainer.save_checkpoint(tmp_path / "first.ckpt")
    stored = torch.load(tmp_path / "first.ckpt", weights_only=True, map_location="cpu")
    x = torch.randint(0, len(first.model.vocab), (50, 3))
    on_cpu = checkpoint.load(tmp_path / "first.ckpt").net(x)
    there = first.model.net.to(device).eval()(x.to(device)).cpu()
    torch.testing.assert_close(on_cpu, there, rtol=1e-4, atol=1e-4)
    loaded = LitMLP.load_from_checkpoint(tmp_path / "first.ckpt", map_location="cpu")
    assert same({**loaded.state_dict()}, {**stored["state_dict"]})

    second = Run(word_list, "cpu", "32-true", steps=20, ckpt_path=tmp_path / "first.ckpt")
    assert len(second.losses) == 10
    second.trainer.save_checkpoint(tmp_path / "second.ckpt")
    third = Run(word_list, device, "32-true", steps=30, ckpt_path=tmp_path / "second.ckpt")
    assert third.trainer.global_step == 30
    assert len(third.losses) == 10
    assert all(tensor.isfinite().all() for tensor in third.state())


@pytest.mark.parametrize("device", DEVICES)
def test_synchronised_batch_norm_of_one_process_is_batch_norm(device):
    """Its forward pass in training mode, and the running statistics that it leaves."""
    torch.manual_seed(1)
    module = pl.LightningModule()
    module.net = MLP(9, n_hidden=20, n_layer=2).to(device)
    x = torch.randint(0, 9, (32, 3), device=device)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    expected = module.net(x)
    statistics = {name: value.clone() for name, value in module.net.named_buffers()}
    module.load_state_dict(before)
    converted = TorchSyncBatchNorm().apply(module)
    assert sum(type(m).__name__ == "SyncBatchNorm" for m in converted.modules()) == 2
    torch.testing.assert_close(converted.net(x), expected, rtol=1e-5, atol=1e-5)
    found = dict(converted.net.named_buffers())
    for name, value in statistics.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("device", "processes"),
    [
        pytest.param("cpu", 1, marks=pytest.mark.slow),  # without sync_batchnorm, which needs a GPU
        on_gpu("cuda", 1),
        on_gpu("cuda", 2, at_least=2),
    ],
)
def test_with_synchronised_batch_norm_processes_learn_what_one_does(
    tmp_path, word_list, device, processes
):
    command = [sys.executable, "-m", "tests.training.sync_batch_norm", device, str(processes)]
    arguments = [str(word_list), str(tmp_path / "found.pt")]
    done = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = torch.load(tmp_path / "found.pt", weights_only=True, map_location="cpu")
    torch.manual_seed(1)
    data = NamesDataModule(str(word_list), batch_size=16)
    model = LitMLP(data.chars, 3, n_hidden=20, n_layer=2, engine="autograd")
    trainer(20, accelerator=ACCELERATOR[device], devices=1).fit(model, data)
    expected = model.cpu().state_dict()
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=1e-4, msg=name)
