"""Adapter for fair-esm's models: ESM-2, ESM-1b and ESM-1v (and ESM-1 through its own forward pass)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from catjac_widgets.errors import ModelError, SequenceError
from catjac_widgets.language_models import fingerprints
from catjac_widgets.language_models.base import LanguageModel, Runner, choose_numerics
from catjac_widgets.language_models.esm.alterations import fingerprint as model_fingerprint
from catjac_widgets.language_models.esm.alterations.found import alterations
from catjac_widgets.language_models.esm.alterations.stock import fair_esm, regression_is_fitted
from catjac_widgets.language_models.esm.numerics.table import NUMERICS, make_runner
from catjac_widgets.language_models.esm.passes import contact_pass, letter_pass
from catjac_widgets.language_models.esm.prepared import PreparedInput
from catjac_widgets.proteins.alphabets import ESM_LETTERS

if TYPE_CHECKING:
    import torch

    from catjac_widgets.proteins.masks import Mask

#: Most memory that the attention maps of one layer may take when the contact head runs over several masks, on
#: a CPU; a GPU, which a small batch leaves idle, may take so many times that.
CONTACT_BATCH_BYTES, ON_GPU = 256 * 1024**2, 16

#: At most how long one step of a preview takes, between which other work may run, by the estimate of
#: `seconds_per_sequence`.
STEP_SECONDS = 0.5


class FairEsm(LanguageModel):
    """A fair-esm model with its alphabet, used where it is: never moved, left in the mode it was found in.

    Parameters
    ----------
    model
        `esm.model.esm2.ESM2`, `esm.model.esm1.ProteinBertModel`, or one made of either (fine-tuned, hooked,
        subclassed). For a stock model (fair-esm's own, unaltered) the pass of `letter_logits` stands in for
        the model's; whatever is altered runs through the model's own.
    alphabet
        fair-esm's `Alphabet`; the model's own, or ESM-1b's, by default.
    name
        What a person calls it.
    file_fingerprint
        The fingerprint of the file that it was loaded from; holds while no weight and no setting changes.
    contact_head
        Whether the contact head's regression was loaded; None looks at its weights.
    fingerprint
        The owner's text for what cannot be seen of the model, see `catjac.wrap`.
    """

    numerics = NUMERICS

    def __init__(
        self,
        model: Any,
        alphabet: Any = None,
        *,
        name: str = "",
        file_fingerprint: str | None = None,
        contact_head: bool | None = None,
        fingerprint: str | None = None,
    ) -> None:
        esm = fair_esm()
        if not all(
            hasattr(model, needed) for needed in ("embed_tokens", "layers", "prepend_bos", "append_eos")
        ):
            raise ModelError(
                f"A {type(model).__name__} is not a model of fair-esm; pass an ESM2 or ProteinBertModel "
                "with its alphabet."
            )
        if not len(model.layers):
            raise ModelError(f"The {type(model).__name__} has no layer left; pass one that has.")
        if alphabet is None:
            version = getattr(model, "model_version", "ESM-1b")
            alphabet = getattr(model, "alphabet", None) or esm.Alphabet.from_architecture(version)
        if not hasattr(alphabet, "get_idx"):
            raise ModelError(
                f"A {type(alphabet).__name__} is not an alphabet of fair-esm; pass the one that came with "
                "the model."
            )
        self.model, self.alphabet = model, alphabet
        self.name = name or f"{type(model).__name__} in memory"
        # The model's own order of letters is that of its vocabulary.
        self.letters = "".join(sorted(ESM_LETTERS, key=alphabet.get_idx))
        self._tokens = {letter: alphabet.get_idx(letter) for letter in self.letters}
        self._first = int(bool(model.prepend_bos))
        positions = getattr(getattr(model, "embed_positions", None), "max_positions", None)
        self.max_residues = (
            None if positions is None else positions - self._first - int(bool(model.append_eos))
        )
        #: What the arguments said.
        self.contact_head_loaded, self.vouched = contact_head, fingerprint
        self._file_fingerprint = file_fingerprint
        self._as_made = self._lightly()
        self._loaded_as = fingerprints.weights_stamp(model) if file_fingerprint else None
        self._watch = fingerprints.WeightsWatch(model)
        self._altered = False

    # -- what it is

    @property
    def fingerprint(self) -> str:
        """See `LanguageModel.fingerprint`; a changed weight, policy, class or hook changes it.

        All weights are read for it.
        """
        found = alterations(self.model)
        file = self.file_fingerprint
        if found.hidden and self.vouched is None:
            if file is not None and not found.unseen:
                return model_fingerprint.of_patched(file + self._precision())
            return model_fingerprint.of_unseen(self.model, self._policies(), found)
        if file is not None:
            known = file + self._precision()
        else:
            known = model_fingerprint.of_model(self.model, self._policies(), found)
        if self.vouched is None:
            return known
        return model_fingerprint.of_vouched(self.vouched, known, found)

    @property
    def unseen(self) -> str:
        """See `LanguageModel.unseen`."""
        return "" if self.vouched is not None else ", ".join(alterations(self.model).hidden[:1])

    @property
    def file_fingerprint(self) -> str | None:
        """Of the file that it was loaded from; None without one, or where it was altered since.

        Functions that were replaced for all models of this process do not count here.
        """
        if self._file_fingerprint is None or self.changed:
            return None
        # All weights are read for it: a change through `parameter.data` shows nowhere else.
        self._altered = self._loaded_as != fingerprints.weights_stamp(self.model)
        return None if self._altered else self._file_fingerprint

    @property
    def changed(self) -> bool:
        """See `LanguageModel.changed`; also once the fingerprint has found more than this does."""
        return self._altered or self._watch.moved() or self._as_made != self._lightly()

    @property
    def altered_with(self) -> object:
        """See `LanguageModel.altered_with`; models whose ends are masked share it with the plain one."""
        return self.model

    @property
    def device(self) -> torch.device:
        """Where its embeddings are."""
        return self.model.embed_tokens.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The type of its embeddings."""
        return self.model.embed_tokens.weight.dtype

    @property
    def parameters(self) -> int:
        """How many parameters it has; tied ones count once."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def has_contact_head(self) -> bool:
        """Whether it has a contact head whose regression was fitted, not left at its random start."""
        if self.contact_head_loaded is not None:
            return self.contact_head_loaded
        head = getattr(self.model, "contact_head", None)
        if head is None:
            return False
        return regression_is_fitted(head.regression.weight, head.regression.bias)

    def row_bytes(self, length: int) -> int:
        """See `LanguageModel.row_bytes`."""
        tokens, size = length + 2, self.model.embed_tokens.weight.element_size()
        width = int(self.model.embed_tokens.weight.shape[1])
        hidden = getattr(self.model.layers[0], "ffn_embed_dim", 4 * width)
        # Residual, norm, queries, keys, values, mixture; and the wide hidden layer before and after GELU.
        dense = tokens * (8 * width + 2 * hidden) * size
        # The model's own forward returns every head's attention as float32, before and after softmax.
        heads = model_fingerprint.heads_of(self.model) if alterations(self.model) else 0
        maps = 3 * 4 * heads * tokens**2
        return dense + maps + 4 * length * len(self.letters)

    def seconds_per_sequence(self, length: int) -> float:
        """See `LanguageModel.seconds_per_sequence`."""
        import torch

        width = int(self.model.embed_tokens.weight.shape[1])
        attention = 4 * len(self.model.layers) * (length + 2) ** 2 * width
        work = 2.0 * self.parameters * (length + 2) + attention
        speed = 3e10 * torch.get_num_threads() if self.device.type == "cpu" else 2e13
        return work / speed

    # -- what it does

    def encode(self, residues: str, mask: Mask | None = None) -> torch.Tensor:
        """See `LanguageModel.encode`.

        Raises
        ------
        SequenceError
            If there is no residue, one that is none of `letters`, or more than `max_residues`.
        """
        import torch

        if not residues:
            raise SequenceError("The sequence is empty; give at least two residues.")
        if self.max_residues is not None and len(residues) > self.max_residues:
            raise SequenceError(
                f"The sequence has {len(residues)} residues but {self.name} takes at most "
                f"{self.max_residues}; use a part of it, or an ESM-2 model."
            )
        for index, letter in enumerate(residues):
            if letter not in self._tokens:
                raise SequenceError(
                    f"residue {index + 1} is {letter!r}; {self.name} knows {', '.join(self.letters)}."
                )
        hidden = mask.masked if mask is not None else (False,) * len(residues)
        tokens = [
            self.alphabet.mask_idx if masked else self._tokens[letter]
            for letter, masked in zip(residues, hidden, strict=True)
        ]
        start = [self.alphabet.cls_idx] * self._first
        end = [self.alphabet.eos_idx] * int(bool(self.model.append_eos))
        return torch.tensor(start + tokens + end, dtype=torch.int64)

    def logits(self, tokens: torch.Tensor) -> torch.Tensor:
        """See `LanguageModel.logits`; on the model's device and in its dtype."""
        return letter_pass(self.model, tokens, self._residues(tokens), self._columns())

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """See `WholeVocabulary`."""
        return tuple(self.alphabet.all_toks)

    def vocabulary_logits(self, tokens: torch.Tensor) -> torch.Tensor:
        """See `WholeVocabulary.vocabulary_logits`."""
        return letter_pass(self.model, tokens, self._residues(tokens), list(range(len(self.vocabulary))))

    def prepare(self, residues: str, mask: Mask | None = None, numerics: str = "exact") -> Runner:
        """See `LanguageModel.prepare`; on a GPU, batches of stock models are launched ahead."""
        chosen = choose_numerics(self.numerics, numerics, model=self.name)
        tokens = self.encode(residues, mask)
        prepared = PreparedInput(
            self.model, self.name, tokens, self._residues(tokens), self._tokens, self.alphabet.mask_idx
        )
        runner = make_runner(chosen, prepared)
        if self.device.type != "cuda" or chosen.dtype == "float64" or alterations(self.model):
            return runner
        from catjac_widgets.language_models.esm.cuda.streams import streams_of
        from catjac_widgets.language_models.esm.launched import LaunchedPasses

        return LaunchedPasses(runner, streams_of(self.device))

    def contact_probabilities(self, residues: str, masks: list[Mask | None]) -> np.ndarray:
        """See `ContactHead.contact_probabilities`; equals fair-esm's `predict_contacts`.

        Raises
        ------
        ModelError
            If the model has no contact head, or one that was never fitted.
        """
        import torch

        if not self.has_contact_head:
            raise ModelError(
                f"{self.name} has no fitted contact head (its '-contact-regression.pt' was not found beside "
                "the checkpoint, or it never had one); use contacts of the Jacobian, or a model that has one."
            )
        tokens = torch.stack([self.encode(residues, mask) for mask in masks or [None]])
        heads = max(1, model_fingerprint.heads_of(self.model))
        allowed = CONTACT_BATCH_BYTES * (1 if self.device.type == "cpu" else ON_GPU)
        size = max(1, allowed // (16 * heads * tokens.shape[1] ** 2))
        parts = [contact_pass(self.model, part, self._residues(part)) for part in tokens.split(size)]
        return torch.cat(parts).numpy()[: len(masks)]

    def first_order(
        self, residues: str, mask: Mask | None = None, stages: Iterable[int] = (3,)
    ) -> Iterator[tuple[int, np.ndarray] | None]:
        """See `FirstOrderModel.first_order`.

        Raises
        ------
        ModelError
            If the model is altered, or in 16-bit floats.
        """
        import torch

        from catjac_widgets.language_models.esm.first_order.approximation import first_order_jacobians

        if alterations(self.model) or self.dtype not in (torch.float32, torch.float64):
            raise ModelError(
                f"{self.name} is altered or in 16-bit floats, and previews know fair-esm's own layers in "
                "float32 only."
            )
        tokens = self.encode(residues, mask)
        at_once = int(min(46, max(1, STEP_SECONDS / self.seconds_per_sequence(len(residues)))))
        return first_order_jacobians(
            self.model, tokens, self._residues(tokens), self._columns(), stages, at_once
        )

    # -- inside

    def _residues(self, tokens: torch.Tensor) -> slice:
        return slice(self._first, tokens.shape[-1] - int(bool(self.model.append_eos)))

    def _columns(self) -> list[int]:
        return list(self._tokens.values())

    def _precision(self) -> str:
        import torch

        return "" if self.dtype == torch.float32 else f"+{str(self.dtype).removeprefix('torch.')}"

    def _policies(self) -> dict[str, Any]:
        return model_fingerprint.policies(self.model, self.alphabet)

    def _lightly(self) -> tuple[Any, ...]:
        """Tell what can be said of it without reading a weight, but for what holds for all models."""
        found = alterations(self.model)
        return self._policies(), found.own, found.marks
