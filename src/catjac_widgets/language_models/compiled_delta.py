"""Passes of eight-bit differences by a kernel compiled from C (see `delta_layers` for what is computed).

A CPU with AVX-512 and VNNI multiplies bytes at four times the rate of float32, but torch takes a pass over
memory for each step of rounding and scaling between the products, which eats up most of that. The kernel
takes a few sequences through the whole model while they lie in the core's cache.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from catjac_widgets.language_models.compiled import structures
from catjac_widgets.language_models.compiled.compiling import NotCompiled, at_hand, compiler, library
from catjac_widgets.language_models.delta_layers import DeltaLayers, Int8Weight
from catjac_widgets.language_models.fair_esm_forward import embed, letter_logits, rotary
from catjac_widgets.language_models.linear_layers import fast_layers

if TYPE_CHECKING:
    from torch import Tensor

#: What the kernel needs of the processor, by gcc's names; the operating system's are the same.
FEATURES = ("avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512vnni", "fma")

#: Tokens that go through the layers together: enough to read each weight seldom, few enough for the cache.
_TOKENS_AT_A_TIME = 256

#: Tokens of two terms in a preview, which needs no more.
_STRONGEST_IN_A_PREVIEW = 3

#: Numbers of a block's hidden layer, which is the widest.
_HIDDEN_NUMBERS = 64 * 1024

#: Channels of an attention head and of a vector register, by which the kernel divides its work.
_WIDEST_HEAD, _LANES = 64, 16


def kernel() -> Callable[..., int]:
    """Return the compiled function, making it at the first call, which takes some seconds.

    Raises
    ------
    NotCompiled
        If this processor or this machine's compiler cannot have it; the text says why.
    """
    check_machine()
    function = library("delta_pass", FEATURES).delta_pass
    function.restype = ctypes.c_int
    function.argtypes = [
        ctypes.POINTER(structures.Model),
        ctypes.c_void_p,
        *[ctypes.c_int64] * 3,
        ctypes.c_void_p,
        ctypes.POINTER(ctypes.c_int64),
    ]
    return function


def check_machine() -> None:
    """Check the processor, and that there is a compiler, without compiling anything.

    Raises
    ------
    NotCompiled
        Saying what is missing.
    """
    multiplies_bytes = getattr(torch.cpu, "_is_vnni_supported", bool)
    if torch.backends.cpu.get_cpu_capability() != "AVX512" or not multiplies_bytes():
        raise NotCompiled("the processor has no AVX-512 with VNNI")
    compiler()


def why_not(model: Any) -> str | None:
    """Why the kernel cannot run this model, or None if it can."""
    reason = _wrong_shape(model)
    if reason is None:
        try:
            kernel()
        except NotCompiled as error:
            return str(error)
    return reason


def _wrong_shape(model: Any) -> str | None:
    layer = model.layers[0]
    if model.embed_tokens.weight.device.type != "cpu" or model.embed_tokens.weight.dtype != torch.float32:
        return "the model is not on the CPU in float32"
    if layer.embed_dim % _LANES or layer.ffn_embed_dim % _LANES:
        return f"its channels are no multiple of {_LANES}"
    if layer.self_attn.head_dim % 2 or layer.self_attn.head_dim > _WIDEST_HEAD:
        return f"its attention heads have more than {_WIDEST_HEAD} channels"
    return None


def without_delay(
    model: Any, tokens: Tensor, residues: slice, letters: Tensor
) -> Callable[[Tensor], Tensor] | None:
    """Make passes ready for a preview, unchecked; None if that cannot be, or has to be compiled first.

    Parameters
    ----------
    model
        fair-esm's; called in inference mode, within `running`.
    tokens
        Of the wild type (T,).
    residues, letters
        See `CompiledDelta`.
    """
    try:
        check_machine()
    except NotCompiled:
        return None
    if _wrong_shape(model) is not None or not at_hand("delta_pass", FEATURES) or why_not(model) is not None:
        return None
    layers = DeltaLayers(model, fast_layers(model), "int8")
    letter_logits(model, tokens[None], residues, letters, layers)
    layers.stage = "run"
    return CompiledDelta(model, layers, residues, letters, _STRONGEST_IN_A_PREVIEW)


class CompiledDelta:
    """A protein's wild type and a model's weights, laid out for the kernel.

    Parameters
    ----------
    model
        fair-esm's, float32 on the CPU.
    layers
        With the wild type remembered and its mutants checked.
    residues, letters
        Tokens and vocabulary rows whose logits are wanted.
    strongest
        How many tokens a sequence have two terms of eight bits.
    """

    def __init__(
        self, model: Any, layers: DeltaLayers, residues: slice, letters: Tensor, strongest: int
    ) -> None:
        self._model, self._layers, self._kernel = model, layers, kernel()
        self._alive: list[Any] = []
        tokens = layers.remembered(model.layers[0].self_attn)[0].shape[0]
        turn = rotary(model, tokens)
        blocks = (structures.Layer * len(model.layers))(*(self._layer(layer) for layer in model.layers))
        attention = model.layers[0].self_attn
        # Padded to a multiple of four, as the kernel reads them.
        padded = F.pad(model.lm_head.weight.detach()[letters], (0, 0, 0, -len(letters) % 4))
        self._letters, self._residues = len(letters), residues.stop - residues.start
        self._wild_type = structures.Model(
            tokens=tokens,
            channels=model.layers[0].embed_dim,
            heads=attention.num_heads,
            layers=len(model.layers),
            first=residues.start,
            residues=self._residues,
            letters=self._letters,
            strongest=strongest,
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
        x = embed(self._model, tokens).contiguous()
        sequences = len(tokens)
        found = torch.empty((sequences, self._residues, self._letters))
        threads = min(torch.get_num_threads(), sequences)
        group = max(1, min(sequences // threads, round(_TOKENS_AT_A_TIME / tokens.shape[1])))
        wide = self._model.layers[0].ffn_embed_dim
        block = max(6, _HIDDEN_NUMBERS // wide // 6 * 6)
        following = ctypes.c_int64(0)

        def work(_: int) -> int:
            return self._kernel(
                ctypes.byref(self._wild_type),
                x.data_ptr(),
                sequences,
                group,
                block,
                found.data_ptr(),
                ctypes.byref(following),
            )

        if threads == 1:
            failed = work(0)
        else:
            with ThreadPoolExecutor(threads) as pool:
                failed = max(pool.map(work, range(threads)))
        if failed:
            raise MemoryError("not enough memory for a group of sequences")
        return found

    def _layer(self, layer: Any) -> structures.Layer:
        return structures.Layer(
            attention_norm=self._norm(layer.self_attn_layer_norm),
            feed_forward_norm=self._norm(layer.final_layer_norm),
            projections=self._dense(layer.self_attn),
            attention_output=self._dense(layer.self_attn.out_proj),
            up=self._dense(layer.fc1),
            down=self._dense(layer.fc2),
        )

    def _norm(self, norm: Any) -> structures.Norm:
        return structures.Norm(self._address(norm.weight), self._address(norm.bias), norm.eps)

    def _dense(self, module: Any, first: int = 0) -> structures.Dense:
        """Addresses of one layer; `first` is the token that its first remembered row belongs to."""
        known, base = self._layers.remembered(module)
        weight = self._layers.coarse(module)
        assert isinstance(weight, Int8Weight)
        in_float32 = self._layers.stays_in_float32(module)
        outputs, inputs = base.shape[-1], known.shape[-1]
        return structures.Dense(
            inputs=inputs,
            outputs=outputs,
            in_float32=in_float32,
            weight=self._address(weight.weight) if in_float32 else None,
            packed=self._address(weight.packed()),
            offset=self._address(weight.offset),
            scale=self._address(weight.scale),
            input=self._address(known) - 4 * first * inputs,
            output=self._address(base) - 4 * first * outputs,
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
