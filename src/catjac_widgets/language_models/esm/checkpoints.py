"""Reading checkpoints safely: fair-esm's `.pt` files and safetensors, never by running code in them."""

from __future__ import annotations

import argparse
import math
import os
import pickle
import re
import threading
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catjac_widgets.errors import CatjacError, CheckpointError
from catjac_widgets.input_files import check_file, reason, shown
from catjac_widgets.language_models.esm.alterations.stock import fair_esm, regression_is_fitted
from catjac_widgets.language_models.fingerprints import file_memory, sha256_of_file
from catjac_widgets.proteins.alphabets import ESM_LETTERS

_LAYER = re.compile(r"\blayers\.(\d+)\.")
_ALLOWING = threading.Lock()
_REGRESSION = ("contact_head.regression.weight", "contact_head.regression.bias")

#: Architectures of checkpoints: those that read one sequence, and the one that reads an alignment.
SINGLE, ALIGNED = ("ESM-1b", "roberta_large", "protein_bert_base"), ("msa_transformer",)


@dataclass(frozen=True)
class CheckpointFacts:
    """What can be said of a checkpoint before it is loaded.

    Attributes
    ----------
    fingerprint
        Text made of the SHA-256 of its file, and of its contact-regression file where there is one.
    letters
        The letters of its logits in its own order.
    max_residues
        The longest sequence, or None.
    contact_head
        Whether fitted weights of a contact head come with it.
    architecture
        One of `SINGLE` or `ALIGNED`.
    """

    fingerprint: str
    letters: str
    max_residues: int | None
    contact_head: bool
    architecture: str


def regression_file(path: Path) -> Path:
    """Name the file with the contact head's regression that belongs beside a `.pt` checkpoint."""
    return path.with_name(f"{path.stem}-contact-regression.pt")


def facts_of(path: Path, architectures: tuple[str, ...] = SINGLE) -> CheckpointFacts:
    """Look at a checkpoint without building its model; remembered until the file changes.

    Raises
    ------
    CheckpointError
        If it is missing, truncated, unsafe or of another format or architecture.
    """
    files = _files(path)
    known = _facts(file_memory.get(files))
    if known is not None:
        _check_architecture(path, known.architecture, architectures)
        return known
    seen = file_memory.seen(files)
    # The arrays that are looked at are small, and numpy is there long before torch.
    contents = _read_safetensors(path, "np") if path.suffix == ".safetensors" else _read(path)
    _check_architecture(path, contents.architecture, architectures)
    with _as_checkpoint_error(path):
        _check_sizes(contents)
        positions = next(
            (v.shape[0] for k, v in contents.weights.items() if k.endswith("embed_positions.weight")), None
        )
        contact_head = _has_fitted_regression(contents)
    digest = ":".join(sha256_of_file(file) for file in files)
    facts = CheckpointFacts(
        fingerprint=f"file:{digest}",
        # All of fair-esm's vocabularies have the amino acids in this order (a test compares).
        letters=ESM_LETTERS,
        # Learned positions: two rows stand for padding, two more for the start and end tokens; an alignment
        # has no end token.
        max_residues=None
        if positions is None
        else positions - (3 if contents.architecture in ALIGNED else 4),
        contact_head=contact_head,
        architecture=contents.architecture,
    )
    file_memory.put(files, vars(facts), seen)
    return facts


def last_facts_of(path: Path) -> CheckpointFacts | None:
    """Tell what was known of a checkpoint, and of its regression, before its file was taken away."""
    known = file_memory.last([path, regression_file(path)]) or file_memory.last([path])
    return _facts(known)


def _facts(known: dict[str, Any] | None) -> CheckpointFacts | None:
    """Make facts of what was remembered; None where another version remembered something else."""
    try:
        facts = None if known is None else CheckpointFacts(**known)
    except TypeError:
        return None
    if facts is None:
        return None
    types = {
        "fingerprint": str, "letters": str, "max_residues": int | None, "contact_head": bool,
        "architecture": str,
    }  # fmt: skip
    sound = all(isinstance(getattr(facts, name), kind) for name, kind in types.items())
    return facts if sound else None


