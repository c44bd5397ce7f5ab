"""The family of masked language models of Hugging Face: names that begin with ``hf:``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catjac_widgets.errors import ModelError
from catjac_widgets.language_models.alphabets import names_strands
from catjac_widgets.language_models.families import Loader, ModelFamily, Source
from catjac_widgets.proteins.alphabets import ESM_LETTERS

if TYPE_CHECKING:
    from catjac_widgets.language_models.base import LanguageModel

PREFIX = "hf:"

#: Models of the Hub that are worth a row of the table: parameters, layers, longest sequence. ESM-2 and ESM-1b
#: stand there by fair-esm's own names already.
_KNOWN: dict[str, tuple[int, int, int | None]] = {
    "Rostlab/prot_bert": (420_000_000, 30, None),
    "biohub/ESMC-300M": (333_000_000, 30, None),
}


class HuggingFaceFamily(ModelFamily):
    """Masked language models of transformers: ESM-2, ESM-1b, ESM-C, ProtBERT and their like."""

    name = "Hugging Face"
    forms = f"'{PREFIX}' with a repository of Hugging Face or a folder behind it"
    wraps_what = "transformers (a masked language model with its tokenizer)"
    packages = {"transformers": "transformers"}  # noqa: RUF012 - never changed

    def claims(self, name: str | Path) -> bool:
        """See `ModelFamily`; a path is one of its own where it is a folder with a configuration."""
        if isinstance(name, Path):
            return os.path.isfile(name / "config.json")
        return name.startswith(PREFIX)

    def source(self, name: str | Path, loader: Loader) -> Source:
        """See `ModelFamily`."""
        from catjac_widgets.language_models.huggingface.source import HuggingFaceSource

        self.check_packages()
        return HuggingFaceSource(str(name), str(name).removeprefix(PREFIX))

    def rows(self) -> list[dict[str, Any]]:
        """See `ModelFamily`; any other repository works as well."""
        return [
            {
                "name": f"{PREFIX}{repository}",
                "family": self.name,
                "parameters": parameters,
                "layers": layers,
                "letters": ESM_LETTERS,
                "context": context,
                "licence": "see its page",
                "status": "in cache" if _is_cached(repository) else "needs download",
            }
            for repository, (parameters, layers, context) in _KNOWN.items()
        ]

    def wraps(self, model: Any, alphabet: Any = None) -> bool:
        """See `ModelFamily`; somebody's own network too, if it comes with a tokenizer of transformers."""
        if not hasattr(model, "named_modules"):
            return False
        # Genomes are read by a family of their own.
        if names_strands(alphabet):
            return False
        return hasattr(alphabet, "convert_tokens_to_ids") or _is_pretrained_model(model)

    def wrap(
        self, model: Any, alphabet: Any = None, *, name: str = "", fingerprint: str | None = None
    ) -> LanguageModel:
        """See `ModelFamily`.

        Raises
        ------
        ModelError
            Without a tokenizer, or for a model that is no masked language model.
        """
        self.check_packages()
        kind = type(model).__name__
        if not hasattr(alphabet, "convert_tokens_to_ids"):
            raise ModelError(
                f"A {kind} of transformers needs its tokenizer beside it: catjac.wrap((model, tokenizer))."
            )
        if kind.endswith("ForCausalLM") or kind.endswith("LMHeadModel"):
            raise ModelError(
                f"A {kind} reads from left to right and is no masked language model; wrap it as a function: "
                "catjac.wrap(model, letters=…, tokenizer=tokenizer, causal=True)."
            )
        from catjac_widgets.language_models.huggingface.esm_adapter import adapter_of
        from catjac_widgets.language_models.huggingface.letters import encoding_by

        name = name or f"{kind} in memory"
        return adapter_of(model, encoding_by(alphabet, name), name=name, fingerprint=fingerprint)


def _is_pretrained_model(model: Any) -> bool:
    """Whether it is a model of transformers, told without importing transformers."""
    return any(
        kind.__name__ == "PreTrainedModel" and kind.__module__.startswith("transformers.")
        for kind in type(model).__mro__
    )


def _is_cached(repository: str) -> bool:
    """Whether the Hub's cache holds anything of a repository, told without importing its client."""
    try:
        from huggingface_hub import constants
    except ImportError:
        return False
    folder = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}" / "snapshots"
    return folder.is_dir()
