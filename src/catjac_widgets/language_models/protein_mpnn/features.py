"""The graph of ProteinMPNN: each residue's nearest neighbours, and what is known of each such pair.

The order of the features along an edge is that of the published weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

#: Radial basis functions of a distance: how many, their first and last centre in Å.
RADIAL, FIRST, LAST = 16, 2.0, 22.0

#: Differences along the chain from here on are not told apart; other chains are a class of their own.
FARTHEST = 32

_POSITIONS = 2 * FARTHEST + 2

#: Cβ as a sum of (Cα − N) × (C − Cα), Cα − N and C − Cα.
_BETA = (-0.58273431, 0.56802827, -0.54067466)

#: Pairs of atoms whose distances are features, after Cα and Cα: the first of the residue, the second of its
#: neighbour.
_BACKBONE_PAIRS = (
    *(("N", "N"), ("C", "C"), ("O", "O"), ("CB", "CB")),
    *(("CA", "N"), ("CA", "C"), ("CA", "O"), ("CA", "CB")),
    *(("N", "C"), ("N", "O"), ("N", "CB"), ("CB", "C"), ("CB", "O"), ("O", "C")),
    *(("N", "CA"), ("C", "CA"), ("O", "CA"), ("CB", "CA")),
    *(("C", "N"), ("O", "N"), ("CB", "N"), ("C", "CB"), ("O", "CB"), ("C", "O")),
)

#: The same for Cα alone: of the residue itself (0), the one before (−1) and the one after it (1).
_ALPHA_PAIRS = ((-1, -1), (1, 1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0))

#: Å; only Cα that are so far apart are taken for neighbours along a chain.
_ALPHA_BOND = 3.6, 4.0


@dataclass(frozen=True)
class Geometry:
    """A backbone as tensors: coordinates (L, 4, 3), 0 where missing; index and chain (L,), int64."""

    coordinates: torch.Tensor
    index: torch.Tensor
    chain: torch.Tensor
    #: (L,) 1 where all atoms that are read are there, else 0.
    present: torch.Tensor


class Positions(nn.Module):
    """How far a neighbour is along the chain, as a vector."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(_POSITIONS, width)

    def forward(self, offset: torch.Tensor, same_chain: torch.Tensor) -> torch.Tensor:
        """Embed differences of index (L, K), and whether both are of one chain, into (L, K, width)."""
        clipped = (offset + FARTHEST).clamp(0, 2 * FARTHEST)
        kind = torch.where(same_chain, clipped, _POSITIONS - 1)
        return functional.embedding(kind, self.linear.weight.T) + self.linear.bias


class EdgeFeatures(nn.Module):
    """Neighbours of every residue, and features of each such edge.

    Parameters
    ----------
    hidden
        Width C of the features.
    neighbours
        K, at most; the residue itself is the first of them.
    alpha_only
        Whether Cα is all that is read.
    """

    def __init__(self, hidden: int, neighbours: int, *, alpha_only: bool) -> None:
        super().__init__()
        self.neighbours, self.alpha_only = neighbours, alpha_only
        self.embeddings = Positions(16)
        pairs = 1 + len(_ALPHA_PAIRS if alpha_only else _BACKBONE_PAIRS)
        if alpha_only:
            # The published weights have them, and the published network never uses them.
            self.node_embedding = nn.Linear(3, hidden, bias=False)
            self.norm_nodes = nn.LayerNorm(hidden)
        self.edge_embedding = nn.Linear(16 + RADIAL * pairs + 7 * alpha_only, hidden, bias=False)
        self.norm_edges = nn.LayerNorm(hidden)

    def forward(self, geometry: Geometry) -> tuple[torch.Tensor, torch.Tensor]:
        """Features (L, K, C), and the indices of the neighbours, (L, K)."""
        alpha = geometry.coordinates[:, 1]
        ranked = rank(alpha, geometry.present)
        near = ranked.topk(min(self.neighbours, len(alpha)), dim=-1, largest=False).indices
        offset = geometry.index[:, None] - geometry.index[near]
        same_chain = geometry.chain[:, None] == geometry.chain[near]
        parts = [self.embeddings(offset, same_chain), radial(ranked.gather(1, near))]
        if self.alpha_only:
            along = {step: _shifted(alpha, step) for step in (-1, 0, 1)}
            parts += [radial(_distances(along[own], along[other], near)) for own, other in _ALPHA_PAIRS]
            parts.append(orientations(alpha, near))
        else:
            atoms = _with_beta(geometry.coordinates)
            parts += [radial(_distances(atoms[own], atoms[other], near)) for own, other in _BACKBONE_PAIRS]
        return self.norm_edges(self.edge_embedding(torch.cat(parts, dim=-1))), near


