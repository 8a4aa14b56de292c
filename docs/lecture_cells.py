"""The code of docs/lecture.ipynb: the cells of each moment of docs/lecture.md, by its number.

`python docs/lecture.py notebook` puts them between the claims of the page; docs/notebook.py is the
script. Moment 0 comes before the others.
"""

# %% 0
import logging
import warnings
from copy import deepcopy

import matplotlib.pyplot as plt
import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import LearningRateFinder

from lit_makemore import LitMLP, NamesDataModule
from lit_makemore.diagnostics import drawing
from lit_makemore.diagnostics.monitor import Monitor
from lit_makemore.diagnostics.probe import run_probe
from lit_makemore.diagnostics.progress import ProgressLine
from lit_makemore.network.fold import fold
from lit_makemore.network.gradcheck import check_lecture, lecture_parameters
from lit_makemore.network.layers import BatchNorm1d
from lit_makemore.runs.report import split_losses

logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # no notes at every start
warnings.filterwarnings("ignore", module="lightning")
plt.rcParams |= {"figure.figsize": (5, 3), "xtick.labelsize": 8}
torch.set_num_threads(1)  # the network is small

data = NamesDataModule()  # reads names.txt, or downloads it
data.setup()
x, y = minibatch = next(iter(data.train_dataloader()))
characters = data.vocab.labels
for window, following in zip(x[:5].tolist(), y[:5].tolist(), strict=True):
    print("".join(characters[i] for i in window), "->", characters[following])

# %% 0
TRAINER = {
    "accelerator": "cpu",  # where the updates are made in C++
    "val_check_interval": 1000,
    "check_val_every_n_epoch": None,  # the interval counts updates
    "num_sanity_val_steps": 0,
    "logger": False,
    "enable_checkpointing": False,
    "enable_model_summary": False,
}


def network(**options):
    """A network with the same random numbers each time."""
    seed_everything(42, verbose=False)
    return LitMLP(data.chars, data.block_size, **options)


def fit(model, max_steps):
    """Trains a network on names.txt; returns the Monitor that has looked inside."""
    monitor = Monitor()
    trainer = Trainer(max_steps=max_steps, callbacks=[monitor, ProgressLine()], **TRAINER)
    trainer.fit(model, NamesDataModule())
    return monitor


def print_losses(model):
    """The losses in nats per character over all words."""
    losses = split_losses(model.net, data)
    print("  ".join(f"{split} {losses[split]:.4f}" for split in ("train", "val", "test")))


def curve(monitor, figure, label=None):
    """Draws a figure over the updates."""
    points = [(step, found[figure]) for step, found in monitor.history]
    plt.plot(*zip(*points, strict=True), label=label or figure)
    plt.xlabel("update")
    plt.legend(fontsize=8)


def compare(figure, monitors, when=-1):
    """Draws a figure of every layer, a line for each network; the last one, or the first (0)."""
    for label, monitor in monitors.items():
        found = monitor.history[when][1]
        names = [name for name in found if name.startswith(f"{figure}/")]
        layers = {name.split("/")[1]: found[name] for name in names}
        plt.plot(list(layers), list(layers.values()), "o-", label=label)
    plt.title(figure)
    plt.xticks(rotation=90 if len(layers) > 7 else 0)
    plt.legend(fontsize=8)


# %% 1
small = {"n_layer": 1, "n_hidden": 200, "norm": "none"}
model, monitor = network(**small, init={"logits_gain": 0.1414}), Monitor()
trainer = Trainer(max_steps=1000, overfit_batches=1, callbacks=[monitor, ProgressLine()], **TRAINER)
trainer.fit(model, NamesDataModule())

print_losses(model)
curve(monitor, "loss", "loss of the minibatch")
plt.show()

# %% 2
finder = LearningRateFinder(min_lr=0.001, max_lr=1.0, num_training_steps=1000)
model = network(**small)
trainer = Trainer(max_steps=1, callbacks=[finder, ProgressLine()], **TRAINER)
trainer.fit(model, NamesDataModule())

tried = finder.optimal_lr.results
plt.semilogx(tried["lr"], tried["loss"])
plt.axvline(finder.optimal_lr.suggestion(), color="black", label="the finder's choice")
plt.xlabel("learning rate")
plt.ylim(2, 4)
plt.legend()
plt.show()

# %% 3
split = network(**small, init={"logits_gain": 0.1414})
monitor = fit(split, 20_000)

