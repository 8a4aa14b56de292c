"""`exercise`: a right solution passes, and each mistake gets its message and no other."""

import re
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lit_makemore.cli import main
from lit_makemore.commands.exercise import EXERCISES
from lit_makemore.commands.exercises import mystery
from lit_makemore.commands.exercises.judging import judge, texts
from tests.conftest import ROOT, needs_names

SOLUTIONS = Path(__file__).parent / "solutions"
TOGETHER = {  # what is written in one file, of files that are solutions by themselves
    "train": ["linear", "batchnorm", "tanh", "embedding", "cross_entropy"],
    "train_module": ["linear_module", "train_module"],
}
TRAINED = [
    ("train", "scale_none", " / fan_in**0.5", ""),
    ("train", "running_keepdim", "x.mean(0)", "x.mean(0, keepdim=True)"),
    ("train", "missing", "def tanh(x)", "def Tanh(x)"),
    ("train", "begins", "x.sign() * (1 - e) / (1 + e)", "x.relu()"),
    ("train", "ends", "x.sign() * (1 - e) / (1 + e)", "(x.tanh() + x.tanh().detach()) / 2"),
]
QUICK = [name for name in EXERCISES if name not in ("train", "mystery")]
COPY = "self.weight = torch.randn((fan_in, fan_out))"
NEW = "self.momentum * "
# a solution, the message of a mistake in it, and the replacement that makes the mistake
MISTAKES = [
    # of any file
    ("linear", "missing", None, '"""A docstring."""\n'),
    ("linear", "syntax", "def parameters(self):", "def parameters(self)"),
    ("linear", "missing", "class Linear:", "class linear:"),
    ("linear", "exception", "def parameters(", "def params("),
    ("linear", "signature", "def __call__(", "def forward("),
    ("linear_module", "exception", "def forward(", "def call("),
    ("linear", "no_attribute", "self.weight", "self.W"),
    ("linear", "signature", "bias=True", "bias=True, *, seed"),
    ("tanh", "signature", "tanh_backward(dy, y)", "tanh_backward(dy)"),
    ("linear", "not_written", "self.out = x @", "raise NotImplementedError; self.out = x @"),
    ("linear", "exception", "x @ self.weight", "x @ self.weight.T"),
    ("linear_module", "exception", "super().__init__()", "pass"),
    ("linear", "exception", "return self.out", "raise SystemExit"),
    ("linear", "none", "return self.out", "self.out"),
    ("linear", "no_tensor", "return self.out", "return self.out.tolist()"),
    ("linear", "no_tensor", "return self.out", "return self.out.long()"),
    ("linear", "exception", "x @ self.weight", "(x @ self.weight).exp().log_()"),
    ("linear", "shape", "return self.out", "return self.out.sum(0)"),
    ("linear", "nan", "return self.out", "return self.out.log()"),
    # linear
    ("linear", "shape", COPY, "self.weight = torch.randn((fan_in, 1))"),
    ("linear", "bias_start", "torch.zeros(fan_out)", "torch.randn(fan_out)"),
    ("linear", "parameters_missing", "[] if self.bias is None else [self.bias]", "[]"),
    ("linear", "parameters_many", "[] if self.bias is None else [self.bias]", "[self.bias]"),
    ("linear", "parameters_missing", "return [self.weight]", "return [self.weight.clone()]"),
    ("linear_module", "parameters_missing", "nn.Parameter(torch.zeros(fan_out))",
     "torch.zeros(fan_out)"),
    ("linear_module", "parameters_many", "super().__init__()",
     "super().__init__(); self.gain = nn.Parameter(torch.ones(1))"),
    ("linear", "bias_ignored", "self.out += self.bias", "pass"),
    ("linear", "sign", "+= self.bias", "-= self.bias"),
    ("linear", "values", "self.out += self.bias", "self.out += 2 * self.bias"),
    ("linear", "gradient_none", "x @ self.weight", "x @ self.weight.data"),
    ("linear", "gradient_none", "return self.out", "return self.out.detach()"),
    ("linear", "gradient", "x @ self.weight", "(x + x.detach()) / 2 @ self.weight"),
    ("linear", "scale_none", " / fan_in**0.5", ""),
    ("linear", "scale_square", "/ fan_in**0.5", "/ fan_in"),
    ("linear", "scale_times", "/ fan_in**0.5", "* fan_in**0.5"),
    ("linear", "scale_out", "/ fan_in**0.5", "/ fan_out**0.5"),
    ("linear", "scale_uniform", "torch.randn((fan_in, fan_out))",
     "(2 * torch.rand((fan_in, fan_out)) - 1)"),
    ("linear", "scale_rand", "torch.randn((fan_in", "torch.rand((fan_in"),
    ("linear", "scale", "/ fan_in**0.5", "* 5 / 3 / fan_in**0.5"),
    ("linear", "bias_kept", "torch.zeros(fan_out) if bias else None", "torch.zeros(fan_out)"),
    # batchnorm
    ("batchnorm", "start", "torch.ones(dim)", "torch.randn(dim)"),
    ("batchnorm", "running", "running_var = torch.ones", "running_var = torch.zeros"),
    ("batchnorm", "parameters_many", "[self.gamma, self.beta]",
     "[self.gamma, self.beta, self.running_mean, self.running_var]"),
    ("batchnorm_module", "parameters_many",
     'self.register_buffer("running_mean", torch.zeros(dim))',
     "self.running_mean = nn.Parameter(torch.zeros(dim), False)"),
    ("batchnorm", "parameters_missing", "[self.gamma, self.beta]", "[self.gamma]"),
    ("batchnorm", "gain_ignored", "self.gamma * xhat + self.beta", "xhat"),
    ("batchnorm", "gain_only", "self.gamma * xhat + self.beta", "self.gamma * xhat"),
    ("batchnorm", "gain_added", "self.gamma * xhat + self.beta", "self.gamma * (xhat + self.beta)"),
    ("batchnorm", "axis", "x.mean(0)\n            xvar = x.var(0)",
     "x.mean(1, keepdim=True)\n            xvar = x.var(1, keepdim=True)"),
    ("batchnorm", "whole", "x.mean(0)\n            xvar = x.var(0)",
     "x.mean()\n            xvar = x.var()"),
    ("batchnorm", "eps_none", "xvar + self.eps", "xvar"),
    ("batchnorm", "eps_outside", "torch.sqrt(xvar + self.eps)", "(torch.sqrt(xvar) + self.eps)"),
    ("batchnorm", "root", "torch.sqrt(xvar + self.eps)", "(xvar + self.eps)"),
    ("batchnorm", "mean", "(x - xmean)", "x"),
    ("batchnorm", "train_running", "if self.training:\n            if",
     "if False:\n            if"),
    ("batchnorm", "values", "x.var(0)", "x.abs().mean(0)"),
    ("batchnorm", "gradient", "x.mean(0)", "x.mean(0).detach()"),
    ("batchnorm", "gradient", "x.var(0)", "x.detach().var(0)"),
    ("batchnorm", "running_keepdim", "x.mean(0)", "x.mean(0, keepdim=True)"),
    ("batchnorm", "running_keepdim", "x.var(0)", "x.var(0, keepdim=True)"),
    ("batchnorm", "running_graph", "with torch.no_grad():", "if True:"),
    ("batchnorm", "running_unchanged", "self.running_mean = (1", "running_mean = (1"),
    ("batchnorm", "running_unchanged", "self.running_var = (1", "running_var = (1"),
    ("batchnorm", "running_reversed", "momentum=0.1", "momentum=0.9"),
    ("batchnorm", "running_reversed",
     "(1 - self.momentum) * self.running_var + self.momentum * xvar",
     "self.momentum * self.running_var + (1 - self.momentum) * xvar"),
    ("batchnorm", "running_last",
     "(1 - self.momentum) * self.running_mean + self.momentum * xmean", "xmean.detach()"),
    ("batchnorm", "running_graph",
     "(1 - self.momentum) * self.running_mean + self.momentum * xmean", "xmean"),
    ("batchnorm", "running_sum", "(1 - self.momentum) * self.running_mean", "self.running_mean"),
    ("batchnorm", "running", f"{NEW}xmean", f"{NEW}xmean / 2"),
    ("batchnorm", "running", f"{NEW}xvar", f"{NEW}xvar / 2"),
    ("batchnorm", "running_std", f"{NEW}xvar", f"{NEW}xvar.sqrt()"),
    ("batchnorm", "running_variance", f"{NEW}xvar", f"{NEW}x.var(0, unbiased=False)"),
    ("batchnorm", "eval_batch", "        else:\n", "        if not self.training:\n"
     "            xmean, xvar = x.mean(0), x.var(0)\n        elif not self.training:\n"),
    ("batchnorm", "eval_values", "xvar = self.running_var", "xvar = self.running_var**2"),
    ("batchnorm", "eval_running", "        if self.training:\n            with",
     "        if True:\n            xmean, xvar = x.mean(0), x.var(0)\n            with"),
    ("batchnorm", "one_row", "len(x) < 2", "len(x) < 1"),
    # functions
    ("tanh", "values", "(1 + e)", "(2 + e)"),
    ("tanh", "sigmoid", "return x.sign()", "return torch.sigmoid(x)\n    return x.sign()"),
    ("tanh", "half", "torch.exp(-2 *", "torch.exp(-"),
    ("tanh", "overflow", "    e = torch.exp(-2 * x.abs())",
     "    a, b = torch.exp(x), torch.exp(-x)\n    return (a - b) / (a + b)"),
    ("tanh", "backward", "dy * (1 - y**2)", "dy * (1 - y**3)"),
    ("tanh", "backward_dy", "dy * (1 - y**2)", "1 - y**2"),
    ("tanh", "backward_twice", "dy * (1 - y**2)", "dy * (1 - torch.tanh(y) ** 2)"),
    ("tanh", "backward_square", "1 - y**2", "1 - y"),
    ("tanh", "backward_sign", "1 - y**2", "y**2 - 1"),
    ("embedding", "values", "C[ix]", "C[ix - 1]"),
    ("embedding", "shape", "C[ix]", "C[ix].flatten(1)"),
    ("embedding", "shape", "zeros(vocab_size", "zeros(ix.max() + 1"),
    ("embedding", "backward", "+= dy[b, t]", "+= dy[b, 0]"),
    ("embedding", "backward_once", "+= dy[b, t]", "= dy[b, t]"),
    ("embedding", "backward_once", "    for b in", "    dC[ix] += dy\n    return dC\n    for b in"),
    ("embedding", "backward_mean", "return dC",
     "return dC / ix.flatten().bincount(minlength=vocab_size).clamp(min=1)[:, None]"),
    ("embedding", "backward_sign", "+= dy", "-= dy"),
    ("cross_entropy", "shape", ".mean()", ""),
    ("cross_entropy", "values", ".mean()", ".max()"),
    ("cross_entropy", "sum", ".mean()", ".sum()"),
    ("cross_entropy", "sign", "-logprobs", "logprobs"),
    ("cross_entropy", "base", ".mean()", ".mean() / torch.log(torch.tensor(2.0))"),
    ("cross_entropy", "no_log", "-logprobs[", "-logprobs.exp()["),
    ("cross_entropy", "axis", "(1, keepdim=True)", "(0, keepdim=True)"),
    ("cross_entropy", "logits", "-logprobs[", "-logits["),
    ("cross_entropy", "overflow", "logits - logits.max(1, keepdim=True).values", "logits"),
    ("cross_entropy", "underflow", "shifted - shifted.exp().sum(1, keepdim=True).log()",
     "(shifted.exp() / shifted.exp().sum(1, keepdim=True)).log()"),
    ("cross_entropy", "large", "shifted - shifted.exp().sum(1, keepdim=True).log()",
     "(shifted.exp() / shifted.exp().sum(1, keepdim=True)).clamp(min=1e-30).log()"),
    ("cross_entropy", "backward", "-= 1", "-= 2"),
    ("cross_entropy", "backward_n", "d / len(y)", "d"),
    ("cross_entropy", "backward_onehot", "    d[range(len(y)), y] -= 1\n", ""),
    ("cross_entropy", "backward_softmax", "torch.softmax(logits, 1)", "torch.zeros_like(logits)"),
    ("cross_entropy", "backward_sign", "return d", "return -d"),
    ("cross_entropy", "backward_axis", "softmax(logits, 1)", "softmax(logits, 0)"),
    ("cross_entropy", "backward_all", "d / len(y)", "d / d.numel()"),
    # the 26 gradients
    ("backprop", "next", "    d.W2 = v.h.T @ d.logits\n", ""),
    ("backprop", "next", "    d.logprobs = ", "    raise NotImplementedError\n    d.logprobs = "),
    ("backprop", "exception", "v.h.T @ d.logits", "v.h @ d.logits"),
    ("backprop", "no_tensor", "d.b2 = d.logits.sum(0)", "d.b2 = 0.0"),
    ("backprop", "transposed", "v.h.T @ d.logits", "d.logits.T @ v.h"),
    ("backprop", "transposed", "v.embcat.T @ d.hprebn", "d.hprebn.T @ v.embcat"),
    ("backprop", "summed", "(v.counts * d.probs).sum(1, keepdim=True)",
     "(v.counts * d.probs).sum(1)"),
    ("backprop", "summed", "d.b2 = d.logits.sum(0)", "d.b2 = d.logits.sum(0, keepdim=True)"),
    ("backprop", "summed", "(v.bnraw * d.hpreact).sum(0, keepdim=True)", "v.bnraw * d.hpreact"),
    ("backprop", "summed", "d.b2 = d.logits.sum(0)", "d.b2 = d.logits"),
    ("backprop", "summed", "(v.counts * d.probs).sum(1, keepdim=True)",
     "(v.counts * d.probs).sum(0, keepdim=True)"),
    ("backprop", "summed", "d.b2 = d.logits.sum(0)", "d.b2 = d.logits.sum(1)"),
    ("backprop", "summed", "d.bnbias = d.hpreact.sum(0, ", "d.bnbias = d.hpreact.sum(1, "),
    ("backprop", "shape", "d.embcat.view(v.emb.shape)", "d.embcat.view(-1, 10)"),
    ("backprop", "gradient", "(1.0 - v.h**2)", "(1.0 - v.h)"),
    ("backprop", "gradient", "** -1.5", "** -0.5"),
    ("backprop", "opposite", "= -1.0 / n", "= 1.0 / n"),
    ("backprop", "opposite", "(-(v.counts_sum**-2))", "(v.counts_sum**-2)"),
    ("backprop", "times_n", "= -1.0 / n", "= -1.0"),
    ("backprop", "times_n", "d.b2 = d.logits.sum(0)", "d.b2 = d.logits.mean(0)"),
    ("backprop", "n_or_less", "(1.0 / (n - 1))", "(1.0 / n)"),
    ("backprop", "path", "    d.counts += torch.ones_like(v.counts) * d.counts_sum\n", ""),
    ("backprop", "path", "    d.bndiff += (2", "    (2"),
    ("backprop", "path", "    d.hprebn += 1.0", "    1.0"),
    ("backprop", "mean_path", "d.hprebn += 1.0 / n *", "d.hprebn +="),
    ("backprop", "once", "d.C[x[k, j]] += d.emb", "d.C[x[k, j]] = d.emb"),
    ("backprop", "local_only", "(1.0 / v.probs) * d.logprobs", "1.0 / v.probs"),
    ("backprop", "unchanged", "(1.0 - v.h**2) * d.h", "d.h"),
    ("backprop", "unchanged", "v.bngain * d.hpreact", "d.hpreact"),
    ("backprop", "proportional", "-0.5 * (v.bnvar", "-(v.bnvar"),
    ("backprop", "closed_logits", "-= 1", "-= 2"),
    ("backprop", "closed_hprebn", "dhpreact.sum(0) -", "dhpreact.mean(0) -"),
    ("backprop", "closed_bessel", "n / (n - 1) * v.bnraw", "v.bnraw"),
    ("backprop", "closed_gain", "v.bngain * v.bnvar_inv / n", "v.bnvar_inv / n"),
    ("backprop", "closed_mean", "n * dhpreact - dhpreact.sum(0) -", "n * dhpreact -"),
    # numbers, and folding
    ("initial_loss", "exception", "-math.log(1 / 27)", "'ln 27'"),
    ("initial_loss", "guess", "1 / 27", "1 / 30"),
    ("initial_loss", "guess_bits", "-math.log(1 / 27)", "math.log2(27)"),
    ("initial_loss", "guess_ten", "-math.log(1 / 27)", "math.log10(27)"),
    ("initial_loss", "guess_letters", "1 / 27", "1 / 26"),
    ("initial_loss", "guess_sign", "-math", "math"),
    ("initial_loss", "guess_probability", "-math.log(1 / 27)", "1 / 27"),
    ("initial_loss", "too_large", "0.01", "1"),
    ("initial_loss", "too_large", "0.01", "0.1"),
    ("initial_loss", "too_small", "0.01", "0"),
    ("initial_loss", "too_small", "0.01", "1e-8"),
    ("gain", "signature", "5 / 3", "None"),
    ("gain", "exception", ', "linear": 1', ""),
    ("gain", "shrinks", "5 / 3", "1"),
    ("gain", "shrinks", "2**0.5", "1"),
    ("gain", "shrinks", '"linear": 1', '"linear": 0.7'),
    ("gain", "grows", "2**0.5", "5 / 3"),
    ("gain", "grows", '"linear": 1', '"linear": 5 / 3'),
    ("gain", "saturates", "5 / 3", "3"),
    ("gain", "shrinks", "5 / 3", "float('nan')"),
    ("fold", "none", "return weight * scale, (bias - mean) * scale + beta",
     "return (weight * scale,)"),
    ("fold", "none", "    return weight", "    weight"),
    ("fold", "weight", "weight * scale", "2 * weight * scale"),
    ("fold", "weight_eps", "var + eps", "var"),
    ("fold", "weight_root", "torch.sqrt(var + eps)", "(var + eps)"),
    ("fold", "weight_axis", "weight * scale", "weight * scale[:, None]"),
    ("fold", "weight_gamma", "weight * scale", "weight * scale / gamma"),
    ("fold", "weight_same", "weight * scale,", "weight,"),
    ("fold", "bias", "+ beta", "+ beta * gamma"),
    ("fold", "bias_mean", "(bias - mean)", "bias"),
    ("fold", "bias_beta", " + beta", ""),
    ("fold", "bias_old", "(bias - mean)", "-mean"),
    ("fold", "bias_unscaled", "(bias - mean) * scale", "bias - mean * scale"),
    ("fold", "bias_beta_scaled", "(bias - mean) * scale + beta", "(bias - mean + beta) * scale"),
    ("fold", "logits", "var + eps", "var + 1e-3"),
]  # fmt: skip
ELSEWHERE = {"endless"}  # messages that other tests ask for


