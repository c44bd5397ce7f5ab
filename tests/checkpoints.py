"""Small random models of fair-esm's classes, and files in the formats of the published ones."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import esm
import torch
from safetensors.torch import save_file

REGRESSION = ("contact_head.regression.weight", "contact_head.regression.bias")


def randomise(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Give every parameter a value of its own (norms and biases too), and the contact head a fitted look."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "layer_norm" in name and name.endswith("weight"):
                parameter.copy_(1 + 0.2 * noise)
            elif parameter.ndim > 1:
                parameter.copy_(noise * parameter.shape[-1] ** -0.5)
            else:
                parameter.copy_(0.2 * noise)
        model.embed_tokens.weight.copy_(
            0.6 * torch.randn(model.embed_tokens.weight.shape, generator=generator)
        )
        model.embed_tokens.weight[model.padding_idx] = 0
        regression = model.contact_head.regression
        # Sparse, with a negative offset, as the published ones are.
        kept = torch.rand(regression.weight.shape, generator=generator) < 0.5
        regression.weight.copy_(5 * torch.randn(regression.weight.shape, generator=generator) * kept)
        regression.bias.fill_(-2.0)
    return model.eval()


def random_esm2(
    layers: int = 2, width: int = 32, heads: int = 4, *, seed: int = 0, token_dropout: bool = True
) -> Any:
    """A random ESM-2 in evaluation mode."""
    return randomise(esm.ESM2(layers, width, heads, "ESM-1b", token_dropout), seed)


def random_esm1b(
    layers: int = 2,
    width: int = 32,
    heads: int = 4,
    *,
    positions: int = 64,
    norm_before: bool = True,
    token_dropout: bool = True,
    seed: int = 0,
) -> Any:
    """A random ESM-1b (or ESM-1v) that takes `positions` - 2 residues, in evaluation mode."""
    settings = argparse.Namespace(
        arch="roberta_large",
        layers=layers,
        embed_dim=width,
        ffn_embed_dim=4 * width,
        attention_heads=heads,
        max_positions=positions,
        emb_layer_norm_before=norm_before,
        token_dropout=token_dropout,
    )
    model = esm.ProteinBertModel(settings, esm.Alphabet.from_architecture("ESM-1b"))
    randomise(model, seed)
    with torch.no_grad():
        model.embed_tokens.weight[model.mask_idx] = 0  # as fair-esm does when it loads one
    return model


def random_esm1(layers: int = 2, width: int = 32, heads: int = 4, *, seed: int = 0) -> Any:
    """A random ESM-1 (sinusoidal positions, no end token) in evaluation mode."""
    settings = argparse.Namespace(
        arch="protein_bert_base",
        layers=layers,
        embed_dim=width,
        ffn_embed_dim=4 * width,
        attention_heads=heads,
        final_bias=True,
    )
    return randomise(esm.ProteinBertModel(settings, esm.Alphabet.from_architecture("ESM-1")), seed)


def random_msa_transformer(
    layers: int = 2,
    width: int = 32,
    heads: int = 4,
    *,
    positions: int = 64,
    row_positions: str = "vector",
    seed: int = 0,
    tokens: int = 2**14,
) -> Any:
    """A random MSA Transformer that takes `positions` - 1 residues, in evaluation mode.

    `row_positions` says what is learned for each row: a vector, one number ("first release"), or nothing;
    beyond `tokens` tokens of an alignment attention is computed in parts.
    """
    settings = argparse.Namespace(
        arch="msa_transformer",
        layers=layers,
        embed_dim=width,
        ffn_embed_dim=4 * width,
        attention_heads=heads,
        max_positions=positions,
        max_tokens=tokens,
        dropout=0.1,
        attention_dropout=0.1,
        activation_dropout=0.1,
        embed_positions_msa=bool(row_positions),
    )
    if row_positions == "first release":
        settings.embed_positions_msa_dim = 1
    model = esm.MSATransformer(settings, esm.Alphabet.from_architecture("msa_transformer"))
    return randomise(model, seed)


def write_esm2(
    model: Any, folder: Path, name: str = "esm2_t2_tiny_UR50D", *, regression: bool = True
) -> Path:
    """Write `name`.pt as ESM-2 files are: {"cfg": {"model": Namespace}, "model": weights}."""
    settings = argparse.Namespace(
        encoder_layers=model.num_layers,
        encoder_embed_dim=model.embed_dim,
        encoder_attention_heads=model.attention_heads,
        token_dropout=model.token_dropout,
    )
    weights = {_fairseq(key): value for key, value in model.state_dict().items() if key not in REGRESSION}
    return _write(folder, name, {"cfg": {"model": settings}, "model": weights}, model, regression)


def write_esm1b(
    model: Any,
    folder: Path,
    name: str = "esm1b_t2_tiny_UR50S",
    *,
    regression: bool = True,
    zipped: bool = True,
) -> Path:
    """Write `name`.pt as ESM-1b files are: {"args": Namespace, "model": weights} in older names."""
    settings = argparse.Namespace(
        arch="roberta_large",
        encoder_layers=model.args.layers,
        encoder_embed_dim=model.args.embed_dim,
        encoder_ffn_embed_dim=model.args.ffn_embed_dim,
        encoder_attention_heads=model.args.attention_heads,
        max_positions=model.args.max_positions,
        token_dropout=model.args.token_dropout,
    )
    # fair-esm strips "encoder_" from every argument's name, so the others carry it as well.
    settings = argparse.Namespace(
        **{
            key if key.startswith("encoder_") else f"encoder_{key}": value
            for key, value in vars(settings).items()
        },
        arch="roberta_large",
    )
    weights = {_fairseq(key): value for key, value in model.state_dict().items() if key not in REGRESSION}
    return _write(folder, name, {"args": settings, "model": weights}, model, regression, zipped)


def write_esm1(model: Any, folder: Path, name: str = "esm1_t2_tiny_UR50S") -> Path:
    """Write `name`.pt as ESM-1 files are: names under "decoder"."""
    names = ("layers", "embed_dim", "ffn_embed_dim", "attention_heads", "final_bias")
    settings = {f"decoder_{key}": getattr(model.args, key) for key in names}
    weights = {f"decoder.{key}": value for key, value in model.state_dict().items() if key not in REGRESSION}
    data = {"args": argparse.Namespace(arch="protein_bert_base", **settings), "model": weights}
    return _write(folder, name, data, model, True)


def write_msa_transformer(
    model: Any, folder: Path, name: str = "esm_msa1b_t2_tiny_UR50S", *, regression: bool = True
) -> Path:
    """Write `name`.pt as MSA Transformer files are: rows and columns have each other's names in it."""
    kept = ("arch", "max_tokens", "dropout", "attention_dropout", "activation_dropout")
    settings = {key if key in kept else f"encoder_{key}": value for key, value in vars(model.args).items()}
    weights = {}
    for key, value in model.state_dict().items():
        if key not in REGRESSION:
            swapped = key.replace("row", "column") if "row" in key else key.replace("column", "row")
            weights[_fairseq(swapped)] = value
    data = {"args": argparse.Namespace(**settings), "model": weights}
    return _write(folder, name, data, model, regression)


