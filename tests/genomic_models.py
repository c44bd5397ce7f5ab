"""Small random networks of transformers' own classes with gLM2's vocabulary: they stand in for it in tests.

They are no gLM2: its class comes with its weights and is in no package. What is tested on them is everything
around the network: elements, strands, alphabets, and what becomes of logits.
"""

from __future__ import annotations

from typing import Any

from transformers_models import bert_network, esm_network

#: Published with gLM2, by id.
GENOMIC_VOCABULARY = [
    *("<cls>", "<pad>", "<eos>", "<unk>"),
    *"LAGVSERTIDPKQNFYMHWC",
    *"XBUZO",
    *"atcg",
    *("<+>", "<->", "<mask>", "<sep>"),
]


def genomic_tokenizer() -> Any:
    """One token a letter and a strand, and none around them."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(
        models.WordLevel({token: k for k, token in enumerate(GENOMIC_VOCABULARY)}, unk_token="<unk>")
    )
    made.pre_tokenizer = pre_tokenizers.Split(Regex(r"<[^>]+>|."), "isolated")
    return PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token="<unk>", pad_token="<pad>", mask_token="<mask>"
    )


def genomic_network(*, seed: int = 0, **others: Any) -> Any:
    """A random ``BertForMaskedLM`` of 37 tokens that takes 60 of them."""
    return bert_network(GENOMIC_VOCABULARY, seed=seed, **{"max_position_embeddings": 60, **others})


def rotary_network(*, seed: int = 0) -> Any:
    """A random ``EsmForMaskedLM`` of 37 tokens with rotary positions, as gLM2 has them."""
    return esm_network(seed=seed, vocab_size=37, mask_token_id=35, token_dropout=False)
