"""The family gLM2: "glm2_650M", or "glm2:" and a repository or folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from catjac_widgets.language_models.alphabets import names_strands
from catjac_widgets.language_models.families import Loader, ModelFamily, Source
from catjac_widgets.language_models.glm2.published import CONTEXT, LETTERS, PUBLISHED, WITHOUT, Published

if TYPE_CHECKING:
    from catjac_widgets.language_models.base import LanguageModel

PREFIX = "glm2:"


class Glm2Family(ModelFamily):
    """gLM2 (Cornman et al. 2024) of the Hugging Face Hub, with the code that lies beside its weights."""

    name = "gLM2"
    forms = f"'glm2_650M', or '{PREFIX}' with a repository or folder of a gLM2 behind it"
    wraps_what = "gLM2 (with its tokenizer)"
    packages = {"transformers": "transformers"}  # noqa: RUF012 - never changed
    tried = False

    def claims(self, name: str | Path) -> bool:
        """See `ModelFamily`."""
        if not isinstance(name, str):
            return False
        plain = name.removeprefix(WITHOUT)
        return plain in PUBLISHED or plain.startswith(PREFIX)

    def source(self, name: str | Path, loader: Loader) -> Source:
        """See `ModelFamily`."""
        from catjac_widgets.language_models.glm2.source import Glm2Source

        self.check_packages()
        plain = str(name).removeprefix(WITHOUT)
        where = PUBLISHED[plain].repository if plain in PUBLISHED else plain.removeprefix(PREFIX)
        return Glm2Source(str(name), where, strands=not str(name).startswith(WITHOUT))

    def rows(self) -> list[dict[str, Any]]:
        """See `ModelFamily`."""
        return [self._row(name, each) for name, each in PUBLISHED.items()]

    def _row(self, name: str, published: Published) -> dict[str, Any]:
        from catjac_widgets.language_models.devices import physical_memory

        present = physical_memory()
        return {
            "name": name,
            "family": self.name,
            "parameters": published.parameters,
            "bytes": published.size,
            "letters": LETTERS,
            "context": CONTEXT,
            "licence": "Apache-2.0",
            "weights": f"huggingface.co/{published.repository}",
            "status": f"needs download, einops, and CATJAC_REMOTE_CODE={published.repository}",
            "runs_here": None if present is None else published.size <= present,
            "note": "amino acids in upper case, nucleotides in lower case, each element behind <+> or <->",
        }

    def wraps(self, model: Any, alphabet: Any = None) -> bool:
        """See `ModelFamily`."""
        return hasattr(model, "named_modules") and names_strands(alphabet)

    def wrap(
        self, model: Any, alphabet: Any = None, *, name: str = "", fingerprint: str | None = None
    ) -> LanguageModel:
        """See `ModelFamily` and `wrapping.wrap_glm2`."""
        from catjac_widgets.language_models.glm2.wrapping import wrap_glm2

        self.check_packages()
        return wrap_glm2(model, alphabet, name=name, fingerprint=fingerprint)
