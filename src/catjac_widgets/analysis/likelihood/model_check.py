"""Checks of a model that somebody brought: most mistakes of an adapter show in no Jacobian."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from catjac_widgets.analysis.likelihood.pseudo_perplexity import pseudo_perplexity
from catjac_widgets.engine.plans.request import make_request
from catjac_widgets.errors import UsageError
from catjac_widgets.language_models.base import LanguageModel, Substitution
from catjac_widgets.language_models.registry import resolve_model
from catjac_widgets.proteins.alphabets import ESM_LETTERS
from catjac_widgets.proteins.sequences import Sequence

#: Residues of each protein, and examples (the shortest) that are used: hundreds of passes, not thousands.
_MOST_RESIDUES, _EXAMPLES = 100, 4

#: How far two runs of the same input may lie apart, in shares of the largest logit.
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes
    ----------
    what
        What should hold.
    passed
        Whether it does.
    found
        What was found, in numbers.
    """

    what: str
    passed: bool
    found: str


@dataclass(frozen=True)
class ModelReport:
    """What `check_model` found; true where all of it holds.

    Attributes
    ----------
    model
        The model's name.
    checks
        What was looked at, in order.
    """

    model: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        wide = max(len(check.what) for check in self.checks)
        lines = [
            f"  {'ok  ' if check.passed else 'FAIL'}  {check.what:<{wide}}  {check.found}"
            for check in self.checks
        ]
        return "\n".join([f"{self.model}: {'all is well' if self.ok else 'something is wrong'}", *lines])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{'✓' if check.passed else '✗'}</td>"
            f"<td style='text-align:left'>{escape(check.what)}</td>"
            f"<td style='text-align:left'>{escape(check.found)}</td></tr>"
            for check in self.checks
        )
        return f"<table><caption>{escape(self.model)}</caption>{rows}</table>"


def check_model(
    model: Any, sequences: Iterable[Any] | None = None, *, seed: int = 0, progress: bool = True
) -> ModelReport:
    """Try a model on a few proteins: most mistakes of an adapter give a Jacobian without a word.

    Logits are finite, the same when run again and in another batch; a residue substituted by itself changes
    nothing, another one does; a model that reads from left to right says so, and one that says so does; real
    proteins are likelier than uniform letters (else columns and letters do not belong together) and than the
    same proteins shuffled (else it has learnt nothing, or is given something else than it was taught).

    Parameters
    ----------
    model
        What `jacobian` takes.
    sequences
        Proteins of the kind that the model was trained on, at most 100 residues of each are used; examples of
        the package by default.
    seed
        Of the shuffling.
    progress
        Whether bars are shown.

    Returns
    -------
    ModelReport
        True where all is well; printed, it is a table.

    Raises
    ------
    UsageError
        If there are no sequences to try it on.
    """
    loaded = resolve_model(model)
    used = _sequences(loaded, sequences)
    checks = [*_of_passes(loaded, used[0], seed), *_of_likelihoods(loaded, used, seed, progress)]
    return ModelReport(loaded.name, tuple(checks))


def _sequences(model: LanguageModel, given: Iterable[Any] | None) -> list[str]:
    """Residues to try a model on, each cut to what it takes."""
    if given is None:
        if not set(ESM_LETTERS) <= set(model.letters) or model.length is not None:
            raise UsageError(
                f"{model.name} does not take any protein, so that there is no example to try it on; give "
                "sequences=."
            )
        from catjac_widgets.structures.example_proteins import examples

        given = sorted(examples().values(), key=lambda example: len(example.sequence))[:_EXAMPLES]
    most = min(_MOST_RESIDUES, model.max_residues or _MOST_RESIDUES)
    residues = [str(make_request(each, model).sequence.residues) for each in _listed(given)]
    if model.length is None:
        residues = [each[:most] for each in residues]
    if not residues:
        raise UsageError("sequences= is empty; give proteins of the kind that the model was trained on.")
    return residues


def _listed(given: Iterable[Any]) -> list[Any]:
    return [given] if isinstance(given, str | Sequence) else list(given)


def _of_passes(model: LanguageModel, residues: str, seed: int) -> list[Check]:
    """Look at single passes over one protein."""
    rng = np.random.default_rng(seed)
    L = len(residues)
    runner = model.prepare(residues)
    wild_type = runner.wild_type().astype(np.float64)
    finite = bool(np.isfinite(wild_type).all())
    scale = float(np.abs(wild_type).max()) or 1.0
    checks = [Check("logits are finite", finite, f"shape {wild_type.shape}, largest {scale:.3g}")]
    if not finite:
        return checks
    places = sorted(int(place) for place in rng.choice(L, size=min(4, L), replace=False))
    others = [
        next(each for each in model.letters_at(residues[place]) if each != residues[place])
        for place in places
    ]
    changes = [Substitution(place, letter) for place, letter in zip(places, others, strict=True)]
    same = [Substitution(place, residues[place]) for place in places]
    together = runner.rows([*changes, *same]).astype(np.float64)
    alone = np.concatenate([runner.rows([change]) for change in changes])
    again = model.prepare(residues).wild_type()

    def near(a: np.ndarray, b: np.ndarray) -> tuple[bool, str]:
        apart = float(np.abs(a - b).max()) / scale
        return apart <= _TOLERANCE, f"{apart:.1e} of the largest logit apart"

    n = len(changes)
    checks += [
        Check("the same input gives the same logits", *near(wild_type, again)),
        Check("a sequence does not depend on its batch", *near(together[:n], alone)),
        Check("a residue substituted by itself changes nothing", *near(together[n:], wild_type)),
    ]
    effects = np.abs(together[:n] - wild_type).max(axis=2)
    elsewhere = [np.delete(row, place).max(initial=0.0) for row, place in zip(effects, places, strict=True)]
    checks.append(
        Check(
            "a substitution changes logits elsewhere",
            max(elsewhere) > _TOLERANCE * scale,
            f"largest change {max(elsewhere):.3g}",
        )
    )
    past = max(row[: place + 1].max() for row, place in zip(effects, places, strict=True))
    one_sided = past <= _TOLERANCE * scale
    what = (
        "it reads from left to right, as it says" if model.causal else "it reads from both sides, as it says"
    )
    hint = "" if one_sided == model.causal else "; say causal=" + str(not model.causal)
    checks.append(
        Check(what, one_sided == model.causal, f"largest change before the residue {past:.3g}{hint}")
    )
    return checks


def _of_likelihoods(model: LanguageModel, used: list[str], seed: int, progress: bool) -> list[Check]:
    """Look at how probable it finds proteins."""
    rng = np.random.default_rng(seed)
    method: Any = "masked" if model.has_mask_token or model.causal else "wild_type"

    def perplexity(residues: Iterable[str]) -> float:
        found = [
            pseudo_perplexity(each, model, method=method, cache=False, progress=progress) for each in residues
        ]
        return float(
            np.exp(-sum(each.log_likelihood for each in found) / sum(each.residues for each in found))
        )

    real = perplexity(used)
    shuffled = perplexity("".join(rng.permutation(list(each))) for each in used)
    A = max(len(model.letters_of(each)) for each in used)
    return [
        Check(
            "proteins are likelier than uniform letters",
            real < A,
            f"perplexity {real:.2f} of {A}" + ("" if real < A else "; do columns= belong to letters=?"),
        ),
        Check(
            "proteins are likelier than shuffled ones",
            real < shuffled,
            f"perplexity {real:.2f}, shuffled {shuffled:.2f}",
        ),
    ]
