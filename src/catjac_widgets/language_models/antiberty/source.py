"""AntiBERTy's published weights, as a BERT of transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catjac_widgets.errors import CheckpointError
from catjac_widgets.input_files import read_file, shown
from catjac_widgets.language_models.adapters.encoding import Encoding
from catjac_widgets.language_models.adapters.network import fingerprint_of
from catjac_widgets.language_models.antiberty.published import CONFIG, VOCABULARY, WEIGHTS, WHEEL
from catjac_widgets.language_models.fingerprints import file_memory
from catjac_widgets.language_models.huggingface.weights import digest_of, read_json, read_pickled
from catjac_widgets.language_models.identity import ModelIdentity

if TYPE_CHECKING:
    import torch

    from catjac_widgets.language_models.base import LanguageModel

#: Parts of the published model that are no masked language model: heads for species, kind of chain and
#: grafting, and the pooled state that they read.
_OTHER_HEADS = ("cls.species.", "cls.chain.", "cls.graft.", "bert.pooler.")

#: A table of numbers from 0 on, which transformers no longer keeps.
_COMPUTED = "bert.embeddings.position_ids"


class AntiBertySource:
    """The files out of AntiBERTy's wheel; see `Source`."""

    def identity(self) -> ModelIdentity:
        """See `Source`; the wheel is fetched for it where its files are not there."""
        facts = _facts()
        encoding = encoding_of_vocabulary(WHEEL.get(VOCABULARY))
        return ModelIdentity(
            "antiberty",
            fingerprint_of(_weights(facts), encoding, facts["settings"], "torch.float32"),
            encoding.letters,
            facts["max_residues"],
            has_contact_head=False,
        )

    def load(self, device: torch.device, dtype: torch.dtype) -> LanguageModel:
        """See `Source`."""
        from catjac_widgets.language_models.devices import place
        from catjac_widgets.language_models.huggingface.adapter import MaskedNetwork

        facts = _facts()
        network = build(WHEEL.get(CONFIG), WHEEL.get(WEIGHTS))
        if _facts() != facts:
            raise CheckpointError("The files of antiberty were changed while it was loaded; load it again.")
        return MaskedNetwork(
            place(network, "antiberty", device, dtype),
            encoding_of_vocabulary(WHEEL.get(VOCABULARY)),
            name="antiberty",
            file_fingerprint=_weights(facts),
        )


def _weights(facts: dict[str, Any]) -> str:
    return f"antiberty:{facts['digest']}"


def _facts() -> dict[str, Any]:
    """Hash the files and find the structure of their model; remembered until they or transformers change."""
    from importlib import metadata

    files = [WHEEL.get(name) for name in WHEEL.files]
    known = file_memory.get(files)
    if known and known.get("settings", {}).get("transformers") == metadata.version("transformers"):
        return known
    from catjac_widgets.language_models.huggingface.adapter import longest
    from catjac_widgets.language_models.huggingface.structure import settings_of, without_weights

    seen = file_memory.seen(files)
    network = without_weights(_configuration(files[WHEEL.files.index(CONFIG)]))
    vocabulary = encoding_of_vocabulary(files[WHEEL.files.index(VOCABULARY)])
    folder = files[WHEEL.files.index(VOCABULARY)].parent
    facts = {
        "digest": digest_of(folder, files),
        "settings": settings_of(network),
        "max_residues": longest(network, vocabulary),
    }
    file_memory.put(files, facts, seen)
    return json.loads(json.dumps(facts))


def _configuration(file: Path) -> Any:
    from transformers import BertConfig

    told = read_json(file, "configuration")
    return BertConfig(
        **{key: value for key, value in told.items() if key not in ("architectures", "_name_or_path")}
    )


def build(config: Path, weights: Path) -> Any:
    """Build transformers' ``BertForMaskedLM`` of AntiBERTy's files, on the CPU, in evaluation mode.

    Raises
    ------
    CheckpointError
        If the weights are not exactly those of that model and of the published one's other heads.
    """
    from transformers import BertForMaskedLM

    named = read_pickled(weights)
    kept = {
        name: tensor
        for name, tensor in named.items()
        if not name.startswith(_OTHER_HEADS) and name != _COMPUTED
    }
    network = BertForMaskedLM(_configuration(config))
    try:
        result = network.load_state_dict(kept, strict=False)
    except RuntimeError as error:
        raise CheckpointError(
            f"{shown(weights.name)} does not fit its configuration; get antiberty anew."
        ) from error
    wrong = [*result.missing_keys, *result.unexpected_keys]
    if wrong:
        raise CheckpointError(
            f"{shown(weights.name)} is not AntiBERTy's ({shown(wrong[0])} is missing or unknown)."
        )
    return network.eval()


def encoding_of_vocabulary(file: Path) -> Encoding:
    """Find the tokens of the amino acids and the special ones in AntiBERTy's vocabulary: one a line, by id.

    Raises
    ------
    CheckpointError
        If one of them is missing.
    """
    text = read_file(file, limit=10_000, error=CheckpointError, noun="vocabulary", unpack=False)
    ids = {token: number for number, token in enumerate(text.decode("utf-8", "replace").split())}
    letters = "".join(token for token in ids if len(token) == 1)
    special = [ids.get(token) for token in ("[CLS]", "[SEP]", "[MASK]")]
    if len(letters) != 20 or None in special:
        raise CheckpointError(f"{shown(file.name)} is not AntiBERTy's vocabulary; get it anew.")
    start, end, mask = (int(each) for each in special if each is not None)
    return Encoding(letters, tuple(ids[letter] for letter in letters), (start,), (end,), mask)
