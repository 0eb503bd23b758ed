"""What tokens that were written amount to: the same for every engine."""

from collections.abc import Container, Sequence
from typing import Any

from elad.asks import Generation
from elad.students.sampling import NO_TOKEN

ASK = 4
"""Every so many tokens a reply is looked at, whether it may end."""


def generation(tokenizer: Any, tokens: Sequence[int], nats: float, ends: Container[int]) -> Generation:
    """A reply of these tokens, whose -log p is `nats` all together; it is finished where the last of them is an end."""
    return Generation(
        text=said(tokenizer, tokens, ends),
        finished=bool(tokens) and tokens[-1] in ends,
        tokens=len(tokens),
        surprise=nats / len(tokens) if tokens else None,
    )


def said(tokenizer: Any, tokens: Sequence[int], ends: Container[int]) -> str:
    """The text of tokens, without those that end a reply and those that are none."""
    words = [token for token in tokens if token != NO_TOKEN and token not in ends]
    return tokenizer.decode(words, skip_special_tokens=True)
