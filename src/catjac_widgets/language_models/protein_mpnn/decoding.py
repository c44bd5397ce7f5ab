"""Logits of sequences on one encoded backbone, and of mutants from what one substitution changes.

The first linear layer of a message is a sum over what it reads: of the residue, the edge, the neighbour's
letter and the neighbour. It acts on each of them once; the last one acts on the sum over neighbours. What is
left for an edge is the one linear layer between them. This is exact, up to rounding.
"""

from __future__ import annotations

from typing import cast

import torch
from torch.nn import functional

from catjac_widgets.language_models.protein_mpnn.network import Encoded, MessageLayer, Network
from catjac_widgets.language_models.protein_mpnn.published import LAST, NOT_DECODED

#: Numbers of the messages that are computed at once; more are hardly faster.
_AT_ONCE = 2**19


class Decoder:
    """The decoder on one backbone.

    Tokens are those of `published.ENCODING` (and X): where a residue is not decoded, its neighbours read its
    backbone alone. No residue reads its own letter.

    Parameters
    ----------
    network
        Of which the decoder is taken.
    encoded
        The backbone.
    readout
        `OTHERS`: each residue reads the letters of all others, which read each other, so that its own letter
        comes back through its neighbours. `LAST`: each is decoded after all others, these from the first
        residue to the last, so that nothing of its own letter does.
    """

    def __init__(self, network: Network, encoded: Encoded, readout: str) -> None:
        self.network, self.encoded, self.readout = network, encoded, readout
        self.layers = [cast(MessageLayer, layer) for layer in network.decoder_layers]
        near = encoded.neighbours
        L = len(near)
        self.everywhere = torch.arange(L, device=near.device)
        own = near == self.everywhere[:, None]
        #: (L, K): whether a residue reads the letter of its neighbour.
        self.reads_others = ~own
        self.reads_earlier = near < self.everywhere[:, None]
        self._fixed, self._undecoded, self._of_letters = [], [], []
        self._of_node, self._of_neighbour = [], []
        C = encoded.nodes.shape[1]
        for layer in self.layers:
            of_node, of_edge, of_letter, of_neighbour = layer.W1.weight.split(C, dim=1)
            self._of_node.append(of_node)
            self._of_neighbour.append(of_neighbour)
            self._fixed.append(functional.linear(encoded.edges, of_edge, layer.W1.bias))
            self._undecoded.append(functional.linear(encoded.nodes, of_neighbour))
            letters = functional.linear(network.W_s.weight, of_letter)
            self._of_letters.append(functional.pad(letters, (0, 0, 0, 1)))

    # -- one layer

    def shown(self, k: int, nodes: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Give what residues show their neighbours in layer k, (B, L, C); nodes (B, L, C), tokens (B, L)."""
        decoded = self._of_letters[k][tokens] + functional.linear(nodes, self._of_neighbour[k])
        return torch.where((tokens == NOT_DECODED)[..., None], self._undecoded[k], decoded)

    def summed(
        self, k: int, nodes: torch.Tensor, shown: torch.Tensor, rows: torch.Tensor, reads: torch.Tensor
    ) -> torch.Tensor:
        """Sum the messages that some residues hear in layer k.

        Parameters
        ----------
        nodes
            Of these residues, (B, R, C).
        shown
            See `shown`.
        rows
            Their indices, (R,).
        reads
            (R, K): whether each reads its neighbour's letter, or its backbone alone.

        Returns
        -------
        torch.Tensor
            (B, R, C).
        """
        own = functional.linear(nodes, self._of_node[k])
        found = torch.empty_like(own)
        L, K = self.encoded.neighbours.shape
        # What a neighbour shows, or, behind all of these, its backbone alone.
        table = torch.cat([shown, self._undecoded[k].expand_as(shown)], dim=1)
        entries = self.encoded.neighbours[rows] + L * ~reads
        size = max(1, _AT_ONCE // max(1, len(nodes) * K * own.shape[-1]))
        for start in range(0, len(rows), size):
            part = slice(start, start + size)
            first = table.index_select(1, entries[part].flatten()).unflatten(1, (-1, K))
            first += self._fixed[k][rows[part]]
            first += own[:, part, None]
            found[:, part] = self.layers[k].message(first).sum(dim=-2)
        return found

    def updated(self, k: int, nodes: torch.Tensor, summed: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Nodes (B, R, C) of some residues after layer k, from what they were and what they heard."""
        K = self.encoded.neighbours.shape[1]
        return self.layers[k].updated(nodes, summed, K, self.encoded.present[rows])

    # -- whole sequences

    def logits(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits (B, L, 21) of tokens (B, L)."""
        if self.readout == LAST:
            return self._each_last(tokens)
        return self.network.W_out(self.states(tokens, self.reads_others)[-1][1])

    def states(self, tokens: torch.Tensor, reads: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Run all layers: of each, the sums (B, L, C), and the nodes (B, L, C) after it.

        Parameters
        ----------
        reads
            (L, K), see `summed`.
        """
        nodes = self.encoded.nodes.expand(len(tokens), -1, -1)
        made = []
        for k in range(len(self.layers)):
            sums = self.summed(k, nodes, self.shown(k, nodes, tokens), self.everywhere, reads)
            nodes = self.updated(k, nodes, sums, self.everywhere)
            made.append((sums, nodes))
        return made

    def _each_last(self, tokens: torch.Tensor) -> torch.Tensor:
        states = self.states(tokens, self.reads_earlier)
        rows = [self.last(tokens, states, int(i)) for i in self.everywhere]
        return torch.stack(rows, dim=1)

    def last(
        self, tokens: torch.Tensor, states: list[tuple[torch.Tensor, torch.Tensor]], i: int
    ) -> torch.Tensor:
        """Logits (B, 21) at residue i, decoded last.

        Parameters
        ----------
        states
            Of the sequences where each residue reads those before it. Those before i never read it; only what
            the others after it make of it is run anew.
        """
        near = self.encoded.neighbours
        here = self.everywhere[i : i + 1]
        later = self.everywhere > i
        # What changes without i: who reads it after it, then who reads any of those.
        changed = later & (near == i).any(dim=1)
        nodes = self.encoded.nodes.expand(len(tokens), -1, -1)
        final = len(self.layers) - 1
        for k in range(final + 1):
            shown = self.shown(k, nodes, tokens)
            # Of the last layers, only what i reads.
            wanted = changed & (k < final)
            if k == final - 1:
                wanted &= (near[i][:, None] == self.everywhere).any(dim=0)
            rows = wanted.nonzero()[:, 0]
            if k == 0:
                sums = self._one_edge(states[0][0], i, rows, shown[:, i], self._undecoded[0][i][None])
            else:
                reads = self.reads_earlier[rows] & (near[rows] != i)
                sums = self.summed(k, nodes[:, rows], shown, rows, reads)
            own = self.summed(k, nodes[:, here], shown, here, self.reads_others[here])
            rows = torch.cat([rows, here])
            made = self.updated(k, nodes[:, rows], torch.cat([sums, own], dim=1), rows)
            nodes = states[k][1].clone()
            nodes[:, rows] = made
            changed = changed | (later & (changed[near] & self.reads_earlier).any(dim=1))
        return self.network.W_out(nodes[:, i])

    # -- mutants

    def mutants(
        self,
        tokens: torch.Tensor,
        states: list[tuple[torch.Tensor, torch.Tensor]],
        position: int,
        letters: torch.Tensor,
    ) -> torch.Tensor:
        """Logits (B, L, 21) with B tokens at one position each, of the read-out `OTHERS`.

        Parameters
        ----------
        tokens
            Of the sequence that is mutated, (1, L).
        states
            Of it; only residues that a path of edges leads to are run anew.
        """
        near = self.encoded.neighbours
        mutated = tokens.repeat(len(letters), 1)
        mutated[:, position] = letters
        at = torch.zeros_like(self.everywhere, dtype=torch.bool)
        at[position] = True
        changed = at.new_zeros(len(at))
        nodes = self.encoded.nodes.expand(len(letters), -1, -1)
        for k in range(len(self.layers)):
            reached = changed | ((changed | at)[near] & self.reads_others).any(dim=1)
            rows = reached.nonzero()[:, 0]
            shown = self.shown(k, nodes, mutated)
            if k == 0:
                before = self.shown(0, self.encoded.nodes[None], tokens)[:, position]
                sums = self._one_edge(states[0][0], position, rows, before, shown[:, position])
            else:
                sums = self.summed(k, nodes[:, rows], shown, rows, self.reads_others[rows])
            made = self.updated(k, nodes[:, rows], sums, rows)
            nodes = states[k][1].repeat(len(letters), 1, 1)
            nodes[:, rows] = made
            changed = reached
        return self.network.W_out(nodes)

    def _one_edge(
        self,
        sums: torch.Tensor,
        position: int,
        rows: torch.Tensor,
        before: torch.Tensor,
        after: torch.Tensor,
    ) -> torch.Tensor:
        """Change sums of the first layer where one residue shows something else.

        Parameters
        ----------
        sums
            (B or 1, L, C), as they were.
        position
            That residue.
        rows
            Indices (R,) of residues that have it as a neighbour.
        before, after
            What it shows, (B or 1, C).

        Returns
        -------
        torch.Tensor
            (B, R, C).
        """
        edge = (self.encoded.neighbours[rows] == position).int().argmax(dim=1)
        own = functional.linear(self.encoded.nodes[rows], self._of_node[0]) + self._fixed[0][rows, edge]
        was, now = (self.layers[0].message(shown[:, None] + own) for shown in (before, after))
        return sums[:, rows] + (now - was)
