"""Forward passes that compute nothing twice: rows share their beginnings, and no finished row holds a batch.

`Decoder.score` packs rows into trees (`elad.packing`) and runs each tree once: a token sees the tokens of its own
row and no other. `Decoder.generate` takes a row's keys and values from its tree into a slot (`slots`); slots
decode side by side, and a row that ends gives its slot to the next one. Both are exact: what comes out for a
row is what the model gives for that row alone, up to rounding; `Decoder.check` sees to that for a model that is new.
"""

# transformers leaves parts of its interface untyped.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, zip_longest
from random import Random
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from elad.errors import StudentError
from elad.packing.layout import called, laid_out
from elad.packing.sight import Sight
from elad.packing.tree import Pack, packs
from elad.records import Sampling
from elad.students.memory import NOTHING, Kept, Known, Memory
from elad.students.sampling import NO_TOKEN, undecided
from elad.students.slots import Line, Slots
from elad.students.writing import Writing, Written

PACK = 512
"""Tokens of a tree: enough to keep the processor busy, few enough that attention over all of them costs little."""
_EXACT, _ROUGH = 1e-3, 0.2
"""How far logits may be from those of a plain forward pass, as a share of their spread: in float32, in other types."""
_LONGEST_CHECK = 256
_AT_ONCE = 64
"""Rows of logits whose entropies are worked out together: whole vocabularies in single precision take room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ran:
    """A tree that was run."""

    pack: Pack
    spots: dict[int, int]
    """By node, which of the logits come after it."""
    logits_NV: Tensor
    places: dict[int, int]
    """By node, where its keys and values are in the cache."""
    cache: Any
    states_TD: Tensor | None
    """By node, the last layer's hidden state, where it was asked for."""


