"""What every language model offers to the engine, whatever its family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from catjac_widgets.errors import UsageError
from catjac_widgets.language_models.alphabets import letters_at, letters_of
from catjac_widgets.language_models.runners import (
    EncodedRunner,
    Launched,
    LaunchingRunner,
    Runner,
    Substitution,
)
from catjac_widgets.proteins.alphabets import MASK_LETTER

if TYPE_CHECKING:
    import torch

    from catjac_widgets.proteins.masks import Mask


@dataclass(frozen=True)
class Numerics:
    """One way of computing a Jacobian's rows: in which numbers, how near to exact, and where it is quick.

    Attributes
    ----------
    name
        What `numerics=` calls it. It decides the numbers, whatever the device, and is part of cache keys.
    description
        One line for a person.
    approximate
        Whether rows are near exact ones, but not within the tolerance of float32. The runner of such numerics
        has an attribute `exact`, the exact runner of the same input.
    dtype
        The type of the rows: "float32" or "float64".
    devices
        Kinds of devices that it suits.
    batch_factor
        How many times as many sequences as in float32 a device that it suits runs in the same time.
    asked_as
        Other names by which it may be asked for; they stand for whichever numerics suits the device.
    """

    name: str
    description: str
    approximate: bool = False
    dtype: str = "float32"
    devices: tuple[str, ...] = ("cpu", "cuda", "mps")
    batch_factor: int = 1
    asked_as: tuple[str, ...] = ()


#: Of `LanguageModel.attributes`: contact maps are not corrected by the average product by default.
WITHOUT_APC = (("apc", "off"),)

EXACT = Numerics("exact", "float32 throughout, TF32 off")
FLOAT64 = Numerics("float64", "a copy of the model in float64: slow, for checks", dtype="float64")


def choose_numerics(
    offered: Iterable[Numerics], asked: str, device: Callable[[], str] | None = None, *, model: str
) -> Numerics:
    """Find the numerics that a name asks for.

    Parameters
    ----------
    offered
        What the model offers, the preferred first.
    asked
        A name, or, with `device`, one that stands for whichever suits the device.
    device
        Tells the device, such as "cpu" or "cuda:1"; called only where it matters.
    model
        The model's name, for messages.

    Raises
    ------
    UsageError
        If the model offers none of that name.
    """
    offered = tuple(offered)
    named = [each for each in offered if asked == each.name or (device and asked in each.asked_as)]
    if not named:
        names = dict.fromkeys(name for each in offered for name in (*each.asked_as, each.name))
        raise UsageError(
            f"numerics={asked!r} is unknown to {model}; use {' or '.join(repr(name) for name in names)}."
        )
    if len(named) == 1 or device is None:
        return named[0]
    kind = device().partition(":")[0]
    return next((each for each in named if kind in each.devices), named[0])


class LanguageModel(ABC):
    """A model that turns residues into logits.

    Attributes
    ----------
    name
        What a person calls it.
    letters
        The letters of the logits, in the model's own order (A of them).
    max_residues
        The longest sequence it takes, or None.
    numerics
        The numerics in which it can be prepared.
    length
        The only number of residues that it takes, such as that of a structure it is given; None for any.
    causal
        Whether it reads from left to right: the logits at a residue depend on the residues before it alone.
    has_mask_token
        Whether residues can be hidden from it.
    attributes
        What its Jacobians say of it beside its name, as pairs of texts. It follows from the fingerprint.
    tokens_per_residue
        How many tokens it runs for each residue: as many as rows where it reads an alignment.
    alphabets
        Where `letters` are those of several alphabets, of which each residue has one: these, one after the
        other. () where there is one alphabet.
    strands
        Whether it reads a token before each chain that says on which strand it lies. `encode` takes it as
        "+" or "-" among the residues.
    """

    name: str
    letters: str
    max_residues: int | None = None
    numerics: tuple[Numerics, ...] = (EXACT,)
    length: int | None = None
    causal: bool = False
    has_mask_token: bool = True
    attributes: tuple[tuple[str, str], ...] = ()
    tokens_per_residue: int = 1
    alphabets: tuple[str, ...] = ()
    strands: bool = False

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Text that changes whenever the outputs may (weights, policies, code). Part of the cache key."""

    @property
    def changed(self) -> bool:
        """Whether it was altered since it was made, as far as that shows without reading a weight.

        It is asked with every frame while a hand drags; the fingerprint looks as closely as it can.
        """
        return False

    @property
    def unseen(self) -> str:
        """What decides its outputs and no fingerprint can tell, in words; "" where there is no such thing.

        Nothing that such a model computes is kept in a cache.
        """
        return ""

    @property
    def altered_with(self) -> object:
        """The object that holds its weights: whoever can reach that one can alter this model."""
        return self

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where it runs."""

    @property
    @abstractmethod
    def parameters(self) -> int:
        """How many parameters it has."""

    @abstractmethod
    def encode(self, residues: str, mask: Mask | None = None) -> torch.Tensor:
        """Tokens of one sequence, int64, shape (T,), on the CPU; masked residues become the mask token."""

    @abstractmethod
    def logits(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits of equally long sequences, (B, T) to (B, L, A): residue rows and letter columns only."""

    def letters_of(self, residues: str) -> str:
        """Letters of the alphabets that a sequence has: of all `letters`, those that its logits tell."""
        return letters_of(residues, self.letters, self.alphabets)

    def letters_at(self, residue: str) -> str:
        """Letters that may be put in place of a residue."""
        return letters_at(residue, self.letters, self.alphabets)

    def residue_logits(self, residues: str, tokens: torch.Tensor) -> torch.Tensor:
        """Logits of `tokens`, made of a sequence or mutants of it: (B, T) to (B, L, A).

        The letters are `letters_of` that sequence. Where these are of several alphabets, the logits of those
        that a residue cannot be are the same number for all inputs, so low that their probability is 0.
        """
        return self.logits(tokens)

    def prepare(self, residues: str, mask: Mask | None = None, numerics: str = "exact") -> Runner:
        """Make a runner for substitutions of one sequence under one mask.

        By default one that runs each substitution as a sequence of its own, exactly.

        Parameters
        ----------
        numerics
            The name of one of `numerics`.

        Raises
        ------
        UsageError, ModelError
            For numerics that the model does not offer.
        """
        choose_numerics(self.numerics, numerics, model=self.name)
        return EncodedRunner(self, residues, mask)

    def row_bytes(self, length: int) -> int:
        """Estimated memory, in bytes, that one sequence of `length` residues takes during a forward pass."""
        return 4 * length * 4096

    def seconds_per_sequence(self, length: int) -> float:
        """Rough estimate of the time one sequence takes in a batch; the engine refines it while it runs."""
        return 2.0 * self.parameters * (length + 2) / 5e10


