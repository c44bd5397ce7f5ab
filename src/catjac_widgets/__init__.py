"""Look inside protein language models with the categorical Jacobian.

`import catjac` gives the same objects under the short name. Nothing heavy is imported until a name is used,
so that the import (and ``%load_ext catjac``) is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from catjac_widgets._version import __version__

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

#: Where each public name lives; the module is imported when the name is first used.
_HOMES = {
    "CatjacError": "catjac_widgets.errors",
    "ContactMap": "catjac_widgets.widgets.contact_map.view",
    "Explorer": "catjac_widgets.widgets.explorer.view",
    "JacobianSlice": "catjac_widgets.widgets.jacobian_slice.view",
    "Mask": "catjac_widgets.proteins.masks",
    "RecoveryCurve": "catjac_widgets.widgets.recovery.view",
    "Sensitivity": "catjac_widgets.widgets.sensitivity.view",
    "Sequence": "catjac_widgets.proteins.sequences",
    "SequenceMask": "catjac_widgets.widgets.sequence_mask.view",
    "StructureView": "catjac_widgets.widgets.structure.view",
    "as_sequence": "catjac_widgets.proteins.sequences",
    "cache": "catjac_widgets.engine.cache.store",
    "centre": "catjac_widgets.analysis.contacts.operations",
    "chain_block": "catjac_widgets.analysis.contacts.chains",
    "contact_head": "catjac_widgets.analysis.contacts.head",
    "contacts": "catjac_widgets.analysis.contacts.maps",
    "coupling_contacts": "catjac_widgets.analysis.couplings.coupling_contacts",
    "couplings_correlation": "catjac_widgets.analysis.couplings.comparison",
    "couplings_entries": "catjac_widgets.analysis.couplings.comparison",
    "couplings_plot": "catjac_widgets.plots.couplings",
    "couplings_scatter": "catjac_widgets.plots.couplings",
    "couplings_table": "catjac_widgets.analysis.couplings.comparison",
    "double_mutants": "catjac_widgets.analysis.likelihood.double_mutants",
    "epistasis": "catjac_widgets.analysis.summaries",
    "evaluate": "catjac_widgets.analysis.benchmark.evaluate",
    "evaluation_means": "catjac_widgets.analysis.benchmark.evaluation_table",
    "examples": "catjac_widgets.structures.example_proteins",
    "explore": "catjac_widgets.widgets.explorer.launch",
    "fit_potts": "catjac_widgets.language_models.potts.fit",
    "inter_chain_precision": "catjac_widgets.analysis.benchmark.precision",
    "inverse_covariance": "catjac_widgets.analysis.couplings.closed_form",
    "jacobian": "catjac_widgets.engine.api",
    "jacobians": "catjac_widgets.engine.batch",
    "load_model": "catjac_widgets.language_models.registry",
    "marginals": "catjac_widgets.analysis.likelihood.marginals",
    "masked_perplexity": "catjac_widgets.analysis.likelihood.masked_perplexity",
    "mean_field": "catjac_widgets.analysis.couplings.closed_form",
    "minimum_segments": "catjac_widgets.analysis.recovery.jumps",
    "models": "catjac_widgets.language_models.registry",
    "plot_recovery": "catjac_widgets.plots.recovery",
    "potts_of_jacobian": "catjac_widgets.analysis.couplings.potts_of_jacobian",
    "precision_at_l": "catjac_widgets.analysis.benchmark.precision",
    "preview": "catjac_widgets.analysis.previews.preview",
    "pseudo_perplexity": "catjac_widgets.analysis.likelihood.pseudo_perplexity",
    "read_alignment": "catjac_widgets.proteins.alignments",
    "read_evaluation": "catjac_widgets.analysis.benchmark.evaluation_table",
    "read_fasta": "catjac_widgets.proteins.sequences",
    "read_potts": "catjac_widgets.language_models.potts.files",
    "recovery": "catjac_widgets.analysis.recovery.one_protein",
    "recovery_advantage": "catjac_widgets.analysis.recovery.over_proteins",
    "recovery_curves": "catjac_widgets.analysis.recovery.over_proteins",
    "recovery_jumps": "catjac_widgets.analysis.recovery.jumps",
    "recovery_scan": "catjac_widgets.analysis.recovery.one_protein",
    "recovery_table": "catjac_widgets.analysis.recovery.over_proteins",
    "register_model": "catjac_widgets.language_models.registry",
    "rerun_recovery": "catjac_widgets.analysis.recovery.rerun",
    "sample_potts": "catjac_widgets.language_models.potts.sampling",
    "scaling": "catjac_widgets.analysis.benchmark.scaling",
    "sensitivity": "catjac_widgets.analysis.summaries",
    "structure": "catjac_widgets.structures.experimental",
    "submit": "catjac_widgets.engine.api",
    "substitution_scores": "catjac_widgets.analysis.likelihood.marginals",
    "wrap": "catjac_widgets.language_models.registry",
}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'catjac' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    if name in ("jacobian", "jacobians", "submit", "explore"):
        # The accessor (`J.catjac`) registers itself when it is imported; the engine below may not know of it.
        importlib.import_module("catjac_widgets.analysis.accessor")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """Register the magics: ``%load_ext catjac``."""
    from catjac_widgets.notebook import load_ipython_extension as load

    load(ipython)


def unload_ipython_extension(ipython: InteractiveShell) -> None:
    """Take the magics away again: ``%unload_ext catjac``."""
    from catjac_widgets.notebook import unload_ipython_extension as unload

    unload(ipython)
