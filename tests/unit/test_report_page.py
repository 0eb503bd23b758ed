"""How a document is put: texts are harmless whatever they hold, and charts stay within their frames."""

import re
import unicodedata
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from elad.outcomes import ParseOutcome, ReplyOutcome, RevisionOutcome
from elad.report.page.document import Bars, Line, Lines, Shares
from elad.report.page.drawing import chart, ticks
from elad.report.page.markdown import fenced, inline
from elad.report.page.wording import brief, cut, visible
from elad.report.parts.outcomes import DRAFTS, REPLIES, REVISIONS

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
_SIGNS = "\\`*_{}[]<>()#+-.!|~$&:/=\"' \n\t0123456789wab"
TEXTS = st.text(st.characters(codec="utf-8") | st.sampled_from(_SIGNS), max_size=60)
AMOUNTS = st.floats(0, 1e9)


@given(TEXTS)
def test_no_character_that_orders_or_hides_is_left(text: str) -> None:
    shown = visible(text)
    hidden = {character for character in shown if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    assert hidden <= {"\n", "\t", "\u200c", "\u200d"}
    assert shown == text or "⟦U+" in shown or "\r" in text


@given(TEXTS)
def test_a_text_within_markdown_is_that_text(text: str) -> None:
    """As a paragraph, as an entry of a list and as a cell: it opens nothing, and reads as it was written."""
    words = " ".join(visible(text).split())
    tokens = MARKDOWN.parse(inline(text))
    assert [token.type for token in tokens] == (["paragraph_open", "inline", "paragraph_close"] if words else [])
    for token in tokens[1:2]:
        assert {child.type for child in token.children or ()} <= {"text", "text_special"}
        assert "".join(child.content for child in token.children or ()) == words
    table = MARKDOWN.parse(f"| a | b |\n| --- | --- |\n| {inline(text)} | end |")
    cells = [token.content for token in table if token.type == "inline"]
    assert len(cells) == 4
    assert cells[3] == "end"


@given(TEXTS)
def test_a_fenced_text_cannot_leave_its_fence(text: str) -> None:
    tokens = MARKDOWN.parse(fenced(text))
    assert [token.type for token in tokens] == ["fence"]
    assert tokens[0].content.rstrip("\n") == visible(text).rstrip("\n")


@given(st.text(), st.integers(1, 40))
def test_a_cut_text_tells_how_much_is_gone(text: str, most: int) -> None:
    shown = cut(text, most)
    if len(text) <= most:
        assert shown == text
    else:
        assert shown.startswith(text[:most])
        assert f"{len(text) - most:,} more" in shown
    assert len(brief(text, most)) <= most


@given(AMOUNTS, st.integers(3, 8))
def test_ticks_begin_at_0_reach_the_top_and_are_few(top: float, most: int) -> None:
    marks = ticks(top, most)
    assert marks[0] == 0
    assert marks[-1] >= top * (1 - 1e-8)
    assert 2 <= len(marks) <= most + 1
    assert len(marks) == 2 or marks[-2] < top


def numbers(svg: str) -> list[float]:
    """Every place that is drawn at."""
    found = re.findall(r' (?:x|y|x1|x2|y1|y2|cx|cy|points)="([^"]*)"', svg)
    return [float(number) for group in found for number in re.split(r"[ ,]", group) if number]


@given(st.lists(st.tuples(AMOUNTS, st.floats(0, 100)), max_size=6))
def test_a_line_stays_within_its_chart(points: list[tuple[float, float]]) -> None:
    points = sorted(points)
    line = Line(name="a", points=points, marks=points, band=[(x, y, y) for x, y in points])
    drawn = chart(Lines(x="cost", y="accuracy", lines=[line, line]), "name")
    assert all(0 <= number <= 460 for number in numbers(drawn))


@given(st.lists(AMOUNTS, min_size=1, max_size=13))
def test_bars_stay_within_their_chart(amounts: list[float]) -> None:
    names = [str(place) for place in range(len(amounts))]
    upright = chart(Bars(x="a", y="b", categories=names, series=[("one", amounts), ("two", amounts)]), "name")
    lying = chart(Shares(x="a", rows=[(name, value, "some") for name, value in zip(names, amounts, strict=True)]), "n")
    assert all(0 <= number <= 460 for number in numbers(upright))
    assert all(0 <= number <= 30 + 24 * 13 + 460 for number in numbers(lying))
    assert "-" not in "".join(re.findall(r'(?:width|height)="([^"]*)"', upright + lying))


@pytest.mark.parametrize("text", ['"><script>', "\u202eevil", "a & b"])
def test_a_name_in_a_chart_is_escaped(text: str) -> None:
    drawn = chart(Shares(x=text, rows=[(text, 1.0, text)]), text)
    assert "<script" not in drawn
    assert "\u202e" not in drawn
    assert "& " not in drawn


@pytest.mark.parametrize(
    ("outcomes", "meanings"), [(ParseOutcome, DRAFTS), (ReplyOutcome, REPLIES), (RevisionOutcome, REVISIONS)]
)
def test_every_outcome_has_its_meaning(outcomes: type[StrEnum], meanings: dict[str, str]) -> None:
    assert set(meanings) == set(outcomes)
