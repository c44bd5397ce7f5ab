"""The network of ProteinMPNN, with the names of the published weights.

References
----------
Dauparas et al. (2022), Robust deep learning-based protein sequence design using ProteinMPNN, Science 378:49.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from catjac_widgets.language_models.protein_mpnn.features import EdgeFeatures, Geometry
from catjac_widgets.language_models.protein_mpnn.published import LETTERS

#: Sums of messages are divided by it.
SCALE = 30.0


@dataclass(frozen=True)
class Encoded:
    """A backbone after the encoder: nodes (L, C), edges (L, K, C), neighbours (L, K), present (L,)."""

    nodes: torch.Tensor
    edges: torch.Tensor
    neighbours: torch.Tensor
    present: torch.Tensor


class FeedForward(nn.Module):
    """Two layers, the inner four times as wide."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.W_in = nn.Linear(hidden, 4 * hidden)
        self.W_out = nn.Linear(4 * hidden, hidden)

    def forward(self, nodes: torch.Tensor) -> torch.Tensor:
        """(…, C) to (…, C)."""
        return self.W_out(functional.gelu(self.W_in(nodes)))


class MessageLayer(nn.Module):
    """A residue hears from each neighbour, by three linear layers, and takes in the sum.

    Parameters
    ----------
    hidden
        C.
    parts
        So many vectors of C numbers the first linear layer reads of each edge.
    """

    def __init__(self, hidden: int, parts: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.W1 = nn.Linear(parts * hidden, hidden)
        self.W2 = nn.Linear(hidden, hidden)
        self.W3 = nn.Linear(hidden, hidden)
        self.dense = FeedForward(hidden)

    def message(self, first: torch.Tensor) -> torch.Tensor:
        """Turn what the first linear layer gave for edges into what the last one reads, both (…, C)."""
        return functional.gelu(self.W2(functional.gelu(first)))

    def updated(
        self, nodes: torch.Tensor, summed: torch.Tensor, count: torch.Tensor | int, present: torch.Tensor
    ) -> torch.Tensor:
        """Take in the messages of all neighbours at once.

        Parameters
        ----------
        nodes
            (…, L, C).
        summed
            Sum over neighbours of `message`, (…, L, C): the last linear layer acts on it once.
        count
            How many neighbours that is, a number or (L, 1).
        present
            (L,), 0 where a residue stays 0.
        """
        heard = functional.linear(summed, self.W3.weight) + count * self.W3.bias
        nodes = self.norm1(nodes + heard / SCALE)
        return self.norm2(nodes + self.dense(nodes)) * present[:, None]


class EncoderLayer(MessageLayer):
    """Updates residues and then the edges between them."""

    def __init__(self, hidden: int) -> None:
        super().__init__(hidden, 3)
        self.norm3 = nn.LayerNorm(hidden)
        self.W11 = nn.Linear(3 * hidden, hidden)
        self.W12 = nn.Linear(hidden, hidden)
        self.W13 = nn.Linear(hidden, hidden)

    def forward(
        self, nodes: torch.Tensor, edges: torch.Tensor, neighbours: torch.Tensor, present: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Nodes (L, C) and edges (L, K, C) to the same; see `Encoded`."""
        heard = present[:, None] * present[neighbours]
        messages = self.message(self.W1(_of_edges(nodes, edges, neighbours)))
        summed = (heard[..., None] * messages).sum(dim=-2)
        nodes = self.updated(nodes, summed, heard.sum(dim=-1, keepdim=True), present)
        first = self.W11(_of_edges(nodes, edges, neighbours))
        change = self.W13(functional.gelu(self.W12(functional.gelu(first))))
        return nodes, self.norm3(edges + change)


def _of_edges(nodes: torch.Tensor, edges: torch.Tensor, neighbours: torch.Tensor) -> torch.Tensor:
    own = nodes[:, None].expand_as(edges)
    return torch.cat([own, edges, nodes[neighbours]], dim=-1)


class Network(nn.Module):
    """Encoder of a backbone, and the layers of the decoder; `decoding.Decoder` runs these.

    Parameters
    ----------
    hidden
        C, the width of everything.
    neighbours
        K, how many nearest residues each one hears.
    alpha_only
        Whether the backbone is Cα alone.
    layers
        Of the encoder, and of the decoder.
    """

    def __init__(
        self, hidden: int = 128, neighbours: int = 48, *, alpha_only: bool = False, layers: int = 3
    ) -> None:
        super().__init__()
        self.hidden = hidden
        self.features = EdgeFeatures(hidden, neighbours, alpha_only=alpha_only)
        if alpha_only:
            # As in `EdgeFeatures`: in the published weights, and never used.
            self.W_v = nn.Linear(hidden, hidden)
        self.W_e = nn.Linear(hidden, hidden)
        letters = len(LETTERS) + 1
        self.W_s = nn.Embedding(letters, hidden)
        self.encoder_layers = nn.ModuleList(EncoderLayer(hidden) for _ in range(layers))
        self.decoder_layers = nn.ModuleList(MessageLayer(hidden, 4) for _ in range(layers))
        self.W_out = nn.Linear(hidden, letters)

    def forward(self, geometry: Geometry) -> Encoded:
        """Encode a backbone."""
        features, neighbours = self.features(geometry)
        edges = self.W_e(features)
        nodes = edges.new_zeros(len(edges), edges.shape[-1])
        for layer in self.encoder_layers:
            nodes, edges = layer(nodes, edges, neighbours, geometry.present)
        return Encoded(nodes, edges, neighbours, geometry.present)
