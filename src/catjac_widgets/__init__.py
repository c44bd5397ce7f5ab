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
    "ContactMap": "catjac_widgets.widgets.contact_map",
    "Explorer": "catjac_widgets.widgets.explorer",
    "JacobianSlice": "catjac_widgets.widgets.jacobian_slice",
    "Mask": "catjac_widgets.masks",
    "RecoveryCurve": "catjac_widgets.widgets.recovery_view",
    "Sensitivity": "catjac_widgets.widgets.sensitivity_view",
    "Sequence": "catjac_widgets.sequences",
    "SequenceMask": "catjac_widgets.widgets.sequence_mask",
    "StructureView": "catjac_widgets.widgets.structure_view",
    "as_sequence": "catjac_widgets.sequences",
    "cache": "catjac_widgets.engine.store",
    "centre": "catjac_widgets.analysis.operations",
    "chain_block": "catjac_widgets.analysis.chains",
    "contact_head": "catjac_widgets.analysis.attention",
    "contacts": "catjac_widgets.analysis.contact_maps",
    "coupling_contacts": "catjac_widgets.analysis.baselines",
    "couplings_correlation": "catjac_widgets.analysis.couplings",
    "couplings_entries": "catjac_widgets.analysis.couplings",
    "couplings_plot": "catjac_widgets.plots.couplings",
    "couplings_scatter": "catjac_widgets.plots.couplings",
    "couplings_table": "catjac_widgets.analysis.couplings",
    "double_mutants": "catjac_widgets.analysis.double_mutants",
    "epistasis": "catjac_widgets.analysis.summaries",
    "evaluate": "catjac_widgets.analysis.evaluating",
    "evaluation_means": "catjac_widgets.analysis.evaluation_table",
    "examples": "catjac_widgets.structures.example_proteins",
    "explore": "catjac_widgets.widgets.explorer",
    "fit_potts": "catjac_widgets.language_models.potts_fit",
    "inter_chain_precision": "catjac_widgets.analysis.chains",
    "inverse_covariance": "catjac_widgets.analysis.baselines",
    "jacobian": "catjac_widgets.engine.computing",
    "jacobians": "catjac_widgets.engine.many",
    "load_model": "catjac_widgets.language_models.registry",
    "marginals": "catjac_widgets.analysis.likelihood",
    "masked_perplexity": "catjac_widgets.analysis.masked_samples",
    "mean_field": "catjac_widgets.analysis.baselines",
    "minimum_segments": "catjac_widgets.analysis.recovery_jumps",
    "models": "catjac_widgets.language_models.registry",
    "plot_recovery": "catjac_widgets.plots.recovery",
    "potts_of_jacobian": "catjac_widgets.analysis.couplings",
    "precision_at_l": "catjac_widgets.analysis.evaluation",
    "preview": "catjac_widgets.analysis.previews",
    "pseudo_perplexity": "catjac_widgets.analysis.likelihood",
    "read_alignment": "catjac_widgets.alignments",
    "read_evaluation": "catjac_widgets.analysis.evaluation_table",
    "read_fasta": "catjac_widgets.sequences",
    "read_potts": "catjac_widgets.language_models.potts_files",
    "recovery": "catjac_widgets.analysis.recovery",
    "recovery_advantage": "catjac_widgets.analysis.recovery_over_proteins",
    "recovery_curves": "catjac_widgets.analysis.recovery_over_proteins",
    "recovery_jumps": "catjac_widgets.analysis.recovery_jumps",
    "recovery_scan": "catjac_widgets.analysis.recovery",
    "recovery_table": "catjac_widgets.analysis.recovery_over_proteins",
    "rerun_recovery": "catjac_widgets.analysis.recovery_reruns",
    "sample_potts": "catjac_widgets.language_models.potts_sampling",
    "scaling": "catjac_widgets.analysis.model_sizes",
    "sensitivity": "catjac_widgets.analysis.summaries",
    "structure": "catjac_widgets.structures.experimental",
    "submit": "catjac_widgets.engine.computing",
    "substitution_scores": "catjac_widgets.analysis.likelihood",
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
