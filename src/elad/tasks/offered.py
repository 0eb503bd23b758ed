"""The options of one question, and how a text names one of them.

An answer is an index into the options; like options share the index of the first of them.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from elad.outcomes import ParseOutcome
from elad.tasks import quantities
from elad.tasks.conclusions import sentence_end

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_QUOTES = "\"'“”‘’"
_MARKDOWN = re.compile(r"\*\*|__|`")
_LATEX = re.compile(r"\\(?:text|mathrm|mathbf|textbf|boxed)\s?\{([^{}]{0,200})\}")
_MARKED = re.compile(
    r"(?:[Oo]ption|[Cc]hoice|[Ll]etter)\s(?P<worded>[A-Za-z])\b[):.]?"
    r"|(?:(?:[Oo]ption|[Cc]hoice|[Ll]etter)\s)?(?:[(\[{]\s?(?P<round>[A-Za-z])\s?[)\]}]|(?P<stop>[A-Z])\s?(?:[):]|\.(?=\s\S)))"
)
_BARE = re.compile(r"(?P<capital>[A-Z])(?![\w'’])|(?P<alone>[a-z])(?=[.!]?$)")
_AFTER_LETTER = re.compile(rf"[\s:]*(?:[-–.](?=\s|$))?[\s{_QUOTES}]*")
_SPACE = re.compile(r"[\s:]*")
_NAMED = re.compile(r"\(([A-Z])\)|\b(?:[Oo]ption|[Cc]hoice|[Ll]etter) ([A-Z])\b")
_LEAD = re.compile(
    rf"(?:[\s:={_QUOTES}]|\b(?:either|probably|likely|most likely|clearly|indeed|definitely)\b)*",
    re.IGNORECASE,
)
_ARTICLE = re.compile(r"(?:the|an?) ")
_JOINER = re.compile(
    rf"[{_QUOTES}]?(?:\s?(?:,|/|&|\b(?:and|or)\b)\s?){{1,4}}(?:either |maybe |possibly |also )?[{_QUOTES}]?"
)
_ASIDE = re.compile(r"(?:because|since|as|which|and|or|so|for|is|but)\b|\W", re.IGNORECASE)
_NEGATED = re.compile(r"\b(?:not|neither|nor|none|cannot)\b|n't\b", re.IGNORECASE)
_SHORT = 4
"""Texts of fewer letters ("no", "12") name an option only where an answer is expected."""

Reading: TypeAlias = tuple[int | None, ParseOutcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """What a text begins by naming: one option, or two where a letter and a text disagree."""

    named: frozenset[int]
    end: int
    lettered: bool
    """A letter that is marked as one, which cannot be half of a longer word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """The options of a question, by their normalised texts."""

    keys: tuple[str, ...]
    texts: re.Pattern[str]
    """Finds any option as whole words, the longest first."""

    @staticmethod
    @lru_cache(maxsize=1024)
    def of(choices: tuple[str, ...]) -> "Offered":
        keys = tuple(_key(choice) for choice in choices)
        longest = sorted(set(keys), key=len, reverse=True)
        return Offered(keys=keys, texts=re.compile("|".join(_whole(key) for key in longest)))

    def index(self, text: str) -> int | None:
        """Which option a text is, word for word; None when it is none."""
        key = _key(text)
        return self.keys.index(key) if key in self.keys else None

    def read(self, body: str, *, cut: bool = False) -> Reading:
        """The one option that a conclusion names, or the outcome that says why there is none.

        A letter and a text that disagree, and two options joined by "or", "and" or a comma, are
        AMBIGUOUS. `cut`: the text ends right here; a closing word may be half of a longer one.
        """
        text = _tidy(body)
        low = _fold(text)
        lead = _LEAD.match(text)
        head = self._head(text, low, 0, cut) or (self._head(text, low, lead.end(), cut) if lead else None)
        if head is None:
            return self._within(text[: sentence_end(text)])
        joiner = _JOINER.match(low, head.end)
        other = self._head(text, low, joiner.end(), cut) if joiner else None
        named = head.named | other.named if other else head.named
        if len(named) > 1:
            return None, ParseOutcome.AMBIGUOUS
        if cut and head.end == len(text) and not head.lettered:
            return None, ParseOutcome.TRUNCATED
        return min(named), ParseOutcome.PARSED

    def named_last(self, text: str) -> int | None:
        """The option named in the last sentence that names any; None when that names several."""
        for sentence in reversed(re.split(r"\n|(?<=[.!?])\s", _MARKDOWN.sub("", text))):
            named = self._anywhere(" ".join(sentence.split()), shortest=1)
            if named:
                return min(named) if len(named) == 1 else None
        return None

    def _head(self, text: str, low: str, start: int, cut: bool) -> _Head | None:
        by_text = self._text_at(low, start)
        marked = _MARKED.match(text, start)
        letter = self._letter(marked) if marked else None
        if marked and letter is not None and not (by_text and by_text[1] > marked.end()):
            said = None if cut and self._begins(letter, low, marked.end()) else self._said(text, low, marked.end())
            return _Head(
                named=frozenset({letter, *(said[:1] if said else ())}),
                end=said[1] if said else marked.end(),
                lettered=True,
            )
        return self._bare(text, low, start) or (
            _Head(named=frozenset({by_text[0]}), end=by_text[1], lettered=False) if by_text else None
        )

    def _bare(self, text: str, low: str, start: int) -> _Head | None:
        """As `_head`, for a letter without a mark: "C", "C wooded area"; a text it begins wins over it."""
        bare = _BARE.match(text, start)
        letter = self._letter(bare) if bare else None
        if bare is None or letter is None:
            return None
        exact = self.texts.match(low, start)
        if exact and exact.end() > bare.end():
            return None
        said = self._said(text, low, bare.end())
        rest = text[bare.end() :].lstrip()
        if not said and bare[0] in "AI" and rest[:1].islower() and not _ASIDE.match(rest):
            return None
        named = {letter, *(said[:1] if said else ()), *([self.keys.index(exact[0])] if exact else ())}
        return _Head(named=frozenset(named), end=said[1] if said else bare.end(), lettered=False)

    def _letter(self, match: re.Match[str]) -> int | None:
        index = LETTERS.index(next(group for group in match.groups() if group).upper())
        return self.keys.index(self.keys[index]) if index < len(self.keys) else None

    def _said(self, text: str, low: str, start: int) -> tuple[int, int] | None:
        """The option whose text follows a letter; a dash between them may be its minus sign."""
        return self._text_at(low, _skip(_SPACE, low, start)) or self._text_at(low, _skip(_AFTER_LETTER, text, start))

    def _begins(self, letter: int, low: str, start: int) -> bool:
        """Whether the rest of a text that was cut off is the beginning of the letter's option."""
        return self.keys[letter].startswith(low[_skip(_AFTER_LETTER, low, start) :])

    def _text_at(self, low: str, start: int) -> tuple[int, int] | None:
        """The option whose text begins at `start`, an article tolerated, and where it ends."""
        match = self.texts.match(low, start) or self.texts.match(low, _skip(_ARTICLE, low, start))
        return (self.keys.index(match[0]), match.end()) if match else None

    def _within(self, sentence: str) -> Reading:
        """What a sentence names that does not begin by naming an option."""
        named = set[int]() if _NEGATED.search(sentence) else self._anywhere(sentence, shortest=_SHORT)
        if not named:
            named = self._by_value(sentence)
        if len(named) == 1:
            return named.pop(), ParseOutcome.PARSED
        return None, ParseOutcome.AMBIGUOUS if named else ParseOutcome.NO_CONCLUSION

    def _anywhere(self, sentence: str, *, shortest: int) -> set[int]:
        letters = {self._letter(match) for match in _NAMED.finditer(sentence)} - {None}
        texts = {match[0] for match in self.texts.finditer(_fold(sentence))}
        said = {self.keys.index(text) for text in texts if sum(map(str.isalpha, text)) >= shortest or shortest == 1}
        return {index for index in letters | said if index is not None}

    def _by_value(self, sentence: str) -> set[int]:
        """The options that state the same number as the sentence, in no other unit."""
        value, _ = quantities.stated(sentence)
        if value is None:
            return set()
        words = _words(sentence)
        named: set[int] = set()
        for index, key in enumerate(self.keys):
            other, _ = quantities.stated(key)
            agree = not words or not _words(key) or _words(key) <= words
            if other is not None and agree and quantities.same(value, other):
                named.add(self.keys.index(key) if key in self.keys[:index] else index)
        return named


def _skip(pattern: re.Pattern[str], text: str, start: int) -> int:
    match = pattern.match(text, start)
    return match.end() if match else start


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", _fold(text)))


def _tidy(text: str) -> str:
    return " ".join(_LATEX.sub(r"\1", _MARKDOWN.sub("", text)).translate(quantities.SIGNS).split())


def _fold(text: str) -> str:
    """The text in lower case, character by character, so that places in it stay where they are."""
    return text.lower() if text.isascii() else "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


def _key(text: str) -> str:
    folded = _fold(_tidy(text))
    return folded.strip(f"{_QUOTES} ").rstrip(".,;:!? ") or folded


def _whole(key: str) -> str:
    """A pattern for the key as whole words; a number is not found within a longer number."""
    before = r"(?<![\w.,/$^-])" if key[0].isdigit() else r"(?<!\w)" if key[0].isalnum() else ""
    after = r"(?!\w)" if key[-1].isalnum() else ""
    if key[-1].isdigit():
        after += r"(?!\s?[%^/]|[.,:]\d|\s\d+\s?/)"
    return f"{before}{re.escape(key)}{after}"
