"""Names of language models: finding, loading, wrapping and listing them, whatever their family."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catjac_widgets.errors import DeviceError, ModelError, ModelNotFoundError, UsageError
from catjac_widgets.input_files import shown
from catjac_widgets.language_models.base import LanguageModel
from catjac_widgets.language_models.catalogue import ModelTable
from catjac_widgets.language_models.discovery import Families, installed_families
from catjac_widgets.language_models.estimates import jacobian_seconds
from catjac_widgets.language_models.families import ModelFamily, Source
from catjac_widgets.language_models.identity import ModelIdentity, identity_of
from catjac_widgets.language_models.loaded import LoadedModels
from catjac_widgets.language_models.registered import RegisteredModels

if TYPE_CHECKING:
    import torch

#: Models that stay in memory although nobody uses them, so that the next call need not load them again.
KEPT_MODELS = 3

_LOADED = LoadedModels(KEPT_MODELS)
_REGISTERED = RegisteredModels()


def load_model(
    name: str | Path, *, device: str | torch.device | None = None, dtype: Any = None
) -> LanguageModel:
    """Load a language model by name or path; the same object for the same request while it is in use.

    The last `KEPT_MODELS` stay in memory; others go when nobody holds them any more.

    Parameters
    ----------
    name
        A name of `catjac.models`: "mini" (comes with the package), a fair-esm name such as
        "esm2_t33_650M_UR50D" (from torch hub's cache, or downloaded), one of `register_model`; the path of a
        checkpoint (`.pt` with its `-contact-regression.pt` beside it, or `.safetensors`); "hf:" and a
        repository of Hugging Face ("hf:owner/name", "hf:owner/name@revision") or a folder, for masked
        language models of transformers; "antiberty"; "msa_transformer:" and an alignment whose first row is
        the query; or "potts:" and an alignment or a file of a Potts model. With "masked_ends:" before a
        fair-esm model's name, mask tokens stand in for start and end. ESM-1b and ESM-1v take 1,022 residues;
        ESM-2 takes any length, but was trained on crops of 1,022. Code that comes with a model of Hugging
        Face runs only if the environment names it:
        CATJAC_REMOTE_CODE=owner/name.
    device
        "cuda", "cuda:1", "mps", "cpu"; the first of CUDA, MPS and CPU that is there by default.
    dtype
        "float32" (default), "float16" or "bfloat16"; logits come as float32 in any case.

    Raises
    ------
    ModelNotFoundError
        For a name that no installed family knows; the nearest names are suggested.
    ModelError
        For a name that several families claim.
    CheckpointError
        For a checkpoint that is missing, truncated, unsafe or of another format, or cannot be downloaded.
    ResourceError
        For a published model that does not fit into this machine's memory.
    DeviceError
        If the device is not there, or too small, or not one that the model runs on.
    DependencyError
        If a package that the model needs is missing, or another one has taken its place.
    """
    return _load(name, device, dtype, hand_out=True)


def _load(
    name: str | Path, device: str | torch.device | None, dtype: Any, *, hand_out: bool
) -> LanguageModel:
    from catjac_widgets.language_models.devices import choose_device, choose_dtype

    family = _family_of(name)
    source = family.source(name, _LOADER)
    where, kind = choose_device(device), choose_dtype(dtype)
    if family.needs_gpu and where.type == "cpu":
        raise DeviceError(f"{name} runs on a GPU only, and this would be {where}; choose another model here.")

    def make() -> LanguageModel:
        family.check_packages()
        return source.load(where, kind)

    form = str(where), str(kind)
    return _LOADED.get((family.name, str(name)), form, source, make, hand_out=hand_out)


def release_models() -> None:
    """Forget the models that were loaded by name, so that their memory is free once nobody uses them."""
    _LOADED.clear()


def register_model(name: str, factory: Callable[..., Any]) -> None:
    """Give a model a name of one's own, for this process.

    Other packages register a whole family by an entry point, see `catjac_widgets.language_models`.

    Parameters
    ----------
    name
        What to call it, wherever a model's name is taken; registered again, it means the new one.
    factory
        Called when the model is first needed: returns a `LanguageModel`, or what `wrap` takes. Where it has
        parameters `device` (torch.device) or `dtype` (torch.dtype), it is given them.

    Raises
    ------
    UsageError
        If a family claims that name, or the factory cannot be called.
    """
    if isinstance(name, str) and (taken := _claiming(name, installed_families())):
        raise UsageError(f"{name!r} is a name of the family {taken[0].name} already; choose another one.")
    _REGISTERED.register(name, factory, resolve_model)


def wrap(
    model: Any,
    alphabet: Any = None,
    *,
    name: str | None = None,
    fingerprint: str | None = None,
    **others: Any,
) -> LanguageModel:
    """Use a model that is in memory already; it is never moved, and left in the mode it was found in.

    ``wrap(function, letters="ACDEFGHIKLMNPQRSTVWY")`` makes a model of any function from tokens to logits;
    ``wrap((model, alphabet), alignment="family.a3m")`` one of an MSA Transformer and its alignment.

    Weights and plain settings may be altered at any time: the next Jacobian is that of the altered model.
    Classes of your own, hooks, and functions put in the place of fair-esm's or torch's cannot be seen
    through: such a model runs through its own code, and what it computes is not kept, unless you give a
    fingerprint. What cannot even be noticed: code of torch itself below its Python functions, and torch's
    modes that are switched on in a thread.

    Parameters
    ----------
    model
        A model of fair-esm (ESM-2, ESM-1b, ESM-1v), also fine-tuned, subclassed or hooked; on any device. A
        masked language model of transformers. Other families may take others. Or, with further keywords,
        anything that can be called. A pair stands for a model and what belongs to it.
    alphabet
        fair-esm's alphabet, the model's own by default; or the tokenizer of a model of transformers.
    name
        What to call it.
    fingerprint
        Any text that stands for what cannot be seen of the model: its code, its hooks and all that these read
        beside the weights (attributes, variables of the module, closures). Jacobians are then kept under this
        text together with weights and settings; give another one whenever any of that changes.
    others
        How a function is called, see `CallableModel`: `letters`, `tokenizer` or `encode` or `tokens` with
        `prefix` and `suffix`, `columns`, `mask_token`, `causal`, `shift`, `length`, `max_residues`,
        `extra_fingerprint`, `device`, `takes`. Try it with `catjac.check_model`. Of an MSA Transformer:
        `alignment` (A3M or aligned FASTA as path, text or `Alignment`; its first row is the query) and
        `depth`, how many of its rows are read at most.

    Raises
    ------
    ModelError
        If it is not a model of an installed family.
    UsageError
        For a fingerprint that is no text, or of a model that was wrapped or loaded before; for a keyword that
        does not exist.
    """
    if fingerprint is not None and (not isinstance(fingerprint, str) or not fingerprint.strip()):
        raise UsageError(
            f"fingerprint={fingerprint!r} is no text; give one that stands for the model's code."
        )
    if isinstance(model, LanguageModel):
        if fingerprint is not None:
            raise UsageError(
                f"{model.name} is a model of catjac already; give fingerprint= where the model itself is "
                "wrapped."
            )
        return model
    if isinstance(model, tuple):
        model, alphabet = _pair(model, alphabet)
    families = installed_families().usable
    # Families of other packages need not know of fingerprints.
    vouched = {} if fingerprint is None else {"fingerprint": fingerprint}
    takers = [family for family in families if set(others) & set(family.options)]
    if takers:
        _check_options(takers[0], model, alphabet, others)
        return takers[0].wrap(model, alphabet, name=name or "", **vouched, **others)
    if others:
        return _wrap_function(model, alphabet, {"name": name or "", "fingerprint": fingerprint, **others})
    fitting = [family for family in families if family.wraps(model, alphabet)]
    if not fitting:
        known = " or ".join(filter(None, (family.wraps_what for family in families)))
        hint = (
            " Of a function from tokens to logits say what its letters are: letters=…."
            if callable(model)
            else ""
        )
        raise ModelError(f"A {type(model).__name__} is not a model of {known}; pass one.{hint}")
    if len(fitting) > 1:
        both = " and ".join(family.name for family in fitting)
        raise ModelError(f"The families {both} both take a {type(model).__name__}; uninstall one of them.")
    return fitting[0].wrap(model, alphabet, name=name or "", **vouched)


def _check_options(family: ModelFamily, model: Any, alphabet: Any, options: dict[str, Any]) -> None:
    """Refuse keywords of a family where the model is none of its, or others that it does not have."""
    if not family.wraps(model, alphabet):
        raise ModelError(
            f"{'= and '.join(family.options)}= go with {family.wraps_what}; a {type(model).__name__} is none."
        )
    wrong = next((key for key in options if key not in family.options), None)
    if wrong is not None:
        raise UsageError(f"{wrong}= does not exist for {family.name}; there are {', '.join(family.options)}.")


def _pair(model: tuple[Any, ...], alphabet: Any) -> tuple[Any, Any]:
    if len(model) != 2 or alphabet is not None:
        things = len(model) + (alphabet is not None)
        raise ModelError(
            "A model in memory is given as (model, alphabet) or (model, tokenizer), not as "
            f"{things} thing{'s' if things > 1 else ''}."
        )
    return model[0], model[1]


def _wrap_function(model: Any, alphabet: Any, options: dict[str, Any]) -> LanguageModel:
    from catjac_widgets.language_models.custom.callable_model import CallableModel

    known = inspect.signature(CallableModel).parameters
    wrong = next((key for key in options if key not in known), None)
    if wrong is not None or alphabet is not None:
        what = f"{wrong}= does not exist" if wrong is not None else "A function has no alphabet"
        raise UsageError(f"{what}; a function is wrapped with {', '.join(list(known)[1:])}.")
    return CallableModel(model, **options)


def resolve_model(model: Any) -> LanguageModel:
    """Make a language model of what a caller passed as ``model=``.

    Parameters
    ----------
    model
        A name or path, a `LanguageModel`, a model in memory, or a pair: (model, alphabet) of fair-esm,
        (model, tokenizer) of transformers.

    Raises
    ------
    ModelError
        If it is none of these; see also `load_model` and `wrap`.
    """
    if isinstance(model, LanguageModel):
        return model
    if isinstance(model, str | Path):
        return _load(model, None, None, hand_out=False)
    return wrap(model)


def identify(model: Any) -> ModelIdentity:
    """Tell what is known of a model without loading it: name, fingerprint, letters, limits.

    A name or path is answered from its file (hashed once, then remembered by path, size and time of change);
    a published model that is in no cache yet is downloaded. Anything in memory is asked itself.
    ``identify(name).fingerprint == load_model(name).fingerprint``.

    Raises
    ------
    ModelError
        As `resolve_model`.
    """
    if isinstance(model, str | Path):
        return _LOADER.source(model).identity()
    return identity_of(resolve_model(model))


def models(sequence: Any = None) -> ModelTable:
    """List the models known by name: family, parameters, alphabet; embedded, in the cache, or what they need.

    Families that are installed but cannot be used are listed with the reason.

    Parameters
    ----------
    sequence
        A protein (or a number of residues), for which time and memory on this machine are estimated.
    """
    length = None
    if sequence is not None:
        from catjac_widgets.proteins.reading import read_protein

        length = sequence if isinstance(sequence, int) else len(read_protein(sequence, check=False).sequence)
    families = installed_families()
    rows: list[dict[str, Any]] = []
    for family in (*families.usable, _REGISTERED):
        missing = family.missing_package()
        begins = "" if family.tried else "not run here; "
        rows += [{**row, "status": f"{begins}{missing or row['status']}"} for row in family.rows()]
    rows += [
        {"name": broken.name, "family": broken.name, "status": f"cannot be used: {broken.reason}"}
        for broken in families.broken
    ]
    if length is not None:
        for row in rows:
            count = row.get("parameters")
            row.update(seconds=jacobian_seconds(row, length), memory=None if count is None else 4 * count)
    # What comes with the package stands first.
    return ModelTable(sorted(rows, key=lambda row: row["status"] != "embedded"), length=length)


# -- whose name it is


class _Registry:
    """The registry as the families see it; see `Loader`."""

    def source(self, name: str | Path) -> Source:
        return _family_of(name).source(name, self)

    def load(self, name: str | Path, device: torch.device, dtype: torch.dtype) -> LanguageModel:
        return _load(name, device, dtype, hand_out=False)


_LOADER = _Registry()


def _claiming(name: str | Path, families: Families) -> list[ModelFamily]:
    return [family for family in families.usable if family.claims(name)]


def _family_of(name: str | Path) -> ModelFamily:
    if _REGISTERED.claims(name):
        return _REGISTERED
    found = _claiming(name, installed_families())
    if not found:
        # A package may have been installed since this process began.
        found = _claiming(name, installed_families(again=True))
    if not found:
        raise ModelNotFoundError(_not_found(str(name), installed_families()))
    if len(found) > 1:
        raise ModelError(
            f"{str(name)!r} could be a model of {' or of '.join(family.name for family in found)}; uninstall "
            "one of these packages, or give a checkpoint as a pathlib.Path."
        )
    return found[0]


def _not_found(name: str, families: Families) -> str:
    name = shown(name)
    known = {each.lower(): each for each in _suggestions(families)}
    near = [known[each] for each in difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.6)]
    forms = "; ".join(family.forms for family in families.usable if family.forms)
    said = f"did you mean {', '.join(near)}?" if near else f"a model is named {forms}."
    text = f"There is no model {name!r}; {said} catjac.models() lists all."
    return " ".join([text, *(f"Also, {broken}." for broken in families.broken)])


def _suggestions(families: Families) -> Iterator[str]:
    for family in (*families.usable, _REGISTERED):
        yield from (row["name"] for row in family.rows())
