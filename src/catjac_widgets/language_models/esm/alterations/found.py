"""In what a model in memory differs from a stock model: fair-esm's own classes, code and settings, unaltered.

A model is compared, module by module, with one that fair-esm itself builds in the same size, without weights.
What differs is one of four things:

* *unlike*: stock as well, but with parts that our forward pass does not know (ESM-1);
* *settings*: numbers, names and shapes, which can be written down, as ``LayerNorm.eps`` or a layer left out;
* *unseen*: what decides the outputs and cannot be written down: classes of somebody's own, hooks, functions
  put in the place of a module's, attributes that are no plain values;
* *patched*: the same for all models of this process, see `stock_code`.
"""

from __future__ import annotations

import argparse
import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from catjac_widgets.language_models.esm.alterations.stock import fair_esm
from catjac_widgets.language_models.esm.alterations.stock_code import patches

if TYPE_CHECKING:
    import torch

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")

#: Tables that fair-esm's rotary embedding remembers; see `_odd_tables`.
_REMEMBERED = {"_seq_len_cached", "_cos_cached", "_sin_cached"}

#: Attributes that decide no output of a pass in evaluation mode, or that are looked at elsewhere: policies
#: are part of the fingerprint, and parameters, buffers, modules and hooks are no plain attributes.
_ELSEWHERE = _REMEMBERED | {
    "training", "args", "alphabet", "token_dropout", "_incremental_state_id", "weights",
    "_parameters", "_buffers", "_modules", "_non_persistent_buffers_set", "_is_full_backward_hook",
    "_forward_hooks_with_kwargs", "_forward_hooks_always_called", "_forward_pre_hooks_with_kwargs",
    "_state_dict_hooks", "_state_dict_pre_hooks", "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks", *_HOOKS,
}  # fmt: skip

#: The one weight that fair-esm ties to another, and that may be a weight of its own.
_TIED = "lm_head.weight"

_PLAIN = (bool, int, float, str, type(None))


@dataclass
class Alterations:
    """What makes a model other than a stock model that our forward pass knows, in words.

    Attributes
    ----------
    unlike, settings, unseen, patched
        See the module.
    marks
        Tell hooks and functions at the same places from others there, as long as these live.
    """

    unlike: list[str] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    patched: list[str] = field(default_factory=list)
    marks: list[tuple[Any, ...]] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether there is any, so that the model has to run through its own forward pass."""
        return bool(self.own or self.patched)

    @property
    def own(self) -> list[str]:
        """All but what was replaced for all models of this process."""
        return [*self.unlike, *self.settings, *self.unseen]

    @property
    def hidden(self) -> list[str]:
        """What decides the outputs and cannot be written down."""
        return [*self.patched, *self.unseen]


def alterations(model: torch.nn.Module, *, contents: bool = True) -> Alterations:
    """Find what makes a model other than a stock model.

    Parameters
    ----------
    contents
        Whether the rotary frequencies and tables are compared too, for which a GPU has to be waited for.
    """
    fair_esm()
    found = Alterations(patched=patches())
    parts = _Parts(model)
    _look_at_modules(parts, found)
    _look_at_tensors(parts, found)
    if not found.unseen:
        try:
            _compare(parts, _as_built(tuple(found.patched), *_sizes_of(model)), found)
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            found.unseen.append(f"its structure ({error})")
    if contents and not found.unseen:
        _compare_positions(parts, found)
    return found


class _Parts:
    """Modules and tensors of a model, each once by the first of its names.

    Attributes
    ----------
    modules, parameters, buffers
        By name.
    again
        Further names of what has one already, and that one; but for the weight that fair-esm ties.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self.modules: dict[str, torch.nn.Module] = {}
        self.parameters: dict[str, torch.Tensor] = {}
        self.buffers: dict[str, torch.Tensor] = {}
        self.again: list[tuple[str, str]] = []
        self._names: dict[int, str] = {}
        self._add(model, "")

    def _add(self, module: torch.nn.Module, name: str) -> None:
        if self._is_new(module, name):
            self.modules[name] = module
            before = f"{name}." if name else ""
            for found, there in (
                (self.parameters, module._parameters),
                (self.buffers, module._buffers),
            ):
                for key, tensor in there.items():
                    if tensor is not None and self._is_new(tensor, f"{before}{key}"):
                        found[f"{before}{key}"] = tensor
            for key, part in module._modules.items():
                if part is not None:
                    self._add(part, f"{before}{key}")

    def _is_new(self, part: Any, name: str) -> bool:
        first = self._names.setdefault(id(part), name)
        if first != name and name != _TIED:
            self.again.append((name, first))
        return first == name


# -- classes, hooks, tensors


