"""What the scripted student says: sums over the numbers of a question, with slips."""

import re
from collections.abc import Sequence
from decimal import Decimal

from elad.records import derive_seed

CUE = "The answer is"

_NUMBER = re.compile(r"(?<![\w.])-?\d{1,9}(?:,\d{3})*(?:\.\d{1,6})?(?!\w)")
_OPTION = re.compile(r"^[ \t]*\(?([A-Z])[).:][ \t]+\S", re.MULTILINE)
_CHOSEN = re.compile(r"Option ([A-Z])\b")
_MINUS = re.compile(
    r"\b(?:gave|gives?|lost|loses?|ate|eats?|left|spent|used|sold|took|fewer|less|difference|flew|broke|removed)\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"(?<!\d)[.?!]|[.?!](?!\d)|\n")
_MOST_NUMBERS = 7
_RAMBLE = ["Let me think about it once more."] * 60
_NEVER = 0.15
"""Share of an unskilled student's chains that never conclude."""

Luck = tuple[object, ...]


def explain(question: str, said: str, *, skill: float, luck: Luck) -> str:
    """What follows `said` in an explanation of `question`, up to its end.

    A result that `said` states is carried on, right or wrong; after the cue only the conclusion is
    left, and after a conclusion nothing. `skill` is the probability of a right step. Equal `luck`
    gives equal text.
    """
    if re.search(rf"{CUE}\s+\S", said):
        return ""
    options = _OPTION.findall(question)
    values = _numbers(question)
    if len(options) > 1:
        steps, answer = _choose(options, said, skill=skill, luck=luck)
    elif values:
        steps, answer = _reckon(question, values, said, skill=skill, luck=luck)
    else:
        steps, answer = [], _word(question, skill=skill, luck=luck)
    if said.rstrip().endswith(CUE):
        return f" {_stated(said, options, values) or answer}."
    break_ = "\n" if said and not said.endswith("\n") else ""
    if _chance(*luck, "never") < _NEVER * (1 - skill):
        return break_ + "\n".join([*steps, *_RAMBLE])
    return break_ + "\n".join([*steps, f"{CUE} {answer}."])


def _reckon(question: str, values: Sequence[Decimal], said: str, *, skill: float, luck: Luck) -> tuple[list[str], str]:
    """The sums that are left after `said`, and where they end."""
    signs = _signs(question, len(values))
    lines = [line for line in said.removesuffix(CUE).splitlines() if line.strip()]
    done = max(len(lines), said.count("="))
    known = _numbers(said)
    total = known[-1] if known else values[0]
    steps: list[str] = []
    for place in range(done + 1, len(values)):
        sign, result = signs[place], total + signs[place] * values[place]
        if _chance(*luck, "slip", place) >= skill:
            # Two ways to be wrong: false arithmetic, and true arithmetic with the wrong operation.
            if _chance(*luck, "way", place) < 0.5:
                result += 1 + int(_chance(*luck, "by", place) * 9)
            else:
                sign, result = -sign, total - sign * values[place]
        steps.append(f"{_plain(total)} {'+' if sign > 0 else '-'} {_plain(values[place])} = {_plain(result)}.")
        total = result
    return steps, _plain(total)


def _choose(options: Sequence[str], said: str, *, skill: float, luck: Luck) -> tuple[list[str], str]:
    """A favourite that only the question decides, or with a slip any option."""
    chosen = _CHOSEN.findall(said)
    if chosen:
        return [], chosen[-1]
    slips = _chance(*luck, "slip") >= skill
    share = _chance(*(luck if slips else luck[:-1]), "option")
    option = options[int(share * len(options))]
    return ["I compare the options.", f"Option {option} fits best."][bool(said.strip()) :], option


def _word(question: str, *, skill: float, luck: Luck) -> str:
    words = re.findall(r"[^\W\d_]+", question) or ["nothing"]
    slips = _chance(*luck, "slip") >= skill
    return words[int(_chance(*luck, "word") * len(words))] if slips else words[-1]


def _stated(said: str, options: Sequence[str], values: Sequence[Decimal]) -> str | None:
    """The answer that `said` has come to so far; made to conclude, the student reckons no further."""
    if len(options) > 1:
        return next(reversed(_CHOSEN.findall(said)), None)
    known = _numbers(said) or list(values[:1])
    return _plain(known[-1]) if known else None


def _numbers(text: str) -> list[Decimal]:
    found = _NUMBER.findall(text)[-_MOST_NUMBERS:]
    return [Decimal(number.replace(",", "")) for number in found]


def _signs(question: str, count: int) -> list[int]:
    """For each number +1 or -1, by the words of its own sentence; two numbers go by the whole question."""
    if count == 2:
        return [1, -1 if _MINUS.search(question) else 1]
    signs = [
        -1 if _MINUS.search(sentence) else 1
        for sentence in _SENTENCE.split(question)
        for _ in _NUMBER.findall(sentence)
    ][-count:]
    return signs + [1] * (count - len(signs))


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _chance(*parts: object) -> float:
    return derive_seed(*parts) / 2**63