def solved(solution: str, folder: Path, old: str | None = None, new: str = "") -> tuple[str, Path]:
    """The exercise and the file of a solution, with one replacement."""
    parts = TOGETHER.get(solution, [solution])
    text = "\n\n".join((SOLUTIONS / f"{part}.py").read_text() for part in parts)
    assert old is None or old in text
    path = folder / f"{solution.removesuffix('_module')}.py"
    path.write_text(text if old is None and not new else text.replace(old, new) if old else new)
    return path.stem, path


@pytest.mark.parametrize(
    "solution",
    [
        pytest.param(name, marks=[pytest.mark.slow, needs_names] if "train" in name else [])
        for name in sorted({path.stem for path in SOLUTIONS.glob("*.py")} | {*TOGETHER})
    ],
)
def test_a_right_solution_passes(tmp_path, solution):
    name, path = solved(solution, tmp_path)
    lines, wrong = judge(name, path)
    assert wrong is None, lines
    assert len(lines) >= 3
    if name == "train":
        assert "train 2.4003, dev 2.3982 (the lecture: (2.4003, 2.3982))" in lines[-3]
        first = "3.3017003536224365 (published" if "module" in solution else "3.30162"
        assert f"the first loss is {first}" in "".join(lines)


@pytest.mark.parametrize(
    ("solution", "message", "old", "new"),
    [
        *(pytest.param(*row, id=f"{row[0]}-{row[1]}-{i}") for i, row in enumerate(MISTAKES)),
        *(pytest.param(*row, marks=[pytest.mark.slow, needs_names]) for row in TRAINED),
    ],
)
def test_a_mistake_gets_its_message(tmp_path, solution, message, old, new):
    name, path = solved(solution, tmp_path, old, new)
    lines, wrong = judge(name, path, hint=True)
    shown = "\n".join(lines)
    assert wrong == message, shown
    assert shown.count("wrong  ") == 1
    assert "{" not in shown