@functools.cache
def _stock_classes() -> tuple[frozenset[type], frozenset[type]]:
    """Classes of stock models: those that our forward pass knows, and those of ESM-1."""
    import torch
    from esm import modules
    from esm.model.esm1 import ProteinBertModel
    from esm.model.esm2 import ESM2
    from esm.rotary_embedding import RotaryEmbedding

    known = {
        ESM2, ProteinBertModel, modules.ContactPredictionHead, modules.ESM1bLayerNorm,
        modules.LearnedPositionalEmbedding, modules.RobertaLMHead, modules.TransformerLayer,
        modules.MultiheadAttention, RotaryEmbedding, torch.nn.Embedding, torch.nn.Linear,
        torch.nn.LayerNorm, torch.nn.ModuleList, torch.nn.Sigmoid,
    }  # fmt: skip
    return frozenset(known), frozenset({modules.ESM1LayerNorm, modules.SinusoidalPositionalEmbedding})


def _look_at_modules(parts: _Parts, found: Alterations) -> None:
    known, older = _stock_classes()
    for name, module in parts.modules.items():
        kind: type = type(module)
        described = f"{kind.__module__}.{kind.__qualname__}"
        if not name:
            if kind.__name__ not in ("ESM2", "ProteinBertModel") or kind not in known:
                found.unseen.append(described)
            elif getattr(module, "model_version", "ESM-1b") != "ESM-1b":
                found.unlike.append(described)
        elif kind not in known:
            (found.unlike if kind in older else found.unseen).append(f"{name}: {described}")
        if any(hooked := [tuple(getattr(module, hooks)) for hooks in _HOOKS]):
            found.unseen.append(f"{name}: hooked")
            found.marks.append((name, *hooked))
        if kind in known or kind in older:
            for key in sorted(vars(module).keys() & _names_of_class(kind)):
                found.unseen.append(f"{name}: {key} of its own")
                found.marks.append((name, key, id(vars(module)[key])))


@functools.cache
def _names_of_class(stock: type) -> frozenset[str]:
    """Names of a class in whose place an attribute of an instance would be taken."""
    return frozenset(dir(stock)) - _ELSEWHERE


def _look_at_tensors(parts: _Parts, found: Alterations) -> None:
    import torch

    plain = {torch.Tensor, torch.nn.Parameter, getattr(torch.nn, "Buffer", torch.Tensor)}
    usual = next(iter(parts.parameters.values()), None)
    for name, tensor in parts.parameters.items():
        if usual is not None and tensor.dtype != usual.dtype:
            found.settings.append(f"{name} is {tensor.dtype}")
        if usual is not None and tensor.device != usual.device:
            found.settings.append(f"{name} is on another device")
    for named in (parts.parameters, parts.buffers):
        for name, tensor in named.items():
            if type(tensor) not in plain or tensor.layout != torch.strided or tensor.is_meta:
                found.unseen.append(f"{name}: a {type(tensor).__name__} without plain values")


# -- attributes and shapes, against what fair-esm builds


def _sizes_of(model: Any) -> tuple[Any, ...]:
    """Read off what `_as_built` has to be told; every part is one that the weights or the policies show."""
    older = getattr(model, "model_version", None)
    layer = model.layers[0]
    vocabulary = model.embed_tokens.weight.shape[0]
    tokens = tuple(int(getattr(model, f"{name}_idx")) for name in ("padding", "mask", "cls", "eos"))
    ends = bool(model.prepend_bos), bool(model.append_eos)
    positions = getattr(getattr(model, "embed_positions", None), "weight", None)
    return (
        older,
        len(model.layers),
        int(model.embed_tokens.weight.shape[1]),
        int(layer.self_attn.num_heads),
        int(layer.fc1.weight.shape[0]),
        vocabulary,
        tokens,
        ends,
        positions.shape[0] if older == "ESM-1b" and positions is not None else None,
        getattr(model, "emb_layer_norm_before", None) is not None
        and getattr(model, "emb_layer_norm_before", None) is not False,
        getattr(model, "embed_out_bias", None) is not None,
    )


@dataclass(frozen=True)
class _Built:
    """Classes and plain attributes of the modules that fair-esm builds, and shapes of tensors, by name."""

    classes: dict[str, type]
    attributes: dict[str, dict[str, Any]]
    shapes: dict[str, tuple[int, ...]]


