import math

import pytest
import torch
import torch.nn.functional as F

from lit_makemore.cli import main
from lit_makemore.network.mlp import MLP
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.module import LitMLP
from lit_makemore.training.schedules import one_cycle
from tests.conftest import needs_names
from tests.fits import Fit, Recorder, fit, trainer

CHARS = "abcdefghijklmnopqrstuvwxyz"
SIZES = {"n_hidden": 20, "n_layer": 2}


def fitted(word_list, steps=40, trainer_arguments=None, **model) -> tuple[Fit, list[float]]:
    """A fit one by one, and its losses."""
    recorder = Recorder()
    found = fit(word_list, steps, recorder, model={**SIZES, **model}, **(trainer_arguments or {}))
    return found, recorder.losses


def plain_loop(word_list, optimizer_of, rate_of, steps=40, clip=None):
    """The same training without Lightning."""
    torch.manual_seed(1)
    data = NamesDataModule(str(word_list), batch_size=16)
    data.setup()
    net = MLP(len(data.vocab), 3, **SIZES)
    optimizer = optimizer_of(net.parameters())
    losses = []
    while len(losses) < steps:
        for x, y in data.train_dataloader():
            for group in optimizer.param_groups:
                group["lr"] = rate_of(len(losses))
            loss = F.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            if clip:
                torch.nn.utils.clip_grad_norm_(net.parameters(), clip)
            optimizer.step()
            losses.append(loss.item())
            if len(losses) == steps:
                break
    return losses, net


def test_fit_equals_a_plain_loop_loss_for_loss(word_list):
    found, losses = fitted(word_list, lr_milestones=(20,))
    expected, net = plain_loop(
        word_list, lambda p: torch.optim.SGD(p, 0.1), lambda step: 0.1 if step < 20 else 0.1 * 0.1
    )
    assert losses == expected
    for a, b in zip(found.module.net.state_dict().values(), net.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_fit_with_adamw_one_cycle_and_clipping_equals_a_plain_loop(word_list):
    options = {"optimizer": "adamw", "lr": 0.01, "weight_decay": 0.1, "schedule": "one_cycle"}
    _, losses = fitted(word_list, trainer_arguments={"gradient_clip_val": 0.5}, **options)
    expected, _ = plain_loop(
        word_list,
        lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.1),
        lambda step: 0.01 * one_cycle(step, 40, 0.2),  # compared with torch's in test_schedules.py
        clip=0.5,
    )
    assert losses == pytest.approx(expected, rel=1e-5)


def test_validation_changes_nothing_in_training(word_list):
    often = fitted(word_list, trainer_arguments={"val_check_interval": 3})[1]
    assert often == fitted(word_list)[1]


def test_validation_metrics_are_exact_over_all_examples(word_list):
    (model, data, runner), _ = fitted(word_list)
    windows = data.splits["val"].windows
    x, y = windows[torch.arange(len(windows))]
    logits = model.net.eval()(x)
    loss = F.cross_entropy(logits, y).item()
    expected = {
        "val/loss": loss,
        "val/loss_novel": loss,  # all 30 words differ
        "val/perplexity": math.exp(loss),
        "val/bits_per_char": loss / math.log(2),
        "val/top1": (logits.argmax(1) == y).float().mean().item(),
        "val/top5": (logits.topk(5).indices == y[:, None]).any(1).float().mean().item(),
    }
    found = {name: float(value) for name, value in runner.callback_metrics.items()}
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_vocabulary_of_fewer_than_five_has_metrics_too(tmp_path):
    path = tmp_path / "ab.txt"
    path.write_text("\n".join(["a", "ab", "abb", "b", "ba", "bab", "aa", "bb", "aba", "bba"] * 4))
    (_, _, runner), _ = fitted(path, steps=3)
    assert float(runner.callback_metrics["val/top5"]) == 1  # of three classes


