"""Small random models of transformers' own classes, their tokenizers, and folders of them."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import torch

#: The vocabulary of ESM-2 and ESM-1b, by id.
ESM_VOCABULARY = [
    "<cls>",
    "<pad>",
    "<eos>",
    "<unk>",
    "L",
    "A",
    "G",
    "V",
    "S",
    "E",
    "R",
    "T",
    "I",
    "D",
    "P",
    "K",
    "Q",
    "N",
    "F",
    "Y",
    "M",
    "H",
    "W",
    "C",
    "X",
    "B",
    "U",
    "Z",
    "O",
    ".",
    "-",
    "<null_1>",
    "<mask>",
]

#: In the manner of ProtBERT: other ids than those of ESM, words of one letter each.
BERT_VOCABULARY = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "L",
    "A",
    "G",
    "V",
    "E",
    "S",
    "I",
    "K",
    "R",
    "D",
    "T",
    "P",
    "N",
    "Q",
    "F",
    "Y",
    "M",
    "H",
    "C",
    "W",
    "X",
    "U",
    "B",
    "Z",
    "O",
]

#: In the manner of a model of DNA.
DNA_VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "T", "G", "N", "A", "C"]


@functools.cache
def _folder() -> Path:
    kept = tempfile.TemporaryDirectory(prefix="catjac-tokenizers-")
    _KEPT.append(kept)
    return Path(kept.name)


_KEPT: list[tempfile.TemporaryDirectory[str]] = []


def randomise(network: Any, seed: int = 0) -> Any:
    """Give every parameter a value of its own, and a contact head a fitted look."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "norm" in name.lower() and name.endswith("weight"):
                parameter.copy_(1 + 0.2 * noise)
            elif "embeddings" in name or "embed_tokens" in name:
                parameter.copy_(0.6 * noise)
            elif parameter.ndim > 1:
                parameter.copy_(noise * parameter.shape[-1] ** -0.5)
            else:
                parameter.copy_(0.2 * noise)
        if hasattr(getattr(network, "esm", None), "contact_head"):
            network.esm.contact_head.regression.weight.mul_(5)
            network.esm.contact_head.regression.bias.fill_(-2.0)
    return network.eval()


def esm_config(**others: Any) -> Any:
    from transformers import EsmConfig

    usual = {
        "vocab_size": 33, "mask_token_id": 32, "pad_token_id": 1, "hidden_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 4, "intermediate_size": 128, "max_position_embeddings": 66,
        "layer_norm_eps": 1e-5, "position_embedding_type": "rotary", "token_dropout": True,
    }  # fmt: skip
    return EsmConfig(**{**usual, **others})


def esm_network(*, seed: int = 0, **others: Any) -> Any:
    """A random ``EsmForMaskedLM``: ESM-2 by default."""
    from transformers import EsmForMaskedLM

    return randomise(EsmForMaskedLM(esm_config(**others)), seed)


def esm_tokenizer() -> Any:
    from transformers import EsmTokenizer

    return EsmTokenizer(str(_vocabulary("esm", ESM_VOCABULARY)))


def bert_network(vocabulary: list[str] = BERT_VOCABULARY, *, seed: int = 0, **others: Any) -> Any:
    """A random ``BertForMaskedLM`` that takes 38 residues."""
    from transformers import BertConfig, BertForMaskedLM

    usual = {
        "vocab_size": len(vocabulary), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 64, "max_position_embeddings": 40,
    }  # fmt: skip
    return randomise(BertForMaskedLM(BertConfig(**{**usual, **others})), seed)


def bert_tokenizer(vocabulary: list[str] = BERT_VOCABULARY, *, lower: bool = False) -> Any:
    from transformers import BertTokenizer

    path = _vocabulary(f"bert{len(vocabulary)}", vocabulary)
    return BertTokenizer(str(path), do_lower_case=lower)


def roberta_network(vocabulary: list[str] = DNA_VOCABULARY, *, seed: int = 0) -> Any:
    """A random ``RobertaForMaskedLM`` whose positions count from behind its padding token: 37 residues."""
    from transformers import RobertaConfig, RobertaForMaskedLM

    config = RobertaConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=40, pad_token_id=0, bos_token_id=2, eos_token_id=3,
    )  # fmt: skip
    return randomise(RobertaForMaskedLM(config), seed)


def esmc_network(*, seed: int = 0) -> Any:
    """A random ``EsmcForMaskedLM``, with its 64 columns."""
    from transformers import EsmcConfig, EsmcForMaskedLM

    config = EsmcConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
    return randomise(EsmcForMaskedLM(config), seed)


def esmc_tokenizer() -> Any:
    from transformers import EsmcTokenizer

    return EsmcTokenizer()


def written(folder: Path, network: Any, tokenizer: Any, **options: Any) -> Path:
    """Save both as people publish them."""
    network.save_pretrained(folder, **options)
    tokenizer.save_pretrained(folder)
    return folder


def of_fair_esm(model: Any) -> Any:
    """The ``EsmForMaskedLM`` with the weights of a fair-esm ESM-2 or ESM-1b, each put where it belongs."""
    older = hasattr(model, "embed_positions")
    settings = model.args if older else model
    network = esm_network(
        hidden_size=settings.embed_dim,
        num_hidden_layers=len(model.layers),
        num_attention_heads=model.layers[0].attention_heads,
        intermediate_size=4 * settings.embed_dim,
        position_embedding_type="absolute" if older else "rotary",
        max_position_embeddings=settings.max_positions + 2 if older else 66,
        emb_layer_norm_before=older and model.emb_layer_norm_before is not None,
        token_dropout=bool(settings.token_dropout),
    )
    ours, theirs = network.esm, model
    pairs = [
        (ours.embeddings.word_embeddings, theirs.embed_tokens),
        (ours.encoder.emb_layer_norm_after, theirs.emb_layer_norm_after),
        (ours.contact_head.regression, theirs.contact_head.regression),
        (network.lm_head.dense, theirs.lm_head.dense),
        (network.lm_head.layer_norm, theirs.lm_head.layer_norm),
    ]
    if older:
        pairs.append((ours.embeddings.position_embeddings, theirs.embed_positions))
        if theirs.emb_layer_norm_before is not None:
            pairs.append((ours.embeddings.layer_norm, theirs.emb_layer_norm_before))
    for own, other in zip(ours.encoder.layer, theirs.layers, strict=True):
        pairs += [
            (own.attention.self.query, other.self_attn.q_proj),
            (own.attention.self.key, other.self_attn.k_proj),
            (own.attention.self.value, other.self_attn.v_proj),
            (own.attention.output.dense, other.self_attn.out_proj),
            (own.attention.LayerNorm, other.self_attn_layer_norm),
            (own.intermediate.dense, other.fc1),
            (own.output.dense, other.fc2),
            (own.LayerNorm, other.final_layer_norm),
        ]
    with torch.no_grad():
        for own, other in pairs:
            own.weight.copy_(other.weight)
            if getattr(other, "bias", None) is not None:
                own.bias.copy_(other.bias)
        network.lm_head.bias.copy_(theirs.lm_head.bias)
    assert network.lm_head.decoder.weight is ours.embeddings.word_embeddings.weight
    return network


def _vocabulary(name: str, vocabulary: list[str]) -> Path:
    path = _folder() / name / "vocab.txt"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(vocabulary), encoding="utf-8")
    return path


def esm_folder(tmp_path: Path, **options: Any) -> Path:
    return written(tmp_path / "esm", esm_network(), esm_tokenizer(), **options)
