"""Text <-> steps: where a chain of reasoning is cut, and which of its steps concludes.

A step is a line, a sentence of a line, or what follows a "Step k:" marker. Every rule looks only at
the few characters around a gap in the text, so that a chain cut off at one of its steps is split as
the whole chain is, and so that the time is linear in the length of the text.
"""

import re
from collections.abc import Iterator
from itertools import pairwise

from elad.records import Step

_LOOK_BACK = 64
"""Characters before a gap that decide whether a sentence ends there."""
_LOOK_AHEAD = 240
"""Characters after a gap that decide whether a conclusion begins there."""

_GAP = re.compile(r"\s+|(?<=[。！？])(?=[^\s。！？”’」』）)])|(?<=[a-z0-9)][.!?])(?=[A-Z][a-z])")
_NEWLINE = re.compile(r"[\n\r\v\f\x85\u2028\u2029]")
_STEP_MARKER = re.compile(r"(?:\*\*)?Step[ \t]{1,4}\d{1,3}[ \t]{0,4}[:.)]")
_CLOSERS = "\"'”’)]}*_"
_ENDERS = ".!?…"

_NEVER_ENDS = frozenset(
    "mr mrs ms dr prof st mt rev gen sgt capt lt hon gov sen rep messrs e.g i.e vs approx cf viz al resp sq".split()
)
_ENDS_BEFORE_CAPITAL = frozenset("etc a.m p.m u.s u.k ph.d inc ltd co corp jr sr dept est".split())
_NOT_BEFORE_DIGIT = frozenset(
    "no nos fig figs eq eqs p pp ch sec vol art rs jan feb mar apr jun jul aug sep sept oct nov dec".split()
)
_UNITS = frozenset("in ft yd yds mi lb lbs oz pt qt gal hr hrs min mins sec secs wk yr yrs cm mm km kg g m".split())
_LABELS = frozenset(
    "option choice answer point case part line set group team plan figure vitamin letter box class grade".split()
)

_WORD_BEFORE = re.compile(r"(?:(?P<before>[^\s]{1,24})(?P<gap>\s{1,4}))?(?P<word>[^\s(\[\"'“‘]{1,16})$")
_LIST_MARKER = re.compile(r"\W{0,4}(?:\d{1,3}|[A-Za-z]|[ivxIVX]{1,4})[.)]\W{0,4}$")
_BARE = re.compile(
    r"\W{0,8}(?:step\s{1,4}\d{1,3}|\d{1,3}[.)]|[A-Za-z][.)]"
    r"|(?:so,?\s|therefore,?\s|thus,?\s)?(?:the\s)?(?:final\s|correct\s)?answer(?:\sis)?)\W{0,8}",
    re.IGNORECASE,
)
_CONTENT = re.compile(r"[^\W_]")

_CONNECTIVE = (
    r"(?:(?:and|so|thus|therefore|hence|then|finally|overall|ultimately|consequently|accordingly|conclusion"
    r"|in conclusion|in summary|to conclude|as a result|which means|this means|that means|we conclude)\b"
    r"[,:]?[ \t*_]{1,4})"
)
_VERDICT = (
    r"(?:that[ \t])?(?:(?:the|our|my|your)[ \t]{1,4})?(?:(?:final|correct|right|best|overall|numerical)[ \t]{1,4}){0,2}"
    r"(?:answer(?:[ \t](?:choice|option))?|(?<=correct )(?:choice|option)|(?<=right )(?:choice|option))"
    r"(?:[ \t](?:to|of|for)[ \t](?:the|this)[ \t](?:question|problem))?"
    r"[*_]{0,3}[ \t]{0,4}(?:[:=]|(?:is|are|was|will be|would be|equals)\b(?![ \t](?:not|that|the one|a|an)\b))"
)
_HASHES = r"\#{4}[ \t]{0,4}[^\w\s#]{0,4}[ \t]{0,2}(?:\d|(?:yes|no|true|false|[A-E])\b)"
_LEAD = (
    r"[\s>*_\#•\-–]{0,8}(?:step[ \t]{1,4}\d{1,3}[ \t]{0,4}[:.)][ \t*_]{0,4})?(?:\(?\d{1,3}[.)][ \t]{1,4})?[*_\"“]{0,3}"
)
_CONCLUSION = re.compile(rf"(?:{_LEAD}{_CONNECTIVE}{{0,3}}[*_]{{0,3}}{_VERDICT}|\s{{0,8}}{_HASHES})", re.IGNORECASE)
_CONCLUSION_WITHIN = re.compile(
    # Within a sentence only a connective, a capital or a mark shows that a conclusion begins.
    rf"(?:(?i:{_CONNECTIVE}){{1,3}}[*_]{{0,3}}(?i:{_VERDICT})|[*_]{{0,3}}(?=[TOMFCA])(?i:{_VERDICT})|(?i:{_HASHES}))"
)
_BOXED = "\\boxed{"


