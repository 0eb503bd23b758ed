"""What of the table is asked for: filters, order and page, read from an address and told in SQL."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from urllib.parse import urlencode

from elad.outcomes import Decision, RevisionOutcome
from elad.web.sources import HELDOUT, POOL

PAGE_ROWS = 50
MOST_SEARCHED = 200
_MOST_PAGES = 10**9

STATES = ("open", "drafted", "scored", "picked", "revised")
"""How far a question has come; a held-out one that was answered is `drafted`."""
ORDERS: Mapping[str, str] = {"score": "-rank", "data": "part"}
"""By the highest score, or as in the data; what SQL puts before the place in the data."""
REVIEWS = ("none", Decision.ACCEPT, Decision.REJECT, Decision.EDIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which questions, in which order; every field is one of few words but `find`, which is looked for as it is."""

    part: str = POOL
    state: str = ""
    outcome: str = ""
    review: str = ""
    find: str = ""
    order: str = "score"
    page: int = 1

    @classmethod
    def of(cls, given: Mapping[str, str]) -> "Wanted":
        """What an address asks for; words that are not known ask for nothing."""
        page = given.get("page", "1")
        return cls(
            part=_one_of(given.get("part"), (POOL, HELDOUT), POOL),
            state=_one_of(given.get("state"), STATES, ""),
            outcome=_one_of(given.get("outcome"), tuple(RevisionOutcome), ""),
            review=_one_of(given.get("review"), REVIEWS, ""),
            find=given.get("find", "").strip()[:MOST_SEARCHED],
            order=_one_of(given.get("order"), tuple(ORDERS), "score"),
            page=min(max(1, int(page)), _MOST_PAGES) if page.isascii() and page.isdigit() and len(page) < 12 else 1,
        )

    def address(self, page: int | None = None) -> str:
        """The query of an address that asks for this, with its question mark, on another page where one is given."""
        fields = asdict(replace(self, page=self.page if page is None else page))
        usual = asdict(Wanted())
        query = urlencode({name: value for name, value in fields.items() if value != usual[name]})
        return f"?{query}" if query else ""

    def where(self) -> tuple[str, list[object]]:
        """The condition in SQL, with what its question marks stand for."""
        parts, values = ["part = ?"], list[object]([self.part])
        if self.state:
            parts, values = [*parts, "level = ?"], [*values, STATES.index(self.state)]
        if self.outcome:
            parts, values = [*parts, "outcome = ?"], [*values, self.outcome]
        if self.review == "none":
            parts = [*parts, "level = ? AND review IS NULL"]
            values = [*values, STATES.index("revised")]
        elif self.review:
            parts, values = [*parts, "review = ?"], [*values, self.review]
        if self.find:
            parts = [*parts, "(instr(lower(question), lower(?)) OR instr(lower(id), lower(?)))"]
            values = [*values, self.find, self.find]
        return " AND ".join(parts), values


def _one_of(word: str | None, known: tuple[str, ...], usual: str) -> str:
    return word if word is not None and word in known else usual
