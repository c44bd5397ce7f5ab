"""Building gLM2 from the code that comes with its weights."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catjac_widgets.errors import CheckpointError, DependencyError

if TYPE_CHECKING:
    import torch

_AUTO = "AutoModelForMaskedLM"


def network_class(folder: Path, configuration: Any, name: str) -> Any:
    """Import the class that comes with the weights.

    Raises
    ------
    DependencyError
        If a package that its code needs is missing.
    """
    if find_spec("einops") is None:
        raise DependencyError(f"{name} needs the package einops; run: pip install einops")
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    kind: Any = get_class_from_dynamic_module(
        configuration.auto_map[_AUTO], str(folder), local_files_only=True
    )
    # Its constructor ends as those of transformers 4 did; transformers 5 looks for this one then.
    if not hasattr(kind, "all_tied_weights_keys"):
        kind.all_tied_weights_keys = {}
    return kind


def built(kind: Any, configuration: Any) -> Any:
    """Build a network without the values of its weights and without memory for them."""
    import torch

    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        return kind(configuration).eval()


def loaded(
    kind: Any, configuration: Any, tensors: dict[str, torch.Tensor], dtype: torch.dtype, name: str
) -> Any:
    """Build a network with its weights.

    It is not left to transformers, which gives no value to what is computed when a network is built and not
    kept with its weights, as the frequencies of rotary positions.

    Raises
    ------
    CheckpointError
        If the weights are not those of this network.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        network = kind(configuration)
    try:
        network.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise CheckpointError(
            f"The weights of {name} are not those of its code ({str(error).splitlines()[-1].strip()}); get "
            "it anew."
        ) from error
    return network.to(dtype).eval()
