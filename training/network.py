"""ESM-2's forward pass for packed groups of short rows, with fair-esm's parameter names.

The state_dict of `Network` loads into `esm.model.esm2.ESM2`. Rows of one length form a group; the dense
layers run over all tokens of a step at once, attention group by group, so that nothing is padded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn

VOCABULARY = 33
CLS, PAD, EOS, GAP, MASK = 0, 1, 2, 30, 32
FIRST_LETTER = 4
"""Token of the first of the 20 letters; they are contiguous and in the order of `families.LETTERS`."""
MASK_RATIO_TRAIN = 0.15 * 0.8


@dataclass(frozen=True)
class Shape:
    """The size of a model: layers, width, attention heads."""

    num_layers: int = 4
    embed_dim: int = 128
    attention_heads: int = 8

    def as_dict(self) -> dict[str, int]:
        """Name the arguments of fair-esm's class."""
        return asdict(self)


class RotaryEmbedding(nn.Module):
    """Holds the inverse frequencies under fair-esm's name."""

    inv_freq: torch.Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("inv_freq", 1.0 / (10000 ** (torch.arange(0, size, 2).float() / size)))

    def tables(self, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(cos, sin), each (length, 1, size)."""
        angles = torch.outer(torch.arange(length, dtype=self.inv_freq.dtype), self.inv_freq)
        angles = torch.cat([angles, angles], dim=-1)[:, None]
        return angles.cos(), angles.sin()


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary positions on (..., length, heads, size)."""
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], dim=-1) * sin


class Attention(nn.Module):
    """Multi-head self-attention over groups of equal-length rows."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.k_proj, self.v_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.q_proj, self.out_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.rot_emb = RotaryEmbedding(self.size)

    def forward(
        self,
        x: torch.Tensor,
        groups: Sequence[tuple[int, int]],
        hidden: Sequence[torch.Tensor | None],
        record: list[torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """x: (tokens, width); groups: (rows, length) each; hidden: (rows, length) True at padding, or None.

        `record` receives each group's attention, averaged over the heads: (rows, length, length).
        """
        weight = torch.cat([self.q_proj.weight * self.size**-0.5, self.k_proj.weight, self.v_proj.weight])
        bias = torch.cat([self.q_proj.bias * self.size**-0.5, self.k_proj.bias, self.v_proj.bias])
        packed = F.linear(x, weight, bias)
        outputs, start = [], 0
        for (rows, length), padding in zip(groups, hidden, strict=True):
            part = packed[start : start + rows * length].view(rows, length, 3, self.heads, self.size)
            start += rows * length
            cos, sin = self.rot_emb.tables(length)
            q, k = rotate(part[:, :, 0], cos, sin), rotate(part[:, :, 1], cos, sin)
            visible = None if padding is None else ~padding[:, None, None, :]
            q, k, v = q.transpose(1, 2), k.transpose(1, 2), part[:, :, 2].transpose(1, 2)
            if record is None:
                mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=visible, scale=1.0)
            else:
                scores = q @ k.mT
                attention = (scores if visible is None else scores.masked_fill(~visible, -torch.inf)).softmax(
                    -1
                )
                record.append(attention.mean(dim=1))
                mixed = attention @ v
            outputs.append(mixed.transpose(1, 2).reshape(rows * length, -1))
        return self.out_proj(torch.cat(outputs))


class Block(nn.Module):
    """One pre-norm transformer layer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.self_attn = Attention(width, heads)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(
        self,
        x: torch.Tensor,
        groups: Sequence[tuple[int, int]],
        hidden: Sequence[torch.Tensor | None],
        record: list[torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """x: (tokens, width); the rest as in `Attention`."""
        x = x + self.self_attn(self.self_attn_layer_norm(x), groups, hidden, record)
        return x + self.fc2(F.gelu(self.fc1(self.final_layer_norm(x))))


class Head(nn.Module):
    """The masked-language head; its output matrix is the embedding's."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense, self.layer_norm = nn.Linear(width, width), nn.LayerNorm(width)
        self.bias = nn.Parameter(torch.zeros(VOCABULARY))

    def forward(self, x: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        """(tokens, width) and (33, width) -> (tokens, 33)."""
        return F.linear(self.layer_norm(F.gelu(self.dense(x))), embedding, self.bias)


class Network(nn.Module):
    """ESM-2 with token dropout, without its contact head."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(VOCABULARY, shape.embed_dim, padding_idx=PAD)
        self.layers = nn.ModuleList(
            Block(shape.embed_dim, shape.attention_heads) for _ in range(shape.num_layers)
        )
        self.emb_layer_norm_after = nn.LayerNorm(shape.embed_dim)
        self.lm_head = Head(shape.embed_dim)
        self.initialise()

    def initialise(self) -> None:
        """Small random weights: Xavier for the queries, keys and values, shrunk outputs of the blocks."""
        nn.init.normal_(self.embed_tokens.weight, std=0.1)
        self.embed_tokens.weight.data[PAD] = 0
        shrink = 1 / math.sqrt(2 * len(self.layers))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for layer in self.layers:
            for output in (layer.self_attn.out_proj, layer.fc2):
                output.weight.data.mul_(shrink)

    def forward(
        self, tokens: Sequence[torch.Tensor], record: dict[int, list[torch.Tensor]] | None = None
    ) -> torch.Tensor:
        """Letter logits of all tokens: groups of (rows, length) tokens -> (sum of rows * length, 20).

        `record` receives the mean attention of the layers that it has lists for.
        """
        groups = [tuple(group.shape) for group in tokens]
        hidden = [padding if bool((padding := group == PAD).any()) else None for group in tokens]
        flat = torch.cat([group.reshape(-1) for group in tokens])
        scale = torch.cat([dropout_scale(group).reshape(-1) for group in tokens])
        x = self.embed_tokens(flat) * scale[:, None]
        for index, layer in enumerate(self.layers):
            x = layer(x, groups, hidden, None if record is None else record.get(index))
        logits = self.lm_head(self.emb_layer_norm_after(x), self.embed_tokens.weight)
        return logits[:, FIRST_LETTER : FIRST_LETTER + 20]


def dropout_scale(tokens: torch.Tensor) -> torch.Tensor:
    """ESM-2's token dropout: zero at masks and padding, (1 - 0.12) / (1 - masked share) elsewhere."""
    masked, known = tokens == MASK, tokens != PAD
    ratio = masked.sum(-1, keepdim=True) / known.sum(-1, keepdim=True)
    return (1 - MASK_RATIO_TRAIN) / (1 - ratio) * (known & ~masked)


def with_ends(tokens: torch.Tensor) -> torch.Tensor:
    """Add the start and end tokens: (N, L) -> (N, L + 2)."""
    ends = tokens.new_full((len(tokens), 1), CLS), tokens.new_full((len(tokens), 1), EOS)
    return torch.cat([ends[0], tokens, ends[1]], dim=1)
