"""A Potts model as a language model: every analysis that needs logits works on it."""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from catjac_widgets.errors import ModelError, SequenceError
from catjac_widgets.language_models.base import LanguageModel, Runner, Substitution, choose_numerics
from catjac_widgets.language_models.fingerprints import FileMemory, file_memory, sha256_of_file
from catjac_widgets.language_models.identity import ModelIdentity
from catjac_widgets.language_models.potts.files import read_potts
from catjac_widgets.language_models.potts.parameters import PottsParameters
from catjac_widgets.language_models.progress import watcher
from catjac_widgets.proteins.alignments import read_alignment
from catjac_widgets.proteins.alphabets import MASK_LETTER

if TYPE_CHECKING:
    import torch

    from catjac_widgets.proteins.masks import Mask

#: Changes whenever the same parameters would give other logits.
_VERSION = 1

#: Changes whenever the same alignment would be fitted otherwise.
_FIT = "GREMLIN pseudo-likelihood 1"


class Potts(LanguageModel):
    """Logits z[j, b] = V[j, b] + Σ_{i≠j} W[i, x_i, j, b]; a hidden residue contributes its letters' mean.

    So it contributes nothing in the zero-sum gauge, and the Jacobian, W[i, a, j, b] − W[i, x_i, j, b], does
    not depend on the rest of the sequence. There is no contact head: contacts are those of the Jacobian.

    Parameters
    ----------
    parameters
        The gap, if it is a state, is left out.
    name
        What to call it.
    device
        Where it runs; the CPU by default.
    fingerprint
        What the cache knows it by; of the parameters themselves by default.
    """

    has_contact_head = False

    def __init__(
        self,
        parameters: PottsParameters,
        *,
        name: str = "potts",
        device: torch.device | str | None = None,
        fingerprint: str | None = None,
    ) -> None:
        import torch

        self.potts = parameters
        self.name = name
        self.letters = parameters.residue_letters
        self.max_residues = parameters.length
        self._device = torch.device(device or "cpu")
        fields, couplings = parameters.for_residues()
        self._fields = torch.from_numpy(fields).to(self._device)
        self._couplings = torch.from_numpy(couplings).to(self._device)
        self._digest = fingerprint or fingerprint_of(parameters)

    @property
    def fingerprint(self) -> str:
        """See `LanguageModel`."""
        return self._digest

    @property
    def device(self) -> torch.device:
        """See `LanguageModel`."""
        return self._device

    @property
    def parameters(self) -> int:
        """Fields and couplings, each pair once."""
        K, q = self.potts.fields.shape
        return K * q + K * (K - 1) // 2 * q * q

    def encode(self, residues: str, mask: Mask | None = None) -> torch.Tensor:
        """See `LanguageModel`; a hidden residue is the number of letters.

        Raises
        ------
        SequenceError
            If the residues are not as many as the model has, or one is no letter of it.
        """
        import torch

        if len(residues) != self.potts.length:
            raise SequenceError(
                f"{self.name} is a model of {self.potts.length} aligned residues, and the sequence has "
                f"{len(residues)}; give a sequence aligned to it, without gaps."
            )
        unknown = next((letter for letter in residues if letter not in self.letters), None)
        if unknown is not None:
            raise SequenceError(f"{self.name} has no letter {unknown!r}; it has {', '.join(self.letters)}.")
        tokens = torch.tensor([self.letters.index(letter) for letter in residues], dtype=torch.int64)
        if mask is not None:
            tokens[torch.from_numpy(mask.array)] = len(self.letters)
        return tokens

    def logits(self, tokens: torch.Tensor) -> torch.Tensor:
        """See `LanguageModel`."""
        import torch

        L, A = self._fields.shape
        table = torch.cat([torch.eye(A), torch.full((1, A), 1.0 / A)]).to(self._couplings)
        inputs = table[tokens.to(self._device)].reshape(len(tokens), L * A)
        return self._fields + (inputs @ self._couplings.reshape(L * A, L * A)).view(-1, L, A)

    def prepare(self, residues: str, mask: Mask | None = None, numerics: str = "exact") -> Runner:
        """See `LanguageModel`."""
        import torch

        chosen = choose_numerics(self.numerics, numerics, model=self.name)
        dtype = getattr(torch, chosen.dtype)
        return _PottsRunner(self, self.encode(residues, mask), dtype)

    def row_bytes(self, length: int) -> int:
        """See `LanguageModel`."""
        return 8 * length * len(self.letters)

    def seconds_per_sequence(self, length: int) -> float:
        """See `LanguageModel`."""
        return 1e-8 * length * len(self.letters)


