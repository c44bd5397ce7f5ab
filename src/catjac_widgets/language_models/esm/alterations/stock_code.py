"""Whether the code of fair-esm's models, and what it calls of torch, is what their packages define.

Anybody may put another function in the place of ``esm.modules.TransformerLayer.forward``, for all models of
the process. The functions of fair-esm are compared, by their code, with those in its own files; what they
call by name of ``torch``, ``torch.nn.functional`` and ``torch.Tensor`` has to come from torch. What lies
below (the code of torch's own functions, its dispatcher, a mode that is switched on in the thread of the
pass) cannot be seen from here.
"""

from __future__ import annotations

import functools
import operator
import os
import sys
import types
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

#: Where fair-esm's models are defined.
_MODULES = (
    "esm.modules", "esm.multihead_attention", "esm.rotary_embedding", "esm.model.esm1", "esm.model.esm2",
)  # fmt: skip

#: What these modules call other modules.
_IMPORTED = {"torch": "torch", "nn": "torch.nn", "F": "torch.nn.functional", "math": "math"}

#: The classes of torch that stock models are made of, and what of them a forward pass calls.
_TORCH_CLASSES = ("Module", "Linear", "LayerNorm", "Embedding", "ModuleList", "Sigmoid")
_TORCH_METHODS = (
    "forward", "__call__", "_call_impl", "_wrapped_call_impl", "__getattr__", "__getattribute__",
    "__iter__", "__len__", "__getitem__",
)  # fmt: skip

#: What our own pass calls beside, and the operators.
_ALSO_CALLED = (
    "gelu", "scaled_dot_product_attention", "layer_norm", "outer", "complex",
    *(
        f"__{kind}{name}__"
        for name in ("add", "sub", "mul", "truediv", "matmul", "pow")
        for kind in ("", "r", "i")
    ),
    "__neg__", "__getitem__", "__eq__", "__invert__", "__torch_function__",
)  # fmt: skip


#: What was looked at when nothing was found to be replaced; nothing of it is freed while it stands here.
_CLEAN: list[Any] = []


def patches() -> list[str]:
    """Name what code that stock models run was replaced, in this process, for all of them.

    An empty list, at no cost, where fair-esm has not been imported.
    """
    if "esm.model.esm2" not in sys.modules:
        return []
    if _global_hooks():
        return ["hooks on all modules"]
    now = _looked_at()
    if len(now) == len(_CLEAN) and all(map(operator.is_, now, _CLEAN)):
        return []
    found = [text for name in _MODULES for text in _replaced_in(sys.modules[name])]
    found += [
        f"torch.nn.{cls.__name__}.{name}"
        for cls, name, value in _torch_methods()
        if not _is_torchs(value, _names_of(cls, name))
    ]
    found += [
        f"{'torch.Tensor' if space is _tensor() else space.__name__}.{name}"
        for space, name in _torch_functions()
        # torch gives some methods of C, and those that stand for operators, other names.
        if not _is_torchs(vars(space).get(name), None if space is _tensor() else (name,))
    ]
    if not found:
        _CLEAN[:] = now
    return found


def replaced_in(*modules: str) -> list[str]:
    """Name the functions of other modules of fair-esm that are not those of their files."""
    return [text for name in modules for text in _replaced_in(sys.modules[name])]


def _looked_at() -> list[Any]:
    """Everything that `patches` goes by, in one order: functions and their code, and what has their names."""
    found: list[Any] = []
    for name in _MODULES:
        for owner, inside in _owners(sys.modules[name]):
            found += inside.values()
            if isinstance(owner, type):
                found += owner.__mro__
    found += [value for _, _, value in _torch_methods()]
    found += [vars(space).get(name) for space, name in _torch_functions()]
    return found + [value.__code__ for value in found if isinstance(value, types.FunctionType)]


def _global_hooks() -> bool:
    import torch

    module = torch.nn.modules.module
    kinds = ("forward_hooks", "forward_pre_hooks", "backward_hooks", "backward_pre_hooks")
    return any(getattr(module, f"_global_{kind}", None) for kind in kinds)


# -- fair-esm


