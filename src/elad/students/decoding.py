"""Forward passes that compute nothing twice: rows share their beginnings, and no finished row holds a batch.

`Decoder.score` packs rows into trees (`prefixes`) and runs each tree once: a token sees the tokens of its own
row and no other. `Decoder.generate` takes a row's keys and values from its tree into a slot (`slots`); slots
decode side by side, and a row that ends gives its slot to the next one. Both are exact: what comes out for a
row is what the model gives for that row alone, up to rounding.
"""

# transformers leaves parts of its interface untyped.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers.cache_utils import DynamicCache

from elad.records import Sampling
from elad.students.prefixes import Pack, packs
from elad.students.sampling import NO_TOKEN, draw
from elad.students.sight import Sight
from elad.students.slots import Line, Slots

PACK = 512
"""Tokens of a tree: enough to keep the processor busy, few enough that attention over all of them costs little."""
MOST_TOKENS = 65_536
"""Of all slots together: where rows are long, fewer of them decode side by side."""


@dataclass(kw_only=True)
class Decoder:
    """A causal language model, and how it decodes. Raises: StudentError for one that cannot be decoded here."""

    model: Any
    ends: frozenset[int]
    """Tokens that end a reply."""
    slots: int
    """Rows that decode side by side, at most."""
    context: int
    """Tokens that a row and what is written after it may have."""
    sight: Sight = field(init=False)

    def __post_init__(self) -> None:
        self.sight = Sight.of(self.model.config)

    @torch.inference_mode()
    def score(self, rows: Sequence[Sequence[int]], targets: Sequence[int]) -> list[tuple[float, ...]]:
        """Log-probability, in nats, of the last `targets[i]` tokens of row i, each after all that comes before it.

        Edge: a row whose target is all of it has no token before the first one, and gets an empty tuple.
        """
        out: list[tuple[float, ...]] = [()] * len(rows)
        for pack in packs(rows, PACK):
            whole = {place: path for place, path in zip(pack.rows, pack.paths, strict=True)}
            paths = {i: path[-targets[i] :] for i, path in whole.items() if 0 < targets[i] < len(path)}
            nodes = sorted({node for path in paths.values() for node in path})
            found = dict(zip(nodes, self._log_probs(pack, nodes) if nodes else [], strict=True))
            for i, path in paths.items():
                out[i] = tuple(found[node] for node in path)
        return out

    @torch.inference_mode()
    def generate(
        self,
        rows: Sequence[Sequence[int]],
        seeds: Sequence[int],
        sampling: Sampling,
        until: Callable[[int, Sequence[int]], bool] = lambda _, __: False,
    ) -> list[list[int]]:
        """What the model writes after each row: up to `sampling.max_tokens` tokens, fewer where the context ends.

        The token that ends a reply is included. Row i draws from `seeds[i]` alone. `until(i, tokens)`, asked after
        each token, ends row i where it says so. An empty row gets nothing. A row whose logits are no numbers ends
        with `NO_TOKEN`.
        """
        out: list[list[int]] = [[] for _ in rows]

        def done(line: Line) -> bool:
            new = out[line.row]
            most = min(sampling.max_tokens, self.context - len(rows[line.row]))
            ended = new[-1] in self.ends or new[-1] == NO_TOKEN or len(new) >= most
            return ended or until(line.row, new)

        room = max(map(len, rows), default=0) + sampling.max_tokens
        count = max(1, min(self.slots, len(rows), MOST_TOKENS // room))
        slots = Slots(self.model, self.sight, count, room)
        waiting = self._prefilled(rows, seeds)
        while slots.fill(waiting):
            drawn = draw(slots.logits, [line.random for line in slots.lines], sampling)
            for line, token in zip(slots.lines, drawn, strict=True):
                out[line.row].append(token)
            slots.drop(done)
            slots.step([out[line.row][-1] for line in slots.lines])
        return out

    def _prefilled(self, rows: Sequence[Sequence[int]], seeds: Sequence[int]) -> Iterator[tuple[Line, Any]]:
        """Each row as it is before its first new token; a tree is run when its first row is wanted."""
        for pack in packs(rows, PACK):
            ends = sorted({path[-1] for path in pack.paths})
            logits_NV, cache = self._run(pack, ends)
            keys_LHTD = torch.stack([layer.keys[0] for layer in cache.layers])
            values_LHTD = torch.stack([layer.values[0] for layer in cache.layers])
            spots = {node: spot for spot, node in enumerate(ends)}
            for row, path in zip(pack.rows, pack.paths, strict=True):
                line = Line(row=row, length=len(path), random=Random(seeds[row]))
                yield line, (keys_LHTD[:, :, path], values_LHTD[:, :, path], logits_NV[spots[path[-1]]])

    def _log_probs(self, pack: Pack, nodes: Sequence[int]) -> list[float]:
        parents = sorted({pack.parents[node] for node in nodes})
        spots = {parent: spot for spot, parent in enumerate(parents)}
        logits_PV, _ = self._run(pack, parents, keep=False)
        at_N = torch.tensor([spots[pack.parents[node]] for node in nodes], device=logits_PV.device)
        token_N = torch.tensor([pack.tokens[node] for node in nodes], device=logits_PV.device)
        return (-cross_entropy(logits_PV[at_N].float(), token_N, reduction="none")).tolist()

    def _run(self, pack: Pack, wanted: Sequence[int], *, keep: bool = True) -> tuple[Tensor, Any]:
        """Logits after the wanted nodes, and the cache of the whole tree."""
        device = self.model.device
        seen_TT = torch.eye(len(pack.tokens), dtype=torch.bool)
        for node, parent in enumerate(pack.parents):
            if parent >= 0:
                seen_TT[node] |= seen_TT[parent]
        depth_1T = torch.tensor([pack.depths], device=device)
        apart_11TT = (depth_1T[:, :, None] - depth_1T[:, None])[None]
        told = self.model(
            input_ids=torch.tensor([pack.tokens], device=device),
            attention_mask=self.sight.mask(seen_TT.to(device)[None, None], apart_11TT, self.model.dtype),
            position_ids=depth_1T,
            past_key_values=DynamicCache() if keep else None,
            use_cache=keep,
            logits_to_keep=torch.tensor(wanted, device=device),
        )
        return told.logits[0], told.past_key_values
