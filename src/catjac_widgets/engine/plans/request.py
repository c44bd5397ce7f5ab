"""Requests: everything that a caller says of one Jacobian, checked once and handed on as one object."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catjac_widgets.engine.plans.jacobian import Plan
from catjac_widgets.engine.plans.making import plan_of_checked
from catjac_widgets.engine.plans.positions import check_positions
from catjac_widgets.engine.rounding import bits_to_keep
from catjac_widgets.errors import MaskError, UsageError
from catjac_widgets.input_files import shown
from catjac_widgets.language_models.adapters.encoding import check_length, no_mask_token
from catjac_widgets.language_models.alphabets import check_elements, letters_of
from catjac_widgets.language_models.base import EXACT, Numerics, choose_numerics
from catjac_widgets.proteins.masks import Mask, as_mask
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.proteins.sequences import STRANDS, Sequence

if TYPE_CHECKING:
    import numpy as np

    from catjac_widgets.language_models.identity import ModelIdentity


@dataclass(frozen=True)
class JacobianRequest:
    """One categorical Jacobian as it was asked for; made by `make_request`.

    ``dataclasses.replace(request, mask=…)`` asks for the same under another mask.

    Attributes
    ----------
    sequence
        The residues and chains asked about, of the model's letters.
    model
        A name or path, not loaded for this, or a `LanguageModel`.
    identity
        What is known of the model without loading it.
    mask
        Which residues the model may not see.
    positions
        1-based positions asked for, in the order asked.
    variant, linker
        See `catjac.jacobian`.
    numerics
        One of those that the model offers.
    batch_size
        Sequences a batch, None to have it chosen.
    cache
        Whether rows are to be taken from the cache and kept there; see also `uses_cache`.
    lazy
        True, False or "auto": whether rows stay in the cache until they are used; or "stored": they do where
        the cache has them all.
    rows_bits
        Bits of each number's mantissa that rows keep if they use the cache, None for all.
    plan
        What follows from it: what is run, and the key under which rows are kept.

    Raises
    ------
    SequenceError, MaskError, UsageError
        If it makes no sense.
    """

    sequence: Sequence
    model: Any
    identity: ModelIdentity
    mask: Mask
    positions: tuple[int, ...]
    variant: str = "full"
    numerics: Numerics = EXACT
    linker: str = ""
    batch_size: int | None = None
    cache: bool = True
    lazy: bool | str = "auto"
    rows_bits: int | None = None
    plan: Plan = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "batch_size", check_batch_size(self.batch_size))
        if not isinstance(self.lazy, bool) and self.lazy not in ("auto", "stored", "dask"):
            raise UsageError(f"lazy={shown(repr(self.lazy))} is unknown; use 'auto', True, False or 'dask'.")
        if self.lazy == "dask" and find_spec("dask") is None:
            raise UsageError("lazy='dask' needs dask, which is not installed; run: pip install 'dask[array]'")
        known = self.identity
        # Only some models read strands; for others they make no other sequence.
        strands = (self.sequence.strands or STRANDS[0] * len(self.sequence.chains)) if known.strands else ""
        object.__setattr__(self, "sequence", self.sequence.on_strands(strands))
        self._check_model()
        letters = letters_of(self.sequence.residues, known.letters, known.alphabets)
        there = tuple(each for each in known.alphabets if set(each) <= set(letters))
        plan = plan_of_checked(
            self.sequence,
            self.mask,
            self.positions,
            model=self.identity.name,
            fingerprint=self.identity.fingerprint,
            letters=letters,
            max_residues=self.identity.max_residues,
            variant=self.variant,
            numerics=self.numerics,
            linker=self.linker,
            causal=self.identity.causal,
            rows_bits=self.rows_bits if self.uses_cache else None,
            attributes=self.identity.attributes,
            alphabets=there if len(there) > 1 else (),
            strands=known.strands,
        )
        object.__setattr__(self, "plan", plan)

    def _check_model(self) -> None:
        """Refuse what this model cannot take."""
        known = self.identity
        check_elements(self.sequence, known.alphabets, known.name)
        if known.length is not None:
            linkers = len(self.linker) * (len(self.sequence.chains) - 1)
            check_length(self.sequence.residues, model=known.name, most=None, exactly=known.length - linkers)
        if not known.has_mask_token:
            if self.mask:
                raise MaskError(no_mask_token(known.name))
            if self.variant == "fast":
                raise UsageError(
                    f"variant='fast' hides one residue after the other, and {known.name} has no mask token; "
                    "use variant='full'."
                )

    @property
    def uses_cache(self) -> bool:
        """Whether rows are taken from the cache and kept there: never where the key cannot tell the model."""
        return self.cache and not self.identity.unseen


def check_batch_size(size: Any) -> int | None:
    """Return how many sequences are run at once, None to have it chosen.

    Raises
    ------
    UsageError
        If it is no whole number above 0.
    """
    if size is None:
        return None
    try:
        whole = 0 if isinstance(size, bool) else operator.index(size)
    except TypeError:
        whole = 0
    if whole < 1:
        raise UsageError(
            f"batch_size={shown(repr(size))} is not a number of sequences; leave it out or give 1 or more."
        )
    return whole


def make_request(
    sequence: Sequence | str | Path,
    model: Any = "mini",
    *,
    name: str = "",
    positions: Iterable[int] | int | None = None,
    mask: Mask | np.ndarray | Iterable[bool] | None = None,
    variant: str = "full",
    numerics: str = "exact",
    linker: str = "",
    unknown: Mapping[str, str] | None = None,
    batch_size: int | None = None,
    cache: bool = True,
    lazy: bool | str = "auto",
    identity: ModelIdentity | None = None,
) -> JacobianRequest:
    """Check what was asked for; a model that is given by name is not loaded.

    Parameters
    ----------
    sequence, model, positions, mask, variant, numerics, linker, unknown, batch_size, cache, lazy
        See `catjac.jacobian`.
    name
        What to call the sequence; its own name by default.
    identity
        Of the model, where it is known already.

    Raises
    ------
    SequenceError, MaskError, UsageError
        If the request makes no sense.
    ModelError
        If the model cannot be found.
    """
    from catjac_widgets.language_models.registry import identify, resolve_model

    resolved = model if isinstance(model, str | Path) else resolve_model(model)
    known = identity or identify(resolved)
    made = as_sequence(sequence, name=name, unknown=unknown, letters=known.letters)
    return JacobianRequest(
        sequence=made,
        model=resolved,
        identity=known,
        mask=as_mask(mask, made),
        positions=check_positions(positions, len(made)),
        variant=variant,
        numerics=choose_numerics(known.numerics, numerics, lambda: _device_of(resolved), model=known.name),
        linker=linker,
        batch_size=batch_size,
        cache=cache,
        lazy=lazy,
        rows_bits=bits_to_keep(),
    )


def _device_of(model: Any) -> str:
    """Name the device that a model is on, or would be loaded to."""
    from catjac_widgets.language_models.devices import likely_device

    return likely_device() if isinstance(model, str | Path) else str(model.device)
