"""Passes by kernels compiled from C: in float32, and what they have in common with those of differences.

torch takes a pass over memory for each step between two products, and oneDNN's products leave an eighth of
what a core can do; a kernel takes a few sequences through the whole model while they lie in the core's cache.
Where it cannot be had (no AVX-512, no compiler, another kind of model) torch runs.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from catjac_widgets.language_models import fingerprints
from catjac_widgets.language_models.esm.alterations.stock import token_dropout
from catjac_widgets.language_models.esm.cpu_kernels import structs
from catjac_widgets.language_models.esm.cpu_kernels.build import NotCompiled, compiler, library
from catjac_widgets.language_models.esm.forward import positions, rotary
from catjac_widgets.language_models.esm.linear_layers import MOST_COPIED_BYTES
from catjac_widgets.language_models.esm.projections import fused_projections

if TYPE_CHECKING:
    from torch import Tensor

#: What the kernels need of the processor, by gcc's names; the operating system's are the same.
FEATURES = ("avx512f", "avx512bw", "avx512vl", "avx512dq", "fma")

#: Tokens that go through the layers together: enough to read each weight seldom, few enough for the cache.
_TOKENS_AT_A_TIME = 256

#: Numbers of a block's hidden layer, which is the widest.
_HIDDEN_NUMBERS = 64 * 1024

#: Channels of an attention head and of a vector register, by which the kernel divides its work.
_WIDEST_HEAD, _LANES = 64, 16


def compiled_function(
    name: str, features: tuple[str, ...], mirrors: Sequence[type[ctypes.Structure]], *arguments: Any
) -> Callable[..., int]:
    """Return the function `name` of `name`.c, compiling it at the first call, which takes some seconds.

    Parameters
    ----------
    name, features
        See `library`.
    mirrors
        The structures of `structs` that it is given.
    *arguments
        Types of its arguments.

    Raises
    ------
    NotCompiled
        If this processor or this machine's compiler cannot have it, or if its structures are not laid out as
        their mirrors are; the text says why.
    """
    loaded = library(name, features)
    wrong = structs.differing(loaded, mirrors)
    if wrong:
        raise NotCompiled(f"{name}.c and Python lay out {', '.join(wrong)} differently")
    function = getattr(loaded, name)
    function.restype, function.argtypes = ctypes.c_int, arguments
    return function


def passes_function(name: str, features: tuple[str, ...]) -> Callable[..., int]:
    """Return a compiled function that runs passes; see `compiled_function`."""
    sizes, counter = [ctypes.c_int64] * 3, ctypes.POINTER(ctypes.c_int64)
    model = ctypes.POINTER(structs.Model)
    return compiled_function(
        name, features, structs.PASSES, model, ctypes.c_void_p, *sizes, ctypes.c_void_p, counter
    )


def on_threads(work: Callable[[], int], most: int) -> None:
    """Call `work` on as many threads as torch uses here, `most` at most, until all are done.

    Raises
    ------
    MemoryError
        If one of them returns anything but 0.
    """
    threads = min(torch.get_num_threads(), most)
    if threads == 1:
        failed = work()
    else:
        with ThreadPoolExecutor(threads) as pool:
            failed = max(found.result() for found in [pool.submit(work) for _ in range(threads)])
    if failed:
        raise MemoryError("not enough memory for a group of sequences")


def kernel() -> Callable[..., int]:
    """Return the compiled function of float32 passes; see `passes_function`."""
    check_machine()
    return passes_function("exact_pass", FEATURES)


def check_machine() -> None:
    """Check the processor, and that there is a compiler, without compiling anything.

    Raises
    ------
    NotCompiled
        Saying what is missing.
    """
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        raise NotCompiled("the processor has no AVX-512")
    compiler()


def why_not(model: Any) -> str | None:
    """Why float32 passes of this model are not run by the kernel, or None if they are."""
    if sum(parameter.nbytes for parameter in model.parameters()) > MOST_COPIED_BYTES:
        return "its weights are too large to be held twice"
    return why_not_by(kernel, model)


def why_not_by(make: Callable[[], object], model: Any) -> str | None:
    """Why a kernel, of which `make` raises `NotCompiled` if it cannot be had, does not run this model."""
    reason = wrong_shape(model)
    if reason is None:
        try:
            make()
        except NotCompiled as error:
            return str(error)
    return reason


def wrong_shape(model: Any) -> str | None:
    """Why no kernel can run this model, whatever the machine."""
    layer = model.layers[0]
    if model.embed_tokens.weight.device.type != "cpu" or model.embed_tokens.weight.dtype != torch.float32:
        return "the model is not on the CPU in float32"
    if layer.embed_dim % _LANES or layer.ffn_embed_dim % _LANES:
        return f"its channels are no multiple of {_LANES}"
    if layer.self_attn.head_dim % 2 or layer.self_attn.head_dim > _WIDEST_HEAD:
        return f"its attention heads have an odd number of channels, or more than {_WIDEST_HEAD}"
    return None


class CompiledPasses:
    """A model's weights, laid out for a kernel that runs sequences of one length in float32.

    Parameters
    ----------
    model
        fair-esm's, float32 on the CPU, for which `why_not` is None.
    tokens
        How many a sequence has.
    residues, letters
        Tokens and vocabulary rows whose logits are wanted.
    """

    #: How many tokens a sequence have two terms of eight bits, where layers are multiplied in eight bits.
    _strongest = 0

    def __init__(self, model: Any, tokens: int, residues: slice, letters: Tensor) -> None:
        self._model, self._kernel = model, self._function()
        self._alive: list[Any] = []
        self._panels = self._laid_out()
        turn = rotary(model, tokens)
        blocks = (structs.Layer * len(model.layers))(*(self._layer(layer) for layer in model.layers))
        attention = model.layers[0].self_attn
        places, norm = positions(model, tokens), getattr(model, "emb_layer_norm_before", None)
        # Padded to a multiple of four, as the kernel reads them.
        padded = F.pad(model.lm_head.weight.detach()[letters], (0, 0, 0, -len(letters) % 4))
        self._letters, self._residues = len(letters), residues.stop - residues.start
        self._described = structs.Model(
            tokens=tokens,
            channels=model.layers[0].embed_dim,
            heads=attention.num_heads,
            layers=len(model.layers),
            first=residues.start,
            residues=self._residues,
            letters=self._letters,
            strongest=self._strongest,
            mask=model.mask_idx if token_dropout(model) else -1,
            embedding=self._address(model.embed_tokens.weight * model.embed_scale),
            positions=None if places is None else self._address(places),
            first_norm=structs.Norm() if norm is None else self._norm(norm),
            scaling=attention.scaling,
            cosine=None if turn is None else self._turns(turn.real, turn.real),
            sine=None if turn is None else self._turns(-turn.imag, turn.imag),
            layer=blocks,
            last_norm=self._norm(model.emb_layer_norm_after),
            head_norm=self._norm(model.lm_head.layer_norm),
            head=self._dense(model.lm_head.dense, first=residues.start),
            letter_weight=self._address(padded),
            letter_bias=self._address(model.lm_head.bias.detach()[letters]),
        )

    def __call__(self, tokens: Tensor) -> Tensor:
        """Logits (B, L, A) of tokens (B, T), on as many threads as torch uses here."""
        tokens = tokens.contiguous()
        sequences = len(tokens)
        found = torch.empty((sequences, self._residues, self._letters))
        # As many groups for every thread.
        threads = min(torch.get_num_threads(), sequences)
        together = max(1, round(_TOKENS_AT_A_TIME / tokens.shape[1]))
        groups = min(sequences, threads * -(-sequences // (threads * together)))
        wide = self._model.layers[0].ffn_embed_dim
        block = max(6, _HIDDEN_NUMBERS // wide // 6 * 6)
        following = ctypes.c_int64(0)

        on_threads(
            lambda: self._kernel(
                ctypes.byref(self._described),
                tokens.data_ptr(),
                sequences,
                groups,
                block,
                found.data_ptr(),
                ctypes.byref(following),
            ),
            threads,
        )
        return found

    def _laid_out(self) -> dict[int, tuple[Tensor, Tensor, int]]:
        return float_panels(self._model)

    def _function(self) -> Callable[..., int]:
        return kernel()

    def _layer(self, layer: Any) -> structs.Layer:
        return structs.Layer(
            attention_norm=self._norm(layer.self_attn_layer_norm),
            feed_forward_norm=self._norm(layer.final_layer_norm),
            projections=self._dense(layer.self_attn),
            attention_output=self._dense(layer.self_attn.out_proj),
            up=self._dense(layer.fc1),
            down=self._dense(layer.fc2),
        )

    def _norm(self, norm: Any) -> structs.Norm:
        return structs.Norm(self._address(norm.weight), self._address(norm.bias), norm.eps)

    def _dense(self, module: Any, first: int = 0) -> structs.Dense:
        """Addresses of one layer; `first` is the token that its first row belongs to."""
        weight, bias, inputs = self._panels[id(module)]
        return structs.Dense(
            inputs=inputs,
            outputs=len(bias),
            in_float32=True,
            weight=self._address(weight),
            output=self._address(bias),
        )

    def _turns(self, even: Tensor, odd: Tensor) -> int:
        """Factors of even and odd channels, each (T, D / 2), repeated for all heads."""
        heads = self._model.layers[0].self_attn.num_heads
        return self._address(torch.stack([even, odd], dim=-1).flatten(1).repeat(1, heads))

    def _address(self, tensor: Tensor) -> int:
        """Where a tensor's numbers lie, in order; it is kept alive."""
        tensor = tensor.detach().contiguous()
        self._alive.append(tensor)
        return tensor.data_ptr()