print_losses(split)
curve(monitor, "held_out/train")
curve(monitor, "held_out/val")
plt.show()

# %% 4
# 20,000 updates, where the command makes 50,000
model = network(n_embd=2, n_layer=1, norm="none", lr_milestones=(12_000,))
fit(model, 20_000)
drawing.embedding(model.net.embedding.weight, characters)

# %% 5
print(*split.generate(10, seed=1, top_p=1))

begin = torch.zeros(1, data.block_size, dtype=torch.long)  # the window ...
plt.bar(characters, split(begin).softmax(1)[0].tolist())
plt.title("the first character of a name")
plt.show()

# %% 6
# 20,000 updates of each network up to moment 11, where the commands make 200,000
ladder = {**small, "lr_milestones": (10_000,)}
as_is = network(**ladder, init={"gain": 5.4772, "logits_gain": 14.1421, "logits_bias_std": 1.0})
logits_fixed = network(**ladder, init={"gain": 5.4772, "logits_gain": 0.1414})
saturated = deepcopy(as_is)

steps = {"as is": fit(as_is, 20_000), "logits fixed": fit(logits_fixed, 20_000)}
print_losses(as_is)
print_losses(logits_fixed)
for label, monitor in steps.items():
    print(f"{label}: first loss {monitor.history[0][1]['loss']:.2f}")
    curve(monitor, "loss", label)
plt.xlim(0, 2000)
plt.show()

# %% 7
fit(saturated, 1000)
drawing.saturation(run_probe(saturated.net, lambda: saturated.loss(minibatch)))

# %% 7
tanh_fixed = network(**ladder, init={"gain": 1.0954, "logits_gain": 0.1414})
steps["tanh fixed"] = fit(tanh_fixed, 20_000)
print_losses(tanh_fixed)
drawing.saturation(run_probe(tanh_fixed.net, lambda: tanh_fixed.loss(minibatch)))

# %% 8
kaiming = network(**ladder, init={"logits_gain": 0.1414})
steps["Kaiming"] = fit(kaiming, 20_000)
print_losses(kaiming)
drawing.activations(steps["Kaiming"].probe)

# %% 8
gains = {"0.5": 0.5, "1": 1.0, "5/3": 5 / 3, "3": 3.0}
starts = {label: fit(network(norm="none", init={"gain": g}), 1) for label, g in gains.items()}
compare("activation_std", starts)
plt.show()

# %% 9
linear = {"norm": "none", "activation": "linear"}
starts = {label: fit(network(**linear, init={"gain": gains[label]}), 1) for label in ("1", "5/3")}
compare("activation_std", starts)
plt.show()

# %% 9
compare("gradient_std", starts)
plt.show()

# %% 10
norm = {"norm": "batch", "bn_variance": "unbiased", "init": {"logits_gain": 0.1414}}
batchnorm = network(**{**ladder, **norm})
steps["BatchNorm"] = fit(batchnorm, 20_000)
print_losses(batchnorm)
drawing.activations(steps["BatchNorm"].probe)

# %% 11
for label, monitor in steps.items():
    curve(monitor, "held_out/val", label)
plt.xscale("log")
plt.show()

# %% 12
windows, _ = data.splits["train"].windows[torch.arange(len(data.splits["train"].windows))]
calibrated = deepcopy(batchnorm)
(layer,) = [layer for layer in calibrated.net.layers if isinstance(layer, BatchNorm1d)]
layer.momentum = 1.0  # the new statistics count, the old ones do not
with torch.no_grad():
    calibrated.net.train()(windows)
print_losses(batchnorm)
print_losses(calibrated)

running = batchnorm.net.layers[1].running_mean
plt.scatter(running, layer.running_mean, s=5)
plt.xlabel("running mean of a unit")
plt.ylabel("calibrated")
plt.show()

# %% 13
try:
    Trainer(max_steps=1, **TRAINER).fit(network(), NamesDataModule(batch_size=1))
except ValueError as error:
    print("error:", error)
print(batchnorm.generate(1, seed=1))

# One example in 20 minibatches: in training, what is predicted for it depends on the others
others = [next(iter(data.train_dataloader()))[0] for _ in range(20)]
net = deepcopy(batchnorm.net)
with torch.no_grad():
    for rows in others:
        together = net.train()(torch.cat([x[:1], rows[1:]]))
        plt.plot(together[0].softmax(0), color="gray", linewidth=0.5)
    plt.plot(batchnorm.net.eval()(x[:1])[0].softmax(0), color="red", label="alone, in evaluation")