@pytest.mark.parametrize(
    ("precision", "dtype", "tolerance"),
    [("64-true", torch.float64, 1e-4), ("bf16-mixed", torch.float32, 0.2)],
)
def test_other_precisions_train_with_parameters_of_their_own(
    word_list, precision, dtype, tolerance
):
    found, losses = fitted(word_list, trainer_arguments={"precision": precision})
    assert found.module.net.embedding.weight.dtype == dtype
    assert losses == pytest.approx(fitted(word_list)[1], abs=tolerance)


@pytest.mark.parametrize(
    ("model", "trainer_arguments", "tolerance"),
    [
        ({"lr_milestones": (30,)}, {"precision": "64-true"}, 1e-10),
        ({"logits_batch_norm": True}, {"precision": "64-true"}, 1e-10),
        ({"logits_batch_norm": True, "lr_milestones": (30,)}, {}, 1e-4),
        ({"optimizer": "adamw", "lr": 0.01}, {}, 1e-4),
        ({}, {"accumulate_grad_batches": 2}, 1e-4),
    ],
)
def test_training_by_hand_equals_training_by_autograd(
    word_list, model, trainer_arguments, tolerance
):
    (hand, by_hand), (auto, by_autograd) = (
        fitted(word_list, 60, trainer_arguments, engine=engine, **model)
        for engine in ("manual", "autograd")
    )
    assert by_hand == pytest.approx(by_autograd, abs=tolerance)
    for a, b in zip(hand.module.parameters(), auto.module.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=100 * tolerance)


@needs_names
@pytest.mark.slow
@pytest.mark.parametrize("n_layer", [1, 5])
@pytest.mark.parametrize(("precision", "tolerance"), [("32-true", 1e-4), ("64-true", 1e-10)])
def test_the_published_networks_train_by_hand(precision, tolerance, n_layer):
    losses = []
    for engine in ("manual", "autograd"):
        torch.manual_seed(42)
        recorder, data = Recorder(), NamesDataModule()
        model = LitMLP(CHARS, 3, n_layer=n_layer, bn_variance="biased", engine=engine)
        arguments = {"limit_val_batches": 0, "precision": precision}
        trainer(1000, callbacks=[recorder], **arguments).fit(model, data)
        losses.append(recorder.losses)
    assert losses[0] == pytest.approx(losses[1], abs=tolerance)


def test_manual_gradients_leave_autograd_out(word_list, monkeypatch):
    calls, loss = [], LitMLP.loss
    monkeypatch.setattr(LitMLP, "loss", lambda *args: calls.append(args) or loss(*args))
    fitted(word_list, engine="manual")
    assert len(calls) == 1  # to see that the gradients are those of this loss


@pytest.mark.parametrize(("argument", "value"), [("lr", 0), ("weight_decay", 0.1), ("warmup", 1.0)])
def test_a_bad_argument_is_named(argument, value):
    with pytest.raises(ValueError, match=argument):
        LitMLP(CHARS, 3, **{argument: value})


def test_one_cycle_without_a_length_says_what_to_set(word_list):
    endless = {"max_steps": -1, "max_epochs": 1, "val_check_interval": 1}
    with pytest.raises(ValueError, match="--trainer.max_steps"):
        fitted(word_list, trainer_arguments=endless, schedule="one_cycle")


def test_a_teacher_that_knows_other_words_is_refused(tmp_path, small_run, capsys):
    """Before there is a folder."""
    teacher = small_run()
    taught = ["fit", "--data.path", str(teacher.parent / "words.txt"), "--runs_dir", str(tmp_path)]
    taught += ["--data.batch_size", "16", "--model.n_hidden", "8", "--trainer.max_steps", "5"]
    taught += ["--trainer.accelerator", "cpu", "--diagnostics.enabled", "false"]
    taught += ["--data.targets", "teacher"]
    taught += ["--data.teachers", f"[{teacher / 'checkpoints' / 'last.ckpt'}]"]
    capsys.readouterr()
    assert main([*taught, "--data.split_seed", "1", "--name", "student"]) == 1
    assert "was trained on other words" in capsys.readouterr().err
    assert not (tmp_path / "student").exists()
    for block_size in ("2", "4"):  # a teacher may see more than its student, or less
        assert main([*taught, "--data.block_size", block_size, "--name", block_size]) == 0