def split(text: str, *, most: int = 12) -> tuple[Step, ...]:
    """The steps of a text, whose spans partition it exactly.

    Cut at line ends, at "Step k:" markers, at sentence ends and before a conclusion. White space,
    and pieces without a letter or digit, belong to the step before (at the start: to the first);
    a bare marker ("Step 2:", "3.", "Answer:") belongs to what it announces.

    At most `most` steps: a surplus is merged into the last step before the final conclusion, and
    what follows that conclusion gives way first. Where `most` has no room for the conclusion and
    its neighbours, the surplus is merged into the last step.

    Edge: an empty text has no steps. Raises: ValueError when `most` is below 1.

    >>> [step.text for step in split("Tom has 3.5 kg. He adds 2 kg, so the answer is 5.5.")]
    ['Tom has 3.5 kg. ', 'He adds 2 kg, ', 'so the answer is 5.5.']
    """
    if most < 1:
        raise ValueError(f"a text cannot be split into {most} steps")
    if not text:
        return ()
    bounds = [0, *_joined(text, list(_cuts(text))), len(text)]
    bounds = _fewer(text, bounds, most)
    return tuple(Step(text=text[a:b], start=a, end=b) for a, b in pairwise(bounds))


def is_conclusion(text: str) -> bool:
    r"""Whether a step states the final answer: "The answer is ...", "Answer: B", "#### 5", "\boxed{5}".

    Only a step that begins so counts (after "So", "Therefore," or a list marker), or one with a box.
    """
    return _CONCLUSION.match(text.lstrip()[:_LOOK_AHEAD]) is not None or _BOXED in text


def _cuts(text: str) -> Iterator[int]:
    """Offsets, other than 0, at which a piece begins."""
    begin = 0
    opening = _CONCLUSION.match(text.lstrip()[:_LOOK_AHEAD])
    inside = len(text) - len(text.lstrip()) + opening.end() if opening else 0
    for gap in _GAP.finditer(text):
        start, end = gap.span()
        if end == len(text) or start == 0:
            continue
        line = _NEWLINE.search(gap[0]) is not None
        conclusion = None if end < inside else _CONCLUSION_WITHIN.match(text, end, end + _LOOK_AHEAD)
        if conclusion:
            inside = conclusion.end()
        marked = _LIST_MARKER.match(text, begin, start) if start - begin < 16 else None
        ended = line or (not marked and _ends(text, start, end))
        if ended or (conclusion and not marked) or _STEP_MARKER.match(text, end):
            yield end
            begin = end


def _ends(text: str, start: int, end: int) -> bool:
    """Whether a sentence ends before the gap `[start, end)`."""
    if text[start - 1] in "。！？":
        return True
    window = text[max(0, start - _LOOK_BACK) : start]
    closed = window.rstrip(_CLOSERS)
    stem = closed.rstrip(_ENDERS)
    mark, after = closed[len(stem) :], text[end : end + 3].lstrip("\"'“‘([*_")
    if not mark or not stem or stem[-1].isspace() or not after:
        return False
    if not (after[0].isalnum() or after[0] in "$£€₹\\#¿¡"):
        return False
    if mark != ".":
        # "5! ways", "Wait... what": only a capital shows that these end a sentence.
        weak = mark[0] == "…" or set(mark) == {"."} or (mark == "!" and stem[-1].isdigit())
        return not after[0].islower() if weak or closed != window else True
    if closed != window and after[0].islower():
        return False
    return _full_stop(stem, after)


def _full_stop(stem: str, after: str) -> bool:
    """Whether a single full stop after `stem` ends a sentence; `after` is how the text goes on."""
    found = _WORD_BEFORE.search(stem[-48:])
    if found is None:
        return True
    word, before = found["word"].lower(), found["before"] or ""
    if word in _NEVER_ENDS:
        return False
    if word in _ENDS_BEFORE_CAPITAL:
        return after[0].isupper()
    if word in _NOT_BEFORE_DIGIT and after[0].isdigit():
        return False
    if word in _UNITS and before[-1:].isdigit():
        return after[0].isupper()
    if len(word) == 1 and found["word"].isupper() and found["word"] != "I":
        return not (after[0].isupper() and (after[1:2] == "." or _is_name(before)))
    return True


def _is_name(word: str) -> bool:
    """Whether a single capital after `word` is an initial: "George W.", "J. R.", or nothing before."""
    if not word:
        return True
    bare = word.rstrip(".")
    return bare[:1].isupper() and bare.isalpha() and bare.lower() not in _LABELS and bare.lower() != "i"


def _joined(text: str, cuts: list[int]) -> list[int]:
    """The cuts that are left when bare markers join the next piece, and empty pieces the one before."""
    kept: list[int] = []
    begin, filled = 0, False
    for start, end in pairwise([0, *cuts, len(text)]):
        content = _CONTENT.search(text, start, end) is not None
        bare = start - begin < 48 and _BARE.fullmatch(text, begin, start)
        if content and filled and not bare:
            kept.append(start)
            begin = start
        filled = filled or content
    return kept


def _fewer(text: str, bounds: list[int], most: int) -> list[int]:
    """At most `most` + 1 bounds: the surplus merged as `split` says."""
    pieces = len(bounds) - 1
    if pieces <= most:
        return bounds
    last = next((i for i in reversed(range(pieces)) if is_conclusion(text[bounds[i] : bounds[i + 1]])), pieces)
    head, tail = last, max(0, pieces - last - 1)
    tail_room = min(tail, max(1, most - 1 - head))
    head_room = most - 1 - tail_room
    if last == pieces or (head and head_room < 1) or tail_room > most - 1:
        return [*bounds[:most], bounds[-1]]
    head_room = min(head, head_room)
    return [*bounds[:head_room], *bounds[last : last + 1 + tail_room], bounds[-1]]
