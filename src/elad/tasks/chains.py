"""What a student wrote, as a record: cut where it concludes, split into steps, its answer read.

A chain ends with its first conclusion: that is what a student is taken to answer. What it says after
that is kept beside the chain, and no part of it.
"""

from collections.abc import Callable, Sequence

from elad import steps
from elad.protocols import Parsed, Task
from elad.records import Chain, Problem, Sampling, Step
from elad.steps import is_conclusion
from elad.tasks.conclusions import MOST_BODY, sentence_end


def make_chain(  # noqa: PLR0913
    text: str,
    problem: Problem,
    task: Task,
    *,
    finished: bool,
    sampling: Sampling,
    seed: int,
    tokens: int,
    most_steps: int,
) -> Chain:
    """The chain that a text begins with, `tail` what follows it; a surplus of steps is merged."""
    own, parsed = concluded(text, problem, task, finished=finished)
    return Chain(
        problem_id=problem.id,
        text=own,
        tail=text[len(own) :],
        steps=steps.split(own, most=most_steps),
        answer=parsed.answer,
        outcome=parsed.outcome,
        sampling=sampling,
        seed=seed,
        tokens=tokens,
    )


def concluded(text: str, problem: Problem, task: Task, *, finished: bool) -> tuple[str, Parsed]:
    """A student's text up to its first conclusion, that included, and what it concludes.

    A step concludes when it begins as conclusions do (`is_conclusion`) and names an answer that can
    be read. Conclusions right after it that say the same, or that correct it within the sentence,
    belong to it. A text without such a step is left whole, and answers with the last answer that it names.
    """
    pieces = steps.split(text, most=max(1, len(text)))

    def answer(first: int, count: int) -> str | None:
        """What the pieces from `first` on conclude, up to a `count` of pieces."""
        end = pieces[count - 1].end
        return task.parse(text[pieces[first].start : end], problem, finished=finished or end < len(text)).answer

    def agree(one: str | None, other: str | None) -> bool:
        return task.same(one, other, problem)

    begun = (place for place, piece in enumerate(pieces) if is_conclusion(piece.text))
    count = next((end for place in begun if (end := _through(pieces, place, answer, agree))), len(pieces))
    if count < len(pieces):
        text, finished = text[: pieces[count].start], True
    return text, task.parse(text, problem, finished=finished)


def body(chain: Chain) -> int:
    """How many steps come before the conclusion of a chain; all of them where it does not conclude."""
    concluding = [is_conclusion(step.text) for step in chain.steps]
    place = max((i for i, one in enumerate(concluding) if one), default=len(concluding))
    if chain.answer is None and place + 1 < len(concluding):
        return len(concluding)  # begun as a conclusion, without an answer, and not where the chain ends
    while place and concluding[place - 1]:
        place -= 1
    return place


def _through(
    pieces: Sequence[Step],
    place: int,
    answer: Callable[[int, int], str | None],
    agree: Callable[[str | None, str | None], bool],
) -> int:
    """How many pieces there are up to the end of the conclusion that begins at `place`; 0 where it names no answer.

    An answer of several sentences goes on over several pieces of its line.
    """
    ends = range(place + 1, _line_end(pieces, place, answer) + 1)
    named = [(said, count) for count in ends if (said := answer(place, count)) is not None]
    if not named:
        return 0
    said = named[-1][0]
    count = next(count for other, count in named if other == said or agree(other, said))
    while count < len(pieces) and is_conclusion(pieces[count].text):
        before = pieces[count - 1].text
        same_sentence = sentence_end(before) == len(before)
        if not same_sentence and not agree(answer(count, count + 1), said):
            break
        count += 1
    return count


def _line_end(pieces: Sequence[Step], place: int, answer: Callable[[int, int], str | None]) -> int:
    """How many pieces there are up to the end of the line, the bound of an answer or the next one named."""
    count = place + 1
    while (
        count < len(pieces)
        and "\n" not in pieces[count - 1].text[len(pieces[count - 1].text.rstrip()) :]
        and pieces[count].start - pieces[place].start < MOST_BODY
        and not is_conclusion(pieces[count].text)
        and answer(count, count + 1) is None
    ):
        count += 1
    return count
