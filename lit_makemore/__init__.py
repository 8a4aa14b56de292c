"""Character-level name generation with a deep MLP and Batch Normalization.

    from lit_makemore import LitMLP, NamesDataModule, load

The names are imported when they are used: `import lit_makemore` imports no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lit_makemore.model import NameModel, load
    from lit_makemore.training.datamodule import NamesDataModule
    from lit_makemore.training.module import LitMLP

__version__ = "1.0.0"
__all__ = ["LitMLP", "NameModel", "NamesDataModule", "load"]
_MODULES = {"LitMLP": "training.module", "NamesDataModule": "training.datamodule"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'model')}"), name)
