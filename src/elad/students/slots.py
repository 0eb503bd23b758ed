"""Rows that decode side by side, each at its own length; a row that ends makes room for the next."""

# transformers leaves parts of its interface untyped.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

from elad.packing.sight import Sight


@dataclass(slots=True, kw_only=True)
class Line:
    """One row that is being continued."""

    row: int
    length: int
    """Tokens whose keys and values are in its slot."""
    random: Random


class Slots:
    """Keys and values of up to `count` rows of up to `room` tokens, and the logits after each of them.

    The rows in use are the first ones: `lines[i]` is what slot i holds.
    """

    def __init__(self, model: Any, sight: Sight, count: int, room: int) -> None:
        self.model = model
        self.sight = sight
        self.count = count
        self.room = room
        self.lines: list[Line] = []
        self._logits_SV = torch.empty(0)
        self._keys_LSHTD = torch.empty(0)
        self._values_LSHTD = torch.empty(0)
        self._at_A = torch.empty(0, dtype=torch.long)
        self.upto = 0
        """Tokens of the longest line."""
        self._cache = Cache(layers=[])

    @property
    def logits(self) -> Tensor:
        """Logits after each line, `[lines, vocabulary]`."""
        return self._logits_SV[: len(self.lines)]

    def fill(self, waiting: Iterator[tuple[Line, tuple[Tensor, Tensor, Tensor]]]) -> bool:
        """Gives free slots to waiting rows; says whether any slot is in use."""
        while len(self.lines) < self.count and (found := next(waiting, None)):
            line, (keys_LHTD, values_LHTD, logits_V) = found
            if not len(self._logits_SV):
                self._make_room(keys_LHTD, values_LHTD, logits_V)
            slot = len(self.lines)
            for all_LSHTD, own_LHTD in (self._keys_LSHTD, keys_LHTD), (self._values_LSHTD, values_LHTD):
                all_LSHTD[:, slot].zero_()  # what is no number there would reach this line though it is not seen
                all_LSHTD[:, slot, :, : line.length] = own_LHTD
            self._logits_SV[slot] = logits_V
            self.lines.append(line)
        return bool(self.lines)

    def drop(self, done: Callable[[Line], bool], leave: Callable[[Line, Tensor, Tensor], None] | None = None) -> None:
        """Frees the slots of lines that are done; the last lines move there. Logits do not move along.

        `leave` is told of each line that goes, with its tokens' keys and values, `[layers, heads, tokens, width]`.
        """
        for slot in reversed(range(len(self.lines))):
            line = self.lines[slot]
            if done(line):
                if leave:
                    own = (kept[:, slot, :, : line.length].clone() for kept in (self._keys_LSHTD, self._values_LSHTD))
                    leave(line, *own)
                last = self.lines.pop()
                if slot < len(self.lines):
                    self.lines[slot] = last
                    for kept in (self._keys_LSHTD, self._values_LSHTD):
                        kept[:, slot] = kept[:, len(self.lines)]

    def step(self, tokens: Sequence[int]) -> None:
        """Feeds each line its next token; the logits after it are there afterwards."""
        if not self.lines:
            return
        device = self._logits_SV.device
        self._at_A = torch.tensor([line.length for line in self.lines], device=device)
        for line in self.lines:
            line.length += 1
        self.upto = max(line.length for line in self.lines)
        apart_A11T = (self._at_A[:, None] - torch.arange(self.upto, device=device))[:, None, None]
        told = self.model(
            input_ids=torch.tensor(tokens, device=device)[:, None],
            attention_mask=self.sight.mask(apart_A11T >= 0, apart_A11T, self._keys_LSHTD.dtype),
            position_ids=self._at_A[:, None],
            past_key_values=self._cache,
            use_cache=True,
        )
        self._logits_SV[: len(tokens)] = told.logits[:, -1]

    def put(self, layer: int, keys_AH1D: Tensor, values_AH1D: Tensor) -> tuple[Tensor, Tensor]:
        """Takes in one layer's keys and values of the tokens that are fed; gives those of all tokens so far."""
        count = len(keys_AH1D)
        rows_A = torch.arange(count, device=keys_AH1D.device)
        kept: list[Tensor] = []
        for all_SHTD, new_AH1D in (self._keys_LSHTD[layer], keys_AH1D), (self._values_LSHTD[layer], values_AH1D):
            all_SHTD[rows_A, :, self._at_A] = new_AH1D[:, :, 0]
            kept.append(all_SHTD[:count, :, : self.upto])
        return kept[0], kept[1]

    def _make_room(self, keys_LHTD: Tensor, values_LHTD: Tensor, logits_V: Tensor) -> None:
        def room(like_LHTD: Tensor) -> Tensor:
            layers, heads, _, width = like_LHTD.shape
            # Zeros, not whatever lies in memory: attention multiplies also what it does not see.
            return like_LHTD.new_zeros(layers, self.count, heads, self.room, width)

        self._keys_LSHTD, self._values_LSHTD = room(keys_LHTD), room(values_LHTD)
        self._logits_SV = logits_V.new_zeros(self.count, len(logits_V))
        self._cache = Cache(layers=[_Layer(self, layer) for layer in range(len(keys_LHTD))])


class _Layer(CacheLayerMixin):
    """One layer of the slots, as transformers asks for it."""

    def __init__(self, slots: Slots, index: int) -> None:
        super().__init__()
        self.slots = slots
        self.index = index

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing: the slots were made when the first row came."""

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Keys and values of all tokens of all lines, the new ones taken in."""
        return self.slots.put(self.index, key_states, value_states)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """How many keys there are, and where they start."""
        return self.slots.upto, 0

    def get_seq_length(self) -> int:
        """Tokens of the longest line, the ones that are fed left out."""
        return max(0, self.slots.upto - 1)

    def get_max_length(self) -> int:
        """Tokens that a slot can hold."""
        return self.slots.room
