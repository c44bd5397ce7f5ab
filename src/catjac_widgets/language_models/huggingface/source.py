"""The names ``hf:…``: what is known of a folder without its weights, and how its model is loaded."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catjac_widgets.errors import CatjacError, CheckpointError, DeviceError
from catjac_widgets.input_files import reason, shown
from catjac_widgets.language_models.adapters.encoding import Encoding
from catjac_widgets.language_models.adapters.network import fingerprint_of
from catjac_widgets.language_models.base import EXACT, FLOAT64
from catjac_widgets.language_models.catalogue import in_bytes
from catjac_widgets.language_models.fingerprints import file_memory
from catjac_widgets.language_models.huggingface.hub import folder_of
from catjac_widgets.language_models.huggingface.weights import (
    CONFIG,
    digest_of,
    files_of,
    read_json,
    read_pickled,
    tensors_ending,
    weight_files,
)
from catjac_widgets.language_models.identity import ModelIdentity
from catjac_widgets.language_models.weights.remote_code import how_to_allow, may_run_code

if TYPE_CHECKING:
    import torch

    from catjac_widgets.language_models.base import LanguageModel

_AUTO = "AutoModelForMaskedLM"
_REGRESSION = ("contact_head.regression.weight", "contact_head.regression.bias")


@dataclass(frozen=True)
class FolderFacts:
    """What can be said of a model's folder before its weights are loaded.

    Attributes
    ----------
    digest
        Of all its files that decide what the model is.
    encoding
        See `Encoding.described`.
    settings
        See `structure.settings_of`.
    max_residues
        The longest sequence, or None.
    fits_fair_esm
        Whether it runs in fair-esm's form.
    contact_head
        Whether fitted weights of a contact head come with it.
    unseen
        See `LanguageModel.unseen`.
    reader
        Who looked at it, see `HuggingFaceSource.reader`.
    """

    digest: str
    encoding: dict[str, Any]
    settings: dict[str, Any]
    max_residues: int | None
    fits_fair_esm: bool
    contact_head: bool
    unseen: str
    reader: str = "letters"


class HuggingFaceSource:
    """A folder, or a repository of the Hub; see `Source`.

    Parameters
    ----------
    name
        What a person calls the model.
    where
        The folder or the repository.

    Attributes
    ----------
    reader
        How it is looked at: the same folder is something else to others.
    """

    reader: str = "letters"

    def __init__(self, name: str, where: str) -> None:
        self.name, self.where = name, where

    def identity(self) -> ModelIdentity:
        """See `Source`; asked for the first time, the files are hashed and the tokenizer is tried."""
        facts = self._facts(folder_of(self.where))
        encoding = self._made(facts.encoding)
        fingerprint = f"hf:{facts.digest}"
        if facts.fits_fair_esm:
            from catjac_widgets.language_models.esm.alterations.fingerprint import of_patched
            from catjac_widgets.language_models.esm.alterations.stock_code import patches
            from catjac_widgets.language_models.esm.numerics.table import NUMERICS

            # Functions that were replaced for all of fair-esm's models were so for this one, too.
            patched = patches()
            fingerprint, numerics = of_patched(fingerprint) if patched else fingerprint, NUMERICS
            unseen = patched[0] if patched else ""
        else:
            fingerprint = fingerprint_of(fingerprint, encoding, facts.settings, "torch.float32")
            numerics, unseen = (EXACT, FLOAT64), facts.unseen
        return ModelIdentity(
            self.name,
            fingerprint,
            encoding.letters,
            facts.max_residues,
            facts.contact_head,
            numerics,
            unseen,
            has_mask_token=encoding.mask is not None,
        )

    def load(self, device: torch.device, dtype: torch.dtype) -> LanguageModel:
        """See `Source`.

        Raises
        ------
        CheckpointError
            If its files do not hold a masked language model, were changed meanwhile, or bring code that may
            not run.
        """
        from catjac_widgets.language_models.devices import check_memory, place

        folder = folder_of(self.where)
        facts = self._facts(folder)
        check_memory(self.name, sum(path.stat().st_size for path in weight_files(folder)))
        network = self._network(folder, dtype)
        if self._facts(folder) != facts:
            raise CheckpointError(f"{shown(folder)} was changed while it was loaded; load it again.")
        try:
            network = place(network, self.name, device, dtype)
        except RuntimeError as error:
            needed = sum(each.numel() * each.itemsize for each in network.parameters())
            raise DeviceError(
                f"{self.name} ({in_bytes(needed)}) cannot be moved to {device} ({reason(error)})."
            ) from error
        own_code = brings_code(read_json(folder / CONFIG, "configuration")) and not facts.unseen
        return self._adapter(network, facts, own_code)

    # -- what others do in their own way

    def _encoding(self, folder: Path, code: bool) -> Encoding:
        """Ask the tokenizer."""
        from catjac_widgets.language_models.huggingface.letters import encoding_by

        return encoding_by(self._tokenizer(folder, code), self.name)

    def _made(self, described: dict[str, Any]) -> Encoding:
        """Make the encoding that was remembered."""
        return Encoding(**described_again(described))

    def _bare(self, folder: Path, configuration: Any, code: bool) -> Any:
        """Build the network without weights."""
        from catjac_widgets.language_models.huggingface.structure import without_weights

        return without_weights(configuration, trusted=code)

    def _adapter(self, network: Any, facts: FolderFacts, remote_code: bool) -> LanguageModel:
        from catjac_widgets.language_models.huggingface.esm_adapter import adapter_of

        return adapter_of(
            network,
            self._made(facts.encoding),
            name=self.name,
            file_fingerprint=f"hf:{facts.digest}",
            remote_code=remote_code,
            contact_head=facts.contact_head,
        )

    # -- inside

    def _facts(self, folder: Path) -> FolderFacts:
        told = read_json(folder / CONFIG, "configuration")
        code = self._check_code(told)
        files = files_of(folder, code=code)
        known = self._remembered(file_memory.get(files))
        if known is not None:
            return known
        seen = file_memory.seen(files)
        facts = self._look(folder, files, told, code)
        file_memory.put(files, asdict(facts), seen)
        return facts

    def _check_code(self, told: dict[str, Any]) -> bool:
        """Tell whether the model needs code that comes with it, and refuse it where that may not run."""
        if not brings_code(told):
            return False
        place = self.where.partition("@")[0]
        if not may_run_code(place):
            raise CheckpointError(
                f"{self.name} needs code that comes with its weights ({shown(told['auto_map'][_AUTO])}), "
                f"which would run with all your rights; {how_to_allow(place)}."
            )
        return True

    def _look(self, folder: Path, files: list[Path], told: dict[str, Any], code: bool) -> FolderFacts:
        from transformers import AutoConfig

        from catjac_widgets.language_models.esm.alterations.stock import regression_is_fitted
        from catjac_widgets.language_models.huggingface.adapter import longest
        from catjac_widgets.language_models.huggingface.esm_adapter import has_esm_contact_head
        from catjac_widgets.language_models.huggingface.esm_form import fits
        from catjac_widgets.language_models.huggingface.structure import settings_of

        encoding = self._encoding(folder, code)
        with _said(f"The configuration of {self.name} makes no masked language model"):
            settings = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=code)
            network = self._bare(folder, settings, code)
        fitted = False
        if has_esm_contact_head(network):
            found = tensors_ending(weight_files(folder), _REGRESSION)
            fitted = len(found) == len(_REGRESSION) and regression_is_fitted(
                *(found[name].float() for name in _REGRESSION)
            )
        # Code of another repository is fetched by transformers itself, and not hashed here.
        elsewhere = code and any("--" in str(place) for place in told["auto_map"].values())
        return FolderFacts(
            digest=digest_of(folder, files),
            encoding=encoding.described(),
            settings=settings_of(network),
            max_residues=longest(network, encoding),
            fits_fair_esm=fits(network, encoding),
            contact_head=fitted,
            unseen=f"the class {type(network).__qualname__}" if elsewhere else "",
            reader=self.reader,
        )

    def _remembered(self, known: dict[str, Any] | None) -> FolderFacts | None:
        """Make facts of what was remembered; None where another version or reader remembered something."""
        from importlib import metadata

        try:
            facts = None if known is None else FolderFacts(**known)
            if facts is None or facts.settings["transformers"] != metadata.version("transformers"):
                return None
            if facts.reader != self.reader:
                return None
            self._made(facts.encoding)
        except (AttributeError, CatjacError, KeyError, TypeError, ValueError):
            return None
        return facts

    def _tokenizer(self, folder: Path, code: bool) -> Any:
        from transformers import AutoTokenizer

        with _said(f"The tokenizer of {self.name} cannot be loaded"):
            return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=code)

    def _network(self, folder: Path, dtype: torch.dtype) -> Any:
        from transformers import AutoModelForMaskedLM

        pickled = [path for path in weight_files(folder) if path.suffix == ".bin"]
        for path in pickled:
            # Refused here in a sentence of ours; transformers reads it by the same rule.
            read_pickled(path)
        with _said(f"The weights of {self.name} cannot be loaded"):
            network, loaded = AutoModelForMaskedLM.from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=brings_code(read_json(folder / CONFIG, "configuration")),
                use_safetensors=not pickled,
                weights_only=True,
                dtype=dtype,
                output_loading_info=True,
            )
        # A contact head without weights is no reason to do without the rest.
        missing = sorted(name for name in loaded["missing_keys"] if not name.endswith(_REGRESSION))
        if missing:
            others = f", and {len(missing) - 1} others" if missing[1:] else ""
            raise CheckpointError(
                f"The weights of {self.name} are not those of a masked language model ({missing[0]} is "
                f"missing{others}); use the pretrained model itself."
            )
        return network.eval()


def brings_code(told: dict[str, Any]) -> bool:
    """Whether a configuration names code of its own for a kind of model that transformers has not."""
    places = told.get("auto_map")
    if not isinstance(places, dict) or _AUTO not in places:
        return False
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    return told.get("model_type") not in MODEL_FOR_MASKED_LM_MAPPING_NAMES


def described_again(encoding: dict[str, Any]) -> dict[str, Any]:
    """Give what an encoding says as it was before it was remembered, where tuples become lists."""
    return {key: tuple(each) if isinstance(each, list) else each for key, each in encoding.items()}


class _said:
    """Turn whatever transformers raises on the content of a folder into one sentence."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, _: Any) -> None:
        if isinstance(error, Exception) and not isinstance(error, CatjacError | MemoryError):
            raise CheckpointError(f"{self._what} ({reason(error)}); use another model.") from error
