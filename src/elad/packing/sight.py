"""Which earlier tokens each layer of a model sees, where that is not simply all of them."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from elad.errors import StudentError

FULL, WINDOWED = "full_attention", "sliding_attention"


@dataclass(frozen=True, slots=True)
class Sight:
    """The kinds of a model's layers, in the words of transformers, and the window of those that have one."""

    kinds: frozenset[str]
    window: int | None

    @classmethod
    def of(cls, config: Any) -> "Sight":
        """What a model's configuration says. Raises: StudentError for layers that keep no keys and values of tokens."""
        text = config.get_text_config()  # where a model also sees or hears, its layers are told of in a part
        window = getattr(text, "sliding_window", None)
        told = getattr(text, "layer_types", None) or getattr(text, "attention_layers", None)
        told = told or [WINDOWED if window else FULL]
        if strange := sorted({*told} - {FULL, WINDOWED}):
            raise StudentError(f"{config.model_type}: its layers of kind {', '.join(strange)} cannot be decoded here")
        return cls(frozenset(told), window)

    def mask(self, seen: Tensor, apart: Tensor, dtype: torch.dtype) -> Tensor | dict[str, Tensor]:
        """What is added to attention scores `[..., queries, keys]`, by kind of layer where there are several.

        `seen` says which keys belong to a query's row, `apart` how many tokens before it they are.
        """
        masks = {kind: self._bias(seen, apart, dtype, windowed=kind == WINDOWED) for kind in self.kinds}
        return masks if len(masks) > 1 else next(iter(masks.values()))

    def _bias(self, seen: Tensor, apart: Tensor, dtype: torch.dtype, *, windowed: bool) -> Tensor:
        if windowed and self.window is not None:
            seen = seen & (apart < self.window)
        return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, torch.finfo(dtype).min)