def test_every_message_has_a_mistake_and_a_moment_of_the_lecture():
    lecture = (ROOT / "docs" / "lecture.md").read_text()
    moments = {f"moment {number}, {title}"
               for number, title in re.findall(r"^### (\d+) (.*)", lecture, re.M)}  # fmt: skip
    asked = {
        (solution.removesuffix("_module"), message)
        for solution, message, *_ in [*MISTAKES, *TRAINED]
    }
    parts = {"wrong", "why", "hint", "see"}
    common = set(texts("mystery")["messages"])  # it has none of its own
    for name in EXERCISES:
        for key, message in texts(name)["messages"].items():
            assert parts <= message.keys() <= parts | {"of", "gives"}
            assert message["see"] in moments
            of = QUICK if key in common else [name, *texts(name).get("and", [])]
            assert key in ELSEWHERE or any((one, key) in asked for one in of), (name, key)


@pytest.mark.parametrize("name", QUICK)
def test_a_template_is_what_is_to_be_written(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    assert main(["exercise", name]) == 0
    assert f"{name}.py is written" in capsys.readouterr().out
    assert judge(name, tmp_path / f"{name}.py")[1] in ("not_written", "next")


@pytest.mark.parametrize("name", [name for name in EXERCISES if name != "mystery"])
def test_a_solution_is_shown_by_file_and_line(capsys, name):
    assert main(["exercise", name, "--solution"]) == 0
    for file, line, first in re.findall(
        r"^(\S+\.py), line (\d+)\n(.*)", capsys.readouterr().out, re.M
    ):
        assert (ROOT / file).read_text().splitlines()[int(line) - 1] == first


def test_a_bad_name_or_option_is_one_line(capsys):
    for options, message in (
        (["exercise", "linaer"], "they are linear, batchnorm"),
        (["exercise", "nothing"], "they are linear, batchnorm"),
        (["exercise", "linear", "--seed", "7"], "--seed and --answer belong to mystery"),
        (["exercise", "mystery"], "any number will do: exercise mystery --seed 7"),
        (
            ["exercise", "mystery", "--seed", "7", "--answer", "bad luck"],
            "--answer is one of: dead",
        ),
    ):
        assert main(options) == 1
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1


def test_what_is_done_is_kept_in_the_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    solved("tanh", tmp_path, "1 - y**2", "1 - y")
    assert main(["exercise", "tanh"]) == 1
    told = capsys.readouterr().out
    assert "right  values" in told
    assert "wrong  tanh_backward(dy, y) is dy (1 - y): the square is missing" in told.replace(
        "−", "-"
    )
    assert "see docs/lecture.md, moment 7" in told
    assert "y²" not in told
    assert main(["exercise", "tanh", "--hint"]) == 1
    assert "next   y**2" in capsys.readouterr().out
    assert not (tmp_path / "exercises_done.txt").exists()
    solved("tanh", tmp_path)
    assert main(["exercise", "tanh"]) == 0
    assert main(["exercise"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("done")] == ["tanh"]
    assert (tmp_path / "exercises_done.txt").read_text() == "tanh\n"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("while True: pass\n", "wrong  tanh.py, line 1 was still running when its time was up"),
        ("def f():\n    f()\n\n\nf()\n", "wrong  tanh.py, line 2: RecursionError"),
    ],
)
def test_endless_code_is_stopped(tmp_path, monkeypatch, capsys, code, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(texts("tanh"), "seconds", 0.5)
    solved("tanh", tmp_path, None, code)
    assert main(["exercise", "tanh"]) == 1
    assert message in capsys.readouterr().out


def test_a_solution_may_import_from_its_folder(tmp_path):
    solved("tanh", tmp_path)
    (tmp_path / "tanh.py").rename(tmp_path / "solved_tanh.py")
    (tmp_path / "tanh.py").write_text("from solved_tanh import *\n")
    assert judge("tanh", tmp_path / "tanh.py")[1] is None


def test_torchs_own_classes_are_judged_as_they_are(tmp_path):
    for name, kind, wrong in (
        ("batchnorm", "BatchNorm1d", None),
        ("linear", "Linear", "bias_start"),
    ):
        path = tmp_path / f"{name}.py"
        path.write_text(f"from torch import nn\n\n\nclass {kind}(nn.{kind}):\n    pass\n")
        assert judge(name, path)[1] == wrong


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "linear.py").write_bytes(b"\xff\xfe\x00")
    assert judge("linear", tmp_path / "linear.py")[1] == "syntax"


