"""What a reader changes is what trains: with --model.engine auto an edit gives what it gives with
autograd, in as many calls."""

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import EarlyStopping
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils.parametrizations import weight_norm
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.data import DataLoader, TensorDataset

from lit_makemore.network.layers import Tanh
from lit_makemore.network.mlp import MLP
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.module import LitMLP
from tests import fits

STEPS = 12


def sgd(**options):
    return lambda self: torch.optim.SGD(self.parameters(), **options)


def adam(self):
    LitMLP.configure_optimizers(self)
    return torch.optim.Adam(self.parameters(), lr=0.003)


def two_groups(self):
    first, *others = self.parameters()
    return torch.optim.SGD([{"params": [first], "lr": 0.01}, {"params": others}], lr=0.1)


def scheduled(self):
    optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.1)
    return [optimizer], [{"scheduler": scheduler, "interval": "step"}]


def counted(self):
    optimizer = LitMLP.configure_optimizers(self)
    optimizer.register_step_post_hook(lambda *args: self.hparams.update(seen=self.global_step))
    return optimizer


def smoothed(self, batch):
    return F.cross_entropy(self(batch[0]), batch[1], label_smoothing=0.5)


def needs_data(self, batch):
    assert self.trainer.datamodule.block_size == 3
    return LitMLP.loss(self, batch)


def clamped(self, batch, batch_idx):
    self.net.embedding.weight.data.clamp_(-0.5, 0.5)
    return self.loss(batch)


def logging(self, batch, batch_idx):
    self.log("mine", loss := self.loss(batch))
    return loss


def counting(self, batch, batch_idx):
    self.seen = getattr(self, "seen", 0) + 1
    return self.loss(batch)


def printing(self, batch, batch_idx):
    print("step", batch_idx)
    return self.loss(batch)


def later(self, batch, batch_idx):
    return self.loss(batch) * (0.1 if self.global_step >= 6 else 1.0)


def every_eighth(self, batch, batch_idx):
    return self.loss(batch) * (0.1 if batch_idx % 8 == 7 else 1.0)


def scaled(self, *args):
    for p in self.parameters():
        p.grad *= 0.5


def skipping(self, epoch, batch_idx, optimizer, closure):
    closure() if batch_idx % 2 else LitMLP.optimizer_step(
        self, epoch, batch_idx, optimizer, closure
    )


def clipped(self, optimizer, gradient_clip_val, gradient_clip_algorithm):
    self.clip_gradients(optimizer, 0.01, "norm")


def shrunk(self, *args):
    self.net.embedding.weight.data *= 0.99


STEPS_OF = (clamped, logging, counting, printing, later, every_eighth)
METHODS = [
    *(("configure_optimizers", sgd(lr=0.1, momentum=0.9)), ("configure_optimizers", sgd(lr=0.02))),
    *(("configure_optimizers", code) for code in (adam, two_groups, scheduled, counted)),
    *(("loss", smoothed), ("loss", needs_data), ("forward", lambda self, x: 0.5 * self.net(x))),
    *(("training_step", code) for code in STEPS_OF),
    *(("on_after_backward", scaled), ("on_before_optimizer_step", scaled)),
    *(("optimizer_step", skipping), ("configure_gradient_clipping", clipped)),
    *(("backward", lambda self, loss: (3 * loss).backward()), ("on_train_batch_end", shrunk)),
]


class Stops(LitMLP):
    def configure_callbacks(self):
        return [*super().configure_callbacks(), EarlyStopping("val/loss")]


class Manual(LitMLP):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(self.loss(batch))
        optimizer.step()


class Buffer(LitMLP):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.net.register_buffer("calls", torch.zeros(()))

    def loss(self, batch):
        self.net.calls += 1
        return super().loss(batch)


class OwnParameter(LitMLP):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, x):
        return self.scale * self.net(x)


def with_method(name, code) -> type[LitMLP]:
    return type(f"{name} {code.__name__}", (LitMLP,), {name: code})


SUBCLASSES = [
    *(with_method(name, code) for name, code in METHODS), Manual, Buffer, OwnParameter
]  # fmt: skip


def halve(p):
    p.grad *= 0.5


def halved(net):
    forward = net.forward
    net.forward = lambda x: 0.5 * forward(x)


class Half(Tanh):
    def forward(self, x):
        return torch.tanh(x) / 2