def write_safetensors(model: Any, path: Path, *, contact_head: bool = True) -> Path:
    """Write a state_dict without tied weights, sizes in the header, as the embedded model's file is."""
    heads = model.layers[0].attention_heads
    header = {
        "num_layers": str(len(model.layers)),
        "embed_dim": str(model.layers[0].embed_dim),
        "attention_heads": str(heads),
        "alphabet": "ESM-1b",
        "token_dropout": str(bool(getattr(model, "token_dropout", True))).lower(),
    }
    weights = {
        key: value.detach().clone().contiguous()
        for key, value in model.state_dict().items()
        if key != "lm_head.weight" and (contact_head or key not in REGRESSION)
    }
    save_file(weights, str(path), metadata=header)
    return path


def write_embedded(folder: Path, families: list[dict[str, Any]], *, seed: int = 0) -> Path:
    """Write `mini.safetensors` and `mini.json` as the package holds them."""
    write_safetensors(random_esm2(seed=seed), folder / "mini.safetensors")
    (folder / "mini.json").write_text(json.dumps({"families": families}), encoding="utf-8")
    return folder


def _fairseq(key: str) -> str:
    return f"encoder.{key}" if key.startswith("lm_head") else f"encoder.sentence_encoder.{key}"


def _write(
    folder: Path, name: str, data: dict[str, Any], model: Any, regression: bool, zipped: bool = True
) -> Path:
    path = folder / f"{name}.pt"
    torch.save(data, path, _use_new_zipfile_serialization=zipped)
    if regression:
        state = model.state_dict()
        torch.save(
            {"model": {key: state[key] for key in REGRESSION}}, folder / f"{name}-contact-regression.pt"
        )
    return path