@functools.lru_cache(maxsize=16)
def _as_built(
    patched: tuple[str, ...],
    version: str | None,
    layers: int,
    width: int,
    heads: int,
    hidden: int,
    vocabulary: int,
    tokens: tuple[int, int, int, int],
    ends: tuple[bool, bool],
    positions: int | None,
    norm_before: bool,
    bias: bool,
) -> _Built:
    import torch

    esm = fair_esm()
    alphabet = esm.Alphabet.__new__(esm.Alphabet)
    alphabet.all_toks = range(vocabulary)
    alphabet.padding_idx, alphabet.mask_idx, alphabet.cls_idx, alphabet.eos_idx = tokens
    alphabet.prepend_bos, alphabet.append_eos = ends
    # Without values, so that it takes no memory; some of ESM-1's are drawn all the same.
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        if version is None:
            model = esm.ESM2(layers, width, heads, alphabet)
        else:
            settings = argparse.Namespace(
                arch="roberta_large" if version == "ESM-1b" else "protein_bert_base",
                layers=layers, embed_dim=width, ffn_embed_dim=hidden, attention_heads=heads,
                max_positions=(positions or 0) - tokens[0] - 1, emb_layer_norm_before=norm_before,
                final_bias=bias,
            )  # fmt: skip
            model = esm.ProteinBertModel(settings, alphabet)
    parts = _Parts(model)
    return _Built(
        {name: type(module) for name, module in parts.modules.items()},
        {
            name: {key: value for key, value in vars(module).items() if key not in _ELSEWHERE}
            for name, module in parts.modules.items()
        },
        {name: tuple(tensor.shape) for name, tensor in (parts.parameters | parts.buffers).items()},
    )


def _compare(parts: _Parts, built: _Built, found: Alterations) -> None:
    for name, module in parts.modules.items():
        expected = built.attributes.get(name)
        if expected is None:
            found.settings.append(f"{name}: a further {type(module).__qualname__}")
            continue
        if type(module) is not built.classes[name]:
            found.settings.append(f"{name}: a {type(module).__qualname__}")
        there = vars(module)
        for key, value in expected.items():
            got = there.get(key, _MISSING)
            if got is value or (_is_plain(got) and got == value):
                continue
            path = f"{name}.{key}" if name else key
            if got is _MISSING:
                found.settings.append(f"no {path}")
            elif _is_plain(got):
                found.settings.append(f"{path}={got!r}")
            else:
                found.unseen.append(f"{path}: a {type(got).__name__}")
    tensors = parts.parameters | parts.buffers
    for name, tensor in tensors.items():
        # The tied weight may be one of its own.
        if built.shapes.get(name, tensor.shape if name == _TIED else None) != tensor.shape:
            found.settings.append(f"{name} has the shape {tuple(tensor.shape)}")
    for name in (*built.attributes, *built.shapes):
        if name not in parts.modules and name not in tensors:
            found.settings.append(f"no {name}")
            # A list of layers, or a tensor that is no parameter, is nobody's that is asked for its weights.
            owner, _, key = name.rpartition(".")
            if owner in parts.modules and key in vars(parts.modules[owner]):
                found.unseen.append(f"{name}: an attribute")
    found.settings += [f"{name} is {first}" for name, first in parts.again]


_MISSING = object()


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return isinstance(value, _PLAIN)


# -- positions


def _compare_positions(parts: _Parts, found: Alterations) -> None:
    """Compare rotary frequencies of all layers, and what fair-esm remembers of positions."""
    import torch
    from esm.modules import SinusoidalPositionalEmbedding
    from esm.rotary_embedding import RotaryEmbedding

    first: torch.Tensor | None = None
    tables: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    for name, module in parts.modules.items():
        if isinstance(module, SinusoidalPositionalEmbedding) and module.weights is not None:
            made = module.get_embedding(len(module.weights)).to(module.weights)
            if not torch.equal(made, module.weights):
                found.unseen.append(f"{name}: another table of positions")
        if not isinstance(module, RotaryEmbedding):
            continue
        same = first is None or _equal(module.inv_freq, first)
        if not same:
            found.settings.append(f"{name}: frequencies of its own")
        first = module.inv_freq if first is None else first
        if _odd_tables(module, tables if same else {}):
            found.unseen.append(f"{name}: another table of rotary positions")


def _odd_tables(module: Any, tables: dict[int, tuple[torch.Tensor, torch.Tensor]]) -> bool:
    """Whether the tables that a rotary embedding remembers are not those that it would make."""
    import torch

    length, frequencies = module._seq_len_cached, module.inv_freq
    remembered = module._cos_cached, module._sin_cached
    if length is None or not all(isinstance(table, torch.Tensor) for table in remembered):
        # Made anew, if there is a length that says so at all.
        return length is not None
    if any(table.device != frequencies.device for table in remembered):
        return False  # the model was moved, so that they are made anew
    if length not in tables:
        angles = torch.einsum(
            "i,j->ij", torch.arange(length, device=frequencies.device).type_as(frequencies), frequencies
        )
        both = torch.cat((angles, angles), dim=-1)[None]
        tables[length] = both.cos(), both.sin()
    return not all(map(_equal, remembered, tables[length]))


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    import torch

    return one.dtype == other.dtype and one.device == other.device and torch.equal(one, other)
