"""Names of language models: finding, loading, wrapping and listing them."""

from __future__ import annotations

import difflib
import threading
import weakref
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from catjac_widgets.errors import ModelError, ModelNotFoundError
from catjac_widgets.language_models.base import LanguageModel
from catjac_widgets.language_models.catalogue import (
    CATALOGUE,
    CatalogueEntry,
    ModelTable,
    hub_folder,
    in_bytes,
)
from catjac_widgets.language_models.esm.numerics.table import NUMERICS
from catjac_widgets.language_models.identity import ModelIdentity

if TYPE_CHECKING:
    import torch


class Source(Protocol):
    """Where a model that has a name comes from."""

    def identity(self) -> ModelIdentity:
        """Tell what is known of it without building it."""
        ...

    def load(self, device: torch.device, dtype: torch.dtype) -> LanguageModel:
        """Build it on a device."""
        ...


class FileSource:
    """A checkpoint file."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path

    def file(self) -> Path:
        """Give the file, fetched first where need be."""
        return self.path

    def identity(self) -> ModelIdentity:
        """See `Source`."""
        from catjac_widgets.language_models.esm.checkpoints import facts_of

        facts = facts_of(self.file())
        return ModelIdentity(
            self.name,
            facts.fingerprint,
            facts.letters,
            facts.max_residues,
            facts.contact_head,
            numerics=NUMERICS,
        )

    def load(self, device: torch.device, dtype: torch.dtype) -> LanguageModel:
        """See `Source`."""
        from catjac_widgets.language_models.devices import place
        from catjac_widgets.language_models.esm.adapter import FairEsm
        from catjac_widgets.language_models.esm.checkpoints import load_checkpoint

        identity = self.identity()
        model, alphabet = load_checkpoint(self.file())
        return FairEsm(
            place(model, self.name, device, dtype),
            alphabet,
            name=self.name,
            file_fingerprint=identity.fingerprint,
            contact_head=identity.has_contact_head,
        )


class HubSource(FileSource):
    """A published checkpoint of fair-esm: from torch hub's cache, or downloaded into it."""

    def __init__(self, entry: CatalogueEntry) -> None:
        super().__init__(entry.name, Path())
        self.entry = entry

    def file(self) -> Path:
        """See `FileSource`."""
        from catjac_widgets.language_models.devices import check_memory
        from catjac_widgets.language_models.downloads import ensure_downloaded

        if not all((hub_folder() / name).is_file() for name in self.entry.urls):
            # Before gigabytes are fetched that could not be used.
            check_memory(self.name, 4 * self.entry.parameters)
        return ensure_downloaded(self.entry)

    def identity(self) -> ModelIdentity:
        """See `Source`; a published file never changes, so one seen before need not be there any more."""
        from catjac_widgets.language_models.esm.checkpoints import last_facts_of

        path = hub_folder() / f"{self.name}.pt"
        known = None if path.is_file() else last_facts_of(path)
        if known is None:
            return super().identity()
        return ModelIdentity(
            self.name,
            known.fingerprint,
            known.letters,
            known.max_residues,
            known.contact_head,
            numerics=NUMERICS,
        )

    def load(self, device: torch.device, dtype: torch.dtype) -> LanguageModel:
        """See `Source`."""
        from catjac_widgets.language_models.devices import check_memory

        check_memory(self.name, 4 * self.entry.parameters)
        return super().load(device, dtype)


#: How a name with that text before its ":" is read: the rest of the name to a `Source`. Open for more.
PREFIXES: dict[str, Callable[[str], Source]] = {}

_LATER = ("hf",)
_FORMS = "A model is named 'mini', by fair-esm's name, or by the path of a .pt or .safetensors checkpoint."
_SUFFIXES = (".pt", ".pth", ".safetensors")

#: Models that stay in memory although nobody uses them, so that the next call need not load them again.
KEPT_MODELS = 3

#: What was loaded by name: the fingerprint at that time, and the model as long as it is in memory.
_LOADED: dict[tuple[str, str, str], tuple[str, weakref.ref[LanguageModel]]] = {}
_LATEST: deque[LanguageModel] = deque(maxlen=KEPT_MODELS)
_GUARD = threading.RLock()


