"""ESM-2 and ESM-1b of transformers in fair-esm's form, for our own kernels; the weights are shared."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from catjac_widgets.language_models.adapters.encoding import Encoding
from catjac_widgets.language_models.adapters.network import hidden_code
from catjac_widgets.language_models.adapters.network_structure import structure_of
from catjac_widgets.language_models.esm.alterations.stock import fair_esm
from catjac_widgets.language_models.esm.transformers_names import fair_esm_weights
from catjac_widgets.language_models.huggingface.structure import as_built
from catjac_widgets.proteins.alphabets import ESM_LETTERS

if TYPE_CHECKING:
    import torch

#: fair-esm builds its layer norms with it.
_EPSILON = 1e-5


def fits(network: Any, encoding: Encoding) -> bool:
    """Whether fair-esm has the same model: transformers' own class and code, sizes, positions, vocabulary."""
    from transformers import EsmForMaskedLM

    if type(network) is not EsmForMaskedLM or hidden_code(network):
        return False
    told = network.config
    positions = told.position_embedding_type
    alphabet = fair_esm().Alphabet.from_architecture("ESM-1b")
    vocabulary = (encoding.letters, encoding.tokens, encoding.columns, encoding.prefix, encoding.suffix)
    tokens = tuple(alphabet.get_idx(letter) for letter in ESM_LETTERS)
    return (
        vocabulary == (ESM_LETTERS, tokens, tokens, (alphabet.cls_idx,), (alphabet.eos_idx,))
        and (encoding.mask, told.mask_token_id) == (alphabet.mask_idx,) * 2
        and (told.pad_token_id, told.vocab_size) == (alphabet.padding_idx, len(alphabet))
        and told.layer_norm_eps == _EPSILON
        and positions in ("rotary", "absolute")
        # fair-esm's ESM-2 has neither of the two.
        and (
            positions == "absolute"
            or (told.intermediate_size == 4 * told.hidden_size and not told.emb_layer_norm_before)
        )
        and not told.is_decoder
        and not told.add_cross_attention
        and not told.is_folding_model
        and structure_of(network) == as_built(told)
    )


class EsmForm:
    """A fair-esm model made of the very parameters of one of transformers.

    Parameters
    ----------
    network
        An ``EsmForMaskedLM`` that `fits`. Whatever becomes of its parameters becomes of the fair-esm model.

    Attributes
    ----------
    model, alphabet
        See `FairEsm`.
    """

    def __init__(self, network: Any, encoding: Encoding) -> None:
        self._network, self._encoding = network, encoding
        self.alphabet = fair_esm().Alphabet.from_architecture("ESM-1b")
        self.model = _empty(network.config, self.alphabet)
        self._shared = self._weights()
        for name, parameter in self._shared.items():
            owner, _, key = name.rpartition(".")
            module = self.model.get_submodule(owner)
            module._parameters[key] = parameter
        left = [name for name, each in self.model.named_parameters() if each.is_meta]
        if left:
            raise ValueError(f"transformers' model has no {left[0]}")
        self._frequencies: torch.Tensor | None = None
        self._take_frequencies()
        self.model.eval()

    def holds(self) -> bool:
        """Whether it still is the same model as the network, which may have been altered since."""
        weights = self._weights()
        if weights.keys() != self._shared.keys():
            return False
        if any(weights[name] is not parameter for name, parameter in self._shared.items()):
            return False
        if not fits(self._network, self._encoding):
            return False
        self._take_frequencies()
        return True

    def _weights(self) -> dict[str, Any]:
        told = self._network.config.position_embedding_type
        parameters = dict(self._network.named_parameters(remove_duplicate=False))
        return fair_esm_weights(parameters, rotary=told == "rotary")

    def _take_frequencies(self) -> None:
        """Copy the rotary frequencies, which transformers keeps once: a buffer, replaced when it is moved."""
        rotary = self._network.esm.rotary_embeddings
        if rotary is None or rotary.inv_freq is self._frequencies:
            return
        self._frequencies = rotary.inv_freq
        for layer in self.model.layers:
            own = layer.self_attn.rot_emb
            own.inv_freq = rotary.inv_freq.detach().float().clone()
            own._seq_len_cached = own._cos_cached = own._sin_cached = None


def _empty(told: Any, alphabet: Any) -> Any:
    """Build fair-esm's model of these sizes without values."""
    import torch

    esm = fair_esm()
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        if told.position_embedding_type == "rotary":
            return esm.ESM2(
                told.num_hidden_layers,
                told.hidden_size,
                told.num_attention_heads,
                alphabet,
                bool(told.token_dropout),
            )
        settings = argparse.Namespace(
            arch="roberta_large",
            layers=told.num_hidden_layers,
            embed_dim=told.hidden_size,
            ffn_embed_dim=told.intermediate_size,
            attention_heads=told.num_attention_heads,
            max_positions=told.max_position_embeddings - alphabet.padding_idx - 1,
            emb_layer_norm_before=bool(told.emb_layer_norm_before),
            token_dropout=bool(told.token_dropout),
        )
        return esm.ProteinBertModel(settings, alphabet)
