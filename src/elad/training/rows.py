"""Examples and prompts as token rows, the same for drafting, scoring and training.

Prompt, prefix and target are tokenised apart and joined, so that a token never spans the border and
what is trained is exactly what is generated. The end-of-text token belongs to the target and carries
loss, also where it doubles as the padding token.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from elad.asks import Prompt
from elad.errors import StudentError
from elad.packing.layout import laid_out
from elad.packing.tree import packs
from elad.records import Example, Message

IGNORED = -100
"""The label of a position that carries no loss."""
TREE = 512
"""Nodes of a tree, unless it begins with a long row."""
LARGEST = 1024
"""Nodes that no tree gets more of by the rows after its first: two long ones are not put into one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Token ids of prompt and target in one; the target starts at `target_start`."""

    ids: tuple[int, ...]
    target_start: int
    bought: bool
    """Whether it is of a question that was bought; the warm-up rows were there before."""
    weights: tuple[float, ...] = ()
    """Of each token of the target; none where all are 1."""
    reference: float | None = None
    """The log-probability of its target before anything was learnt, in nats; None where nobody asks."""
    text: str = ""
    """Of the target; "" where nobody asks."""
    places: tuple[tuple[int, int], ...] = ()
    """The characters of each token of the target in it; none where nobody asks."""

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
    """Token ids of a conversation that a reply follows; without any messages, of what marks a reply, so never none.

    A tokenizer without a chat template gets the contents, one a paragraph.
    Raises: StudentError where there are no messages, and the template marks no reply.
    """
    if tokenizer.chat_template is None:
        return encode_text(tokenizer, "\n\n".join(m.content for m in messages) + "\n\n")
    if not messages:
        return encode_text(tokenizer, _marker(tokenizer))
    return encode_text(tokenizer, _templated(tokenizer, messages, open_=True))


def _marker(tokenizer: Any) -> str:
    """What the chat template puts between a conversation and its reply, after what it begins every text with."""
    asked = (Message(role="user", content="?"),)
    closed, whole = (_templated(tokenizer, asked, open_=open_) for open_ in (False, True))
    marker, begin = whole.removeprefix(closed), tokenizer.bos_token or ""
    if begin and whole.startswith(begin) and not marker.startswith(begin):
        marker = begin + marker
    if not (marker and whole.startswith(closed)):
        raise StudentError(f"{tokenizer.name_or_path}: its chat template does not mark where a reply begins")
    return marker


def _templated(tokenizer: Any, messages: Sequence[Message], *, open_: bool) -> str:
    turns = [{"role": m.role, "content": m.content} for m in messages]
    return tokenizer.apply_chat_template(turns, add_generation_prompt=open_, tokenize=False)


def encode_text(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a text, without special tokens added."""
    return list(tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []


def encode_example(tokenizer: Any, example: Example, *, placed: bool = False) -> Row:
    """The example as one row; the target ends with the end-of-text token. Nothing of what it rejects is in it.

    `placed` says whether the row has the target's text and places.
    """
    prompt = encode_messages(tokenizer, example.messages)
    target = [*encode_text(tokenizer, example.target), tokenizer.eos_token_id]
    last = len(example.target)
    return Row(
        ids=(*prompt, *target),
        target_start=len(prompt),
        bought=example.source != "warmup",
        weights=tuple(_weights(tokenizer, example, len(target))) if example.marks else (),
        text=example.target if placed else "",
        places=(*places_of(tokenizer, example.target), (last, last)) if placed else (),
    )


def encode_rows(tokenizer: Any, example: Example, *, placed: bool = False) -> tuple[Row, ...]:
    """The row of an example, and after it that of what it rejects, where there is such a thing."""
    better = encode_example(tokenizer, example, placed=placed)
    if example.rejected is None:
        return (better,)
    worse = replace(example, target=example.rejected, marks=())
    return better, encode_example(tokenizer, worse, placed=placed)


def _weights(tokenizer: Any, example: Example, count: int) -> list[float]:
    """A token that reaches into a mark has its weight; where several do, that of the last one."""
    places = places_of(tokenizer, example.target)
    weights = [1.0] * count
    for begin, end, weight in example.marks:
        for place, (first, last) in enumerate(places):
            if first < end and begin < last:
                weights[place] = weight
    return weights


def places_of(tokenizer: Any, text: str) -> list[tuple[int, int]]:
    """The characters of a text that each of its tokens stands for."""
    return tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]


def collate(rows: Sequence[Row], size: int = TREE, *, pairs: bool = False) -> dict[str, Any]:
    """R rows packed into B trees of about `size` nodes each (`elad.packing`), the last token of each row left out.

    Besides what `laid_out` gives, of the N targets: `heads` `[K]`, the nodes of any tree after which a target comes;
    `spots` `[N, 2]`, for each target its tree and its place in `heads`, left out where one tree has them all and in
    that order: the N lines of logits over the whole vocabulary need no copy then; `targets`, `rows` and `weights`
    `[N]`, its token, its row and how much it counts. `references` `[R]` where rows have one; where they have places
    `places` `[N, 2]`, and `texts`, a tuple of R. `labels` is for the Trainer, which counts what is not `IGNORED` in it,
    with or without the first: a label for each target, or for each of `pairs`.
    """
    trees = list(packs([row.ids[:-1] for row in rows], size, largest=LARGEST))
    before = [
        (place, node, i, at)
        for place, tree in enumerate(trees)
        for i, path in tree.paths.items()
        for at, node in enumerate(path, 1)
        if rows[i].target_start <= at
    ]
    heads = sorted({node for _, node, _, _ in before})
    spots = {node: spot for spot, node in enumerate(heads)}
    placed = [(place, spots[node]) for place, node, _, _ in before]
    tokens = [rows[i].ids[at] for _, _, i, at in before]
    counted = [0] * (len(rows) // 2) if pairs else tokens
    batch: dict[str, Any] = {
        "heads": torch.tensor(heads),
        "targets": torch.tensor(tokens),
        "rows": torch.tensor([i for _, _, i, _ in before]),
        "weights": torch.tensor([_weight(rows[i], at) for _, _, i, at in before]),
        "labels": torch.tensor([IGNORED, *counted]),
    }
    if placed != [(0, spot) for spot in range(len(heads))]:
        batch["spots"] = torch.tensor(placed)
    references = [row.reference for row in rows if row.reference is not None]
    if references:
        batch["references"] = torch.tensor(references)
    if all(row.places for row in rows):
        places = [rows[i].places[at - rows[i].target_start] for _, _, i, at in before]
        batch |= {"texts": tuple(row.text for row in rows), "places": torch.tensor(places)}
    return laid_out(trees) | batch


def _weight(row: Row, at: int) -> float:
    return row.weights[at - row.target_start] if row.weights else 1.0
