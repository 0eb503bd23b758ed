"""One row of data into a problem, whatever its shape.

Row shapes, told by their columns: `question` with `choices`, `answer`, `rationale`, `context`, `id`;
`prompt` and `completion`; `messages`. The last turn of the user is the question, and what both said before it
is its context; system messages are left out. Of a completion or a last assistant turn, what follows the last
conclusion ("The answer is", "####", ...) is the answer and the rest is the rationale; a text that
does not conclude is an answer when it is one short line, else a rationale without an answer.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias, cast

from elad.errors import DataError, nearest
from elad.records import Problem, digest
from elad.tasks import conclusions
from elad.tasks.offered import LETTERS, Offered
from elad.tasks.sources import Row

FIELDS = "id question context choices answer answer_index rationale prompt completion messages".split()
_ALWAYS = "id context choices answer answer_index rationale".split()
_SHORT_ANSWER = 80
"""A completion that does not conclude is an answer when it is one line of at most so many characters."""

Solution: TypeAlias = tuple[str | None, str | None]
"""Answer and rationale."""


class _Asked(NamedTuple):
    """What a row asks, in whatever shape."""

    question: str
    reply: str | None = None
    """A worked solution, if the shape holds one."""
    before: str | None = None
    """The turns before the question, each with who spoke."""


class Shaped:
    """One row on its way to a problem; `where` opens every complaint."""

    def __init__(self, row: Row, columns: Mapping[str, str], where: str) -> None:
        self.row = row
        self.columns = columns
        self.where = where

    def problem(self) -> tuple[Problem, bool]:
        """The problem, and whether the row names it."""
        (question, reply, before), used = self._shape()
        choices = self._choices()
        answer, rationale = self._answered(reply, choices)
        context = "\n\n".join(part for part in (self._text("context"), before) if part) or None
        id_ = self._text("id")
        taken = {self._column(field) for field in (*_ALWAYS, *used)}
        return Problem(
            id=id_ or digest([question, choices, context, answer, rationale]),
            question=question,
            choices=choices,
            answer=answer,
            rationale=rationale,
            context=context,
            metadata={key: value for key, value in self.row.items() if key not in taken},
        ), id_ is not None

    def _shape(self) -> tuple[_Asked, list[str]]:
        """What is asked, and the columns that it uses up.

        Lists of messages are not used up: they hold more than the question, and become metadata.
        """
        if "question" in self.columns or self._column("question") in self.row:
            return _Asked(self._required("question")), ["question"]
        if self._has("messages"):
            return self._turns("messages"), []
        if not self._has("prompt"):
            raise DataError(f"{self.where}: no column 'question'; {nearest('question', self.row)}")
        used = [field for field in ("prompt", "completion") if isinstance(self.row.get(self._column(field)), str)]
        asked = _Asked(self._required("prompt")) if "prompt" in used else self._turns("prompt")
        plain = "completion" in used or not self._has("completion")
        return asked._replace(reply=self._text("completion") if plain else self._turns("completion").reply), used

    def _answered(self, reply: str | None, choices: tuple[str, ...] | None) -> Solution:
        """Answer and rationale: columns of their own come before what a worked solution holds."""
        own = self._text("answer")
        if own is not None and "####" in own and not choices:
            own, reply = None, own
        answer, rationale = solution(reply)
        answer = self._chosen(own, choices) or self._concluded(answer, choices) if choices else own or answer
        return answer, self._text("rationale") or rationale

    def _concluded(self, answer: str | None, choices: tuple[str, ...]) -> str | None:
        """The choice that the conclusion of a worked solution names."""
        if answer is None:
            return None
        index, _ = Offered.of(choices).read(answer)
        if index is None:
            raise self._no_choice(answer, choices)
        return choices[index]

    def _no_choice(self, answer: str, choices: tuple[str, ...]) -> DataError:
        return DataError(f"{self.where}: answer {answer[:80]!r} is not among the choices; {nearest(answer, choices)}")

    def _column(self, field: str) -> str:
        return self.columns.get(field, field)

    def _has(self, field: str) -> bool:
        return self.row.get(self._column(field)) is not None

    def _required(self, field: str) -> str:
        column = self._column(field)
        if column not in self.row:
            raise DataError(f"{self.where}: no column {column!r}; {nearest(column, self.row)}")
        if not isinstance(self.row[column], str):
            raise self._wrong(column, "a text")
        text = self._text(field)
        if not text:
            raise DataError(f"{self.where}: column {column!r}: expected a question, found an empty text")
        return text

    def _text(self, field: str) -> str | None:
        """A column as text; numbers are written out; None where there is nothing."""
        column = self._column(field)
        value = self.row.get(column)
        if value is None and column not in self.row and field in self.columns:
            raise DataError(f"{self.where}: no column {column!r}; {nearest(column, self.row)}")
        if value is None or value == "":
            return None
        text = _as_text(value)
        if text is None:
            raise self._wrong(column, "a text or a number")
        return text.strip() or None

    def _wrong(self, column: str, expected: str) -> DataError:
        found = type(self.row[column]).__name__
        return DataError(f"{self.where}: column {column!r}: expected {expected}, found {found}")

    def _choices(self) -> tuple[str, ...] | None:
        column = self._column("choices")
        if not self.row.get(column):
            return None
        value: object = self.row[column]
        if not isinstance(value, list):
            raise self._wrong(column, "a list of texts")
        texts = [_as_text(item) for item in cast("list[object]", value)]
        choices = tuple(text.strip() for text in texts if text and text.strip())
        if len(choices) != len(texts) or not 2 <= len(choices) <= len(LETTERS):
            raise DataError(
                f"{self.where}: column {column!r}: expected 2 to {len(LETTERS)} texts, none empty, found {len(texts)}"
            )
        return choices

    def _chosen(self, answer: str | None, choices: tuple[str, ...]) -> str | None:
        """The text of the choice that the answer, its letter or its index names."""
        by_index = self._by_index(choices)
        if answer is None:
            return by_index
        chosen = answer if answer in choices else self._named(answer, choices)
        if by_index not in (None, chosen):
            raise DataError(f"{self.where}: answer {answer[:80]!r} is not the choice that answer_index names")
        return chosen

    def _named(self, answer: str, choices: tuple[str, ...]) -> str:
        """The choice that an answer is but for its case or spacing, or else the one with that letter."""
        index = Offered.of(choices).index(answer)
        letter = answer.strip("(). ").upper()
        if index is None and len(letter) == 1 and letter in LETTERS[: len(choices)]:
            index = LETTERS.index(letter)
        if index is None:
            raise self._no_choice(answer, choices)
        return choices[index]

    def _by_index(self, choices: tuple[str, ...]) -> str | None:
        column = self._column("answer_index")
        index = self.row.get(column)
        if index is None:
            return None
        if not isinstance(index, int) or isinstance(index, bool):
            raise self._wrong(column, "a whole number")
        if not 0 <= index < len(choices):
            raise DataError(f"{self.where}: column {column!r}: expected 0 to {len(choices) - 1}, found {index}")
        return choices[index]

    def _turns(self, field: str) -> _Asked:
        """The last user turn of a conversation, the assistant's after it, and what was said before."""
        column = self._column(field)
        value: object = self.row[column]
        turns = [self._turn(item, column) for item in cast("list[object]", value)] if isinstance(value, list) else []
        if not turns:
            raise self._wrong(column, "a list of messages")
        reply = turns.pop()[1] if turns[-1][0] == "assistant" else None
        said = [(role, content.strip()) for role, content in turns if content.strip() and role != "system"]
        while said and said[-1][0] != "user":
            said.pop()
        if not said and field != "completion":
            raise DataError(f"{self.where}: column {column!r}: expected a message of the user, found none")
        question = said.pop()[1] if said else ""
        before = "\n".join(f"{role.capitalize()}: {content}" for role, content in said)
        return _Asked(question, reply, before or None)

    def _turn(self, item: object, column: str) -> tuple[str, str]:
        if isinstance(item, dict):
            message = cast("dict[str, object]", item)
            role, content = message.get("role"), message.get("content")
            if isinstance(role, str) and isinstance(content, str):
                return role, content
        raise DataError(f"{self.where}: column {column!r}: expected messages with a role and a text content")


def solution(text: str | None) -> Solution:
    r"""The answer and the rationale that a worked solution holds.

    >>> solution("48 / 2 = 24.\nThe answer is 24.")
    ('24', '48 / 2 = 24.')
    """
    said = (text or "").strip()
    found = conclusions.find(said)
    if found and found[-1].body:
        answer = found[-1].body[: conclusions.sentence_end(found[-1].body)].strip(' .*$`"')
        return answer or None, said[: found[-1].start].strip() or None
    if len(said) <= _SHORT_ANSWER and "\n" not in said:
        return said or None, None
    return None, said


def _as_text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or abs(value) == float("inf"):
        return None
    return str(int(value)) if value == int(value) else repr(value)
