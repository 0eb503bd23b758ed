"""Trees as a causal language model takes them."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from elad.packing.sight import Sight
from elad.packing.tree import Pack


def laid_out(packs: Sequence[Pack]) -> dict[str, Tensor]:
    """A batch of B trees, padded to T nodes: `input_ids` and `position_ids` `[B, T]`, and `seen` `[B, T, T]`.

    `seen` says which nodes (last) a node (middle) sees: itself and its ancestors; what is padded, itself alone.
    """
    longest = max(len(pack.tokens) for pack in packs)
    seen_BTT = torch.zeros(len(packs), longest, longest, dtype=torch.bool)
    seen_BTT.diagonal(dim1=1, dim2=2).fill_(True)
    for seen_TT, pack in zip(seen_BTT, packs, strict=True):
        for node, parent in enumerate(pack.parents):
            if parent >= 0:
                seen_TT[node] |= seen_TT[parent]

    def padded(lists: Sequence[list[int]]) -> Tensor:
        return torch.tensor([[*own, *[0] * (longest - len(own))] for own in lists])

    tokens, depths = [pack.tokens for pack in packs], [pack.depths for pack in packs]
    return {"input_ids": padded(tokens), "position_ids": padded(depths), "seen": seen_BTT}


def called(
    trees: Mapping[str, Tensor],
    sight: Sight,
    dtype: torch.dtype,
    cached: tuple[Sequence[int], Sequence[int]] | None = None,
) -> dict[str, Any]:
    """What a model is called with, so that each node sees what it may see.

    `cached`: the nodes of one tree that are fed, and the order of all in the cache once they are in it too.
    """
    tokens, depth, seen = (trees[name] for name in ("input_ids", "position_ids", "seen"))
    fed, order = cached or (slice(None), slice(None))
    apart_B1TT = (depth[:, fed, None].int() - depth[:, None, order].int())[:, None]
    return {
        "input_ids": tokens[:, fed],
        "position_ids": depth[:, fed],
        "attention_mask": sight.mask(seen[:, None, fed][..., order], apart_B1TT, dtype),
    }
