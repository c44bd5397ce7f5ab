"""ProteinMPNN written out plainly, residue by residue and edge by edge in float64; and small random ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.special import erf

from catjac_widgets.language_models.protein_mpnn.adapter import ProteinMPNN
from catjac_widgets.language_models.protein_mpnn.backbone import Backbone
from catjac_widgets.language_models.protein_mpnn.network import Network

PAIRS = (
    ("CA", "CA"), ("N", "N"), ("C", "C"), ("O", "O"), ("CB", "CB"),
    ("CA", "N"), ("CA", "C"), ("CA", "O"), ("CA", "CB"), ("N", "C"), ("N", "O"), ("N", "CB"),
    ("CB", "C"), ("CB", "O"), ("O", "C"),
    ("N", "CA"), ("C", "CA"), ("O", "CA"), ("CB", "CA"), ("C", "N"), ("O", "N"), ("CB", "N"),
    ("C", "CB"), ("O", "CB"), ("C", "O"),
)  # fmt: skip


def random_backbone(
    lengths: tuple[int, ...] = (22,), seed: int = 0, missing: tuple[int, ...] = ()
) -> Backbone:
    """Chains that wind about: Cα 3.8 Å or so apart, the other atoms near it; `missing` residues have no O."""
    generator = np.random.default_rng(seed)
    L = sum(lengths)
    steps = generator.normal(size=(L, 3))
    # Not all of one length: neighbours that are equally near are taken in any order.
    lengths_of_steps = generator.uniform(3.65, 3.95, size=(L, 1))
    alpha = np.cumsum(lengths_of_steps * steps / np.linalg.norm(steps, axis=1, keepdims=True), axis=0)
    coordinates = alpha[:, None] + generator.normal(scale=0.9, size=(L, 4, 3))
    coordinates[:, 1] = alpha
    coordinates[list(missing), 3] = np.nan
    index = np.concatenate([np.arange(length) + 2 * (np.arange(length) > 6) for length in lengths])
    return Backbone(coordinates, index, np.repeat(np.arange(len(lengths)), lengths))


def random_network(
    hidden: int = 16, neighbours: int = 7, *, alpha_only: bool = False, seed: int = 0
) -> Network:
    """Every weight a number of its own."""
    network = Network(hidden, neighbours, alpha_only=alpha_only)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "norm" in name and name.endswith("weight"):
                parameter.copy_(1 + 0.2 * noise)
            else:
                parameter.copy_(noise * (parameter.shape[-1] ** -0.5 if parameter.ndim > 1 else 0.3))
        network.W_s.weight.mul_(4)
    return network


def random_mpnn(lengths: tuple[int, ...] = (22,), readout: str = "others", **options: Any) -> ProteinMPNN:
    """A small random model on a random backbone."""
    missing = options.pop("missing", ())
    return ProteinMPNN(
        random_network(**options),
        random_backbone(lengths, missing=missing),
        name="a random MPNN",
        readout=readout,
    )


class PlainMPNN:
    """The published model from its weights, one number after the other.

    Parameters
    ----------
    network
        Whose weights are taken, and nothing else.
    backbone
        The structure.
    """

    def __init__(self, network: Network, backbone: Backbone) -> None:
        self.w = {key: value.detach().double().numpy() for key, value in network.state_dict().items()}
        self.alpha_only = "features.node_embedding.weight" in self.w
        self.backbone, self.K = backbone, min(network.features.neighbours, len(backbone))
        read = backbone.coordinates[:, 1:2] if self.alpha_only else backbone.coordinates
        self.there = np.isfinite(read).all(axis=(1, 2))
        self.xyz = np.nan_to_num(backbone.coordinates)
        self._encode()

    # -- pieces

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return self.w[f"{name}.weight"] @ x + self.w.get(f"{name}.bias", 0.0)

    def norm(self, name: str, x: np.ndarray) -> np.ndarray:
        scaled = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
        return scaled * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    @staticmethod
    def gelu(x: np.ndarray) -> np.ndarray:
        return 0.5 * x * (1 + erf(x / np.sqrt(2)))

    def three(self, name: str, numbers: tuple[str, str, str], x: np.ndarray) -> np.ndarray:
        first, second, third = (f"{name}.{number}" for number in numbers)
        return self.linear(third, self.gelu(self.linear(second, self.gelu(self.linear(first, x)))))

    def take_in(self, name: str, node: np.ndarray, messages: np.ndarray) -> np.ndarray:
        node = self.norm(f"{name}.norm1", node + messages / 30)
        inner = self.linear(f"{name}.dense.W_in", node)
        return self.norm(f"{name}.norm2", node + self.linear(f"{name}.dense.W_out", self.gelu(inner)))

    # -- the graph

    def atom(self, residue: int, name: str) -> np.ndarray:
        N, CA, C, oxygen = self.xyz[residue]
        if name == "CB":
            b, c = CA - N, C - CA
            return -0.58273431 * np.cross(b, c) + 0.56802827 * b - 0.54067466 * c + CA
        return {"N": N, "CA": CA, "C": C, "O": oxygen}[name]

    def beside(self, residue: int, step: int) -> np.ndarray:
        """Cα of the residue so many steps on; the origin beyond the ends."""
        there = 0 <= residue + step < len(self.xyz)
        return self.xyz[residue + step, 1] if there else np.zeros(3)

    @staticmethod
    def radial(distance: float) -> np.ndarray:
        return np.exp(-(((distance - np.linspace(2, 22, 16)) / 1.25) ** 2))

    @staticmethod
    def apart(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.sqrt(((a - b) ** 2).sum() + 1e-6))

    def features(self, q: int, p: int) -> np.ndarray:
        offset = int(np.clip(self.backbone.index[q] - self.backbone.index[p], -32, 32)) + 32
        kind = offset if self.backbone.chain[q] == self.backbone.chain[p] else 65
        parts = [
            self.w["features.embeddings.linear.weight"][:, kind] + self.w["features.embeddings.linear.bias"]
        ]
        if self.alpha_only:
            for own, other in ((0, 0), (-1, -1), (1, 1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0)):
                parts.append(self.radial(self.apart(self.beside(q, own), self.beside(p, other))))
            parts.append(self.orientation(q, p))
        else:
            for own, other in PAIRS:
                parts.append(self.radial(self.apart(self.atom(q, own), self.atom(p, other))))
        return self.linear("features.edge_embedding", np.concatenate(parts))

    def frame(self, q: int) -> np.ndarray:
        """Rows: bisector, normal and their product, from the bonds before and after; 0 near the ends."""

        def unit(v: np.ndarray) -> np.ndarray:
            return v / max(np.linalg.norm(v), 1e-12)

        def bond(k: int) -> np.ndarray:
            step = self.xyz[k + 1, 1] - self.xyz[k, 1]
            return unit(step) if 3.6 < np.linalg.norm(step) < 4.0 else np.zeros(3)

        if not 1 <= q <= len(self.xyz) - 3:
            return np.zeros((3, 3))
        before, after = bond(q - 1), bond(q)
        normal, bisector = unit(np.cross(before, after)), unit(before - after)
        return np.stack([bisector, normal, np.cross(bisector, normal)])

    def orientation(self, q: int, p: int) -> np.ndarray:
        towards = self.frame(q) @ (self.xyz[p, 1] - self.xyz[q, 1])
        R = self.frame(q).T @ self.frame(p)
        size = 0.5 * np.sqrt(
            np.abs(
                1
                + np.array(
                    [R[0, 0] - R[1, 1] - R[2, 2], R[1, 1] - R[0, 0] - R[2, 2], R[2, 2] - R[0, 0] - R[1, 1]]
                )
            )
        )
        sign = np.sign([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]])
        Q = np.append(sign * size, np.sqrt(max(0, 1 + np.trace(R))) / 2)
        return np.concatenate(
            [towards / max(np.linalg.norm(towards), 1e-12), Q / max(np.linalg.norm(Q), 1e-12)]
        )

    def _encode(self) -> None:
        L = len(self.xyz)
        both = self.there[:, None] & self.there[None]
        D = np.array([[self.apart(a, b) for b in self.xyz[:, 1]] for a in self.xyz[:, 1]]) * both
        D = np.where(both, D, D.max(axis=1, keepdims=True))
        self.near = np.argsort(D, axis=1, kind="stable")[:, : self.K]
        E = {
            (q, int(p)): self.linear("W_e", self.norm("features.norm_edges", self.features(q, int(p))))
            for q in range(L)
            for p in self.near[q]
        }
        h = np.zeros((L, len(self.w["W_e.bias"])))
        for k in range(3):
            name = f"encoder_layers.{k}"
            new = h.copy()
            for q in range(L):
                heard = sum(
                    self.three(name, ("W1", "W2", "W3"), np.concatenate([h[q], E[q, p], h[p]]))
                    * (self.there[q] and self.there[p])
                    for p in map(int, self.near[q])
                )
                new[q] = self.take_in(name, h[q], heard) * self.there[q]
            h = new
            E = {
                (q, p): self.norm(
                    f"{name}.norm3",
                    edge + self.three(name, ("W11", "W12", "W13"), np.concatenate([h[q], edge, h[p]])),
                )
                for (q, p), edge in E.items()
            }
        self.h, self.E = h, E

    # -- sequences

    def logits(self, tokens: list[int], reads: np.ndarray) -> np.ndarray:
        """Logits (L, 21), where residue q reads letter and state of p if `reads[q, p]`."""
        h, L = self.h, len(self.xyz)
        nothing = np.zeros(h.shape[1])
        for k in range(3):
            new = h.copy()
            for q in range(L):
                heard = 0
                for p in map(int, self.near[q]):
                    known = (self.w["W_s.weight"][tokens[p]], h[p]) if reads[q, p] else (nothing, self.h[p])
                    x = np.concatenate([h[q], self.E[q, p], *known])
                    heard = heard + self.three(f"decoder_layers.{k}", ("W1", "W2", "W3"), x)
                new[q] = self.take_in(f"decoder_layers.{k}", h[q], heard) * self.there[q]
            h = new
        return np.array([self.linear("W_out", node) for node in h])

    def others(self, tokens: list[int], hidden: tuple[int, ...] = ()) -> np.ndarray:
        """Logits (L, 20) where each residue reads all others but those hidden."""
        reads = ~np.eye(len(tokens), dtype=bool)
        reads[:, list(hidden)] = False
        return self.logits(tokens, reads)[:, :20]

    def last(self, tokens: list[int], i: int, hidden: tuple[int, ...] = ()) -> np.ndarray:
        """Logits (20,) at residue i, decoded after all others, which are decoded in their order."""
        L = len(tokens)
        order = [*(k for k in range(L) if k != i), i]
        turn = np.argsort(order)
        reads = turn[None] < turn[:, None]
        reads[:, list(hidden)] = False
        return self.logits(tokens, reads)[i, :20]
