"""A model beside the one that learns, whose own predictions are at hand."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from elad.errors import StudentError
from elad.learning import Full
from elad.packing.layout import called
from elad.packing.sight import Sight
from elad.records import Message
from elad.training.rows import encode_messages


@dataclass(frozen=True, slots=True)
class ModelGuide:
    """A loaded model that is not trained; it reads the very tokens that the student reads."""

    id: str
    model: Any
    tokenizer: Any

    def view(self, batch: Mapping[str, Tensor]) -> Full:
        """Its logits at each target."""
        with torch.no_grad():
            return Full(logits_NV=target_logits(self.model, batch, Sight.of(self.model.config)))

    def refuse_other_tokens(self, tokenizer: Any) -> None:
        """Raises: StudentError where a number is not the same token to both, or a conversation not the same numbers.

        Of other tokens logits cannot be compared; put into another template, a conversation is none that the guide
        has learnt to go on with.
        """
        mine, other = self.tokenizer.get_vocab(), tokenizer.get_vocab()
        if mine != other:
            differing = len(set(mine.items()) ^ set(other.items()))
            told = f"{differing} of {len(mine)} and {len(other)} entries of their vocabularies differ"
            raise StudentError(f"guide: its tokenizer is not the student's ({told}): their logits cannot be compared")
        if _asked(self.tokenizer) != _asked(tokenizer):
            told = "its chat template puts a conversation otherwise than the student's"
            raise StudentError(f"guide: {told}: it would be shown a form that it does not know")

    def vocabularies(self, student: Any) -> dict[str, int]:
        """How many tokens student and guide predict, where padding makes the numbers differ; else nothing."""
        both = {"student": student, "guide": self.model}
        sizes = {name: int(model.get_output_embeddings().weight.shape[0]) for name, model in both.items()}
        return sizes if len({*sizes.values()}) > 1 else {}


def _asked(tokenizer: Any) -> list[int]:
    """A conversation and the end of its reply."""
    asked = encode_messages(tokenizer, [Message(role="user", content="How many?")])
    return [*asked, tokenizer.eos_token_id]


def target_logits(model: Any, batch: Mapping[str, Tensor], sight: Sight, dtype: torch.dtype | None = None) -> Tensor:
    """A model's logits `[N, V]` at each target of a packed batch.

    The head is applied only where some tree of the batch has a target: logits over the whole vocabulary are the
    largest thing in memory when a small model is trained. `dtype` is what is multiplied in, where that is not what the
    weights are kept in.
    """
    weights = next(model.parameters())
    numbers = weights.dtype if dtype is None else dtype
    with nullcontext() if numbers is weights.dtype else torch.autocast(weights.device.type, numbers):
        logits_BKV = model(**called(batch, sight, numbers), logits_to_keep=batch["heads"], use_cache=False).logits
    if "spots" not in batch:
        return logits_BKV.squeeze(0)
    tree_N, spot_N = batch["spots"].unbind(-1)
    return logits_BKV[tree_N, spot_N]