def panels(weight: Tensor) -> Tensor:
    """Lay (O, C) out in panels of up to 64 outputs, flat: in a panel (C, outputs)."""
    return torch.cat([part.t().flatten() for part in weight.detach().split(64)])


_PANELS: weakref.WeakKeyDictionary[Any, tuple[Any, dict[int, tuple[Tensor, Tensor, int]]]] = (
    weakref.WeakKeyDictionary()
)
_GUARD = threading.Lock()


def float_panels(model: Any) -> dict[int, tuple[Tensor, Tensor, int]]:
    """Weights in `panels`, bias and inputs of all dense layers, by the layer's identity.

    Kept while the model lives and its weights stay the same.
    """
    with _GUARD:
        stamp = fingerprints.weights_stamp(model)
        known = _PANELS.get(model)
        if known is None or known[0] != stamp:
            known = _PANELS[model] = stamp, _float_panels(model)
        return known[1]


def _float_panels(model: Any) -> dict[int, tuple[Tensor, Tensor, int]]:
    def laid_out(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, int]:
        return panels(weight), bias.detach(), weight.shape[1]

    head = model.lm_head.dense
    made = {id(head): laid_out(head.weight, head.bias)}
    for layer in model.layers:
        made[id(layer.self_attn)] = laid_out(*fused_projections(layer.self_attn))
        for dense in (layer.self_attn.out_proj, layer.fc1, layer.fc2):
            made[id(dense)] = laid_out(dense.weight, dense.bias)
    return made
