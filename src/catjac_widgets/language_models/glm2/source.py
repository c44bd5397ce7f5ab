"""The names "glm2_650M" and "glm2:…": a folder or repository of a gLM2, with the code that comes with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catjac_widgets.language_models.adapters.encoding import Encoding
from catjac_widgets.language_models.glm2.encoding import GenomicEncoding, encoding_by
from catjac_widgets.language_models.glm2.published import ALPHABETS, CONTEXT
from catjac_widgets.language_models.huggingface.source import (
    FolderFacts,
    HuggingFaceSource,
    brings_code,
    described_again,
)
from catjac_widgets.language_models.huggingface.weights import CONFIG, all_tensors, read_json, weight_files
from catjac_widgets.language_models.identity import ModelIdentity

if TYPE_CHECKING:
    import torch

    from catjac_widgets.language_models.base import LanguageModel


class Glm2Source(HuggingFaceSource):
    """A folder, or a repository of the Hub; see `Source`.

    Parameters
    ----------
    name, where
        See `HuggingFaceSource`.
    strands
        Whether strands are told.
    """

    def __init__(self, name: str, where: str, *, strands: bool) -> None:
        super().__init__(name, where)
        self.strands = strands
        self.reader = "elements" if strands else "elements without strands"

    def identity(self) -> ModelIdentity:
        """See `Source`."""
        found = super().identity()
        limits = [limit for limit in (CONTEXT, found.max_residues) if limit is not None]
        return replace(found, max_residues=min(limits), alphabets=ALPHABETS, strands=self.strands)

    def _encoding(self, folder: Path, code: bool) -> Encoding:
        return encoding_by(self._tokenizer(folder, code), self.name, strands=self.strands)

    def _made(self, described: dict[str, Any]) -> GenomicEncoding:
        return GenomicEncoding(**described_again(described))

    def _bare(self, folder: Path, configuration: Any, code: bool) -> Any:
        from catjac_widgets.language_models.glm2.network import built, network_class

        if not code:
            return super()._bare(folder, configuration, code)
        return built(network_class(folder, configuration, self.name), configuration)

    def _network(self, folder: Path, dtype: torch.dtype) -> Any:
        from transformers import AutoConfig

        from catjac_widgets.language_models.glm2.network import loaded, network_class

        if not brings_code(read_json(folder / CONFIG, "configuration")):
            return super()._network(folder, dtype)
        configuration = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=True)
        kind = network_class(folder, configuration, self.name)
        return loaded(kind, configuration, all_tensors(weight_files(folder)), dtype, self.name)

    def _adapter(self, network: Any, facts: FolderFacts, remote_code: bool) -> LanguageModel:
        from catjac_widgets.language_models.glm2.adapter import Glm2

        return Glm2(
            network,
            self._made(facts.encoding),
            name=self.name,
            file_fingerprint=f"hf:{facts.digest}",
            remote_code=remote_code,
        )
