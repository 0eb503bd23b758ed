"""Examples of what was bought, chosen by rule and not by hand."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from elad.ledger.events import MAIN
from elad.ledger.people import Review
from elad.outcomes import Decision, RevisionOutcome, Verdict
from elad.records import Candidate, Problem, Revision
from elad.report.page.document import Example, Heading, Part, Passage, Prose, Section, Step
from elad.report.page.wording import NONE, brief, cut, money, number, tokens
from elad.report.parts.material import Bought, Material
from elad.steps import split

EACH = 3
"""Examples of a rule."""
_TEXT_CHARS = 3000
_STEP_CHARS = 1000
_MOST_STEPS = 24
_MOST_CHOICES = 26

UNSURE = "Largest uncertainty"
REPAIRED = "Repaired"
REJECTED = "Rejected"
RULES = {
    UNSURE: "the highest scores of all that was bought",
    REPAIRED: "the highest scores of what was repaired and is not shown above; without scores, the first picks",
    REJECTED: "of each outcome that is never trained on, the commonest first, the earliest pick",
}
_VERDICTS = {Verdict.RIGHT: "✓ right", Verdict.WRONG: "✗ wrong", Verdict.UNJUDGED: "not judged"}


def examples(material: Material) -> list[dict[str, Any]]:
    """What each rule shows of the main arm, with texts that are cut where they are long."""
    bought = [one for one in material.of(MAIN) if one.draft is not None]
    chosen: list[tuple[str, Bought]] = []
    for rule, pick in _CHOICES.items():
        shown = {one.pick_key for _, one in chosen}
        chosen += [(rule, one) for one in pick([one for one in bought if one.pick_key not in shown])]
    return [
        {"rule": rule, **_told(one, candidate, material.revision(one), material.reviews.get(one.revision_key or ""))}
        for rule, one in chosen
        if (candidate := material.candidate(one)) is not None
    ]


def _by_score(bought: Iterable[Bought]) -> list[Bought]:
    return sorted(bought, key=lambda one: (-(one.score or 0.0), one.round, one.rank))[:EACH]


def _rejected(bought: Sequence[Bought]) -> list[Bought]:
    failed = [one for one in bought if one.outcome and not RevisionOutcome(one.outcome).trainable]
    common = [outcome for outcome, _ in Counter(one.outcome for one in failed).most_common(EACH)]
    return [next(one for one in failed if one.outcome == outcome) for outcome in common]


_CHOICES: dict[str, Callable[[Sequence[Bought]], list[Bought]]] = {
    UNSURE: lambda bought: _by_score(one for one in bought if one.score is not None),
    REPAIRED: lambda bought: _by_score(one for one in bought if one.outcome == RevisionOutcome.REPAIRED),
    REJECTED: _rejected,
}


def _told(one: Bought, candidate: Candidate, revision: Revision | None, review: Review | None) -> dict[str, Any]:
    return {
        "problem_id": cut(one.problem_id, _STEP_CHARS),
        "round": one.round,
        "by": one.by,
        "score": one.score,
        "outcome": one.outcome,
        "question": asked(candidate.problem),
        "gold": _text(candidate.problem.answer),
        "answer": _text(candidate.chain.answer),
        "steps": _steps(candidate, revision),
        "more_steps": max(0, len(candidate.chain.steps) - _MOST_STEPS),
        "first_error": one.first_error,
        "reason": _text(revision.reason) if revision else None,
        "edit": _text(revision.edit) if revision else None,
        "after": _text(revision.after) if revision else None,
        "answer_after": _text(revision.answer) if revision else None,
        "review": review and {"decision": review.decision.value, "after": _text(review.after)},
        "charge": dict(one.charge),
    }


def asked(problem: Problem) -> str:
    """What is asked, with its context and options."""
    choices = [
        f"({chr(ord('A') + place)}) {choice}" for place, choice in enumerate((problem.choices or ())[:_MOST_CHOICES])
    ]
    return cut("\n".join(part for part in (problem.context, problem.question, *choices) if part), _TEXT_CHARS)


def _text(text: str | None) -> str | None:
    return None if text is None else cut(text, _TEXT_CHARS)


def _steps(candidate: Candidate, revision: Revision | None) -> list[dict[str, Any]]:
    """The student's steps with what was measured and judged; the reviser may have cut its conclusion otherwise."""
    scores, chain = candidate.scores, candidate.chain
    verdicts: Sequence[Verdict] = revision.verdicts if revision else ()
    changed = revision is not None and revision.before != chain.text
    steps = split(revision.before, most=max(1, len(verdicts))) if revision and changed else chain.steps
    return [
        {
            "text": cut(step.text.strip(), _STEP_CHARS),
            "score": scores.steps[place] if scores and place < len(scores.steps) else None,
            "parts": {name: values[place] for name, values in scores.parts.items()}
            if scores and all(place < len(values) for values in scores.parts.values())
            else {},
            "verdict": verdicts[place] if place < len(verdicts) else Verdict.UNJUDGED,
        }
        for place, step in enumerate(steps[:_MOST_STEPS])
    ]