def sizes_of(path: Path) -> dict[str, Any]:
    """Family, parameters, layers and bytes of a safetensors checkpoint, from its header alone."""
    from safetensors import safe_open

    with safe_open(str(path), framework="np") as file:
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 - not a dict
    return {
        "family": "ESM-1b" if "embed_positions.weight" in shapes else "ESM-2",
        "parameters": sum(
            math.prod(shape) for name, shape in shapes.items() if not name.endswith("inv_freq")
        ),
        "layers": 1 + max(int(name.split(".")[1]) for name in shapes if name.startswith("layers.")),
        "bytes": path.stat().st_size,
    }


def load_checkpoint(path: Path, architectures: tuple[str, ...] = SINGLE) -> tuple[Any, Any]:
    """Build the model that a checkpoint holds, on the CPU, in evaluation mode: (model, alphabet).

    Raises
    ------
    CheckpointError
        If it is missing, truncated, unsafe or of another format or architecture.
    """
    contents = _read(path)
    _check_architecture(path, contents.architecture, architectures)
    esm = fair_esm()
    # fair-esm warns where there is no regression; we refuse the contact head instead.
    with _as_checkpoint_error(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _check_sizes(contents)
        if contents.settings is not None:
            model, alphabet = _from_settings(contents)
        else:
            # fair-esm tells its two formats apart by the file's name; ours goes by the content.
            stem = "esm2" if "cfg" in contents.data else "esm1"
            model, alphabet = esm.pretrained.load_model_and_alphabet_core(
                stem, contents.data, contents.regression
            )
    return model.eval().requires_grad_(True), alphabet


@contextmanager
def _as_checkpoint_error(path: Path) -> Iterator[None]:
    """Turn whatever fails on the content of a file, which may be anything, into a `CheckpointError`."""
    try:
        yield
    except CatjacError:
        raise
    except Exception as error:
        raise CheckpointError(
            f"{shown(path.name)} does not hold the weights that its settings describe ({reason(error)}); "
            "use another file."
        ) from error


@dataclass
class _Contents:
    """A checkpoint's parts: fair-esm's dictionary, or the settings of a safetensors file; and its weights."""

    weights: dict[str, Any]
    architecture: str
    data: dict[str, Any]
    regression: dict[str, Any] | None = None
    settings: dict[str, str] | None = None


def _has_fitted_regression(contents: _Contents) -> bool:
    weights = contents.weights if contents.regression is None else contents.regression["model"]
    weight, bias = (weights.get(key) for key in _REGRESSION)
    return weight is not None and bias is not None and regression_is_fitted(weight, bias)


def _files(path: Path) -> list[Path]:
    if check_file(path, error=CheckpointError, noun="checkpoint") == 0:
        raise CheckpointError(f"{shown(path.name)} is empty; download it again.")
    beside = regression_file(path)
    return [path, beside] if path.suffix != ".safetensors" and os.path.isfile(beside) else [path]


def _read(path: Path) -> _Contents:
    files = _files(path)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    data = _weights_only(path)
    weights = data.get("model") if isinstance(data, dict) else None
    if not isinstance(weights, dict) or not ({"cfg", "args"} & set(data)):
        raise CheckpointError(
            f"{shown(path.name)} is not a checkpoint of fair-esm (an ESM-2, ESM-1b or ESM-1v file)."
        )
    if not all(isinstance(name, str) and hasattr(each, "untyped_storage") for name, each in weights.items()):
        raise CheckpointError(f"{shown(path.name)} holds something else than weights; use another file.")
    architecture = "ESM-1b" if "cfg" in data else str(getattr(data["args"], "arch", "unknown"))
    _check_architecture(path, architecture, SINGLE + ALIGNED)
    regression = _weights_only(files[1]) if len(files) > 1 else None
    if regression is not None and not (
        isinstance(regression, dict) and isinstance(regression.get("model"), dict)
    ):
        raise CheckpointError(
            f"{shown(files[1].name)} is not a contact regression of fair-esm; download it again."
        )
    return _Contents(weights, architecture, data, regression)


def _check_architecture(path: Path, found: str, wanted: tuple[str, ...]) -> None:
    if found in wanted:
        return
    if found in ALIGNED:
        says = "reads an alignment; its name is msa_transformer:family.a3m@ and this file's path"
    elif wanted == ALIGNED:
        says = "is no MSA Transformer; give its path alone where it is meant"
    else:
        says = "is none of ESM-2, ESM-1b, ESM-1v, ESM-1 and the MSA Transformer, which work"
    raise CheckpointError(f"{shown(path.name)} holds a model of the kind {shown(found)!r}, which {says}.")


def _weights_only(path: Path) -> Any:
    """Unpickle tensors, containers and `argparse.Namespace`; anything else is refused before it runs."""
    import torch

    packed = zipfile.is_zipfile(path)
    with path.open("rb") as file:
        start = file.read(2)
    if not packed and start == b"PK":
        raise CheckpointError(f"{shown(path.name)} is truncated; download it again.")
    unreadable = CheckpointError(
        f"{shown(path.name)} is truncated or not a checkpoint of fair-esm; download it again."
    )
    try:
        if packed:
            _check_records(path)
        # torch keeps the list of allowed globals for the whole process.
        with _ALLOWING, torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=packed)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)|global[s]?:? ([\w.]+\.[\w.]+)", str(error))
        if found and not str(error).startswith("invalid load key"):
            name = next(filter(None, found.groups()))
            raise CheckpointError(
                f"{shown(path.name)} holds code ({name}) beside weights and was not opened; "
                "use a file from a source you trust."
            ) from error
        raise unreadable from error
    except Exception as error:  # on random bytes, torch's reader raises whatever it stumbles over
        raise unreadable from error