def _replaced_in(module: types.ModuleType) -> Iterator[str]:
    """Name the functions of a module, and of its classes, that are not those of its file."""
    defined = _code_of(module.__name__)
    for owner, inside in _owners(module):
        prefix = f"{owner.__qualname__}." if isinstance(owner, type) else ""
        for name, value in inside.items():
            if not prefix and not _belongs(module, name, value):
                continue
            function = _function(value)
            if function is not None:
                own = function.__globals__ is vars(module)
                if not own or function.__code__ not in defined.get(f"{prefix}{name}", ()):
                    yield f"{module.__name__}.{prefix}{name}"
            elif callable(value) and not isinstance(value, type):
                yield f"{module.__name__}.{prefix}{name}"
        there = {f"{prefix}{name}" for name in inside}
        yield from (
            f"{module.__name__}.{name}"
            for name in defined
            if name.rpartition(".")[0] == prefix.rstrip(".") and name not in there
        )
        if isinstance(owner, type) and {base.__module__.partition(".")[0] for base in owner.__mro__} - _OWN:
            yield f"the bases of {module.__name__}.{owner.__qualname__}"
    for name, meant in _IMPORTED.items():
        if name in vars(module) and vars(module)[name] is not sys.modules.get(meant):
            yield f"{module.__name__}.{name}"


#: Packages that define the classes of stock models, and those these derive from.
_OWN = {"esm", "torch", "apex", "builtins"}


def _belongs(module: types.ModuleType, name: str, value: Any) -> bool:
    """Whether what a module calls by a name is defined there, or should be."""
    if isinstance(value, type) or name in _IMPORTED:
        return False
    return name in _code_of(module.__name__) or getattr(value, "__module__", None) == module.__name__


def _owners(module: types.ModuleType) -> list[tuple[Any, dict[str, Any]]]:
    """List a module and the classes that it defines, with what is in them."""
    inside = dict(vars(module))
    classes = [
        value for value in inside.values() if isinstance(value, type) and value.__module__ == module.__name__
    ]
    return [(module, inside), *((cls, dict(vars(cls))) for cls in classes)]


def _function(value: Any) -> types.FunctionType | None:
    """Find the function behind a method or property, None where it is none."""
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    elif isinstance(value, property):
        value = value.fget
    return value if isinstance(value, types.FunctionType) else None


@functools.cache
def _code_of(module: str) -> dict[str, list[types.CodeType]]:
    """Code of all functions that a module's file defines, by qualified name."""
    loaded = sys.modules[module]
    loader: Any = getattr(loaded.__spec__, "loader", None)
    found: dict[str, list[types.CodeType]] = defaultdict(list)
    # Without its code nothing is known to be fair-esm's.
    whole = loader.get_code(module) if loader is not None and hasattr(loader, "get_code") else None
    waiting: list[types.CodeType] = [] if whole is None else [whole]
    while waiting:
        code = waiting.pop()
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                waiting.append(constant)
                if constant.co_flags & _IS_FUNCTION:
                    found[constant.co_qualname].append(constant)
    return dict(found)


#: Flag of code with fast locals: functions have it, bodies of classes do not.
_IS_FUNCTION = 0x2


# -- torch


def _torch_methods() -> Iterator[tuple[type, str, Any]]:
    import torch

    for name in _TORCH_CLASSES:
        cls = getattr(torch.nn, name)
        inside = vars(cls)
        yield from ((cls, method, inside[method]) for method in _TORCH_METHODS if method in inside)


@functools.cache
def _torch_functions() -> tuple[tuple[Any, str], ...]:
    """List what fair-esm's code may call by name, and our own pass does: owner and name."""
    import torch

    names = set(_ALSO_CALLED)
    for module in _MODULES:
        names.update(*(code.co_names for codes in _code_of(module).values() for code in codes))
    return tuple(
        (space, name)
        for space in (torch, torch.nn.functional, torch.Tensor)
        for name in sorted(names)
        # What torch.Tensor inherits can only be replaced by an attribute of its own.
        if name in vars(space) or (space is torch.Tensor and hasattr(space, name))
    )


def _tensor() -> type:
    import torch

    return torch.Tensor


def _names_of(cls: type, method: str) -> tuple[str, ...] | None:
    """By which names torch may know what is found as a method; None for any."""
    return None if method == "__call__" else (f"{cls.__qualname__}.{method}", "_forward_unimplemented")


def _is_torchs(value: Any, names: tuple[str, ...] | None) -> bool:
    """Whether a function is torch's, of one of these names; what is no function passes."""
    function = _function(value)
    if function is not None:
        code = function.__code__
        return code.co_filename.startswith(_torch_folder()) and (names is None or code.co_qualname in names)
    if names is None or not isinstance(value, types.BuiltinFunctionType | functools.partial):
        return True
    return getattr(value, "__name__", "") in names


@functools.cache
def _torch_folder() -> str:
    import torch

    return os.path.dirname(torch.__file__) + os.sep
