"""How far reviewers agree with the teacher, and with one another."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from elad.evaluation.intervals import wilson
from elad.ledger.people import Review, last_standing
from elad.outcomes import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many of how many, with Wilson's interval at 95 %."""

    count: int
    of: int

    @property
    def interval(self) -> tuple[float, float]:
        """Within 0..1."""
        return wilson(self.count, self.of)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What the reviews of a run say together."""

    decisions: Mapping[Decision, int]
    """Of the reviews that stand."""
    teacher: Share
    """Revisions that stand as the teacher left them, of those that were reviewed."""
    by_outcome: Mapping[str, Share]
    """The same by what the teacher had made of the question."""
    reviewers: Mapping[tuple[str, str], Share]
    """Of the revisions that both of two people have decided on, those on which they decided alike."""


def agreement(reviews: Iterable[Review], outcomes: Mapping[str, str]) -> Agreement:
    """Of all reviews of a run, in their order; `outcomes` are those of the revisions, by key.

    A person's own last decision counts for them, also where another's came after it; one that was taken back does not.
    """
    said: dict[str, list[Review]] = {}
    for review in reviews:
        said.setdefault(review.revision, []).append(review)
    stand = {key: review for key, all_ in said.items() if (review := last_standing(all_))}
    decisions = Counter(review.decision for review in stand.values())
    of = Counter(outcomes.get(key, "") for key in stand)
    kept = Counter(outcomes.get(key, "") for key, review in stand.items() if review.decision is Decision.ACCEPT)
    pairs: Counter[tuple[str, str]] = Counter()
    alike: Counter[tuple[str, str]] = Counter()
    for all_ in said.values():
        for (one, first), (other, second) in combinations(sorted(_own(all_).items()), 2):
            pairs[one, other] += 1
            alike[one, other] += first is second
    return Agreement(
        decisions=decisions,
        teacher=Share(count=decisions[Decision.ACCEPT], of=len(stand)),
        by_outcome={name: Share(count=kept[name], of=count) for name, count in sorted(of.items())},
        reviewers={pair: Share(count=alike[pair], of=count) for pair, count in sorted(pairs.items())},
    )


def _own(reviews: list[Review]) -> dict[str, Decision]:
    """The last decision of each person that nobody took back."""
    stood: list[Review] = []
    for review in reviews:
        if review.decision is not Decision.UNDO:
            stood.append(review)
        elif stood:
            stood.pop()
    return {review.reviewer: review.decision for review in stood}