@runtime_checkable
class ContactHead(Protocol):
    """A model with a supervised contact head on its attention maps."""

    def contact_probabilities(self, residues: str, masks: list[Mask | None]) -> np.ndarray:
        """Contact probabilities, float32, shape (len(masks), L, L), symmetric, in (0, 1)."""
        ...


@runtime_checkable
class WholeVocabulary(Protocol):
    """A model that tells the logits of everything in its vocabulary, special tokens included.

    Attributes
    ----------
    vocabulary
        Its V tokens as text; the letters of `LanguageModel.letters` are among them.
    """

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """See the class."""
        ...

    def vocabulary_logits(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits of equally long sequences, (B, T) to (B, L, V): residue rows, every column."""
        ...


@runtime_checkable
class FirstOrderModel(Protocol):
    """A model that can tell its Jacobian approximately, in much less time than the exact one takes."""

    def first_order(
        self, residues: str, mask: Mask | None = None, stages: Iterable[int] = (3,)
    ) -> Iterator[tuple[int, np.ndarray] | None]:
        """Approximate Jacobians (L, A, L, A), float32: with no mutant run, then with some of each row.

        The iterator gives (letters run, Jacobian) pairs, first for none, then for each of `stages`, which
        ascend; and None between steps, where it may be left.
        Rows of masked residues are of no meaning.

        Raises
        ------
        ModelError
            At once, if this very model cannot.
        """
        ...


__all__ = [
    "EXACT",
    "FLOAT64",
    "MASK_LETTER",
    "ContactHead",
    "FirstOrderModel",
    "LanguageModel",
    "Launched",
    "LaunchingRunner",
    "Numerics",
    "Runner",
    "Substitution",
    "WholeVocabulary",
    "choose_numerics",
]