def setting(number, **values):
    def change(net):
        for name, value in values.items():
            setattr(net.layers[number], name, value)

    return change


def layer(number, made):
    return lambda net: net.layers.__setitem__(number, made())


CHANGES = {
    "GELU": layer(2, nn.GELU),
    "LayerNorm": layer(1, lambda: nn.LayerNorm(30)),
    "unknown subclass": layer(2, Half),
    "no gain": setting(1, weight=None, bias=None),
    "no averages": setting(1, running_mean=None, running_var=None),
    "not tracked": setting(1, track_running_stats=False),
    "cumulative": setting(1, momentum=None),
    "halved": halved,
    "doubled": lambda net: net.double(),
    "bounded": lambda net: setattr(net.embedding, "max_norm", 3.0),
    "frozen": lambda net: net.embedding.weight.requires_grad_(False),
    "parameter hook": lambda net: net.layers[0].weight.register_hook(lambda g: 0.1 * g),
    "after accumulation": lambda net: net.layers[0].weight.register_post_accumulate_grad_hook(
        halve
    ),
    "forward hook": lambda net: net.layers[0].register_forward_hook(lambda layer, x, y: 0.5 * y),
    "backward hook": lambda net: net.layers[0].register_full_backward_hook(lambda *args: (None,)),
    "tied": lambda net: setattr(net.layers[3], "weight", net.layers[0].weight),
    "normalised": lambda net: weight_norm(net.layers[0]),
}


def residual(self, x):
    value = self.embedding(x).flatten(1)
    for layer in self.layers:
        after = layer(value)
        value = value + after if after.shape == value.shape else after
    return value


def dropped(self, x):
    return self.layers(F.dropout(self.embedding(x).flatten(1), 0.5, self.training))


def replaced(name):
    def change(module):
        method = getattr(module, name)
        setattr(module, name, lambda *args: method(*args))

    return change


COMPILED = ("compiled", "wrapped", "a compiled part", "compiled step")  # take seconds
OBJECTS = {
    **{name: replaced(name) for name in ("forward", "loss", "training_step", "on_train_batch_end")},
    "compiled": lambda module: module.compile(backend="eager"),
    "a compiled part": lambda module: module.net.compile(backend="eager"),
    "wrapped": lambda module: torch.compile(module, backend="eager"),
    "compiled step": lambda module: setattr(
        module, "training_step", torch.compile(module.training_step, backend="eager")
    ),
}


EDITS = {  # of the code itself: a class, a method, and what it is edited to
    "a residual connection": (MLP, "forward", residual),
    "dropout of the embedding": (MLP, "forward", dropped),
    "another tanh": (Tanh, "forward", lambda self, x: x.clamp(-1, 1)),
    "label smoothing": (LitMLP, "loss", smoothed),
    "momentum": (LitMLP, "configure_optimizers", sgd(lr=0.1, momentum=0.9)),
    "a hook": (LitMLP, "on_train_batch_end", shrunk),
}


def trained(word_list, engine, kind=LitMLP, change=lambda net: None, **options):
    data = NamesDataModule(path=str(word_list), batch_size=8)
    torch.manual_seed(1)
    module = kind(data.chars, 3, n_hidden=30, n_layer=2, engine=engine, **options)
    change(module.net)
    torch.manual_seed(2)
    fits.trainer(STEPS).fit(module, data)
    return module


def agree(word_list, native=False, **what):
    """Trains by autograd and by choice; returns both modules."""
    torch.manual_seed(0)
    by_autograd, by_choice = (trained(word_list, e, **what) for e in ("autograd", "auto"))
    assert by_choice.engine == ("native" if native else "autograd")
    windows = torch.arange(len(by_autograd.vocab))[:, None].expand(-1, 3)
    logits = [module.train(False)(windows) for module in (by_autograd, by_choice)]
    torch.testing.assert_close(*logits, rtol=1e-2, atol=1e-2)
    return by_autograd, by_choice


@pytest.mark.parametrize("kind", SUBCLASSES, ids=lambda kind: kind.__name__)
def test_a_subclass_trains_as_it_says(kind, word_list):
    optimizer = "adamw" if "adam" in kind.__name__ else "sgd"
    first, second = agree(word_list, kind=kind, optimizer=optimizer)
    assert getattr(first, "seen", None) == getattr(second, "seen", None)


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_network_trains_as_it_is(change, word_list):
    agree(word_list, change=CHANGES[change])


