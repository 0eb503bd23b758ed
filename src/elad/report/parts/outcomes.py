"""How drafts, replies and revisions ended, and what each outcome means."""

from collections import Counter
from typing import Any

from elad.ledger.events import Kind, Ledger
from elad.outcomes import ParseOutcome, ReplyOutcome, RevisionOutcome
from elad.report.page.document import Part, Prose, Section, Table
from elad.report.page.wording import count, share

DRAFTS = {
    ParseOutcome.PARSED: "has an answer that was read",
    ParseOutcome.NO_CONCLUSION: "comes to no conclusion",
    ParseOutcome.AMBIGUOUS: "concludes, and the answer can be read in several ways",
    ParseOutcome.TRUNCATED: "was cut off at drafting.max_tokens",
    ParseOutcome.REFUSED: "declines to answer",
    ParseOutcome.TOO_LONG: "was not written: the question does not fit the student's context",
}
REPLIES = {
    ReplyOutcome.OK: "was answered in full",
    ReplyOutcome.EMPTY: "is empty",
    ReplyOutcome.TRUNCATED: "was cut off",
    ReplyOutcome.REFUSED: "declines",
    ReplyOutcome.FAILED: "an error, or nothing, after all retries",
    ReplyOutcome.BUDGET: "was not sent: the budget would not bear it",
    ReplyOutcome.LOST: "was sent, and nobody knows whether it was answered and billed",
    ReplyOutcome.REJECTED: "was turned down, unbilled",
    ReplyOutcome.UNSENT: "was put off until the run was stopped, unbilled",
}
REVISIONS = {
    RevisionOutcome.ACCEPTED: "no wrong step was found: kept as it was, and trained on",
    RevisionOutcome.REPAIRED: "the first wrong step was repaired, and the chain is trained on",
    RevisionOutcome.REWRITTEN: "a fresh explanation, trained on",
    RevisionOutcome.KNOWN: "the student knows it already: nothing to be learnt from it",
    RevisionOutcome.EDITED: "a reviewer's own chain in the place of the teacher's, trained on",
    RevisionOutcome.UNREADABLE: "the reply could not be read, also after one more try",
    RevisionOutcome.BAD_INDEX: "the reply names a step that there is not",
    RevisionOutcome.COPIED: "the repaired step is the wrong one over again",
    RevisionOutcome.WRONG_END: "the repaired chain ends elsewhere than the gold answer, or nowhere",
    RevisionOutcome.UNSURE: "the teacher's own answers disagree, or never reach the target",
    RevisionOutcome.TURNS: "was not right after the last turn that it was allowed",
    RevisionOutcome.FAILED: "a request failed",
    RevisionOutcome.BUDGET: "the budget ended it",
}
GUIDED = {
    "right": "a guide's explanation that ends right: learnt from once",
    "wrong": "a guide's explanation that ends wrong, or nowhere",
}
_NAMES = {
    "draft": "draft",
    "reply": "reply",
    "lost": "lost try",
    "revision": "revision",
    "guided": "guide's explanation",
}
_MEANING: dict[str, dict[str, str]] = {
    "draft": {outcome.value: words for outcome, words in DRAFTS.items()},
    "reply": {outcome.value: words for outcome, words in REPLIES.items()},
    "lost": {outcome.value: words for outcome, words in REPLIES.items()},
    "revision": {outcome.value: words for outcome, words in REVISIONS.items()},
    "guided": GUIDED,
}
_KEPT = frozenset(
    {ParseOutcome.PARSED.value, ReplyOutcome.OK.value, "right"}
    | {outcome.value for outcome in RevisionOutcome if outcome.trainable}
)


def lost_tries(ledger: Ledger) -> dict[str, int]:
    """How the tries ended that left no reply to keep."""
    return dict(Counter(event.payload["outcome"] for event in ledger.events(Kind.LOST)))


def section(told: dict[str, Any]) -> Section:
    """All outcomes with their counts, the failures among them marked, and in words."""
    groups = told["status"]["outcomes"] | ({"lost": told["lost"]} if told["lost"] else {})
    rows = [
        (
            _NAMES[kind],
            outcome,
            "yes" if outcome in _KEPT else "no: failure",
            f"{number:,}",
            share(number / sum(counts.values())),
            _MEANING[kind].get(outcome, ""),
        )
        for kind, counts in groups.items()
        for outcome, number in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
    if not rows:
        return Section(name="outcomes", title="Failures by outcome", parts=[Prose(text="Nothing was drafted yet.")])
    revised = told["status"]["outcomes"].get("revision", {})
    failed = sum(number for outcome, number in revised.items() if outcome not in _KEPT)
    parts: list[Part] = [
        Prose(
            text=f"{failed:,} of {count(sum(revised.values()), 'revision')} failed. Failures are paid for, written "
            "down, and never trained on."
        ),
        Table(
            title="Outcomes of drafts, replies and revisions, all arms",
            head=("of", "outcome", "kept", "count", "share", "what it means"),
            rows=rows,
            words=frozenset({0, 1, 2, 5}),
        ),
    ]
    return Section(name="outcomes", title="Failures by outcome", parts=parts)
