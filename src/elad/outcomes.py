"""What became of things, and what a request asks: enums, never None, a bool or a default answer."""

from enum import StrEnum


class ParseOutcome(StrEnum):
    """What became of reading an answer out of a text."""

    PARSED = "parsed"
    NO_CONCLUSION = "no conclusion"
    AMBIGUOUS = "ambiguous"
    TRUNCATED = "truncated"
    REFUSED = "refused"
    TOO_LONG = "too long"
    """Nothing was written: the question does not fit the student's context beside a draft."""


class ReplyOutcome(StrEnum):
    """What became of one request to a teacher."""

    OK = "ok"
    EMPTY = "empty"
    TRUNCATED = "truncated"
    REFUSED = "refused"
    FAILED = "failed"
    """The endpoint answered with an error, or not at all, after all retries."""
    BUDGET = "budget"
    """Never sent: the budget would not bear its worst case."""
    LOST = "lost"
    """Sent, and nobody knows whether it was answered and billed."""
    REJECTED = "rejected"
    """The endpoint turned this one request down, unbilled, and would again: too long for it, not allowed."""
    UNSENT = "unsent"
    """Put off by a busy or an absent endpoint until the user stopped the run; not billed."""


class Purpose(StrEnum):
    """What a request asks of a teacher; a teacher says which purposes it serves."""

    SOLVE = "solve"
    """Write a full step-by-step solution, unseen by the student's chain."""
    ANSWER = "answer"
    """Give the answer alone."""
    JUDGE = "judge"
    """Given the whole chain: JSON {"first_error": int | null, "corrected_step": str, "reason": str}."""
    COMPARE = "compare"
    """As JUDGE, with the teacher's own earlier solution in the prompt."""
    JUDGE_STEP = "judge step"
    """Given accepted steps and one more: JSON {"correct": bool, "corrected_step": str, "reason": str}."""
    CONTINUE = "continue"
    """Given accepted steps: write the rest, ending with the conclusion."""
    ROLLOUT = "rollout"
    """CONTINUE by a teacher that does not work from the gold answer, so that where it gets to says something
    about the steps. A need and an offer, never the purpose of a request."""
    REPAIR = "repair"
    """Given accepted steps and the wrong next step: write that step corrected."""


class RevisionOutcome(StrEnum):
    """What became of one revision; `trainable` says which outcomes may be trained on."""

    ACCEPTED = "accepted"
    """The teacher found no wrong step: the student's steps are kept as they are, its conclusion in the task's form."""
    REPAIRED = "repaired"
    REWRITTEN = "rewritten"
    """A fresh explanation, which does not go by the student's chain; trained on."""
    KNOWN = "known"
    """The student knows it already: there is nothing to be learnt from it."""
    EDITED = "edited"
    """A reviewer's own chain in the place of the teacher's; trained on. No reviser gives it."""
    UNREADABLE = "unreadable"
    """The reply could not be read, also after one repair turn."""
    BAD_INDEX = "bad index"
    COPIED = "copied"
    """The repaired step equals the wrong one."""
    WRONG_END = "wrong end"
    """The repaired chain ends elsewhere than the gold answer, or does not conclude."""
    UNSURE = "unsure"
    """The teacher's own answers disagree, or it never reaches the target; so with the student, where it is its own."""
    TURNS = "out of turns"
    FAILED = "failed"
    """A request failed; the reply's outcome says how."""
    BUDGET = "budget"

    @property
    def trainable(self) -> bool:
        """Whether a revision with this outcome may be trained on."""
        return self in (self.ACCEPTED, self.REPAIRED, self.REWRITTEN, self.EDITED)


class Verdict(StrEnum):
    """What the teacher said of one step."""

    RIGHT = "right"
    WRONG = "wrong"
    UNJUDGED = "unjudged"


class Decision(StrEnum):
    """What a reviewer made of a revision."""

    ACCEPT = "accept"
    """As the teacher left it."""
    REJECT = "reject"
    """Not to be learnt from."""
    EDIT = "edit"
    """Learnt from as the reviewer has written it."""
    UNDO = "undo"
    """The last decision that stood is taken back."""
