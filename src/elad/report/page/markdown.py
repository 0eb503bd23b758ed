"""The document as Markdown (CommonMark with GitHub's tables). What somebody else wrote is quoted, and means nothing."""

import re
from collections.abc import Iterator, Sequence

from elad.report.page.document import Document, Example, Figure, Heading, Part, Passage, Points, Prose, Step, Table
from elad.report.page.wording import visible

_SPECIAL = re.compile(r"[\\`*_\[\]<>#|~$&@]|:(?=//)|(?<=www)\.")
_OPENING = re.compile(r"^(\d*)([-+=]|[.)](?= |$))")
"""What may begin a list, a rule or the underline of a heading."""
_TICKS = re.compile(r"`+")


def markdown(document: Document) -> str:
    """The document. Nothing in its strings makes markup, links, HTML or formulas where CommonMark is known."""
    state = f"Under way. {document.state}" if document.under_way else document.state
    blocks = [f"# elad report: {inline(document.title)}", inline(state)]
    for section in document.sections:
        blocks.append(f"## {inline(section.title)}")
        for part in section.parts:
            blocks += _part(part)
    return "\n\n".join(blocks) + "\n"


def inline(text: str) -> str:
    r"""A text on one line, in which no character means anything.

    >>> inline("<b>1 | *2*</b>")
    '\\<b\\>1 \\| \\*2\\*\\</b\\>'
    """
    line = " ".join(visible(text).split())
    return _OPENING.sub(r"\1\\\2", _SPECIAL.sub(r"\\\g<0>", line))


def fenced(text: str, language: str = "text") -> str:
    """A text as a block of code, between fences that it cannot close."""
    shown = visible(text)
    fence = "`" * max(3, 1 + max((len(run) for run in _TICKS.findall(shown)), default=0))
    return f"{fence}{language}\n{shown}\n{fence}"


def _part(part: Part) -> Iterator[str]:
    match part:
        case Prose():
            yield inline(part.text)
        case Points():
            yield "\n".join(f"- {inline(entry)}" for entry in part.entries)
        case Heading():
            yield f"### {inline(part.text)}"
        case Table():
            yield from _table(part)
        case Figure():
            yield f"**{inline(part.title)}.** {inline(part.caption)}"
            yield from _table(part.table)
        case Example():
            yield from _example(part)


def _table(table: Table) -> Iterator[str]:
    rule = ["---" if place in table.words else "---:" for place in range(len(table.head))]
    yield f"**{inline(table.title)}**"
    yield "\n".join(_row(cells) for cells in (_escaped(table.head), rule, *map(_escaped, table.rows)))


def _escaped(cells: Sequence[str]) -> list[str]:
    return [inline(cell) for cell in cells]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _example(example: Example) -> Iterator[str]:
    yield f"#### {inline(example.title)}"
    if example.facts:
        yield "\n".join(f"- {inline(name)}: {inline(value)}" for name, value in example.facts)
    yield from _passages(example.passages)
    for place, step in enumerate(example.steps):
        yield from _step(place, step)
    yield from _passages(example.after)


def _step(place: int, step: Step) -> Iterator[str]:
    yield f"Step {place + 1}: uncertainty {inline(step.told)} · {inline(step.verdict)}"
    yield fenced(step.text)


def _passages(passages: Sequence[Passage]) -> Iterator[str]:
    for passage in passages:
        yield f"{inline(passage.label)}:"
        if passage.mark:
            lines = passage.text.split("\n")
            yield fenced("\n".join(f"{passage.mark} {line}" for line in lines), "diff")
        else:
            yield fenced(passage.text)