class _PottsRunner:
    """Adds to the baseline what one substitution changes, which is exact for a Potts model."""

    def __init__(self, model: Potts, tokens: torch.Tensor, dtype: torch.dtype) -> None:
        import torch

        self._model, self._tokens = model, tokens.tolist()
        self._couplings = model._couplings.to(dtype)
        self._mean = self._couplings.mean(dim=1)
        inputs = [self._input(i, token) for i, token in enumerate(self._tokens)]
        self._baseline = model._fields.to(dtype) + torch.stack(inputs).sum(dim=0)

    def _input(self, position: int, token: int) -> torch.Tensor:
        """Give what a residue adds to all logits, (L, A)."""
        return self._mean[position] if token == len(self._model.letters) else self._couplings[position, token]

    def wild_type(self) -> np.ndarray:
        return self._baseline.cpu().numpy().copy()

    def rows(self, substitutions: list[Substitution]) -> np.ndarray:
        import torch

        letters = self._model.letters
        made = []
        for change in substitutions:
            token = len(letters) if change.letter == MASK_LETTER else letters.index(change.letter)
            old = self._input(change.position, self._tokens[change.position])
            made.append(self._baseline + (self._input(change.position, token) - old))
        return torch.stack(made).cpu().numpy()


def random_potts(length: int, *, letters: str, seed: int = 0, scale: float = 0.5) -> Potts:
    """Make a Potts model of normally distributed fields and couplings, for controls and examples.

    Parameters
    ----------
    scale
        Standard deviation of the couplings; fields have 1.
    """
    generator = np.random.default_rng([seed, length])
    A = len(letters)
    drawn = generator.normal(size=(length, A, length, A), scale=scale * np.sqrt(2)).astype(np.float32)
    W = (drawn + drawn.transpose(2, 3, 0, 1)) / np.float32(2)
    W[np.arange(length), :, np.arange(length), :] = 0
    V = generator.normal(size=(length, A)).astype(np.float32)
    return Potts(PottsParameters(V, W, letters), name=f"random Potts model {seed}")


def fingerprint_of(parameters: PottsParameters) -> str:
    """SHA-256 of all that decides the logits."""
    digest = hashlib.sha256(
        f"potts {_VERSION} {parameters.letters} {parameters.columns} {parameters.length}".encode()
    )
    for array in (parameters.fields, parameters.couplings):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


class PottsSource:
    """The name ``potts:<file>``: a saved model, a parameter file of another tool, or an alignment to fit to.

    A fit is kept in the cache folder under the alignment's content and the settings of the fit, which are the
    model's fingerprint too: what is in the cache already needs no fit.
    """

    def __init__(self, rest: str) -> None:
        self.name = f"potts:{rest}"
        self.path = Path(rest).expanduser()

    def _is_alignment(self) -> bool:
        return self.path.name.removesuffix(".gz").endswith((".a3m", ".afa", ".fasta", ".fa", ".aln"))

    def identity(self) -> ModelIdentity:
        """See `Source`; nothing is fitted for it."""
        self._check()
        if not self._is_alignment():
            model = Potts(read_potts(self.path), name=self.name)
            return ModelIdentity(self.name, model.fingerprint, model.letters, model.max_residues, False)
        facts = file_memory.get([self.path])
        if facts is None or facts.get("fit") != _FIT:
            alignment = read_alignment(self.path)
            residues = alignment.letters[: alignment.gap]
            named = set(alignment.query) <= set(residues)
            length = alignment.length if named else len(alignment.columns_below())
            digest = hashlib.sha256(f"{_FIT} {sha256_of_file(self.path)}".encode()).hexdigest()
            facts = {"fit": _FIT, "fingerprint": digest, "letters": residues, "length": length}
            file_memory.put([self.path], facts)
        return ModelIdentity(self.name, facts["fingerprint"], facts["letters"], facts["length"], False)

    def load(self, device: torch.device, dtype: torch.dtype) -> LanguageModel:
        """See `Source`; it always computes in its own precision."""
        if not self._is_alignment():
            return Potts(read_potts(self.path), name=self.name, device=device)
        fingerprint = self.identity().fingerprint
        return Potts(
            self._fitted(fingerprint, device), name=self.name, device=device, fingerprint=fingerprint
        )

    def _fitted(self, fingerprint: str, device: torch.device) -> PottsParameters:
        from catjac_widgets.language_models.potts.fit import fit_potts

        memory = FileMemory.file()
        kept = None if memory is None else memory.parent / "potts" / f"{fingerprint}.safetensors"
        if kept is not None and kept.is_file():
            # One that was cut short is fitted again.
            with contextlib.suppress(ModelError):
                return read_potts(kept)
        follow = watcher()
        made = fit_potts(
            self.path,
            device=device,
            progress=follow is None,
            watch=None if follow is None else lambda share: follow(f"fitting {self.path.name}", share),
        )
        if kept is not None:
            partial = kept.with_name(f"{fingerprint}.{uuid.uuid4().hex}.safetensors")
            # A cache folder that cannot be written costs another fit in the next process.
            with contextlib.suppress(OSError):
                kept.parent.mkdir(parents=True, exist_ok=True)
                made.save(partial)
                partial.replace(kept)
        return made

    def _check(self) -> None:
        if not self.path.is_file():
            what = "an alignment" if self._is_alignment() else "a Potts model"
            raise ModelError(f"There is no file {self.path} with {what}; check the path.")
