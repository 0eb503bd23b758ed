"""One row of data into a problem, whatever its shape.

Row shapes, told by their columns: `question` with `choices`, `answer`, `rationale`, `context`, `id`;
`prompt` and `completion`; `messages`. Of a completion or a last assistant turn, what follows the last
conclusion ("The answer is", "####", ...) is the answer and the rest is the rationale; a text that
does not conclude is an answer when it is one short line, else a rationale without an answer.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias, cast

from elad.errors import DataError, nearest
from elad.records import Problem, digest
from elad.tasks import conclusions
from elad.tasks.offered import LETTERS, Offered
from elad.tasks.sources import Row

FIELDS = "id question context choices answer answer_index rationale prompt completion messages".split()
_SHORT_ANSWER = 80
"""A completion that does not conclude is an answer when it is one line of at most so many characters."""

Solution: TypeAlias = tuple[str | None, str | None]
"""Answer and rationale."""


class Shaped:
    """One row on its way to a problem; `where` opens every complaint."""

    def __init__(self, row: Row, columns: Mapping[str, str], where: str) -> None:
        self.row = row
        self.columns = columns
        self.where = where

    def problem(self) -> tuple[Problem, bool]:
        """The problem, and whether the row names it."""
        question, answer, rationale, used = self._shape()
        choices = self._choices()
        answer = self._chosen(answer, choices) if choices else answer
        context = self._text("context")
        rationale = self._text("rationale") or rationale
        id_ = self._text("id")
        taken = {self._column(field) for field in used}
        return Problem(
            id=id_ or digest([question, choices, context, answer, rationale]),
            question=question,
            choices=choices,
            answer=answer,
            rationale=rationale,
            context=context,
            metadata={key: value for key, value in self.row.items() if key not in taken},
        ), id_ is not None

    def _shape(self) -> tuple[str, str | None, str | None, list[str]]:
        """Question, answer, rationale, and the fields that are used up by the problem."""
        plain = ["id", "context", "choices", "answer_index", "rationale"]
        if "question" in self.columns or self._has("question"):
            answer, rationale = self._text("answer"), None
            if answer is not None and "####" in answer:
                answer, rationale = solution(answer)
            return self._required("question"), answer, rationale, [*plain, "question", "answer"]
        if self._has("messages"):
            question, reply = self._turns("messages")
            return question, *solution(reply), plain
        if self._has("prompt"):
            prompt = self.row[self._column("prompt")]
            question = self._required("prompt") if isinstance(prompt, str) else self._turns("prompt")[0]
            reply = self.row.get(self._column("completion"))
            text = (
                self._text("completion") if isinstance(reply, str) else self._turns("completion")[1] if reply else None
            )
            used = [name for name, value in (("prompt", prompt), ("completion", reply)) if isinstance(value, str)]
            return question, *solution(text), [*plain, *used]
        raise DataError(f"{self.where}: no column 'question'; {nearest('question', self.row)}")

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
        offered = Offered.of(choices)
        if answer in choices:
            index: int | None = choices.index(answer)
        else:
            letter = answer.strip("(). ").upper()
            by_letter = LETTERS.index(letter) if len(letter) == 1 and letter in LETTERS[: len(choices)] else None
            index = offered.index(answer)
            index = by_letter if index is None else index
        if index is None:
            raise DataError(
                f"{self.where}: answer {answer[:80]!r} is not among the choices; {nearest(answer, choices)}"
            )
        if by_index is not None and offered.index(by_index) != offered.index(choices[index]):
            raise DataError(f"{self.where}: answer {answer[:80]!r} is not the choice that answer_index names")
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

    def _turns(self, field: str) -> tuple[str, str | None]:
        """The last user turn of a conversation, and the assistant's after it."""
        column = self._column(field)
        value: object = self.row[column]
        turns = [self._turn(item, column) for item in cast("list[object]", value)] if isinstance(value, list) else []
        if not turns:
            raise self._wrong(column, "a list of messages")
        reply = turns.pop()[1] if turns[-1][0] == "assistant" else None
        asked = [content for role, content in turns if role == "user" and content.strip()]
        if not asked and field != "completion":
            raise DataError(f"{self.where}: column {column!r}: expected a message of the user, found none")
        return (asked[-1].strip() if asked else ""), reply

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