def _check_records(path: Path) -> None:
    """Refuse an archive whose records are larger than itself; torch packs none."""
    with zipfile.ZipFile(path) as archive:
        if sum(record.file_size for record in archive.infolist()) > path.stat().st_size:
            raise ValueError("packed records")


def _check_sizes(contents: _Contents) -> None:
    """Refuse weights that are not those which the settings describe, before a model of these sizes is built.

    Raises
    ------
    ValueError
        Saying what is wrong with them.
    """
    weights, told = contents.weights, _told_sizes(contents)
    count = 0
    for name, tensor in weights.items():
        size = math.prod(tensor.shape)
        count += size
        # One number of a file may be shown as many.
        if hasattr(tensor, "untyped_storage") and size * tensor.itemsize > tensor.untyped_storage().nbytes():
            raise ValueError(f"{shown(name)} claims to be larger than it is")
    numbers = {int(found[1]) for name in weights if (found := _LAYER.search(name))}
    layers, width = len(numbers), int(_ending(weights, "embed_tokens.weight").shape[1])
    if numbers != set(range(layers)) or told.get("layers", layers) != layers:
        raise ValueError(f"its settings and its {layers} layers disagree")
    if told.get("width", width) != width:
        raise ValueError(f"its settings and its embedding of width {width} disagree")
    heads = told["heads"]
    if heads < 1 or width % heads:
        raise ValueError(f"a width of {width} cannot be divided among {heads} attention heads")
    first = "feed_forward_layer.layer.fc1" if contents.architecture in ALIGNED else "fc1"
    hidden = int(_ending(weights, f"layers.0.{first}.weight").shape[0])
    if told.get("hidden", hidden) != hidden:
        raise ValueError(f"its settings and its hidden layers of width {hidden} disagree")
    if "embed_positions.weight" in " ".join(weights):
        positions = int(_ending(weights, "embed_positions.weight").shape[0])
        if told.get("positions", positions) > positions:
            raise ValueError(f"its settings and its {positions} positions disagree")
    elif width // heads % 2 and contents.architecture == "ESM-1b":
        raise ValueError(f"{heads} heads of {width // heads} channels cannot have rotary positions")
    # What is built has at least the numbers of its layers.
    described = layers * width * (4 * width + 2 * hidden)
    if described > count:
        raise ValueError(f"{described:,} numbers are described and {count:,} are there")


