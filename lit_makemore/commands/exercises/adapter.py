"""A layer of the reader's, a plain class as in the lecture or an nn.Module, as an nn.Module.

A plain class has `__call__` and `parameters`; its tensors become Parameters in their place, so that
a Trainer finds them. Its attribute `training`, if it has one, follows train() and eval().
"""

from typing import Any

from torch import Tensor, nn

from lit_makemore.commands.exercises.foreign import Code, Wrong
from lit_makemore.commands.exercises.judging import tensor


class Adapted(nn.Module):
    """The layer that a class of the reader's makes of some arguments."""

    def __init__(self, code: Code, name: str, *args: Any, **options: Any) -> None:
        super().__init__()
        self.code, self.name = code, name
        self.layer = layer = code.call(code.get(name), *args, **options)
        classes = [c for c in type(layer).__mro__ if c is not nn.Module]
        self.is_module = isinstance(layer, nn.Module)
        for method in ("forward",) if self.is_module else ("__call__", "parameters"):
            if not any(method in vars(c) for c in classes):
                raise Wrong("no_method", name=name, method=method)
        self.found: list[Any] = list(code.call(layer.parameters))
        if any(parameter is None for parameter in self.found):
            raise Wrong("parameters_none", name=name)
        for i, parameter in enumerate([] if self.is_module else self.found):
            own = next((k for k, v in vars(layer).items() if v is parameter), None)
            if own is None or not parameter.is_leaf:
                kind = "parameters_others" if own is None else "no_leaf"
                raise Wrong(kind, name=name, parameter=own)
            self.found[i] = nn.Parameter(parameter.detach())
            setattr(layer, own, self.found[i])
            self.register_parameter(own, self.found[i])

    def forward(self, x: Tensor) -> Any:
        return self.code.call(self.layer, x)

    def train(self, mode: bool = True) -> "Adapted":
        super().train(mode)
        if not self.is_module and hasattr(self.layer, "training"):
            self.layer.training = mode
        return self

    def find(self, names: str, *shapes: tuple[int, ...]) -> Tensor:
        """The tensor that the layer keeps by one of some names, in one of some shapes."""
        for name in names.split():
            if hasattr(self.layer, name):
                value = getattr(self.layer, name)
                fits = isinstance(value, Tensor) and value.shape in shapes
                return value if fits else tensor(f"self.{name}", value, *shapes[0])
        raise Wrong("no_attribute", name=self.name, attribute=names.replace(" ", " or self."))

    def learns(self, **expected: Tensor) -> None:
        """Raises Wrong if `parameters` returns others than these."""
        for name, value in expected.items():
            if not any(parameter is value for parameter in self.found):
                plain = self.is_module and not isinstance(value, nn.Parameter)
                raise Wrong("no_parameter" if plain else "parameters_missing", name=name)
        if len(self.found) > len(expected):
            raise Wrong("parameters_many", n=len(self.found), right=", ".join(expected))
