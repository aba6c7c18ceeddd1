"""Do something right after a module was imported, whoever imports it, without importing it ourselves."""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # what only a type checker reads is not worth its import at every start
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

type Action = Callable[[ModuleType], None]

_waiting: dict[str, Action] = {}


def install() -> None:
    """Put our finder first on the import path; it only ever answers for modules that are waited for."""
    finder: Any = _Finder()
    sys.meta_path.insert(0, finder)


def after_import(name: str, action: Action) -> None:
    """Call `action` with the module when `name` has been imported; at once if it already was."""
    if name in sys.modules:
        action(sys.modules[name])
    else:
        _waiting[name] = action


class _Finder:
    """Finds what the other finders find, with a loader that calls the action once the module has run."""

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "Any":
        if name not in _waiting:
            return None
        others: list[Any] = [finder for finder in sys.meta_path if finder is not self]
        for finder in others:
            spec = finder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _Loader(spec.loader, _waiting[name])
                return spec
        return None


class _Loader:
    """Runs a module by its own loader, then the action, and leaves no trace of itself in the module."""

    def __init__(self, loader: "Any", action: Action) -> None:
        self._loader = loader
        self._action = action

    def create_module(self, spec: "Any") -> "Any":
        return self._loader.create_module(spec)

    def exec_module(self, module: "ModuleType") -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        _waiting.pop(module.__name__, None)
        self._action(module)