def section(told: dict[str, Any]) -> Section:
    """The examples, rule by rule."""
    found = told["examples"]
    parts: list[Part] = []
    for rule, words in RULES.items():
        shown = [one for one in found if one["rule"] == rule]
        parts.append(Heading(text=rule))
        parts.append(Prose(text=f"Rule: {words}; at most {EACH}." + ("" if shown else " There is none.")))
        parts += [_example(one, told) for one in shown]
    return Section(name="examples", title="Examples, chosen by rule", parts=parts)


def _example(one: dict[str, Any], told: dict[str, Any]) -> Example:
    return Example(
        title=f"{brief(one['problem_id'])}, round {one['round']}: {one['outcome'] or 'not finished'}",
        facts=list(_facts(one, told["status"]["spent"]["currency"])),
        passages=[Passage(label="Question", text=one["question"])],
        steps=[
            Step(
                text=step["text"],
                uncertainty=step["score"],
                told=_uncertainty(step),
                verdict=_VERDICTS[step["verdict"]],
            )
            for step in one["steps"]
        ],
        after=list(_after(one)),
    )


def _facts(one: dict[str, Any], currency: str | None) -> Iterator[tuple[str, str]]:
    yield "score", number(one["score"])
    if one["by"]:
        yield "picked by", one["by"]
    yield "gold answer", brief(one["gold"]) if one["gold"] is not None else "none"
    yield "student's answer", brief(one["answer"]) if one["answer"] is not None else "cannot be read"
    if one["answer_after"] is not None:
        yield "after revision", brief(one["answer_after"])
    if one["review"]:
        yield "review", f"{one['review']['decision']}, by a person"
    if one["charge"]:
        cost = f", {money(one['charge']['money'], currency)}" if currency else ""
        yield "charge", f"{one['charge']['calls']} calls, {tokens(one['charge'])} tokens{cost}"


def _uncertainty(step: dict[str, Any]) -> str:
    if step["score"] is None:
        return NONE
    parts = ", ".join(f"{name} {value:.2f}" for name, value in step["parts"].items())
    return f"{step['score']:.2f}" + (f" ({parts})" if parts else "")


def _after(one: dict[str, Any]) -> Iterator[Passage]:
    """What the teacher made of it: the edit as a difference, its reason, and the chain that is trained on.

    Where a person has rejected or edited that, the teacher's chain is called no more than that.
    """
    if one["more_steps"]:
        yield Passage(label="Left out", text=f"{one['more_steps']} more steps")
    wrong = one["first_error"]
    if one["edit"]:
        if wrong is not None and wrong < len(one["steps"]):
            yield Passage(label=f"Taken out, step {wrong + 1}", text=one["steps"][wrong]["text"], mark="-")
        yield Passage(label="Put in", text=one["edit"].strip(), mark="+")
    if one["reason"]:
        yield Passage(label="Reason", text=one["reason"])
    if one["after"] is not None:
        changed = one["review"] and one["review"]["decision"] != Decision.ACCEPT
        yield Passage(label="The teacher's chain" if changed else "Trained on", text=one["after"])
    if one["review"] and one["review"]["after"] is not None:
        yield Passage(label="As a person has edited it", text=one["review"]["after"])