def load_model(
    name: str | Path, *, device: str | torch.device | None = None, dtype: Any = None
) -> LanguageModel:
    """Load a language model by name or path; the same object for the same request while it is in use.

    The last `KEPT_MODELS` stay in memory; others go when nobody holds them any more.

    Parameters
    ----------
    name
        "mini" (comes with the package), a fair-esm name such as "esm2_t33_650M_UR50D" (from torch hub's
        cache, or downloaded), or the path of a checkpoint (`.pt` with its `-contact-regression.pt` beside it,
        or `.safetensors`). With "masked_ends:" before it, mask tokens stand in for start and end.
        ESM-1b and ESM-1v take 1,022 residues; ESM-2 takes any length, but was trained on crops of 1,022.
    device
        "cuda", "cuda:1", "mps", "cpu"; the first of CUDA, MPS and CPU that is there by default.
    dtype
        "float32" (default), "float16" or "bfloat16"; logits come as float32 in any case.

    Raises
    ------
    ModelNotFoundError
        For a name that nobody knows; the nearest names are suggested.
    CheckpointError
        For a checkpoint that is missing, truncated, unsafe or of another format, or cannot be downloaded.
    ResourceError
        For a published model that does not fit into this machine's memory.
    DeviceError
        If the device is not there, or too small.
    DependencyError
        If fair-esm is missing or another package has taken its place.
    """
    from catjac_widgets.language_models.devices import choose_device, choose_dtype

    source = _source(name)
    where, kind = choose_device(device), choose_dtype(dtype)
    key = (str(name), str(where), str(kind))
    with _GUARD:
        fingerprint = source.identity().fingerprint
        then, reference = _LOADED.get(key, ("", None))
        model = None if reference is None else reference()
        # One that was altered since, or whose file has changed, no longer is what its name says.
        if model is None or then != fingerprint or getattr(model, "changed", False):
            for gone in [other for other, (_, kept) in _LOADED.items() if kept() is None]:
                del _LOADED[gone]
            model = source.load(where, kind)
            _LOADED[key] = (fingerprint, weakref.ref(model))
        if model in _LATEST:
            _LATEST.remove(model)
        _LATEST.append(model)
        return model


def wrap(model: Any, alphabet: Any = None, *, name: str | None = None) -> LanguageModel:
    """Use a model that is in memory already; it is never moved, and left in the mode it was found in.

    Parameters
    ----------
    model
        A model of fair-esm (ESM-2, ESM-1b, ESM-1v), also fine-tuned, subclassed or hooked; on any device.
    alphabet
        fair-esm's alphabet; the model's own by default.
    name
        What to call it.

    Raises
    ------
    ModelError
        If it is not a model of a known family.
    """
    if isinstance(model, LanguageModel):
        return model
    from catjac_widgets.language_models.esm.adapter import FairEsm

    return FairEsm(model, alphabet, name=name or "")


def resolve_model(model: Any) -> LanguageModel:
    """Make a language model of what a caller passed as ``model=``.

    Parameters
    ----------
    model
        A name or path, a `LanguageModel`, a model in memory, or the pair (model, alphabet).

    Raises
    ------
    ModelError
        If it is none of these; see also `load_model` and `wrap`.
    """
    if isinstance(model, LanguageModel):
        return model
    if isinstance(model, str | Path):
        return load_model(model)
    if isinstance(model, tuple):
        if len(model) != 2:
            raise ModelError(f"A model in memory is given as (model, alphabet), not as {len(model)} things.")
        return wrap(*model)
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
        return _source(model).identity()
    made = resolve_model(model)
    return ModelIdentity(
        made.name,
        made.fingerprint,
        made.letters,
        made.max_residues,
        bool(getattr(made, "has_contact_head", hasattr(made, "contact_probabilities"))),
        made.causal,
        made.numerics,
    )


def models() -> ModelTable:
    """List the models known by name: family, parameters; embedded, in the cache, or to be downloaded."""
    from catjac_widgets.language_models.esm.mini.familiarity import FOLDER, WEIGHTS

    folder = hub_folder()
    rows: list[dict[str, Any]] = []
    if (FOLDER / WEIGHTS).is_file():
        from catjac_widgets.language_models.esm.checkpoints import sizes_of

        rows.append({"name": "mini", **sizes_of(FOLDER / WEIGHTS), "status": "embedded"})
    for entry in CATALOGUE.values():
        there = all((folder / name).is_file() for name in entry.urls)
        rows.append(
            {
                "name": entry.name,
                "family": entry.family,
                "parameters": entry.parameters,
                "layers": entry.layers,
                "status": "in cache" if there else f"needs download ({in_bytes(entry.bytes)})",
                "bytes": entry.bytes,
            }
        )
    return ModelTable(rows)


def _source(name: str | Path) -> Source:
    text = str(name).strip()
    if text == "mini":
        from catjac_widgets.language_models.esm.mini.familiarity import embedded_file

        return FileSource("mini", embedded_file())
    if not isinstance(name, Path) and text in CATALOGUE:
        return HubSource(CATALOGUE[text])
    prefix, colon, rest = text.partition(":")
    if colon and prefix in PREFIXES:
        return PREFIXES[prefix](rest)
    if colon and prefix == "potts":
        from catjac_widgets.language_models.potts.adapter import PottsSource

        return PottsSource(rest)
    if colon and prefix == "masked_ends":
        from catjac_widgets.language_models.esm.masked_ends import MaskedEndsSource

        return MaskedEndsSource(rest, _source(rest))
    if colon and prefix in _LATER:
        raise ModelNotFoundError(f"Names with {prefix}: are not understood yet; {_FORMS}")
    path = Path(text).expanduser()
    if isinstance(name, Path) or path.suffix in _SUFFIXES or path.is_file():
        return FileSource(text, path)
    near = difflib.get_close_matches(text, ["mini", *CATALOGUE], n=3, cutoff=0.4)
    guess = f"did you mean {', '.join(near)}?" if near else "catjac.models() lists them."
    raise ModelNotFoundError(f"There is no model {text!r}; {guess} {_FORMS}")