def rank(alpha: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
    """Distances (L, L) of Cα by which neighbours are chosen; residues with missing atoms are farthest."""
    both = present[:, None] * present[None]
    squared = (alpha[:, None] - alpha[None]).square().sum(-1)
    distances = both * (squared + 1e-6).sqrt()
    return distances + (1 - both) * distances.amax(dim=-1, keepdim=True)


def radial(distances: torch.Tensor) -> torch.Tensor:
    """Gaussian basis functions of distances, (…) to (…, RADIAL)."""
    centres = torch.linspace(FIRST, LAST, RADIAL, device=distances.device, dtype=distances.dtype)
    return torch.exp(-(((distances[..., None] - centres) * (RADIAL / (LAST - FIRST))) ** 2))


def _distances(own: torch.Tensor, other: torch.Tensor, near: torch.Tensor) -> torch.Tensor:
    return ((own[:, None] - other[near]).square().sum(-1) + 1e-6).sqrt()


def _with_beta(coordinates: torch.Tensor) -> dict[str, torch.Tensor]:
    N, CA, C, O = coordinates.unbind(dim=1)  # noqa: E741 - oxygen
    b, c = CA - N, C - CA
    CB = _BETA[0] * torch.linalg.cross(b, c) + _BETA[1] * b + _BETA[2] * c + CA
    return {"N": N, "CA": CA, "C": C, "O": O, "CB": CB}


def _shifted(alpha: torch.Tensor, step: int) -> torch.Tensor:
    """Cα of the residue before or after each; the origin where there is none."""
    if step == 0:
        return alpha
    moved = torch.zeros_like(alpha)
    if step < 0:
        moved[1:] = alpha[:-1]
    else:
        moved[:-1] = alpha[1:]
    return moved


def orientations(alpha: torch.Tensor, near: torch.Tensor) -> torch.Tensor:
    """Direction to each neighbour (3) and its rotation (a quaternion, 4), from Cα alone; (L, K, 7).

    The frame of a residue is made of the bonds to the Cα before and after it; 0 where there are none.
    """
    steps = alpha[1:] - alpha[:-1]
    length = steps.norm(dim=-1, keepdim=True)
    low, high = _ALPHA_BOND
    bonds = functional.normalize(steps * ((low < length) & (length < high)), dim=-1)
    frames = alpha.new_zeros(len(alpha), 3, 3)
    if len(alpha) > 3:
        before, after = bonds[:-2], bonds[1:-1]
        normal = functional.normalize(torch.linalg.cross(before, after), dim=-1)
        bisector = functional.normalize(before - after, dim=-1)
        frames[1:-2] = torch.stack([bisector, normal, torch.linalg.cross(bisector, normal)], dim=1)
    towards = (frames[:, None] @ (alpha[near] - alpha[:, None])[..., None])[..., 0]
    rotation = frames[:, None].transpose(-1, -2) @ frames[near]
    return torch.cat([functional.normalize(towards, dim=-1), quaternions(rotation)], dim=-1)


def quaternions(rotation: torch.Tensor) -> torch.Tensor:
    """Turn rotation matrices (…, 3, 3) into unit quaternions (…, 4), x y z w."""
    x, y, z = rotation.diagonal(dim1=-2, dim2=-1).unbind(-1)
    squares = torch.stack([x - y - z, y - x - z, z - x - y], dim=-1)
    differences = torch.stack(
        [
            rotation[..., 2, 1] - rotation[..., 1, 2],
            rotation[..., 0, 2] - rotation[..., 2, 0],
            rotation[..., 1, 0] - rotation[..., 0, 1],
        ],
        dim=-1,
    )
    vector = differences.sign() * (1 + squares).abs().sqrt() / 2
    scalar = (1 + x + y + z).relu().sqrt()[..., None] / 2
    return functional.normalize(torch.cat([vector, scalar], dim=-1), dim=-1)
