"""A student's text held against a guide: where the guide would go on otherwise, and how far apart the two are there."""

# torch leaves parts of its interface untyped.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from elad.learning import Full, Guide, Targets, View
from elad.packing.sight import Sight
from elad.protocols import Contrast, Disagreement
from elad.training.guide import ModelGuide, target_logits
from elad.training.objectives.distributions import compared, kl
from elad.training.rows import Row, collate, encode_text, places_of
from elad.training.trainer import in_common

BATCH = 8
"""Texts that are read side by side."""
HALF = "\ufffd"
"""What a token that is half a character is decoded as."""


def contrasted(
    model: Any, tokenizer: Any, guide: Guide, asked: Sequence[tuple[list[int], str]], context: int
) -> list[Contrast]:
    """The guide's objections to each text, which is read after the tokens that come with it.

    Edge: none where both together are longer than the context, or the text is empty.
    Raises: StudentError where the guide reads other tokens.
    """
    if isinstance(guide, ModelGuide):
        guide.refuse_other_tokens(tokenizer)
    rows = [
        Row(ids=(*before, *encode_text(tokenizer, text)), target_start=len(before), bought=False, text=text)
        for before, text in asked
    ]
    found: list[Contrast] = [()] * len(rows)
    fitting = [i for i, row in enumerate(rows) if row.target_start < len(row) <= context]
    for start in range(0, len(fitting), BATCH):
        part = fitting[start : start + BATCH]
        for i, one in zip(part, _read(model, tokenizer, guide, [rows[i] for i in part]), strict=True):
            found[i] = one
    return found


def _read(model: Any, tokenizer: Any, guide: Guide, rows: Sequence[Row]) -> Iterator[Contrast]:
    batch = collate(rows)
    batch = {name: value.to(model.device) for name, value in batch.items()}
    with torch.no_grad():
        logits_NV, view = in_common(target_logits(model, batch, Sight.of(model.config)), guide.view(batch))
        targets = Targets(
            ids_N=batch["targets"],
            mask_N=torch.ones_like(batch["targets"], dtype=torch.bool),
            weights_N=batch["weights"],
            rows_N=batch["rows"],
            view=view,
        )
        student_NC, guide_NC = compared(logits_NV, targets, "contrast")
        apart_N, likeliest_N = kl(guide_NC, student_NC), _likeliest(view)
    for i, row in enumerate(rows):
        mine = (batch["rows"] == i).nonzero()[:, 0]
        yield tuple(_objections(tokenizer, row, likeliest_N[mine].tolist(), apart_N[mine].tolist()))


def _likeliest(view: View) -> Tensor:
    if isinstance(view, Full):
        return view.logits_NV.argmax(-1)
    return view.ids_NK.gather(-1, view.logs_NK.argmax(-1, keepdim=True))[:, 0]


def _objections(tokenizer: Any, row: Row, likeliest: Sequence[int], apart: Sequence[float]) -> Iterator[Disagreement]:
    places, begin = places_of(tokenizer, row.text), row.target_start
    for place, ((_, end), wanted, divergence) in enumerate(zip(places, likeliest, apart, strict=True)):
        before, token = row.ids[begin + place - 1 : begin + place + 1]
        if wanted == token:
            continue
        said, preferred = (_said(tokenizer, before, one) for one in (token, wanted))
        if not said or preferred in (None, said):
            continue
        # A space before a word is the token's own, wherever the tokenizer says that it stands.
        if row.text.endswith(said, 0, end):
            yield Disagreement(start=end - len(said), end=end, preferred=preferred, divergence=divergence)


def _said(tokenizer: Any, before: int, token: int) -> str | None:
    """What a token says after another one; "" for the end and the like, None for half a character."""
    if token in tokenizer.all_special_ids:
        return ""
    alone, both = (tokenizer.decode(ids, skip_special_tokens=True) for ids in ([before], [before, token]))
    text = both[len(alone) :]
    return text if text and both.startswith(alone) and HALF not in text else None
