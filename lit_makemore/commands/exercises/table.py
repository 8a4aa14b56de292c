"""The judge of functions: the table of checks in the exercise's file.

A check has two expressions, what is `ours` and what is `right`, and the message of a difference.
`given` are the values that both are made of.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_makemore.commands.exercises.foreign import Code
from lit_makemore.commands.exercises.judging import agree, texts


def judge_table(code: Code) -> Iterator[str]:
    """Calls the reader's functions with copies, since they may write into their arguments."""
    file = texts(code.exercise)
    float64 = partial(torch.randn, dtype=torch.float64)
    names: dict[str, Any] = {"torch": torch, "F": F, "randn": float64}
    exec(file["given"], names)

    def reader(function: Any, *args: Any) -> Any:
        copies = [one.detach().clone() if isinstance(one, Tensor) else one for one in args]
        return code.call(function, *copies)

    theirs = {name: partial(reader, code.get(name)) for name in file["defines"].split()}
    for check in file["checks"]:
        right, ours = eval(check["right"], names), eval(check["ours"], {**names, **theirs})
        told, nan = {**names, "right": right}, check.get("nan", "nan")
        agree(check["wrong"], check.get("what", check["ours"]), ours, right, told, nan=nan)
        if "says" in check:
            yield check["says"]