def _told_sizes(contents: _Contents) -> dict[str, int]:
    """Tell the sizes that the settings speak of."""
    if contents.settings is not None:
        settings: dict[str, Any] = contents.settings
        names = {"layers": "num_layers", "width": "embed_dim", "heads": "attention_heads"}
        if "attention_heads" not in settings:
            raise ValueError("its header does not say attention_heads")
    elif "cfg" in contents.data:
        settings = vars(contents.data["cfg"]["model"])
        names = {
            "layers": "encoder_layers", "width": "encoder_embed_dim", "heads": "encoder_attention_heads",
        }  # fmt: skip
    else:
        prefix = "decoder_" if contents.architecture == "protein_bert_base" else "encoder_"
        told = vars(contents.data["args"])
        # fair-esm takes the prefix away as well.
        settings = {str(name).removeprefix(prefix): value for name, value in told.items()}
        names = {
            "layers": "layers", "width": "embed_dim", "heads": "attention_heads", "hidden": "ffn_embed_dim",
            "positions": "max_positions",
        }  # fmt: skip
    return {size: int(settings[name]) for size, name in names.items() if name in settings}


def _ending(weights: dict[str, Any], ending: str) -> Any:
    """Find the tensor whose name ends so; formats differ in what stands before it."""
    found = next((tensor for name, tensor in weights.items() if name.endswith(ending)), None)
    if found is None or len(found.shape) < 2:
        raise ValueError(f"there are no {ending}")
    return found


def _read_safetensors(path: Path, framework: str = "pt") -> _Contents:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework=framework) as file:
            settings = dict(file.metadata() or {})
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except TypeError:
        if framework == "np":  # numpy knows no bfloat16
            return _read_safetensors(path)
        raise
    except (SafetensorError, OSError, ValueError, MemoryError) as error:
        raise CheckpointError(
            f"{shown(path.name)} is truncated or not a safetensors file; download it again."
        ) from error
    if "embed_tokens.weight" not in weights or "layers.0.fc1.weight" not in weights:
        raise CheckpointError(
            f"{shown(path.name)} does not hold the weights of a fair-esm model (embed_tokens, layers …)."
        )
    return _Contents(weights, settings.get("alphabet", "ESM-1b"), {}, None, settings)


def _from_settings(contents: _Contents) -> tuple[Any, Any]:
    """Build ESM-2, or ESM-1b where positions are learned, from a plain state_dict and its sizes."""
    esm = fair_esm()
    weights, settings = contents.weights, contents.settings or {}
    layers = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("layers."))
    width = int(weights["embed_tokens.weight"].shape[1])
    heads = settings["attention_heads"]
    alphabet = esm.Alphabet.from_architecture(contents.architecture)
    dropout = settings.get("token_dropout", "true").lower() in ("true", "1")
    if "embed_positions.weight" in weights:
        arguments = argparse.Namespace(
            arch="roberta_large", layers=layers, embed_dim=width, attention_heads=int(heads),
            token_dropout=dropout,
            ffn_embed_dim=int(weights["layers.0.fc1.weight"].shape[0]),
            max_positions=int(weights["embed_positions.weight"].shape[0]) - alphabet.padding_idx - 1,
            emb_layer_norm_before="emb_layer_norm_before.weight" in weights,
        )  # fmt: skip
        model = esm.ProteinBertModel(arguments, alphabet)
    else:
        model = esm.ESM2(layers, width, int(heads), alphabet, dropout)
    result = model.load_state_dict(weights, strict=False)
    # Tied weights, rotary frequencies (computed) and the contact head may be left out.
    missing = [
        key
        for key in result.missing_keys
        if key != "lm_head.weight" and not key.endswith("rot_emb.inv_freq") and key not in _REGRESSION
    ]
    if missing or result.unexpected_keys:
        raise ValueError(f"missing {missing[:3]}, unexpected {list(result.unexpected_keys)[:3]}")
    return model, alphabet
