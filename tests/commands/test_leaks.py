"""Nothing that is trained knows the words that are held out."""

import pytest
import torch
import yaml

from lit_makemore.cli import main
from lit_makemore.words.splits import split_words
from tests.conftest import WORDS
from tests.same_run import same

TEACHER = {
    "data": {"batch_size": 16, "targets": "expected"},
    "trainer": {"max_steps": 20, "val_check_interval": 5},
    "model": {"n_hidden": 12, "n_layer": 1, "engine": "autograd"},
}


@pytest.mark.parametrize(
    "targets",
    ["sampled", *(pytest.param(t, marks=pytest.mark.slow) for t in ("kneser_ney", "teacher"))],
)
def test_other_words_in_val_and_test_change_nothing_trained(tmp_path, targets):
    """The held-out words change places, and so are other ones in val and in test."""
    train, val, test = split_words(len(WORDS), [0.8, 0.1, 0.1], 42)
    held_out = [*val.tolist(), *test.tolist()]
    others = list(WORDS)
    for place, word in zip(held_out, held_out[1:] + held_out[:1], strict=True):
        others[place] = WORDS[word][::-1]  # the same characters, else the vocabulary would differ
    assert [others[i] for i in train.tolist()] == [WORDS[i] for i in train.tolist()]

    (tmp_path / "teacher.yaml").write_text(yaml.dump(TEACHER))
    arguments = ["fit", "--data.targets", targets, "--data.batch_size", "16"]
    if targets == "teacher":
        arguments += ["--data.teachers", f"[{tmp_path / 'teacher.yaml'}]"]
    arguments += ["--trainer.max_steps", "40", "--trainer.val_check_interval", "10"]
    arguments += ["--model.n_hidden", "10", "--model.count_mixture", "true", "--threads", "1"]
    arguments += ["--runs_dir", str(tmp_path), "--trainer.accelerator", "cpu"]
    arguments += ["--diagnostics.enabled", "false"]
    found = []
    for name, words in (("these", WORDS), ("others", others)):
        path = tmp_path / f"{name}.txt"
        path.write_text("\n".join(words) + "\n")
        assert main([*arguments, "--data.path", str(path), "--name", name]) == 0
        last = tmp_path / name / "checkpoints" / "last.ckpt"
        found.append(torch.load(last, weights_only=True))
    states = [entries["state_dict"] for entries in found]
    # val chooses how many characters are counted together, but not what is counted
    counts = [state["model.mixture.counts._extra_state"] for state in states]
    pairs = [
        (256 * m["rows"][:, -2].long() + m["rows"][:, -1]).bincount(m["counts"]) for m in counts
    ]
    assert torch.equal(*pairs)
    nets = [{k: v for k, v in state.items() if k.startswith("model.net.")} for state in states]
    assert nets[0]
    assert same(*nets)