@dataclass(kw_only=True)
class Decoder:
    """A causal language model, and how it decodes. Raises: StudentError for layers that keep no keys and values."""

    model: Any
    ends: frozenset[int]
    """Tokens that end a reply."""
    slots: int
    """Rows that decode side by side, at most."""
    most_tokens: int
    """Of all slots together: where rows are long, fewer of them decode side by side."""
    context: int
    """Tokens that a row and what is written after it may have."""
    sight: Sight = field(init=False)
    memory: Memory | None = field(default=None, init=False)
    """Where there is one, `generate` fills it once, and what begins like a row that is in it goes on from there."""

    def __post_init__(self) -> None:
        self.sight = Sight.of(self.model.config)

    @torch.inference_mode()
    def score(self, rows: Sequence[Sequence[int]], targets: Sequence[int]) -> list[tuple[float, ...]]:
        """Log-probability, in nats, of the last `targets[i]` tokens of row i, each after all that comes before it.

        Edge: a row whose target is all of it has no token before the first one, and gets an empty tuple.
        """
        out: list[tuple[float, ...]] = [()] * len(rows)
        for logits_NV, before in self._before(rows, targets):
            norms_N = logits_NV.float().logsumexp(-1)
            for i, at in before.items():
                out[i] = tuple((logits_NV[at, rows[i][-targets[i] :]].float() - norms_N[at]).tolist())
        return out

    @torch.inference_mode()
    def entropies(self, rows: Sequence[Sequence[int]], targets: Sequence[int]) -> list[tuple[float, ...]]:
        """Entropy, as a share of the most it can be, of what might stand in place of each token that `score` scores."""
        out: list[tuple[float, ...]] = [()] * len(rows)
        for logits_NV, before in self._before(rows, targets):
            shares_N = torch.cat([undecided(part_NV) for part_NV in logits_NV.split(_AT_ONCE)])
            for i, at in before.items():
                out[i] = tuple(shares_N[at].tolist())
        return out

    @torch.inference_mode()
    def generate(
        self,
        rows: Sequence[Sequence[int]],
        seeds: Sequence[int],
        sampling: Sampling,
        until: Callable[[int, Sequence[int]], bool] = lambda _, __: False,
        guesses: Sequence[Sequence[int]] = (),
    ) -> list[Written]:
        """What the model writes after each row: up to `sampling.max_tokens` tokens, fewer where the context ends.

        The token that ends a reply is included. Row i draws from `seeds[i]` alone. `until(i, tokens)`, asked after
        each token, ends row i where it says so. An empty row gets nothing. A row whose logits are no numbers ends
        with `NO_TOKEN`. At temperature 0 `guesses[i]`, read along with row i, is written as far as it is right.
        """
        writing = Writing(rows=rows, sampling=sampling, ends=self.ends, context=self.context, until=until)
        room = min(max(map(len, rows), default=0) + sampling.max_tokens, self.context)
        count = max(1, min(self.slots, len(rows), self.most_tokens // room))
        slots = Slots(self.model, self.sight, count, room)
        waiting = self._prefilled(rows, seeds, guesses if sampling.temperature == 0 else (), writing.follow)
        memory = self.memory if self.memory and not self.memory.filled else None

        def leave(line: Line, keys_LHTD: Tensor, values_LHTD: Tensor) -> None:
            said = (*rows[line.row], *writing[line])[: line.length]
            if memory and NO_TOKEN not in writing[line]:
                memory.keep(Kept(said, keys_LHTD, values_LHTD))

        while slots.fill(waiting):
            writing.go_on(slots.lines, slots.logits)
            slots.drop(writing.done, leave if memory else None)
            slots.step([writing[line][-1] for line in slots.lines])
        if memory:
            memory.filled = True
        return writing.written

    @torch.inference_mode()
    def states(self, rows: Sequence[Sequence[int]]) -> Iterator[tuple[int, Tensor]]:
        """Each row that is not empty, in any order: its place, and the last layer's hidden states `[tokens, width]`."""
        for ran in self._trees(rows, lambda _, path: path[-1:], keep=False, states=True):
            for row, path in ran.pack.paths.items():
                if ran.states_TD is not None:
                    yield row, ran.states_TD[path]

    def _before(
        self, rows: Sequence[Sequence[int]], targets: Sequence[int]
    ) -> Iterator[tuple[Tensor, dict[int, list[int]]]]:
        """Logits of tree after tree, and which of them come before the last `targets[i]` tokens of row i."""
        asked = [row[:-1] if 0 < target < len(row) else [] for row, target in zip(rows, targets, strict=True)]
        for ran in self._trees(asked, lambda i, path: path[-targets[i] :], keep=False):
            wanted = {i: path[-targets[i] :] for i, path in ran.pack.paths.items()}
            yield ran.logits_NV, {i: [ran.spots[node] for node in nodes] for i, nodes in wanted.items()}

    @torch.inference_mode()
    def check(self) -> None:
        """Holds rows that share a beginning, each fed one more token, against plain forward passes.

        Raises: StudentError where they differ, as for a model that takes a token's position from its place among the
        keys, or that cannot be run so at all.
        """
        text = self.model.config.get_text_config()
        words = [text.vocab_size * k // 16 for k in range(1, 15)]
        long = max(8, min((self.sight.window or 0) + 1, _LONGEST_CHECK, self.context - 5))
        shared = (words * long)[:long]
        rows, fed = [[*shared, words[9]], [*shared, *words[10:13]]], words[13]
        try:
            slots = Slots(self.model, self.sight, len(rows), long + 4)
            slots.fill(self._prefilled(rows, [0, 0]))
            slots.step([fed, fed])
            ids = [torch.tensor([[*rows[line.row], fed]], device=self.model.device) for line in slots.lines]
            alone_SV = torch.stack([self.model(input_ids=row, use_cache=False).logits[0, -1] for row in ids]).float()
        except Exception as error:  # whatever a model does that was written for other uses
            raise StudentError(f"{text.model_type}: cannot be decoded here: {type(error).__name__}: {error}") from error
        off = (_EXACT if self.model.dtype == torch.float32 else _ROUGH) * alone_SV.nan_to_num().std().item()
        if not torch.allclose(slots.logits.float(), alone_SV, rtol=0.0, atol=off, equal_nan=True):
            raise StudentError(f"{text.model_type}: cannot be decoded here: prompts side by side get other logits")

    def _prefilled(
        self,
        rows: Sequence[Sequence[int]],
        seeds: Sequence[int],
        guesses: Sequence[Sequence[int]] = (),
        follow: Callable[[Line, Sequence[int], Tensor], bool] = lambda _, __, ___: True,
    ) -> Iterator[tuple[Line, Any]]:
        """Each row as it is before its next token, after as much of its guess as `follow` takes; none that is done.

        A tree is run when its first row is wanted.
        """
        pairs = zip_longest(rows, guesses, fillvalue=())
        ahead = [[*row, *guess][: self.context] if row else [] for row, guess in pairs]
        for ran in self._trees(ahead, lambda i, path: path[len(rows[i]) - 1 :], keep=True):
            keys_LHTD = torch.stack([layer.keys[0] for layer in ran.cache.layers])
            values_LHTD = torch.stack([layer.values[0] for layer in ran.cache.layers])
            for row, path in ran.pack.paths.items():
                line = Line(row=row, length=len(rows[row]), random=Random(seeds[row]))
                after = [ran.spots[node] for node in path[line.length - 1 :]]
                if len(after) > 1 and not follow(line, ahead[row][line.length :], ran.logits_NV[after]):
                    continue
                at, last = [ran.places[node] for node in path[: line.length]], ran.spots[path[line.length - 1]]
                yield line, (keys_LHTD[:, :, at], values_LHTD[:, :, at], ran.logits_NV[last])

    def _trees(
        self,
        rows: Sequence[Sequence[int]],
        wanted: Callable[[int, list[int]], list[int]],
        *,
        keep: bool,
        states: bool = False,
    ) -> Iterator[_Ran]:
        """All rows, in trees; `wanted` tells the nodes of a row after which logits are asked for.

        Where some logits of a tree are no numbers, its rows are run one by one: one of them may have spoilt the others.
        """
        known = [self.memory.known(row) if self.memory and row and not states else NOTHING for row in rows]
        for pack in packs(rows, PACK, [length for _, length in known]):
            ran = self._run(pack, wanted, known, keep=keep, states=states)
            if not ran.logits_NV.isnan().any():
                yield ran
                continue
            for row, same in groupby(pack.paths, key=lambda i: tuple(rows[i])):
                alone = Pack()
                for i in same:
                    alone.add(i, row)
                yield self._run(alone, wanted, known, keep=keep, states=states)

    def _run(
        self,
        pack: Pack,
        wanted: Callable[[int, list[int]], list[int]],
        known: Sequence[Known],
        *,
        keep: bool,
        states: bool,
    ) -> _Ran:
        """A tree run through the model; known nodes, after which nothing is wanted, are put into its cache instead."""
        device = self.model.device
        nodes = sorted({node for i, path in pack.paths.items() for node in wanted(i, path)})
        cache, given = self._recalled(pack, known, {*nodes})
        fed = sorted({*range(len(pack.tokens))}.difference(given))
        tree = {name: tensor.to(device) for name, tensor in laid_out([pack]).items()}
        order = [*given, *fed]
        at = {node: spot for spot, node in enumerate(fed)}
        out = self.model(
            **called(tree, self.sight, self.model.dtype, (fed, order) if given else None),
            past_key_values=cache if keep or given else None,
            use_cache=keep or bool(given),
            logits_to_keep=torch.tensor([at[node] for node in nodes], device=device),
            **({"output_hidden_states": True} if states else {}),
        )
        return _Ran(
            pack=pack,
            spots={node: spot for spot, node in enumerate(nodes)},
            logits_NV=out.logits[0],
            places={node: spot for spot, node in enumerate(order)},
            cache=out.past_key_values,
            states_TD=out.hidden_states[-1][0] if states else None,
        )

    @staticmethod
    def _recalled(pack: Pack, known: Sequence[Known], wanted: Container[int]) -> tuple[DynamicCache, list[int]]:
        """A cache with the keys and values of the nodes that are known, and these nodes in its order."""
        sources: dict[int, tuple[Kept, dict[int, int]]] = {}
        found = set[int]()
        for i, path in pack.paths.items():
            kept, length = known[i]
            if kept is not None:
                spots = sources.setdefault(id(kept), (kept, {}))[1]
                new = {node: at for at, node in enumerate(path[:length]) if node not in found and node not in wanted}
                spots |= new
                found |= new.keys()
        cache, parts = DynamicCache(), [(kept, list(spots.values())) for kept, spots in sources.values() if spots]
        if parts:
            keys_LHTD = torch.cat([kept.keys_LHTD[:, :, at] for kept, at in parts], dim=2)
            values_LHTD = torch.cat([kept.values_LHTD[:, :, at] for kept, at in parts], dim=2)
            for layer in range(len(keys_LHTD)):
                cache.update(keys_LHTD[layer][None], values_LHTD[layer][None], layer)
        return cache, [node for _, spots in sources.values() for node in spots]
