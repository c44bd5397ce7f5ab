"""The table of public names: where each lives, which namespace holds it, and where moved names went.

Nothing is imported before a name is used.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

#: Names at the top: "module:name" within this package.
TOP = {
    "CatjacError": "errors:CatjacError",
    "ContactMap": "widgets.contact_map.view:ContactMap",
    "Explorer": "widgets.explorer.view:Explorer",
    "JacobianSlice": "widgets.jacobian_slice.view:JacobianSlice",
    "LanguageModel": "language_models.base:LanguageModel",
    "Mask": "proteins.masks:Mask",
    "RecoveryCurve": "widgets.recovery.view:RecoveryCurve",
    "Sensitivity": "widgets.sensitivity.view:Sensitivity",
    "Sequence": "proteins.sequences:Sequence",
    "SequenceMask": "widgets.sequence_mask.view:SequenceMask",
    "StructureView": "widgets.structure.view:StructureView",
    "as_sequence": "proteins.reading:as_sequence",
    "cache": "engine.cache.store:cache",
    "centre": "analysis.contacts.operations:centre",
    "check_model": "analysis.likelihood.model_check:check_model",
    "chain_block": "analysis.contacts.chains:chain_block",
    "contact_head": "analysis.contacts.head:contact_head",
    "contacts": "analysis.contacts.maps:contacts",
    "double_mutants": "analysis.likelihood.double_mutants:double_mutants",
    "epistasis": "analysis.summaries:epistasis",
    "examples": "structures.example_proteins:examples",
    "explore": "widgets.explorer.launch:explore",
    "inter_chain_precision": "analysis.benchmark.precision:inter_chain_precision",
    "jacobian": "engine.api:jacobian",
    "jacobians": "engine.batch:jacobians",
    "load_model": "language_models.registry:load_model",
    "marginals": "analysis.likelihood.marginals:marginals",
    "masked_perplexity": "analysis.likelihood.masked_perplexity:masked_perplexity",
    "models": "language_models.registry:models",
    "precision_at_l": "analysis.benchmark.precision:precision_at_l",
    "preview": "analysis.previews.preview:preview",
    "pseudo_perplexity": "analysis.likelihood.pseudo_perplexity:pseudo_perplexity",
    "recovery": "analysis.recovery.one_protein:recovery",
    "register_model": "language_models.registry:register_model",
    "sensitivity": "analysis.summaries:sensitivity",
    "structure": "structures.experimental:structure",
    "submit": "engine.api:submit",
    "substitution_scores": "analysis.likelihood.marginals:substitution_scores",
    "wrap": "language_models.registry:wrap",
}

#: Namespaces: what each is for, and its names.
NAMESPACES: dict[str, tuple[str, dict[str, str]]] = {
    "benchmark": (
        "Contact maps against experimental structures, over many proteins and models.",
        {
            "evaluate": "analysis.benchmark.evaluate:evaluate",
            "familiarity": "language_models.esm.mini.familiarity:familiarity",
            "means": "analysis.benchmark.evaluation_table:evaluation_means",
            "read": "analysis.benchmark.evaluation_table:read_evaluation",
            "scaling": "analysis.benchmark.scaling:scaling",
            "spearman": "analysis.statistics:spearman",
            "top_contacts": "analysis.benchmark.top_contacts:top_contacts",
        },
    ),
    "dna": (
        "Models that read DNA from left to right: both strands, nucleotide dependencies, codons.",
        {
            "both_strands": "language_models.causal_dna.wrapping:both_strands",
            "codon_contacts": "analysis.nucleotides.codons:codon_contacts",
            "dependency": "analysis.nucleotides.dependency:dependency",
            "wrap": "language_models.causal_dna.wrapping:wrap_causal",
        },
    ),
    "glm2": (
        "gLM2: genomes of proteins and DNA, strands, and the Jacobian as its authors compute it.",
        {
            "tattabio_jacobian": "analysis.nucleotides.tattabio:tattabio_jacobian",
            "without_strands": "language_models.glm2.wrapping:without_strands",
            "wrap": "language_models.glm2.wrapping:wrap_glm2",
        },
    ),
    "io": (
        "Reading proteins, alignments and Jacobians made elsewhere, writing Jacobians and contact maps.",
        {
            "formats": "export.format_table:formats",
            "pretrained": "language_models.discovery:pretrained_file",
            "read_alignment": "proteins.alignments:read_alignment",
            "read_fasta": "proteins.reading:read_fasta",
            "read_jacobian": "analysis.imported:read_jacobian",
            "write": "export.format_table:write",
        },
    ),
    "masking": (
        "Contacts under masks: what the model predicts when it sees a part of the sequence.",
        {
            "advantage": "analysis.recovery.over_proteins:recovery_advantage",
            "curves": "analysis.recovery.over_proteins:recovery_curves",
            "jumps": "analysis.recovery.jumps:recovery_jumps",
            "minimum_segments": "analysis.recovery.jumps:minimum_segments",
            "rerun": "analysis.recovery.rerun:rerun_recovery",
            "scan": "analysis.recovery.one_protein:recovery_scan",
            "table": "analysis.recovery.over_proteins:recovery_table",
        },
    ),
    "plot": (
        "Figures of results.",
        {
            "couplings": "plots.couplings:plot_couplings",
            "couplings_scatter": "plots.couplings:plot_couplings_scatter",
            "double_mutants": "plots.substitutions:plot_double_mutants",
            "evaluation": "plots.evaluation:plot_evaluation",
            "recovery": "plots.recovery:plot_recovery",
            "save_html": "plots.style:save_html",
            "scaling": "plots.scaling:plot_scaling",
            "substitutions": "plots.substitutions:plot_substitutions",
        },
    ),
    "potts": (
        "Potts and other linear models of an alignment, and the Jacobian against their couplings.",
        {
            "contacts": "analysis.couplings.coupling_contacts:coupling_contacts",
            "correlation": "analysis.couplings.comparison:couplings_correlation",
            "entries": "analysis.couplings.comparison:couplings_entries",
            "fit": "language_models.potts.fit:fit_potts",
            "inverse_covariance": "analysis.couplings.closed_form:inverse_covariance",
            "mean_field": "analysis.couplings.closed_form:mean_field",
            "of_jacobian": "analysis.couplings.potts_of_jacobian:potts_of_jacobian",
            "read": "language_models.potts.files:read_potts",
            "sample": "language_models.potts.sampling:sample_potts",
            "table": "analysis.couplings.comparison:couplings_table",
        },
    ),
    "views": (
        "The widgets, each usable alone; `catjac.explore` links them.",
        {
            name: TOP[name]
            for name in (
                "ContactMap",
                "Explorer",
                "JacobianSlice",
                "RecoveryCurve",
                "Sensitivity",
                "SequenceMask",
                "StructureView",
            )
        }
        | {
            "Panel": "widgets.base.panels:Panel",
            "PanelContext": "widgets.base.panels:PanelContext",
            "register_panel": "widgets.base.panels:register_panel",
            "unregister_panel": "widgets.base.panels:unregister_panel",
        },
    ),
}

#: Names of version 0.1 at the top, and where they went.
MOVED = {
    "coupling_contacts": "potts.contacts",
    "couplings_correlation": "potts.correlation",
    "couplings_entries": "potts.entries",
    "couplings_plot": "plot.couplings",
    "couplings_scatter": "plot.couplings_scatter",
    "couplings_table": "potts.table",
    "evaluate": "benchmark.evaluate",
    "evaluation_means": "benchmark.means",
    "fit_potts": "potts.fit",
    "inverse_covariance": "potts.inverse_covariance",
    "mean_field": "potts.mean_field",
    "minimum_segments": "masking.minimum_segments",
    "plot_recovery": "plot.recovery",
    "potts_of_jacobian": "potts.of_jacobian",
    "read_alignment": "io.read_alignment",
    "read_evaluation": "benchmark.read",
    "read_fasta": "io.read_fasta",
    "read_potts": "potts.read",
    "recovery_advantage": "masking.advantage",
    "recovery_curves": "masking.curves",
    "recovery_jumps": "masking.jumps",
    "recovery_scan": "masking.scan",
    "recovery_table": "masking.table",
    "rerun_recovery": "masking.rerun",
    "sample_potts": "potts.sample",
    "scaling": "benchmark.scaling",
}


class Namespace:
    """Public functions of one subject, imported when they are first used.

    Parameters
    ----------
    name
        As it is called after "catjac.".
    text
        What it is for.
    homes
        "module:name" within this package, by public name.
    """

    def __init__(self, name: str, text: str, homes: Mapping[str, str]) -> None:
        self._name = name
        self._homes = homes
        self.__doc__ = f"{text}\n\nIts names: {', '.join(sorted(homes))}."

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in self._homes:
            raise AttributeError(missing(f"catjac.{self._name}", name, self._homes))
        value = load(self._homes[name])
        self.__dict__[name] = value
        return value

    def __dir__(self) -> list[str]:
        return sorted(self._homes)

    def __repr__(self) -> str:
        return f"<catjac.{self._name}: {', '.join(sorted(self._homes))}>"


def resolve(name: str) -> Any:
    """Find a public name: of the top, a namespace, or one that has moved.

    Raises
    ------
    AttributeError
        If there is none, naming those that are spelt nearly so.
    """
    if name in TOP:
        return load(TOP[name])
    if name in NAMESPACES:
        return Namespace(name, *NAMESPACES[name])
    if name in MOVED:
        return _moved(name, MOVED[name])
    raise AttributeError(missing("catjac", name, [*TOP, *NAMESPACES]))


def load(home: str) -> Any:
    """Import "module:name" of this package."""
    module, _, name = home.partition(":")
    return getattr(importlib.import_module(f"{__package__}.{module}"), name)


def missing(where: str, name: str, known: Iterable[str]) -> str:
    """Say that there is no such name, and which are spelt nearly so."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"{where} has no attribute {name!r}{hint}"


def _moved(name: str, place: str) -> Callable[..., Any]:
    """Make the function that stands where a name of version 0.1 was."""
    namespace, _, new = place.partition(".")
    function: Callable[..., Any] = load(NAMESPACES[namespace][1][new])

    @functools.wraps(function)
    def moved(*arguments: Any, **options: Any) -> Any:
        warnings.warn(f"catjac.{name} is now catjac.{place}.", DeprecationWarning, stacklevel=2)
        return function(*arguments, **options)

    moved.__doc__ = f"Call `catjac.{place}`, to which this name has moved.\n\n{function.__doc__ or ''}"
    return moved
