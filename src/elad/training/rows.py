"""Examples and prompts as token rows, the same for drafting, scoring and training.

Prompt, prefix and target are tokenised apart and joined, so that a token never spans the border and
what is trained is exactly what is generated. The end-of-text token belongs to the target and carries
loss, also where it doubles as the padding token.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from elad.packing.layout import laid_out
from elad.packing.tree import packs
from elad.protocols import Prompt
from elad.records import Example, Message

IGNORED = -100
"""The label of a position that carries no loss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Token ids of prompt and target in one; the target starts at `target_start`."""

    ids: tuple[int, ...]
    target_start: int
    bought: bool
    """Whether the teacher was paid for it; the warm-up rows were there before."""

    def __len__(self) -> int:
        return len(self.ids)


def encode_prompt(tokenizer: Any, prompt: Prompt) -> list[int]:
    """Token ids of the chat-templated conversation, the start of the reply, and the prefix."""
    return encode_messages(tokenizer, prompt.messages) + encode_text(tokenizer, prompt.prefix)


def encode_fitting(tokenizer: Any, prompt: Prompt, *, most: int, context: int) -> list[int]:
    """The prompt's token ids, or none where it leaves no room for a whole reply of `most` tokens.

    The prefix is a part of the reply; with it, there must be room for one token.
    """
    asked = encode_messages(tokenizer, prompt.messages)
    said = encode_text(tokenizer, prompt.prefix)
    fits = len(asked) + most <= context and len(asked) + len(said) < context
    return asked + said if fits else []


def encode_messages(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """Token ids of a conversation that a reply follows.

    A tokenizer without a chat template gets the contents, one a paragraph.
    """
    if tokenizer.chat_template is None:
        return encode_text(tokenizer, "\n\n".join(m.content for m in messages) + "\n\n")
    turns = [{"role": m.role, "content": m.content} for m in messages]
    text = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    return encode_text(tokenizer, text)


def encode_text(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a text, without special tokens added."""
    return list(tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []


def encode_example(tokenizer: Any, example: Example) -> Row:
    """The example as one row; the target ends with the end-of-text token."""
    prompt = encode_messages(tokenizer, example.messages)
    target = [*encode_text(tokenizer, example.target), tokenizer.eos_token_id]
    return Row(ids=(*prompt, *target), target_start=len(prompt), bought=example.source != "warmup")


def collate(rows: Sequence[Row], size: int = 512) -> dict[str, Tensor]:
    """Rows packed into B trees of about `size` nodes each (`elad.packing`), the last token of each row left out.

    Besides what `laid_out` gives: `heads` `[K]`, the nodes of any tree after which a target token comes; `spots`
    `[N, 2]`, for each target token its tree and its place in `heads`; and `labels` `[1 + N]`, the target tokens after
    one that is none, since the Trainer counts them with or without the first.
    """
    trees = list(packs([row.ids[:-1] for row in rows], size))
    before = [
        (place, node, token)
        for place, tree in enumerate(trees)
        for i, path in tree.paths.items()
        for node, token in zip(path, rows[i].ids[1:], strict=True)
        if rows[i].target_start <= tree.depths[node] + 1
    ]
    heads = sorted({node for _, node, _ in before})
    at = {node: spot for spot, node in enumerate(heads)}
    return laid_out(trees) | {
        "heads": torch.tensor(heads),
        "spots": torch.tensor([[place, at[node]] for place, node, _ in before]),
        "labels": torch.tensor([IGNORED, *(token for _, _, token in before)]),
    }
