"""Everything about one question, put together from the ledger for its page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from elad.ledger.events import Event, Kind, Ledger
from elad.ledger.people import Review, last_standing, review_of
from elad.outcomes import Verdict
from elad.protocols import Task
from elad.records import Chain, Grade, Problem, Revision, StepScores, from_json
from elad.steps import split
from elad.web.index import Index, Row
from elad.web.shown import MOST_CHARACTERS, Piece, difference, shade
from elad.web.sources import Sources

MOST_STEPS = 200
"""Of one chain, so many are shown; what is left is told in the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One step of a chain and what is known of it."""

    text: str
    parts: Mapping[str, float]
    score: float | None
    shade: str
    concluded: str | None
    """What the student concludes when it is stopped after this step."""
    known: bool
    """Whether it was asked to conclude there."""
    sampled: Sequence[str | None]
    """What other continuations from before this step came to."""
    verdict: Verdict | None
    new: bool = False
    """Of a repaired chain, whether the student had not written it so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a student wrote in a round."""

    round: int
    arm: str
    chain: Chain
    scores: StepScores | None
    steps: Sequence[Told]
    first: str | None
    """What it concludes before any step; None too where nobody asked."""
    grade: Grade | None
    """None without a gold answer, and of a chain that is longer than a page shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """What the teacher made of a draft, and reviewers of that."""

    key: str
    round: int
    arm: str
    revision: Revision
    pieces: Sequence[Piece]
    """The first wrong step against its repair; empty where there is none."""
    steps: Sequence[Told]
    """Of the chain that is learnt from; empty where there is none."""
    right: bool | None
    """Whether it ends in the gold answer; None where that cannot be said."""
    reviews: Sequence[tuple[float, Review]]
    """All that was said of it, with the time."""
    stands: Review | None

    @property
    def learnt(self) -> str | None:
        """The chain that is learnt from by the next round; None where none is."""
        if self.stands and self.stands.decision == "reject":
            return None
        return self.stands.after if self.stands and self.stands.after else self.revision.after


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A question and its story, oldest first."""

    row: Row
    problem: Problem | None
    """None where neither the data nor a purchase tells it."""
    drafts: Sequence[Draft]
    repairs: Sequence[Repair]


def sheet(key: str, index: Index, ledger: Ledger, sources: Sources, task: Task) -> Sheet | None:
    """The sheet of a question; None where there is no such question."""
    found = index.row(key)
    if found is None:
        return None
    row, place = found
    events = [ledger.event(seq) for seq, _, _ in index.traces(key)]
    problem = _problem(row, place, events, sources)
    revised = [event for event in events if event.kind is Kind.REVISION]
    verdicts = {(event.round, event.arm): from_json(Revision, event.payload) for event in revised}
    return Sheet(
        row=row,
        problem=problem,
        drafts=[*_drafts(events, verdicts, problem, task)],
        repairs=[_repair(event, index, ledger, problem, task) for event in revised],
    )


def _problem(row: Row, place: int, events: Sequence[Event], sources: Sources) -> Problem | None:
    told = next((event.payload["problem"] for event in events if event.kind is Kind.PICK), None)
    if told:
        return from_json(Problem, told)
    questions = sources.of(row.part)
    return questions[place] if place < len(questions) else None


def _drafts(
    events: Sequence[Event],
    revised: Mapping[tuple[int, str], Revision],
    problem: Problem | None,
    task: Task,
) -> list[Draft]:
    """Each draft with the scores that came after it and the verdicts of its round."""
    made: list[Draft] = []
    for place, event in enumerate(events):
        if event.kind not in (Kind.DRAFT, Kind.GRADE):
            continue
        later = takewhile(lambda one: one.kind not in (Kind.DRAFT, Kind.GRADE), events[place + 1 :])
        scored = [one for one in later if one.kind is Kind.SCORE]
        scores = from_json(StepScores, scored[-1].payload) if scored else None
        graded = event.payload if event.kind is Kind.DRAFT else event.payload["chain"]
        chain = from_json(Chain, graded)
        revision = revised.get((event.round, event.arm))
        verdicts = revision.verdicts if revision and revision.before == chain.text else ()
        gradable = problem is not None and problem.answer is not None and len(chain.text) <= MOST_CHARACTERS
        grade = task.grade(problem, chain) if problem and gradable else None
        made.append(
            Draft(
                round=event.round,
                arm=event.arm,
                chain=chain,
                scores=scores,
                steps=_steps([step.text for step in chain.steps], scores, verdicts),
                first=_detail(scores, "conclusions", 0),
                grade=from_json(Grade, event.payload["grade"]) if event.kind is Kind.GRADE else grade,
            )
        )
    return made


def _steps(texts: Sequence[str], scores: StepScores | None, verdicts: Sequence[Verdict]) -> list[Told]:
    concluded = scores.detail.get("conclusions", ()) if scores else ()
    sampled = scores.detail.get("sampled", ()) if scores else ()
    return [
        Told(
            text=text,
            parts={name: values[i] for name, values in scores.parts.items() if i < len(values)} if scores else {},
            score=(score := scores.steps[i] if scores and i < len(scores.steps) else None),
            shade=shade(score),
            concluded=concluded[i + 1] if i + 1 < len(concluded) else None,
            known=i + 1 < len(concluded),
            sampled=sampled[i] if i < len(sampled) else (),
            verdict=verdicts[i] if i < len(verdicts) else None,
        )
        for i, text in enumerate(texts[:MOST_STEPS])
    ]


def _detail(scores: StepScores | None, name: str, place: int) -> str | None:
    values = scores.detail.get(name, ()) if scores else ()
    return values[place] if place < len(values) else None


def _repair(event: Event, index: Index, ledger: Ledger, problem: Problem | None, task: Task) -> Repair:
    revision = from_json(Revision, event.payload)
    said = [(one.at, review_of(one)) for one in map(ledger.event, index.reviews(event.key))]
    stands = last_standing(review for _, review in said)
    after = stands.after if stands and stands.after else revision.after
    return Repair(
        key=event.key,
        round=event.round,
        arm=event.arm,
        revision=revision,
        pieces=_pieces(revision),
        steps=_repaired(revision.before, after) if after else (),
        right=_right(after, problem, task),
        reviews=said,
        stands=stands,
    )


def _right(after: str | None, problem: Problem | None, task: Task) -> bool | None:
    if after is None or problem is None or problem.answer is None or len(after) > MOST_CHARACTERS:
        return None
    return task.same(task.parse(after, problem).answer, problem.answer, problem)


def _pieces(revision: Revision) -> list[Piece]:
    """The step that the teacher found wrong, and what it put there."""
    if revision.first_error is None or not revision.edit:
        return []
    steps = _split(revision.before, max(1, len(revision.verdicts)))
    wrong = steps[revision.first_error] if revision.first_error < len(steps) else ""
    return difference(wrong.strip(), revision.edit.strip())


def _repaired(before: str, after: str) -> list[Told]:
    """The steps of the chain that is learnt from; those that begin it as the student's own did are not new."""
    own, steps = _split(before, MOST_STEPS), _split(after, MOST_STEPS)
    kept = 0
    while kept < min(len(own), len(steps)) and steps[kept].strip() == own[kept].strip():
        kept += 1
    return [
        Told(
            text=text,
            parts={},
            score=None,
            shade="",
            concluded=None,
            known=False,
            sampled=(),
            verdict=None,
            new=place >= kept,
        )
        for place, text in enumerate(steps)
    ]


def _split(text: str, most: int) -> list[str]:
    """The steps of a text; one that is longer than a page shows is not looked through, and is one step."""
    return [text] if len(text) > MOST_CHARACTERS else [step.text for step in split(text, most=most)]
