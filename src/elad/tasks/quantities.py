r"""Numbers as they are written: "$1,234.50", "1 1/2", "\frac{3}{4}", "-5", "1.2 million", "2\sqrt{3}".

Values are exact fractions, but for roots and the like, which are floats made exact. A percent sign
and a unit are dropped: "20%" is 20. Every reading is bounded, and nothing is ever evaluated as code.
"""

import importlib
import logging
import re
import threading
import unicodedata
from fractions import Fraction
from functools import cache
from typing import Any

from elad.arithmetic import numbers as numbers_in_words
from elad.outcomes import ParseOutcome
from elad.tasks.conclusions import MOST_CHARS, sentence_end

TOLERANCE = Fraction(1, 10_000)
"""Two numbers are the same when they differ by no more, large or small."""
DECIMALS = 6

SIGNS = str.maketrans({"−": "-", "–": "-", "×": "*", "·": "*", "÷": "/", "⁄": "/", "\u00a0": " ", "\u202f": " "})
_TIDY: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, flags), by)
    for pattern, by, flags in (
        (r"(?<=[\d)])( ?)\*\*\1(?=[\d(])", "^", 0),
        (r"\*\*|__|`", "", 0),
        (r"\\(?:text|mathrm|mbox|textbf|mathbf)\s?\{([^{}]{0,80})\}", r" \1 ", 0),
        (r"\\(?:left|right|displaystyle|[,!;:])", "", 0),
        (r"\\[()\[\]]", " ", 0),
        (r"\\([$%])", r"\1", 0),
        (r"\{,\}", ",", 0),
        (r"\\[dt]?frac\s?\{\s?(\d{1,15})\s?\}\s?\{\s?(\d{1,15})\s?\}", r" \1/\2", 0),
        (r"\\(?:times|cdot|ast)\b", "*", 0),
        (r"\\div\b", "/", 0),
        (r"\b(?:Rs|INR|USD|US)\b\.?(?=[ $]?\d)", "", re.IGNORECASE),
        (r"\b(?:minus|negative) (?=[\d.])", "-", re.IGNORECASE),
        (r"^- +(?=[\d.$])", "-", 0),
    )
)
_NUMBER = re.compile(
    r"""
    (?<![\w.^])
    (?P<sign>-(?=[$€£₹]?[ ]?[\d.]))? [$€£₹]? (?P<inner>-)? [ ]?
    (?: (?P<whole>\d{1,15})[ -](?P<top>\d{1,9})/(?P<bottom>\d{1,9})(?![/\d])
      | (?P<over>\d{1,15})[ ]?/[ ]?(?P<under>\d{1,15})(?![/\d])
      | (?P<plain>(?:\d{1,3}(?:,\d{2,3}){0,8},\d{3}|\d{1,30}(?!\d))(?:\.\d{1,30}(?!\d))?|\.\d{1,30}(?!\d))
        (?:e(?P<power>[-+]?\d{1,2})\b)?
    )
    (?![ ]?\^)
    (?:[ ](?P<scale>thousand|million|billion|trillion)\b)?
    """,
    re.IGNORECASE | re.VERBOSE,
)
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_LEAD = re.compile(
    r"(?:\s|[=:≈~\"'(]|\$(?!\d)|\b(?:approximately|about|around|roughly|exactly|simply|just|only|equal to|a total of)\b"
    r"|\b[a-z] ?=)*",
    re.IGNORECASE,
)
_ASIDE = re.compile(
    r"[(;]|\b(?:because|since|as|which|where|so|for|in|per|out|of|on|after|before|by|at|from|when|with|if|over|than"
    r"|more|each|every|not)\b",
    re.IGNORECASE,
)
_REASON = re.compile(r"[(;]|\b(?:because|since|as|which|where|so|if|when|with)\b", re.IGNORECASE)
_JOINED = re.compile(r"[,;]\s|\b(?:and|or)\b", re.IGNORECASE)
_EXPRESSION = re.compile(r"[$\s]*((?:\\(?:sqrt|pi|[dt]?frac)|[\d\s.+*/^(){}-])+?)[$\s.]*")
_OPERATOR = re.compile(r"\\|\^|[*+]|\d\s*[/-]\s+|\s[/-]\s*\(|\)\s*[/(-]|\d\(")
_WRITTEN_SO = re.compile(r"\\(?:sqrt|pi)|\*\s*10\s?\^")
"""Roots, pi and powers of ten have no plainer form."""
_COMPARED = re.compile(
    r"""
    \b(?:less|more|fewer|(?!rather\b)\w{2,10}er)(?:[ ]\w{1,20}){0,2}?[ ]than[ ]
      (?:(?:or[ ]equal[ ]to|about|around|exactly|roughly|just|only|the|a[ ]total[ ]of)[ ])?
      (?:[$€£₹]?[ ]?-?[\d.]|(?P<word>[a-z]{2,20}))
    | \bat[ ](?:least|most)\b
    | \bor[ ](?:more|less|fewer)\b
    | ^\W*(?:not|over|under|above|below|beyond|up[ ]to)\b
    | (?<![\w/"'])[<>]=?\s*[$€£₹]?-?[\d.] | [≤≥≠]|!= | \\(?:[lg]eq?|[lg]eqslant|[lg]t|neq?)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_POWER = re.compile(r"\^(?!\{?-?\d{1,2}(?![\d.])\}?)|\^.*\^")
_PRODUCT = re.compile(r"(?<=[\d)}])\s*\(")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_OPEN_END = re.compile(r"[\d,/=+*$(-]\s*$")


def tidy(text: str) -> str:
    """The text with LaTeX, markdown and typographic signs about numbers made plain."""
    text = text.translate(SIGNS)
    if not text.isascii():
        text = "".join(_plain_sign(c) for c in text)
    for pattern, by in _TIDY:
        text = pattern.sub(by, text)
    return text


def _plain_sign(sign: str) -> str:
    name = unicodedata.name(sign, "")
    if not name.startswith("VULGAR FRACTION"):
        return sign
    value = Fraction(unicodedata.numeric(sign)).limit_denominator(10)
    return f" {value.numerator}/{value.denominator}"


def plain(value: Fraction) -> str:
    """The value as a plain decimal, rounded to `DECIMALS` places, without a closing zero.

    >>> plain(Fraction(1, 4)), plain(Fraction(-18)), plain(Fraction(2, 3))
    ('0.25', '-18', '0.666667')
    """
    scaled = round(abs(value) * 10**DECIMALS)
    whole, part = divmod(scaled, 10**DECIMALS)
    digits = f"{part:0{DECIMALS}d}".rstrip("0")
    sign = "-" if value < 0 and scaled else ""
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"


def same(first: Fraction, second: Fraction) -> bool:
    """Whether two values differ by no more than the tolerance."""
    return abs(first - second) <= TOLERANCE


def every(text: str) -> list[tuple[Fraction, int, int]]:
    """The numbers written in digits in a tidied text, each with its span; dates give three numbers."""
    found: list[tuple[Fraction, int, int]] = []
    for match in _NUMBER.finditer(text):
        value = _value(match)
        if value is not None:
            found.append((value, match.start(), match.end()))
    return found


def _value(match: re.Match[str]) -> Fraction | None:
    part = match.groupdict()
    try:
        if part["whole"]:
            value = int(part["whole"]) + Fraction(int(part["top"]), int(part["bottom"]))
        elif part["over"]:
            value = Fraction(int(part["over"]), int(part["under"]))
        else:
            value = Fraction(part["plain"].replace(",", "")) * Fraction(10) ** int(part["power"] or 0)
    except ZeroDivisionError:
        return None
    if part["scale"]:
        value *= _SCALES[part["scale"].lower()]
    return -value if part["sign"] or part["inner"] else value


def last(text: str) -> Fraction | None:
    """The last number in a text, or None: the best reading of a text that does not conclude."""
    values = every(tidy(text[-MOST_CHARS:]))
    return values[-1][0] if values else None


def number(text: str) -> Fraction | None:
    """The value of a text that is one number and nothing else but a currency or percent sign."""
    short = tidy(text.strip())
    match = _NUMBER.fullmatch(short.rstrip("%$ ")) if len(text) <= 100 else None
    return _value(match) if match else None


def stated(body: str, *, cut: bool = False) -> tuple[Fraction | None, ParseOutcome]:
    """The one number that a conclusion states, or the outcome that says why there is none.

    The number right after the cue counts; what follows it, up to an aside ("26, because 30 - 4 is
    26"), must not state another ("5 or 6", "5 feet 6 inches": AMBIGUOUS). After "=" the last value
    counts. A comparison ("less than 90", "7 more than 83") is AMBIGUOUS: it states no number, or
    one that is still to be worked out. `cut`: the text ends right here, so that a closing digit may
    be half of a number.
    """
    if cut and _OPEN_END.search(body):
        return None, ParseOutcome.TRUNCATED
    text = tidy(body)
    sentence = text[: sentence_end(text)]
    if _compares(sentence):
        return None, ParseOutcome.AMBIGUOUS
    if "=" in sentence:
        return _after_equals(sentence)
    return _plainly(sentence)


def worked_out(body: str) -> bool:
    """Whether a conclusion that states a number writes it as one, and not as a sum left to do.

    "52 + 38" and "180/2" are left to do; "52 + 38 = 90" is not, nor is what has no plainer form
    ("3/4", "2√3", "3 × 10^8").
    """
    text = tidy(body)
    sides = text[: sentence_end(text)].split("=")
    left = [_left_to_do(side) for side in sides]
    return not any(left) or any(every(side) and not undone for side, undone in zip(sides, left, strict=True))


def _left_to_do(side: str) -> bool:
    expression = _expression(side)
    if expression is not None:
        return _WRITTEN_SO.search(expression) is None
    values = every(side)
    return bool(values) and values[0][0].denominator == 1 and "/" in side[values[0][1] : values[0][2]]


def _compares(sentence: str) -> bool:
    """Whether a sentence compares with a number; asides and reasons do not count."""
    reason = _REASON.search(sentence)
    head = sentence[: reason.start()] if reason and reason.start() else sentence
    head = re.split(r"(?<=\w), ", head, maxsplit=1)[0]
    found = _COMPARED.search(head)
    return found is not None and (found["word"] is None or bool(numbers_in_words(found["word"])))


def _after_equals(sentence: str) -> tuple[Fraction | None, ParseOutcome]:
    """The last value of "x = 3 + 4 = 7"; a reason that holds an equation does not count."""
    reason = _REASON.search(sentence)
    head = sentence[: reason.start()] if reason else sentence
    if "=" not in head and every(head):
        return _plainly(head)
    if len(every(sentence)) > 1 and _JOINED.search(sentence[: sentence.rindex("=")]):
        return None, ParseOutcome.AMBIGUOUS
    before, _, after = sentence.rpartition("=")
    value, outcome = _plainly(after)
    return _plainly(before.rpartition("=")[2]) if outcome is ParseOutcome.NO_CONCLUSION else (value, outcome)


def _plainly(sentence: str) -> tuple[Fraction | None, ParseOutcome]:
    expression = _expression(sentence)
    if expression is not None:
        value = _evaluate(expression)
        return value, ParseOutcome.NO_CONCLUSION if value is None else ParseOutcome.PARSED
    values = every(sentence)
    if not values:
        return _in_words(sentence)
    lead = _LEAD.match(sentence)
    first, start, end = values[0]
    if lead and start <= lead.end():
        aside = _ASIDE.search(sentence, end)
        values = [v for v in values if not aside or v[1] < aside.start()]
    if all(same(first, other) for other, _, _ in values):
        return first, ParseOutcome.PARSED
    return None, ParseOutcome.AMBIGUOUS


def _in_words(sentence: str) -> tuple[Fraction | None, ParseOutcome]:
    """As `_plainly`, for "twelve apples": the first word must be a number."""
    words = _LEAD.sub("", sentence, count=1).split()[:6]
    digits = any(map(str.isdigit, sentence))  # "9^9^9", which is no number here
    if not words or digits or not numbers_in_words(words[0]) or words[1:2] == ["of"]:
        return None, ParseOutcome.NO_CONCLUSION
    text = " ".join(words)
    aside = _ASIDE.search(text)
    values = set(numbers_in_words(text[: aside.start()] if aside else text))
    if len(values) == 1:
        return values.pop(), ParseOutcome.PARSED
    return None, ParseOutcome.AMBIGUOUS


def _expression(text: str) -> str | None:
    r"""The expression of numbers that a text is as a whole ("3 * (4 + 2)", "2\sqrt{3}"), or None."""
    whole = _EXPRESSION.fullmatch(_THOUSANDS.sub("", text)) if len(text) <= 80 else None
    return whole[1].strip() if whole and _OPERATOR.search(whole[1]) else None


_lock = threading.Lock()


@cache
def _math_verify() -> tuple[Any, Any]:
    # A timeout needs signals, and so the main thread; the bounds on expressions stand in for it,
    # and the library's remark on that is silenced.
    logging.getLogger("math_verify.parser").setLevel(logging.ERROR)
    parser = importlib.import_module("math_verify.parser")
    return parser.parse, [parser.LatexExtractionConfig()]


def _evaluate(expression: str) -> Fraction | None:
    """The value of an expression; None where it has none, or where working it out has no bound."""
    if _POWER.search(expression):
        return None
    # The parser would take "2(3)" for a mixed number.
    latex = _PRODUCT.sub("*(", expression).replace("*", r"\times ")
    with _lock:
        parse, config = _math_verify()
        found = parse(f"${latex}$", extraction_config=config, parsing_timeout=None, fallback_mode="no_fallback")
        try:
            return Fraction(float(found[0].evalf(20))).limit_denominator(10**9)
        except (TypeError, ValueError, OverflowError, AttributeError, IndexError):
            return None  # no number: complex, infinite, or not an expression after all
