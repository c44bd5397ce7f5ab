"""The family of the MSA Transformer: names that begin with ``msa_transformer:``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from catjac_widgets.errors import ModelError
from catjac_widgets.language_models.families import Loader, ModelFamily, Source
from catjac_widgets.language_models.msa_transformer.published import DEFAULT_DEPTH, PREFIX, PUBLISHED

if TYPE_CHECKING:
    from catjac_widgets.language_models.base import LanguageModel
    from catjac_widgets.proteins.alignments import Alignment


class MSATransformerFamily(ModelFamily):
    """The MSA Transformer on an alignment: ``msa_transformer:<alignment>[@<weights>][@depth=<rows>]``.

    For instance "msa_transformer:family.a3m", "msa_transformer:family.a3m@esm_msa1_t12_100M_UR50S@depth=32",
    "msa_transformer:family.a3m@my_weights.pt". The first row of the alignment is the query; the sequence that
    is asked about takes its place.
    """

    name = "MSA Transformer"
    forms = f"'{PREFIX}' with an alignment behind it, then '@' with weights or depth=, if need be"
    wraps_what = "fair-esm (an MSATransformer with its alphabet, and alignment=)"
    options = ("alignment", "depth")
    packages = {"esm": "fair-esm"}  # noqa: RUF012 - never changed
    #: The published weights could not be had.
    tried = False

    def claims(self, name: str | Path) -> bool:
        """See `ModelFamily`; also the bare names of its weights, to say what is missing."""
        return isinstance(name, str) and (name.startswith(PREFIX) or name in PUBLISHED)

    def source(self, name: str | Path, loader: Loader) -> Source:
        """See `ModelFamily`.

        Raises
        ------
        ModelError
            For a name without an alignment.
        """
        from catjac_widgets.language_models.msa_transformer.source import MSASource

        if name in PUBLISHED:
            raise ModelError(f"{name} reads an alignment; its name is {PREFIX}family.a3m@{name}.")
        return MSASource(str(name))

    def rows(self) -> list[dict[str, Any]]:
        """See `ModelFamily`."""
        return [published.row() for published in PUBLISHED.values()]

    def wraps(self, model: Any, alphabet: Any = None) -> bool:
        """See `ModelFamily`."""
        return hasattr(model, "msa_position_embedding") and hasattr(model, "embed_tokens")

    def wrap(
        self,
        model: Any,
        alphabet: Any = None,
        *,
        name: str = "",
        fingerprint: str | None = None,
        alignment: Alignment | str | Path | None = None,
        depth: int = DEFAULT_DEPTH,
    ) -> LanguageModel:
        """See `ModelFamily`.

        Parameters
        ----------
        alignment, depth
            See `choose_rows`.

        Raises
        ------
        ModelError
            If there is no alignment.
        """
        from catjac_widgets.language_models.msa_transformer.adapter import MSATransformer
        from catjac_widgets.language_models.msa_transformer.rows import choose_rows

        if alignment is None:
            raise ModelError(
                f"A {type(model).__name__} reads an alignment; give it: catjac.wrap((model, alphabet), "
                "alignment='family.a3m')."
            )
        rows = choose_rows(alignment, depth, progress=True)
        return MSATransformer(model, alphabet, rows, name=name, fingerprint=fingerprint)
