"""One model of every adapter that ships, in the class that ships, small and with random weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from checkpoints import random_esm1, random_esm1b, random_esm2, random_msa_transformer
from genomic_models import genomic_network, genomic_tokenizer
from labelled_potts import random_parameters
from plain_mpnn import random_mpnn
from transformers_models import (
    DNA_VOCABULARY,
    bert_network,
    bert_tokenizer,
    esm_network,
    esm_tokenizer,
    esmc_network,
    esmc_tokenizer,
    roberta_network,
)

from catjac_widgets.language_models.base import LanguageModel
from catjac_widgets.language_models.esm.masked_ends import masked_ends
from catjac_widgets.language_models.esm.mini import weights as embedded
from catjac_widgets.language_models.glm2.wrapping import wrap_glm2
from catjac_widgets.language_models.potts.adapter import Potts, random_potts
from catjac_widgets.language_models.registry import load_model, wrap
from catjac_widgets.language_models.unirep.adapter import UniRep
from catjac_widgets.language_models.unirep.network import random_lstm
from catjac_widgets.proteins.alphabets import ALIGNMENT_LETTERS, ESM_LETTERS, RNA_LETTERS

RESIDUES = "MKTAYIAKQRQISFVKSHFSRQ"


class Subclassed(type(random_esm2())):
    """A model of somebody's own: fair-esm's with sharper logits."""

    def forward(self, tokens: torch.Tensor, *others: Any, **named: Any) -> Any:
        found = super().forward(tokens, *others, **named)
        return {**found, "logits": 2 * found["logits"]}


def subclassed() -> Any:
    model = Subclassed(2, 32, 4)
    model.load_state_dict(random_esm2().state_dict())
    return model.eval()


def mini() -> LanguageModel:
    if not (embedded.FOLDER / embedded.WEIGHTS).is_file():
        pytest.skip("the embedded model is not in this checkout")
    return load_model("mini", device="cpu")


def part_of_a_query() -> LanguageModel:
    """A Potts model as files of plmc and GREMLIN give it: residues without a column lie all over."""
    columns = tuple(k for k in range(2, 19) if k not in (5, 11))
    parameters = random_parameters(len(columns), 6)
    return Potts(replace(parameters, columns=columns, is_part=True), name="part of a query")


#: One of every adapter that ships, in the class that ships; those that are networks of fair-esm.
ADAPTERS: dict[str, Callable[[], LanguageModel]] = {
    "ESM-2": lambda: wrap(random_esm2()),
    "ESM-1b": lambda: wrap(random_esm1b(), name="my ESM-1b"),
    "ESM-1": lambda: wrap(random_esm1()),
    "a subclass of ESM-2": lambda: wrap(subclassed()),
    "ESM-2 in float64": lambda: wrap(random_esm2().double()),
    "mini": mini,
    "ESM-2, ends masked": lambda: masked_ends(wrap(random_esm2())),
    "ESM-1b, ends masked": lambda: masked_ends(wrap(random_esm1b())),
    "mini, ends masked": lambda: masked_ends(mini()),
    "ESM-2 of transformers": lambda: wrap((esm_network(), esm_tokenizer())),
    "ESM-1b of transformers": lambda: wrap(
        (esm_network(position_embedding_type="absolute", emb_layer_norm_before=True), esm_tokenizer())
    ),
}


def own_function() -> LanguageModel:
    """Somebody's function with tokens of its own: a network over vectors of letters, ends and masks."""
    A = len(ESM_LETTERS)
    seeded = torch.Generator().manual_seed(8)
    vectors = torch.randn(A + 3, 16, generator=seeded)
    layer = torch.randn(16, A, generator=seeded)

    def logits(tokens: torch.Tensor) -> torch.Tensor:
        shown = vectors[tokens]
        places = torch.arange(1, tokens.shape[1] + 1)[None, :, None]
        return torch.tanh(shown + (shown / places).sum(dim=1, keepdim=True)) @ layer

    ends: dict[str, Any] = {"prefix": [A], "suffix": [A + 1], "mask_token": A + 2}
    return wrap(logits, letters=ESM_LETTERS, max_residues=40, name="a function", fingerprint="8", **ends)


def own_causal_function() -> LanguageModel:
    """Somebody's function that reads from left to right, without masks."""
    seeded = torch.Generator().manual_seed(9)
    vectors = torch.randn(21, 20, generator=seeded)

    def logits(tokens: torch.Tensor) -> torch.Tensor:
        return torch.tanh(vectors[tokens].cumsum(dim=1)) @ vectors[:20].T

    letters = ALIGNMENT_LETTERS
    return wrap(logits, letters=letters, prefix=[20], causal=True, name="left to right", fingerprint="9")


def in_an_alignment(rows: int = 5, **options: Any) -> LanguageModel:
    """An MSA Transformer that reads RESIDUES with others like it."""
    others = [
        RESIDUES[:k] + "-" * (k % 3) + RESIDUES[: len(RESIDUES) - k - k % 3] for k in range(2, rows + 1)
    ]
    text = "".join(f">{k}\n{row}\n" for k, row in enumerate([RESIDUES, *others]))
    return wrap(random_msa_transformer(**options), alignment=text, name="tiny MSA Transformer")


#: Models that are no network of fair-esm, or one that reads an alignment: the same promises hold, as far as
#: they concern every family.
OTHERS: dict[str, Callable[[], LanguageModel]] = {
    "a Potts model": lambda: random_potts(len(RESIDUES), letters=ESM_LETTERS, seed=3),
    "a Potts model of other letters": lambda: random_potts(len(RESIDUES), letters=ALIGNMENT_LETTERS, seed=4),
    "a Potts model of RNA": lambda: random_potts(len(RESIDUES), letters=RNA_LETTERS, seed=5),
    "a Potts model of a part": part_of_a_query,
    "a function": own_function,
    "a function that reads from left to right": own_causal_function,
    "UniRep of one layer": lambda: UniRep(random_lstm(1, 24), name="tiny UniRep"),
    "UniRep of three layers": lambda: UniRep(random_lstm(3, 24), name="tiny UniRep"),
    "MSA Transformer": in_an_alignment,
    "MSA Transformer of the first release": lambda: in_an_alignment(row_positions="first release"),
    "MSA Transformer on the query alone": lambda: in_an_alignment(rows=1),
    "ProteinMPNN": random_mpnn,
    "ProteinMPNN, two chains": lambda: random_mpnn(lengths=(13, 9)),
    "ProteinMPNN of Cα": lambda: random_mpnn(alpha_only=True),
    "ProteinMPNN, each last": lambda: random_mpnn(readout="last"),
    "ESM-2 through transformers": lambda: wrap((esm_network(layer_norm_eps=1e-6), esm_tokenizer())),
    "BERT": lambda: wrap((bert_network(), bert_tokenizer())),
    "RoBERTa of DNA": lambda: wrap((roberta_network(), bert_tokenizer(DNA_VOCABULARY))),
    # The adapter of gLM2, whose own class is in no package, around others.
    "elements of genomes": lambda: wrap((genomic_network(), genomic_tokenizer())),
    "elements of genomes, without strands": lambda: wrap_glm2(genomic_network(), strands=False),
    "ESM-C": lambda: wrap((esmc_network(), esmc_tokenizer())),
}


def residues_of(model: LanguageModel) -> str:
    """As many residues as RESIDUES, in the model's letters."""
    A = len(model.letters)
    return "".join(
        letter if letter in model.letters else model.letters[k % A] for k, letter in enumerate(RESIDUES)
    )
