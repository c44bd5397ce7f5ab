"""Folders of models: on this machine, in the cache of the Hugging Face Hub, or downloaded into it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from catjac_widgets.errors import CheckpointError
from catjac_widgets.input_files import reason, shown, user_path
from catjac_widgets.language_models.catalogue import in_bytes
from catjac_widgets.language_models.huggingface.weights import CONFIG, TOKENIZER, weight_files, weight_names
from catjac_widgets.language_models.weights.remote_code import may_run_code

#: owner/name, and a branch, tag or commit after "@".
_REPOSITORY = re.compile(r"(?P<id>\w[\w.-]*/\w[\w.-]*)(?:@(?P<revision>[\w./-]+))?")


def folder_of(name: str) -> Path:
    """Find the folder of a model: a folder's path, or a repository of the Hub, fetched where need be.

    What is in the Hub's cache is taken as it is; whether the Hub has a newer version is not asked.

    Raises
    ------
    CheckpointError
        If there is no such folder or repository, or it cannot be fetched.
    """
    path = user_path(name)
    if name and path.is_dir():
        if not (path / CONFIG).is_file():
            raise CheckpointError(
                f"The folder {shown(path)} holds no {CONFIG}; give one that save_pretrained wrote."
            )
        return path
    named = _REPOSITORY.fullmatch(name)
    if named is None:
        raise CheckpointError(
            f"There is no folder {shown(name)}, and it is no repository of Hugging Face (owner/name, or "
            "owner/name@revision); check it."
        )
    repository, revision = named["id"], named["revision"] or "main"
    return cached(repository, revision) or _fetched(repository, revision)


def cached(repository: str, revision: str = "main") -> Path | None:
    """Find a model's folder in the Hub's cache; None where any of it is missing."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(repository, CONFIG, revision=revision)
    except HFValidationError as error:
        raise CheckpointError(f"{shown(repository)} is no repository of Hugging Face; check it.") from error
    if not isinstance(found, str):
        return None
    folder = Path(found).parent
    try:
        weight_files(folder)
    except CheckpointError:
        return None
    return folder if any((folder / name).is_file() for name in TOKENIZER) else None


def _fetched(repository: str, revision: str) -> Path:
    """Download configuration, tokenizer and weights into the Hub's cache, with its own progress bars."""
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    told = f"hf:{shown(repository)}"
    try:
        about = HfApi().model_info(repository, revision=revision, files_metadata=True)
        sizes = {each.rfilename: each.size or 0 for each in about.siblings or ()}
        wanted = _wanted(repository, revision, sizes)
        _check_room(told, wanted, sizes, Path(constants.HF_HUB_CACHE))
        return Path(snapshot_download(repository, revision=revision, allow_patterns=wanted))
    except CheckpointError:
        raise
    except GatedRepoError as error:
        raise CheckpointError(
            f"{told} is given only to those who accepted its terms; do so on its page, then log in by: "
            "hf auth login"
        ) from error
    except RevisionNotFoundError as error:
        raise CheckpointError(
            f"{told} has no revision {shown(revision)}; leave it out, or check it."
        ) from error
    except RepositoryNotFoundError as error:
        raise CheckpointError(
            f"Hugging Face knows no model {shown(repository)}, or it is private; check the name."
        ) from error
    # Whatever the client of the Hub makes of a network that is not there.
    except Exception as error:
        raise CheckpointError(
            f"{told} is not in the cache of the Hugging Face Hub and cannot be fetched ({reason(error)}); "
            "check the network, or give a folder: hf:path."
        ) from error


def _wanted(repository: str, revision: str, sizes: dict[str, int]) -> list[str]:
    """Choose the files to fetch, among them the list of weights where there are several."""
    from huggingface_hub import hf_hub_download

    from catjac_widgets.language_models.huggingface.weights import read_json

    single = weight_names(sizes, {})
    lists = [name for name in sizes if name.endswith((".safetensors.index.json", ".bin.index.json"))]
    index = {}
    if single is None:
        for name in lists:
            path = Path(hf_hub_download(repository, name, revision=revision))
            index[name] = read_json(path, "list of weights")
    weights = single or weight_names(sizes, index)
    if weights is None:
        raise CheckpointError(
            f"hf:{shown(repository)} holds no weights for torch (model.safetensors or pytorch_model.bin)."
        )
    code = [name for name in sizes if name.endswith(".py")] if may_run_code(repository) else []
    return [CONFIG, *(name for name in TOKENIZER if name in sizes), *code, *weights]


def _check_room(told: str, wanted: list[str], sizes: dict[str, int], cache: Path) -> None:
    from catjac_widgets.language_models.devices import check_memory

    needed = sum(sizes.get(name, 0) for name in wanted)
    check_memory(told, needed)
    there = next((folder for folder in (cache, *cache.parents) if folder.is_dir()), None)
    free = needed if there is None else shutil.disk_usage(there).free
    if needed > free:
        raise CheckpointError(
            f"{told} needs {in_bytes(needed)} but only {in_bytes(free)} are free in the cache of the Hugging "
            "Face Hub; make room or set HF_HOME to a larger disk."
        )