@pytest.mark.parametrize(
    "edit", [pytest.param(e, marks=[pytest.mark.slow] * (e in COMPILED)) for e in OBJECTS]
)
def test_an_edit_of_an_object_gives_the_bits_of_autograd(edit, word_list):
    """With a progress bar and without. The referee's copies would share the object's methods."""
    networks = []
    for engine, bar in (("autograd", False), ("auto", True)):
        data = NamesDataModule(path=str(word_list), batch_size=8)
        torch.manual_seed(1)
        module = LitMLP(data.chars, 3, n_hidden=30, n_layer=2, engine=engine)
        fit = fits.trainer(STEPS, enable_progress_bar=bar)
        wrapped = OBJECTS[edit](module)
        fit.fit(module if wrapped is None else wrapped, data)
        assert (module.engine, fit.global_step) == ("autograd", STEPS)
        networks.append(module.net.state_dict())
    for name, tensor in networks[0].items():
        assert torch.equal(tensor, networks[1][name]), name


def test_a_hook_of_every_module_or_optimizer_is_called_at_every_update(word_list):
    calls = []
    for register in (register_module_forward_hook, register_optimizer_step_post_hook):
        calls.append(0)
        hook = register(lambda *args: calls.append(calls.pop() + 1))
        try:
            assert trained(word_list, "auto").engine == "autograd"
        finally:
            hook.remove()
    assert calls[0] > STEPS
    assert calls[1] == STEPS


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_of_the_code_counts(edit, word_list, monkeypatch):
    owner, name, code = EDITS[edit]
    monkeypatch.setattr(owner, name, code)
    agree(word_list)


def gain(net):
    net.layers[0].weight.data *= 3


@pytest.mark.parametrize(
    "what",
    [
        *({"change": gain, "optimizer": kind} for kind in ("sgd", "adamw")),
        {"change": setting(1, momentum=0.5), "optimizer": "adamw"},
    ],
)
def test_what_the_native_step_knows_stays_native(what, word_list):
    agree(word_list, native=True, lr=0.01, **what)


def test_a_subclass_with_a_callback_of_its_own_stays_native(word_list):
    agree(word_list, native=True, kind=Stops)


def test_another_schedule_stays_native_and_counts(word_list, monkeypatch):
    monkeypatch.setattr(LitMLP, "lr_at", lambda self, step: 0.1 / (1 + step))
    agree(word_list, native=True)


class Blanks(NamesDataModule):
    def on_after_batch_transfer(self, batch, dataloader_idx):
        assert batch[0].ndim == 2
        return batch


class First(NamesDataModule):
    def train_dataloader(self):
        return DataLoader([next(iter(super().train_dataloader()))] * 4, batch_size=None)


def rows(word_list):
    data = NamesDataModule(path=str(word_list))
    data.setup()
    return DataLoader(TensorDataset(*data.splits["train"].windows[torch.arange(40)]), 10)


@pytest.mark.filterwarnings(
    "ignore:You defined a `validation_step`", "ignore:The 'train_dataloader"
)
@pytest.mark.parametrize("kind", [Blanks, First, rows])
def test_a_data_module_or_another_loader_of_its_own_is_trained_one_by_one(kind, word_list):
    data = kind(word_list) if kind is rows else kind(path=str(word_list), batch_size=8)
    chars = NamesDataModule(path=str(word_list)).chars
    module, fit = LitMLP(chars, 3, n_hidden=30, n_layer=1), fits.trainer(4, limit_val_batches=0)
    fit.fit(module, data)
    assert (module.engine, fit.global_step) == ("autograd", 4)


@pytest.mark.parametrize("why", ["SGD with momentum 0.9", "GELU has no native step"])
def test_native_refuses_what_it_cannot_do(why, word_list):
    what = {"kind": SUBCLASSES[0]} if "SGD" in why else {"change": CHANGES["GELU"]}
    with pytest.raises(ValueError, match=f"--model.engine native is not possible: {why}"):
        trained(word_list, "native", **what)


@pytest.mark.parametrize("edit", ["a residual connection", "another tanh", "label smoothing"])
def test_gradients_by_hand_are_refused_where_they_are_not_the_modules(edit, word_list, monkeypatch):
    owner, name, code = EDITS[edit]
    monkeypatch.setattr(owner, name, code)
    with pytest.raises(ValueError, match=r"manual trains by network/backprop.py, and its"):
        trained(word_list, "manual")
