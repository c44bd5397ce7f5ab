"""Adapter for the MSA Transformer of fair-esm: a sequence in the place of an alignment's first row."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from catjac_widgets.errors import ModelError, SequenceError
from catjac_widgets.language_models.adapters.encoding import Encoding
from catjac_widgets.language_models.adapters.network import NetworkModel
from catjac_widgets.language_models.adapters.network_structure import structure_of
from catjac_widgets.language_models.adapters.running import evaluating, full_float32
from catjac_widgets.language_models.base import Runner
from catjac_widgets.language_models.esm.alterations.stock import fair_esm, regression_is_fitted
from catjac_widgets.language_models.msa_transformer.published import patched
from catjac_widgets.language_models.msa_transformer.rows import (
    AlignedRows,
    attributes_of,
    check_size,
    settings_of,
)
from catjac_widgets.proteins.alphabets import ESM_LETTERS

if TYPE_CHECKING:
    import torch

    from catjac_widgets.proteins.masks import Mask

#: A sequence is one of the query's family if at least this share of its residues are the query's.
_ALIKE = 0.5


class MSATransformer(NetworkModel):
    """Logits of one sequence that is read as the first row of an alignment; the other rows stay as they are.

    Substitutions and masks are made in the first row alone: the other rows show what stands at a masked
    residue in its homologues. Columns in which the query has a gap do not count.

    Parameters
    ----------
    network
        `esm.MSATransformer`, or one made of it (fine-tuned, hooked, subclassed).
    alphabet
        fair-esm's `Alphabet`; that of the MSA Transformer by default.
    rows
        What is read, the query first.
    name
        What a person calls it.
    file_fingerprint
        Of the file that its weights come from; holds while no weight and no setting changes.
    contact_head
        Whether the contact head's regression was loaded; None looks at its weights.
    fingerprint
        The owner's text for what cannot be seen of the model, see `catjac.wrap`.

    Raises
    ------
    SequenceError
        If there are more rows, or a longer query, than the network has positions for.

    References
    ----------
    Rao, Liu, Verkuil, Meier, Canny, Abbeel, Sercu & Rives (2021), MSA Transformer, ICML.
    """

    network: Any

    def __init__(
        self,
        network: Any,
        alphabet: Any,
        rows: AlignedRows,
        *,
        name: str = "",
        file_fingerprint: str | None = None,
        contact_head: bool | None = None,
        fingerprint: str | None = None,
    ) -> None:
        import torch

        alphabet = alphabet or fair_esm().Alphabet.from_architecture("msa_transformer")
        if not hasattr(alphabet, "get_idx"):
            raise ModelError(
                f"A {type(alphabet).__name__} is not an alphabet of fair-esm; pass the one that came with "
                "the model."
            )
        letters = "".join(sorted(ESM_LETTERS, key=alphabet.get_idx))
        encoding = Encoding(
            letters,
            tuple(alphabet.get_idx(letter) for letter in letters),
            prefix=(alphabet.cls_idx,) * bool(network.prepend_bos),
            suffix=(alphabet.eos_idx,) * bool(network.append_eos),
            mask=alphabet.mask_idx,
        )
        name = name or f"{type(network).__name__} in memory"
        ends = len(encoding.prefix) + len(encoding.suffix)
        most = int(network.embed_positions.max_positions) - ends
        check_size(len(rows.query), len(rows), name, most, _most_rows(network))
        super().__init__(
            network,
            encoding,
            name=name,
            settings=settings_of(rows.digest),
            file_fingerprint=file_fingerprint,
            fingerprint=fingerprint,
        )
        self.rows, self.length, self.attributes = rows, len(rows.query), attributes_of(len(rows))
        self.tokens_per_residue = len(rows)
        self._contact_head = contact_head
        self._structure_as_made = _structure(network)
        token_of = torch.zeros(256, dtype=torch.int64)
        for letter in {chr(code) for code in np.unique(rows.letters)}:
            token_of[ord(letter)] = alphabet.get_idx(letter)
        others = token_of[torch.from_numpy(rows.letters[1:].astype(np.int64))]
        before, behind = (
            torch.tensor(each, dtype=torch.int64).expand(len(others), -1)
            for each in (encoding.prefix, encoding.suffix)
        )
        #: Tokens of all rows but the first, (R - 1, T).
        self._others = torch.cat([before, others, behind], dim=1)

    # -- what it is

    @property
    def query(self) -> str:
        """The sequence that its alignment is one of."""
        return self.rows.query

    def _weights_fingerprint(self) -> str:
        found = super()._weights_fingerprint()
        structure = _structure(self.network)
        if found == self._file and structure == self._structure_as_made:
            return found
        return f"{found} {structure}"

    @property
    def changed(self) -> bool:
        """See `LanguageModel.changed`."""
        return super().changed or self._structure_as_made != _structure(self.network)

    def _hidden_code(self) -> str:
        return super()._hidden_code() or patched()

    @property
    def has_contact_head(self) -> bool:
        """Whether it has a contact head whose regression was fitted, not left at its random start."""
        if self._contact_head is not None:
            return self._contact_head
        regression = self.network.contact_head.regression
        return regression_is_fitted(regression.weight, regression.bias)

    def row_bytes(self, length: int) -> int:
        """See `LanguageModel.row_bytes`."""
        R, T, width, hidden, heads, _ = self._sizes(length)
        # The wide layers before and after GELU; or queries, keys, values, their mixture and attention, whose
        # maps are there before and after softmax.
        wide = R * T * (3 * width + 2 * hidden)
        attention = 9 * R * T * width + 2 * heads * T * max(R * R, T)
        return self.dtype.itemsize * max(wide, attention) + 4 * length * len(self.letters)

    def seconds_per_sequence(self, length: int) -> float:
        """See `LanguageModel.seconds_per_sequence`."""
        import torch

        R, T, width, hidden, _, layers = self._sizes(length)
        dense = R * T * (8 * width**2 + 2 * width * hidden)
        attention = 2 * R * T * (R + T) * width
        speed = 3e10 * torch.get_num_threads() if self.device.type == "cpu" else 2e13
        return 2.0 * layers * (dense + attention) / speed

    def _sizes(self, length: int) -> tuple[int, int, int, int, int, int]:
        """Rows, tokens of a row, width, hidden width, heads, layers."""
        layer = self.network.layers[0]
        return (
            len(self.rows),
            length + 1,
            int(self.network.embed_tokens.weight.shape[1]),
            int(layer.feed_forward_layer.layer.fc1.weight.shape[0]),
            int(layer.row_self_attention.layer.num_heads),
            len(self.network.layers),
        )

    # -- what it does

    def all_logits(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits (B, T, V) of the first row, whose tokens (B, T) are given, on the model's device."""
        found = self.network(self._with_others(tokens))
        return (found["logits"] if isinstance(found, dict) else found)[:, 0]

    def _with_others(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens (B, R, T) of alignments with these first rows (B, T)."""
        import torch

        others = self._others.to(tokens.device)
        return torch.cat([tokens[:, None], others.expand(len(tokens), -1, -1)], dim=1)

    def prepare(self, residues: str, mask: Mask | None = None, numerics: str = "exact") -> Runner:
        """See `LanguageModel.prepare`.

        Raises
        ------
        SequenceError
            Also if fewer than half of the residues are the query's.
        """
        runner = super().prepare(residues, mask, numerics)
        self._check_query(residues)
        return runner

    def _check_query(self, residues: str) -> None:
        same = sum(map(str.__eq__, residues, self.query))
        if same < _ALIKE * len(residues):
            raise SequenceError(
                f"Only {same} of {len(residues)} residues are those of the alignment's query; {self.name} "
                "reads the query or a variant of it, so give an alignment whose first row is this sequence."
            )

    def contact_probabilities(self, residues: str, masks: list[Mask | None]) -> np.ndarray:
        """See `ContactHead.contact_probabilities`; equals fair-esm's `predict_contacts`.

        Raises
        ------
        ModelError
            If its contact head was never fitted.
        """
        import torch

        if not self.has_contact_head:
            raise ModelError(
                f"{self.name} has no fitted contact head (its '-contact-regression.pt' was not found beside "
                "the checkpoint, or it never had one); use contacts of the Jacobian, or a model that has one."
            )
        inputs = [self.encode(residues, mask)[None].to(self.device) for mask in masks or [None]]
        self._check_query(residues)
        with evaluating(self.network), full_float32, torch.no_grad():
            stock = type(self.network) is fair_esm().MSATransformer and not self._hidden_code()
            run = self._contacts if stock else self.network.predict_contacts
            found = [run(self._with_others(tokens)).float().cpu() for tokens in inputs]
        return torch.cat(found).numpy()[: len(masks)]

    def _contacts(self, tokens: torch.Tensor) -> torch.Tensor:
        """Contact probabilities (B, L, L) of alignments (B, R, T), the attention over columns forgotten.

        fair-esm's own pass keeps that of all layers, (layers, heads, T, R, R), which its contact head has no
        use for.
        """
        import torch

        network = self.network
        B, R, T = tokens.shape
        x = network.embed_tokens(tokens) + network.embed_positions(tokens.view(B * R, T)).view(B, R, T, -1)
        if network.msa_position_embedding is not None:
            x = x + network.msa_position_embedding[:, :R]
        x = network.emb_layer_norm_before(x).permute(1, 2, 0, 3)
        tied = []
        for layer in network.layers:
            x, _, over_rows = layer(x, need_head_weights=True)
            tied.append(over_rows.permute(1, 0, 2, 3))
        return network.contact_head(tokens, torch.stack(tied, dim=1))


def _most_rows(network: Any) -> int | None:
    """Tell how many rows the network has positions for; None where it has none."""
    learned = network.msa_position_embedding
    return None if learned is None else int(learned.shape[1])


def _structure(network: Any) -> str:
    content = json.dumps(structure_of(network), sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()
