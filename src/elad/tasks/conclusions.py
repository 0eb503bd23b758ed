r"""Where a text concludes: "The answer is ...", "Answer: ...", "#### 5", "\boxed{5}".

The last conclusion of a text counts: gold solutions and teachers may correct themselves. What a student
wrote is cut after its first one before it comes here (`chains`). What a conclusion says is read by the
answer family; here it is only found, and the outcomes are settled that all families share.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from elad.outcomes import ParseOutcome
from elad.protocols import Parsed

CUE = "The answer is"
MOST_CHARS = 20_000
"""Only so much of the end of a text is looked at: conclusions come last."""
MOST_BODY = 400
"""A conclusion says what it says within so many characters."""

_RIVALS = 8
"""So many of the last conclusions may disagree within one sentence."""

_G = r"[ \t*_]{1,4}"
_CUE = re.compile(
    rf"""
      (?P<asked>\bthe{_G}answer{_G}is\b)
    | \banswer(?:{_G}(?:choice|option))?
      (?:{_G}(?:is|was|would{_G}be)\b|[*_]{{0,2}}[ \t]?[:=])
    | \b(?:correct|right|best){_G}(?:option|choice){_G}is\b
    | \bfinal{_G}answer[*_:]{{0,3}}[ \t]{{0,9}}(?=\n)
    | \#\#\#\#[ \t]{{0,4}}(?=[-+]?[$]?[\d.]|\S{{1,60}}[ \t]{{0,9}}(?:\n|$))
    | \\f?box(?:ed)?[ ]?(?=\{{)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_BLANK = re.compile(r"[\s*_:=\"'`$\\(\[]*")
_SENTENCE_END = re.compile(r"\n|[.!?](?=[\"')*\]]{0,3}(?:\s|$))")
_ENDS_AT_ONCE = re.compile(r"[.?!](?:\s|$)|[.?!\s]*$")
_REFUSAL = re.compile(
    r"\bI (?:can ?not|can'?t|am unable to|am not able to) (?:answer|help|assist|provide|comply)"
    r"|\bI'?m (?:unable|not able) to\b|\bI(?:'m| am) sorry\b|\bas an AI\b|\bI (?:don'?t|do not) know\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """One place where a text concludes."""

    start: int
    """Where the sentence that holds it begins; where the mark stands for "####"."""
    cue: int
    body: str
    """What follows the cue, up to the end of its line or the next cue."""
    end: int
    asked: bool
    """Whether it uses the words that students are asked to use."""


def find(text: str) -> list[Conclusion]:
    """The conclusions of a text in order; cues that nothing follows are left out.

    A cue at the very end of the text is kept, with an empty body: the text was cut there.
    """
    cues = list(_CUE.finditer(text))
    found: list[Conclusion] = []
    asked, begins = False, None
    for cue, after in zip(cues, [*cues, None][1:], strict=True):
        limit = after.start() if after else len(text)
        asked = asked or cue.group("asked") is not None
        begins = cue.start() if begins is None else begins
        body, end = _body(text, cue.end(), limit, boxed=cue.group().startswith("\\"))
        if not body and end >= limit and after:
            continue  # "The answer is \boxed{5}": one conclusion, told by two cues
        if (body and not _ENDS_AT_ONCE.match(body)) or (not body and end >= len(text)):
            start = begins if text[begins] == "#" else _sentence(text, begins)
            found.append(Conclusion(start=start, cue=begins, body=body, end=end, asked=asked))
        asked, begins = False, None
    return found


def _body(text: str, start: int, limit: int, *, boxed: bool) -> tuple[str, int]:
    """What a cue is followed by, and where that ends."""
    if boxed:
        return _braced(text, start)
    blank = _BLANK.match(text, start, limit)
    first = blank.end() if blank else start
    if first >= limit:
        return "", first
    kept = text[start:first].rpartition("\n")[2]  # opening brackets, quotes and signs belong to it
    line_end = text.find("\n", first, limit)
    end = min(limit if line_end < 0 else line_end, first + MOST_BODY)
    return (kept.lstrip(" \t:=*_") + text[first:end]).strip(), end


def _braced(text: str, start: int) -> tuple[str, int]:
    depth = 0
    for place in range(start, min(len(text), start + MOST_BODY)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[start + 1 : place].strip(), place + 1
    return text[start + 1 : start + MOST_BODY].strip(), min(len(text), start + MOST_BODY)


def _sentence(text: str, place: int) -> int:
    """Where the sentence begins that `place` lies in; looks back no further than one body."""
    floor = max(0, place - MOST_BODY)
    start = floor
    for end in _SENTENCE_END.finditer(text, floor, place):
        start = end.end()
    return start


def sentence_end(text: str, start: int = 0) -> int:
    """Where the sentence ends that begins at `start`, its stop not counted."""
    end = _SENTENCE_END.search(text, start)
    return end.start() if end else len(text)


def refused(text: str) -> bool:
    """Whether a text opens by declining to answer."""
    return _REFUSAL.search(text, 0, 2_000) is not None


def as_asked(text: str) -> bool:
    """Whether the last conclusion of a text uses the words that students are asked to use."""
    found = find(text[-MOST_CHARS:])
    return bool(found) and found[-1].asked


def said(text: str) -> str:
    """The body of the last conclusion of a text; empty where it does not conclude."""
    found = find(text[-MOST_CHARS:])
    return found[-1].body if found else ""


def settle(text: str, read: Callable[[str, bool], Parsed], *, finished: bool) -> Parsed:
    """What a text concludes with.

    `read` takes a conclusion's body, and whether the text was cut off right after it. Two
    conclusions that disagree within the final sentence are AMBIGUOUS; otherwise the last counts.
    """
    tail = text[-MOST_CHARS:]
    found = find(tail)
    if not found:
        return Parsed(answer=None, outcome=_without(text, finished))
    last = found[-1]
    parsed = read(last.body, not finished and last.end >= len(tail))
    if parsed.outcome is ParseOutcome.NO_CONCLUSION and not finished and last.end >= len(tail):
        parsed = Parsed(answer=None, outcome=ParseOutcome.TRUNCATED)
    for other in found[-_RIVALS:-1]:
        if parsed.answer is not None and _SENTENCE_END.search(tail, other.cue, last.cue) is None:
            earlier = read(other.body, False).answer
            if earlier not in (None, parsed.answer):
                return Parsed(answer=None, outcome=ParseOutcome.AMBIGUOUS)
    return parsed


def _without(text: str, finished: bool) -> ParseOutcome:
    if refused(text):
        return ParseOutcome.REFUSED
    return ParseOutcome.NO_CONCLUSION if finished else ParseOutcome.TRUNCATED