plt.xticks(range(len(characters)), characters)
plt.legend()
plt.show()

# %% 14
model = network(n_layer=1, redundant_bias=True)
model.loss(minibatch).backward()
largest = {name: float(p.grad.abs().max()) for name, p in model.net.named_parameters()}
plt.barh(list(largest), list(largest.values()), log=True)
plt.title("largest gradient (b1 is layers.0.bias, bnbias layers.1.bias)", fontsize=9)
plt.show()

# %% 16
options = {"logits_batch_norm": True, "bn_variance": "unbiased"}
deep = network(**options, init={"gain": 1.0, "logits_gain": 1.0})
monitor = fit(deep, 1000)
print_losses(deep)
drawing.activations(monitor.probe)

# %% 17
drawing.gradients(monitor.probe)

# %% 18
bare = fit(network(norm="none"), 1000)
networks = {"without BatchNorm": bare, "moment 16": monitor}
compare("grad_to_data", networks, when=0)
plt.yscale("log")
plt.show()

# %% 18
compare("grad_to_data", networks)
plt.yscale("log")
plt.show()

# %% 18
drawing.weight_gradients(bare.probe)

# %% 19
drawing.updates(monitor.probe, monitor.history)

# %% 20
rates = {0.1: monitor}
for lr in (0.001, 3.0):
    model = network(**options, lr=lr, init={"gain": 1.0, "logits_gain": 1.0})
    rates[lr] = fit(model, 1000)
    print_losses(model)
compare("lr_grad_ratio", rates)
plt.show()

# %% 21
gains = {1.0: monitor}
for gain in (0.2, 20.0):
    model = network(**options, init={"gain": gain, "logits_gain": 1.0})
    gains[gain] = fit(model, 1000)
    print_losses(model)
compare("activation_std", gains, when=0)
plt.ylim(0, 1)
plt.show()

# %% 21
compare("lr_grad_ratio", gains, when=0)
plt.show()

# %% 22
twenty = network(n_layer=20, bn_variance="biased")
twenty_bare = network(n_layer=20, norm="none", init={"gain": 1.0})
depths = {"BatchNorm": fit(twenty, 1000), "gain 1": fit(twenty_bare, 1000)}
print_losses(twenty)
print_losses(twenty_bare)
compare("activation_std", depths, when=0)
plt.show()

# %% 23
zeros = network(**small, lr_milestones=(4000,), init={"gain": 0.0, "logits_gain": 0.0})
monitor = fit(zeros, 5000)
print_losses(zeros)
unigram = data.baselines["unigram"]
print("counting:", {part: round(unigram[part], 4) for part in ("train", "val", "test")})
for name in ("hidden1/linear/weight", "logits/weight"):
    print("gradient of", name, monitor.figures[f"weight_gradient_std/{name}"])

_, following = data.splits["train"].windows[torch.arange(len(data.splits["train"].windows))]
frequency = torch.bincount(following) / len(following)
plt.bar(characters, frequency, label="how frequent each character is")
plt.plot(zeros(x[:1]).softmax(1)[0].tolist(), "k_", label="what the network predicts")
plt.legend()
plt.show()

# %% 24
folded = fold(deep.net)
windows, _ = data.splits["val"].windows[torch.arange(1000)]
with torch.no_grad():
    before, after = deep.net.eval()(windows), folded(windows)
print(*[type(layer).__name__ for layer in folded.layers])
print(f"largest difference {(before - after).abs().max():.1e}")
plt.scatter(before.flatten(), after.flatten(), s=1)
plt.xlabel("logits")
plt.ylabel("logits, folded")
plt.show()

# %% 25
parameters = lecture_parameters(len(data.vocab), torch.Generator().manual_seed(1), torch.float64)
lines = check_lecture(parameters, x, y)
print(f"{sum(line.agrees for line in lines)} of {len(lines)} gradients agree")
print("every bit is equal:", *[line.name for line in lines if line.exact])
print(*[f"{line.name}: {line.remark}" for line in lines if line.remark], sep="\n")
plt.figure(figsize=(5, 5))
plt.barh([line.name for line in lines], [line.max_difference for line in lines])
plt.title("largest difference from autograd's gradient")
plt.yticks(fontsize=7)
plt.gca().invert_yaxis()
plt.show()
