"""`exercise`: a right solution passes, and each mistake gets its message and no other."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lit_makemore.cli import main
from lit_makemore.commands.exercise import EXERCISES
from lit_makemore.commands.exercises import mystery
from lit_makemore.commands.exercises.judging import judge, texts
from tests.conftest import ROOT, needs_names

SOLUTIONS = Path(__file__).parent / "solutions"
FUNCTIONS = ["tanh", "embedding", "cross_entropy"]
TOGETHER = {  # what is written in one file, of files that are solutions by themselves
    "train": ["linear", "batchnorm", *FUNCTIONS],
    "train_module": ["linear_module", "batchnorm_module", "functions_module"],
}
QUICK = [name for name in EXERCISES if name not in ("train", "mystery")]
# of each solution: the message | what is replaced | by the mistake
MISTAKES = {
    "linear": r"""
syntax | def parameters(self): | def parameters(self)
missing | class Linear: | class linear:
exception | def parameters( | def params(
signature | def __call__( | def forward(
no_attribute | self.weight | self.W
signature | bias=True | bias=True, *, seed
not_written | self.out = x @ | raise NotImplementedError; self.out = x @
exception | x @ self.weight | x @ self.weight.T
none | return self.out | self.out
no_tensor | return self.out | return self.out.tolist()
exception | x @ self.weight | (x @ self.weight).exp().log_()
shape | return self.out | return self.out.sum(0)
nan | return self.out | return self.out.log()
shape | self.weight = torch.randn((fan_in, fan_out)) | self.weight = torch.randn((fan_in, 1))
bias_start | torch.zeros(fan_out) | torch.randn(fan_out)
parameters_missing | [] if self.bias is None else [self.bias] | []
parameters_many | [] if self.bias is None else [self.bias] | [self.bias]
parameters_missing | return [self.weight] | return [self.weight.clone()]
bias_ignored | self.out += self.bias | pass
values | self.out += self.bias | self.out += 2 * self.bias
gradient_none | x @ self.weight | x @ self.weight.data
gradient_none | return self.out | return self.out.detach()
gradient | x @ self.weight | (x + x.detach()) / 2 @ self.weight
scale_none |  / fan_in**0.5 |  / 1
scale_square | / fan_in**0.5 | / fan_in
scale_out | / fan_in**0.5 | / fan_out**0.5
scale_uniform | torch.randn((fan_in, fan_out)) | (2 * torch.rand((fan_in, fan_out)) - 1)
scale_rand | torch.randn((fan_in | torch.rand((fan_in
scale | / fan_in**0.5 | * 5 / 3 / fan_in**0.5
bias_kept | torch.zeros(fan_out) if bias else None | torch.zeros(fan_out)
""",
    "linear_module": r"""
exception | def forward( | def call(
exception | super().__init__() | pass
parameters_missing | nn.Parameter(torch.zeros(fan_out)) | torch.zeros(fan_out)
parameters_many | super().__init__() | super().__init__(); self.gain = nn.Parameter(torch.ones(1))
""",
    "tanh": r"""
signature | tanh_backward(dy, y) | tanh_backward(dy)
values | (1 + e) | (2 + e)
sigmoid | return x.sign() | return torch.sigmoid(x)\n    return x.sign()
overflow | e = torch.exp(-2 * x.abs()) | return (x.exp() - (-x).exp()) / (x.exp() + (-x).exp())
backward | dy * (1 - y**2) | dy * (1 - y**3)
backward_dy | dy * (1 - y**2) | 1 - y**2
backward_square | 1 - y**2 | 1 - y
""",
    "batchnorm": r"""
start | torch.ones(dim) | torch.randn(dim)
parameters_many | [self.gamma, self.beta] | [self.gamma, self.beta, self.running_mean]
parameters_missing | [self.gamma, self.beta] | [self.gamma]
gain_ignored | self.gamma * xhat + self.beta | xhat
gain_only | self.gamma * xhat + self.beta | self.gamma * xhat
axis | xvar = x.var(0) | xvar, xmean = x.var(1, keepdim=True), x.mean(1, keepdim=True)
eps_none | xvar + self.eps | xvar
eps_outside | torch.sqrt(xvar + self.eps) | (torch.sqrt(xvar) + self.eps)
root | torch.sqrt(xvar + self.eps) | (xvar + self.eps)
mean | (x - xmean) | x
train_running | if self.training:\n            if | if False:\n            if
values | x.var(0) | x.abs().mean(0)
gradient | x.mean(0) | x.mean(0).detach()
running_keepdim | x.mean(0) | x.mean(0, keepdim=True)
running_graph | with torch.no_grad(): | if True:
running_unchanged | self.running_mean = (1 | running_mean = (1
running_reversed | momentum=0.1 | momentum=0.9
running_last | (1 - self.momentum) * self.running_mean + self.momentum * xmean | xmean.detach()
running_sum | (1 - self.momentum) * self.running_mean | self.running_mean
running | self.momentum * xmean | self.momentum * xmean / 2
running_variance | self.momentum * xvar | self.momentum * x.var(0, unbiased=False)
eval_batch | xvar = self.running_var | xmean, xvar = x.mean(0), x.var(0)
eval_values | xvar = self.running_var | xvar = self.running_var**2
eval_running | xvar = self.running_var | xvar = self.running_var; self.running_mean = xmean / 2
one_row | len(x) < 2 | len(x) < 1
""",
    "batchnorm_module": r"""
parameters_many | self.register_buffer("running_mean", | self.running_mean = nn.Parameter(
""",
    "embedding": r"""
values | C[ix] | C[ix - 1]
shape | C[ix] | C[ix].flatten(1)
shape | zeros(vocab_size | zeros(ix.max() + 1
backward | += dy[b, t] | += dy[b, 0]
backward_once |     for b in |     dC[ix] += dy\n    return dC\n    for b in
""",
    "cross_entropy": r"""
shape | .mean() | .abs()
values | .mean() | .max()
sum | .mean() | .sum()
sign | -logprobs | logprobs
no_log | -logprobs[ | -logprobs.exp()[
axis | (1, keepdim=True) | (0, keepdim=True)
logits | -logprobs[ | -logits[
overflow | logits - logits.max(1, keepdim=True).values | logits
underflow | shifted - shifted.exp().sum(1, keepdim=True).log() | shifted.softmax(1).log()
large | shifted - shifted.exp().sum(1, keepdim=True).log() | shifted.softmax(1).clamp(1e-30).log()
backward | -= 1 | -= 2
backward_n | d / len(y) | d
backward_onehot |     d[range(len(y)), y] -= 1\n |     pass\n
backward_softmax | torch.softmax(logits, 1) | torch.zeros_like(logits)
""",
    "backprop": r"""
next |     d.W2 = v.h.T @ d.logits\n |     pass\n
exception | v.h.T @ d.logits | v.h @ d.logits
no_tensor | d.b2 = d.logits.sum(0) | d.b2 = 0.0
transposed | v.h.T @ d.logits | d.logits.T @ v.h
summed | (v.counts * d.probs).sum(1, keepdim=True) | (v.counts * d.probs).sum(1)
summed | d.b2 = d.logits.sum(0) | d.b2 = d.logits
summed | d.b2 = d.logits.sum(0) | d.b2 = d.logits.sum(1)
shape | d.embcat.view(v.emb.shape) | d.embcat.view(-1, 10)
gradient | (1.0 - v.h**2) | (1.0 - v.h)
opposite | = -1.0 / n | = 1.0 / n
times_n | = -1.0 / n | = -1.0
n_or_less | (1.0 / (n - 1)) | (1.0 / n)
path |     d.counts += torch.ones_like(v.counts) * d.counts_sum\n |     pass\n
path |     d.bndiff += (2 |     (2
once | d.C[x[k, j]] += d.emb | d.C[x[k, j]] = d.emb
local_only | (1.0 / v.probs) * d.logprobs | 1.0 / v.probs
unchanged | (1.0 - v.h**2) * d.h | d.h
closed_logits | -= 1 | -= 2
closed_hprebn | dhpreact.sum(0) - | dhpreact.mean(0) -
closed_bessel | n / (n - 1) * v.bnraw | v.bnraw
closed_gain | v.bngain * v.bnvar_inv / n | v.bnvar_inv / n
closed_mean | n * dhpreact - dhpreact.sum(0) - | n * dhpreact -
""",
    "initial_loss": r"""
exception | -math.log(1 / 27) | 'ln 27'
guess | 1 / 27 | 1 / 30
guess_bits | -math.log(1 / 27) | math.log2(27)
guess_letters | 1 / 27 | 1 / 26
guess_sign | -math | math
guess_probability | -math.log(1 / 27) | 1 / 27
too_large | 0.01 | 1
too_small | 0.01 | 1e-8
""",
    "gain": r"""
signature | 5 / 3 | None
exception | "linear": 1 | "none": 1
shrinks | 5 / 3 | 1
grows | 2**0.5 | 5 / 3
saturates | 5 / 3 | 3
shrinks | 5 / 3 | float('nan')
""",
    "fold": r"""
none | return weight * scale, (bias - mean) * scale + beta | return (weight * scale,)
none |     return weight |     weight
weight | weight * scale | 2 * weight * scale
weight_eps | var + eps | var
weight_root | torch.sqrt(var + eps) | (var + eps)
weight_axis | weight * scale | weight * scale[:, None]
weight_gamma | weight * scale | weight * scale / gamma
bias | + beta | + beta * gamma
bias_mean | (bias - mean) | bias
bias_beta |  + beta |  + 0
bias_old | (bias - mean) | -mean
logits | var + eps | var + 1e-3
""",
    "train": r"""
scale_none |  / fan_in**0.5 |  / 1
running_keepdim | x.mean(0) | x.mean(0, keepdim=True)
missing | def tanh(x) | def Tanh(x)
begins | x.sign() * (1 - e) / (1 + e) | x.relu()
ends | x.sign() * (1 - e) / (1 + e) | (x.tanh() + x.tanh().detach()) / 2
""",
}
ROWS = [
    (solution, *row.replace("\\n", "\n").split(" | "))
    for solution, rows in MISTAKES.items()
    for row in rows.strip().splitlines()
]


def marks(solution: str) -> list:
    return [pytest.mark.slow, needs_names] if "train" in solution else []


def solved(solution: str, folder: Path, old: str = "", new: str = "") -> tuple[str, Path]:
    """The exercise and the file of a solution, with one replacement."""
    parts = TOGETHER.get(solution, [solution])
    text = "\n\n".join((SOLUTIONS / f"{part}.py").read_text() for part in parts)
    assert old in text
    path = folder / f"{solution.removesuffix('_module')}.py"
    path.write_text(text.replace(old, new) if old else text)
    return path.stem, path


@pytest.mark.parametrize(
    "solution",
    [
        pytest.param(name, marks=marks(name))
        for name in (*QUICK, "linear_module", "batchnorm_module", *TOGETHER)
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
    ("solution", "message", "old", "new"), [pytest.param(*row, marks=marks(row[0])) for row in ROWS]
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
    moments = {f"moment {n}, {title}" for n, title in re.findall(r"^### (\d+) (.*)", lecture, re.M)}
    asked = {(solution.removesuffix("_module"), message) for solution, message, *_ in ROWS}
    common = set(texts("mystery")["messages"])  # it has none of its own
    for name in EXERCISES:
        for key, message in texts(name)["messages"].items():
            assert {"wrong", "why", "hint", "see"} == message.keys() - {"of", "gives"}
            assert message["see"] in moments
            of = QUICK if key in common else [name, *texts(name).get("and", [])]
            assert key == "endless" or any((one, key) in asked for one in of), (name, key)


@pytest.mark.parametrize("name", QUICK)
def test_a_template_is_what_is_to_be_written(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    assert main(["exercise", name]) == 0
    assert f"{name}.py is written" in capsys.readouterr().out
    assert judge(name, tmp_path / f"{name}.py")[1] in ("not_written", "next")


def test_a_solution_is_shown_by_file_and_line(capsys):
    for name in EXERCISES:
        assert main(["exercise", name, "--solution"]) == 0
        said = capsys.readouterr().out
        for file, line, first in re.findall(r"^(\S+\.py), line (\d+)\n(.*)", said, re.M):
            assert (ROOT / file).read_text().splitlines()[int(line) - 1] == first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("linaer", "they are linear, batchnorm"),
        ("linear --seed 7", "--seed and --answer belong to mystery"),
        ("mystery", "any number will do: exercise mystery --seed 7"),
        ("mystery --seed 7 --answer luck", "--answer is one of: dead"),
    ],
)
def test_a_bad_name_or_option_is_one_line(capsys, options, message):
    assert main(["exercise", *options.split()]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert message in said


def test_what_is_done_is_kept_in_the_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    solved("tanh", tmp_path, "1 - y**2", "1 - y")
    assert main(["exercise", "tanh"]) == 1
    told = capsys.readouterr().out
    assert "right  values" in told
    assert "wrong  tanh_backward(dy, y) is dy (1 \N{MINUS SIGN} y): the square is missing" in told
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
    ("code", "wrong", "said"),
    [
        (
            b"while True: pass\n",
            "endless",
            "tanh.py, line 1 was still running when its time was up",
        ),
        (b"def f():\n    f()\n\n\nf()\n", "exception", "tanh.py, line 2: RecursionError"),
        (b"\xff\xfe\x00", "syntax", "tanh.py, line "),
        (b'"""Empty."""\n', "missing", "tanh.py defines no tanh"),
        (b"from solved_tanh import *\n", None, "tanh is done"),
        (
            b"from torch import tanh\ntanh_backward = 1\n",
            "signature",
            "'int' object is not callable",
        ),
    ],
)
def test_any_file_gets_a_verdict(tmp_path, monkeypatch, code, wrong, said):
    """Also in the background, where a shell has SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    monkeypatch.setitem(texts("tanh"), "seconds", 0.5)
    solved("tanh", tmp_path)[1].rename(tmp_path / "solved_tanh.py")
    (tmp_path / "tanh.py").write_bytes(code)
    lines, found = judge("tanh", tmp_path / "tanh.py")
    assert found == wrong
    assert said in "\n".join(lines)
    assert signal.signal(signal.SIGINT, before) == signal.SIG_IGN


def test_what_never_returns_to_python_is_ended(tmp_path):
    (tmp_path / "tanh.py").write_text("import re\nre.match('(a+)+b', 'a' * 99)\n")
    code = "from lit_makemore.commands.exercises import judging as j; from pathlib import Path\n"
    code += "j.texts('tanh')['seconds'] = j.GRACE = 0.5\n"
    code += f"j.judge('tanh', Path({str(tmp_path)!r}, 'tanh.py'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert f'File "{tmp_path}/tanh.py", line 2' in done.stderr


@pytest.mark.parametrize(
    ("name", "kind", "wrong"),
    [("batchnorm", "BatchNorm1d", None), ("linear", "Linear", "bias_start")],
)
def test_torchs_own_classes_are_judged_as_they_are(tmp_path, name, kind, wrong):
    path = tmp_path / f"{name}.py"
    path.write_text(f"from torch.nn import {kind}\n")
    assert judge(name, path)[1] == wrong


@pytest.mark.parametrize(
    ("options", "fails", "answer", "other", "seen"),
    [
        ("norm none --model.init.gain 8", "saturation", "too large", "healthy", "are saturated"),
        ("lr 1e30 --model.activation relu", "nan", "lr too high", "lr too low", "loss is"),
        ("lr 0.1", "", "healthy", "lr too low", "no figure is outside its band"),
    ],
)
def test_a_mystery_is_silent_until_it_is_answered(
    tmp_path, monkeypatch, word_list, capsys, options, fails, answer, other, seen
):
    monkeypatch.chdir(tmp_path)
    usual = f"--data.path {word_list} --trainer.max_steps 20 --model.n_hidden 20"
    usual += " --trainer.accelerator cpu --trainer.log_every_n_steps 5 --diagnostics.pictures false"
    row = {"name": "secret", "what": "its fault", "options": f"{usual} --model.{options}"}
    rows = [row if answer == "healthy" else {**row, "answer": answer, "fails": fails}]
    monkeypatch.setattr(mystery, "networks", lambda: rows)
    monkeypatch.setattr(mystery.Random, "choice", lambda self, found: found[0])
    command = ["exercise", "mystery", "--seed", "7"]
    assert main(command) == 0
    said = "".join(capsys.readouterr()).lower()
    assert not [word for word in ("secret", "fault", "unhealthy", "try") if word in said]
    folder = tmp_path / "runs" / "mystery-7"
    assert b"secret" not in b"".join(p.read_bytes() for p in folder.iterdir())
    tags = EventAccumulator(str(folder)).Reload().Tags()
    assert "1_losses/train" in tags["scalars"]
    assert not [tag for tag in tags["scalars"] + tags["tensors"] if "health" in tag]
    rows += [{**row, "answer": one} for one in ("lr too low", "lr too high", "healthy")]
    assert main([*command, "--answer", other]) == 1
    said = capsys.readouterr().out
    assert "wrong  it is something else" in said
    assert seen not in said
    for status, last in ((1, [other, "--hint"]), (0, [answer])):
        assert main([*command, "--answer", *last]) == status
        assert seen in capsys.readouterr().out
    assert (tmp_path / "exercises_done.txt").read_text() == "mystery\n"


def test_every_mystery_has_an_answer_and_its_checks_a_card():
    assert len(mystery.networks()) == 44
    for network in mystery.networks():
        assert ("answer" in network) == ("fails" in network)
        assert {*network.get("fails", "").split()} <= texts("mystery")["cards"].keys()