SICK = "--model.norm none --model.init.gain 8"


@pytest.mark.parametrize(
    ("options", "fails", "answer", "other", "seen"),
    [
        (SICK, "saturation", "weights too large", "healthy", "values are saturated"),
        ("--model.lr 1e-12", "update_ratio", "lr too low", "lr too high", "an update leaves"),
        ("--model.lr 1e30 --model.activation relu", "nan", "lr too high", "lr too low", "loss is"),
        ("--model.lr 0.1", "", "healthy", "lr too low", "no figure is outside its band"),
    ],
)
def test_a_mystery_is_silent_until_it_is_answered(
    tmp_path, monkeypatch, word_list, capsys, options, fails, answer, other, seen
):
    monkeypatch.chdir(tmp_path)
    usual = f"--data.path {word_list} --trainer.max_steps 20 --model.n_hidden 20"
    usual += " --trainer.accelerator cpu --trainer.log_every_n_steps 5 --diagnostics.pictures false"
    row = {"name": "secret", "what": "its fault", "options": f"{usual} {options}", "fails": fails}
    others = [{**row, "answer": one} for one in ("lr too low", "lr too high", "healthy")]
    rows = [row if answer == "healthy" else {**row, "answer": answer}]
    monkeypatch.setattr(mystery, "networks", lambda: [*rows])
    command = ["exercise", "mystery", "--seed", "7"]
    assert main(command) == 0
    said = "".join(capsys.readouterr())
    assert "secret" not in said
    assert "fault" not in said
    assert "unhealthy" not in said
    assert "try" not in said.lower()
    folder = tmp_path / "runs" / "mystery-7"
    assert b"secret" not in b"".join(p.read_bytes() for p in folder.iterdir())
    tags = EventAccumulator(str(folder)).Reload().Tags()
    assert "1_losses/train" in tags["scalars"]
    assert not [tag for tag in tags["scalars"] + tags["tensors"] if "health" in tag]
    monkeypatch.setattr(mystery, "networks", lambda: [*rows, *others])
    monkeypatch.setattr(mystery.Random, "choice", lambda self, found: found[0])
    assert main([*command, "--answer", other]) == 1
    said = capsys.readouterr()
    assert "wrong  it is something else" in said.out, said.err
    said = said.out
    assert seen not in said
    assert main([*command, "--answer", other, "--hint"]) == 1
    assert seen in capsys.readouterr().out
    assert main([*command, "--answer", answer]) == 0
    assert seen in capsys.readouterr().out
    assert (tmp_path / "exercises_done.txt").read_text() == "mystery\n"


def test_every_mystery_has_an_answer_and_its_checks_a_card():
    assert len(mystery.networks()) == 44
    for network in mystery.networks():
        assert ("answer" in network) == ("fails" in network)
        assert {*network.get("fails", "").split()} <= texts("mystery")["cards"].keys()
