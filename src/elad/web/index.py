"""Where everything about a question stands in the ledger: a temporary table that is looked through in SQL.

It is made from the ledger when the page is opened, and brought up to date from what was appended since; nothing is in
it that the ledger and the data do not hold, and it is gone with the process. Questions are known by the hash of
their part and id, which is all of them that an address ever holds.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from elad.ledger.events import Event, Kind, Ledger
from elad.ledger.people import Review, last_standing, review_of
from elad.records import Problem, Request, digest, from_json
from elad.web.sources import HELDOUT, POOL, Sources
from elad.web.tally import Tally
from elad.web.wanted import ORDERS, PAGE_ROWS, STATES, Wanted

_SNIPPET = 240
_LEVEL = {name: level for level, name in enumerate(STATES)}

_SCHEMA = """
CREATE TABLE questions (
    key TEXT PRIMARY KEY, part TEXT NOT NULL, place INTEGER NOT NULL, id TEXT NOT NULL, question TEXT NOT NULL,
    level INTEGER NOT NULL DEFAULT 0, round INTEGER, rank REAL NOT NULL DEFAULT -1, answer TEXT, right INTEGER,
    outcome TEXT, revision TEXT, tokens INTEGER, money REAL, review TEXT, reviewer TEXT
) WITHOUT ROWID;
CREATE INDEX by_score ON questions (part, -rank, place);
CREATE INDEX by_place ON questions (part, place);
CREATE TABLE traces (question TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL, arm TEXT NOT NULL,
    PRIMARY KEY (question, seq)) WITHOUT ROWID;
CREATE TABLE scored (key TEXT PRIMARY KEY, question TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE reviews (revision TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (revision, seq)) WITHOUT ROWID;
CREATE TABLE requests (
    key TEXT PRIMARY KEY, seq INTEGER NOT NULL, question TEXT NOT NULL, asked TEXT NOT NULL
) WITHOUT ROWID;
"""
_ROW = "key, part, id, question, level, round, rank, answer, right, outcome, tokens, money, review, reviewer"


class Row(NamedTuple):
    """A line of the table."""

    key: str
    part: str
    id: str
    question: str
    """Its beginning; empty where it is not known."""
    level: int
    round: int | None
    rank: float
    """Its newest score; -1 where it has none."""
    answer: str | None
    right: int | None
    outcome: str | None
    tokens: int | None
    money: float | None
    review: str | None
    reviewer: str | None

    @property
    def state(self) -> str:
        """How far it has come."""
        return STATES[self.level]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of the table, and of how many rows."""

    rows: Sequence[Row]
    total: int
    pages: int


def key_of(part: str, problem_id: str) -> str:
    """What a question is called in an address."""
    return digest([part, problem_id])


class Index:
    """The table. For one thread."""

    def __init__(self, sources: Sources, settings: Mapping[str, Any]) -> None:
        """`settings` are those of the experiment, as the session tells them."""
        self._db = sqlite3.connect("")  # on disk, in a file without a name
        self._db.executescript(_SCHEMA)
        self._take: dict[Kind, Callable[[Event, Ledger], None]] = {
            Kind.DRAFT: self._draft,
            Kind.SCORE: self._score,
            Kind.PICK: self._pick,
            Kind.REVISION: self._revision,
            Kind.GRADE: self._grade,
            Kind.REVIEW: self._review,
        }
        if settings["teacher"]["kind"] == "human":
            self._take |= {
                Kind.REQUEST: self._request,
                Kind.REPLY: self._ended,
                Kind.LOST: self._ended,
                Kind.ANSWER: self._answered,
            }
        self._measures = _measures(settings)
        self._places = Counter[str]()
        self.seq = 0
        """Of the last event that it knows."""
        self.tally = Tally()
        with self._db:
            for part in (POOL, HELDOUT):
                for problem in sources.of(part):
                    self._known(part, problem.id, problem)

    def close(self) -> None:
        """Lets go of the table."""
        self._db.close()

    def refresh(self, ledger: Ledger) -> None:
        """Takes in what was appended since the last time, all of it or nothing."""
        seq, tally = self.seq, replace(self.tally, counts=Counter(self.tally.counts))
        with self._db:
            for event in ledger.of(None).events(after=seq):
                if take := self._take.get(event.kind):
                    take(event, ledger)
                tally.add(event)
                seq = event.seq
        self.seq, self.tally = seq, tally

    def page(self, wanted: Wanted) -> Page:
        """The rows of a page."""
        where, values = wanted.where()
        (total,) = self._db.execute(f"SELECT count(*) FROM questions WHERE {where}", values).fetchone()
        query = f"SELECT {_ROW} FROM questions WHERE {where} ORDER BY {ORDERS[wanted.order]}, place LIMIT ? OFFSET ?"
        rows = self._db.execute(query, [*values, PAGE_ROWS, (wanted.page - 1) * PAGE_ROWS])
        return Page(rows=[Row(*row) for row in rows], total=total, pages=max(1, -(-total // PAGE_ROWS)))

    def row(self, key: str) -> tuple[Row, int] | None:
        """The row of a question and its place in the data; None where there is no such question."""
        found = self._db.execute(f"SELECT {_ROW}, place FROM questions WHERE key = ?", (key,)).fetchone()
        return (Row(*found[:-1]), found[-1]) if found else None

    def neighbours(self, key: str, wanted: Wanted) -> tuple[str | None, str | None]:
        """The questions before and after one in the order that is wanted, also where it is not among them itself."""
        where, values = wanted.where()
        first = ORDERS[wanted.order]
        at = f"(SELECT {first}, place FROM questions WHERE key = ?)"
        found: list[str | None] = []
        for sign, turn in (("<", "DESC"), (">", "ASC")):
            query = (
                f"SELECT key FROM questions WHERE {where} AND ({first}, place) {sign} {at} "
                f"ORDER BY {first} {turn}, place {turn} LIMIT 1"
            )
            row = self._db.execute(query, [*values, key]).fetchone()
            found.append(row[0] if row else None)
        return found[0], found[1]

    def traces(self, key: str) -> list[tuple[int, str, str]]:
        """The `seq`, kind and arm of each event about a question, in order."""
        query = "SELECT seq, kind, arm FROM traces WHERE question = ? ORDER BY seq"
        return self._db.execute(query, (key,)).fetchall()

    def reviews(self, revision: str) -> list[int]:
        """The `seq` of each review of a revision, in order."""
        query = "SELECT seq FROM reviews WHERE revision = ? ORDER BY seq"
        return [seq for (seq,) in self._db.execute(query, (revision,))]

    def waiting(self) -> list[tuple[str, int, str]]:
        """Key, `seq` and question of each request that waits for a person, the oldest first."""
        return self._db.execute("SELECT asked, seq, question FROM requests ORDER BY seq").fetchall()

    def open_request(self, asked: str) -> int | None:
        """The `seq` of the request of this key, if it waits for a person."""
        row = self._db.execute("SELECT seq FROM requests WHERE asked = ?", (asked,)).fetchone()
        return row[0] if row else None

    def outcomes(self) -> dict[str, str]:
        """What became of each question that was bought, by the key of its revision."""
        return dict(self._db.execute("SELECT revision, outcome FROM questions WHERE revision IS NOT NULL"))

    def levels(self, part: str) -> dict[str, int]:
        """How many questions of a part have come how far."""
        query = "SELECT level, count(*) FROM questions WHERE part = ? GROUP BY level"
        return {STATES[level]: count for level, count in self._db.execute(query, (part,))}

    def _known(self, part: str, problem_id: str, problem: Problem | None = None) -> str:
        """The key of a question, which is in the table from now on; with its text where that is known."""
        key = key_of(part, problem_id)
        text = problem.question[:_SNIPPET] if problem else ""
        row = (key, part, self._places[part], problem_id, text)
        fresh = "INSERT OR IGNORE INTO questions (key, part, place, id, question) VALUES (?, ?, ?, ?, ?)"
        if self._db.execute(fresh, row).rowcount:
            self._places[part] += 1
        return key

    def _trace(self, part: str, problem_id: str, event: Event) -> str:
        key = self._known(part, problem_id)
        self._trace_key(key, event)
        return key

    def _trace_key(self, key: str, event: Event) -> None:
        self._db.execute("INSERT INTO traces VALUES (?, ?, ?, ?)", (key, event.seq, event.kind, event.arm))

    def _set(self, key: str, level: str, **values: object) -> None:
        names = ", ".join(f"{name} = ?" for name in values)
        query = f"UPDATE questions SET level = max(level, ?){', ' * bool(names)}{names} WHERE key = ?"
        self._db.execute(query, (_LEVEL[level], *values.values(), key))

    def _draft(self, event: Event, ledger: Ledger) -> None:
        told = event.payload
        key = self._trace(POOL, told["problem_id"], event)
        self._set(key, "drafted", round=event.round, answer=told["answer"])
        keys = ((digest([event.key, measure]), key) for measure in self._measures)
        self._db.executemany("INSERT OR REPLACE INTO scored VALUES (?, ?)", keys)

    def _score(self, event: Event, ledger: Ledger) -> None:
        found = self._db.execute("SELECT question FROM scored WHERE key = ?", (event.key,)).fetchone()
        if found:
            self._trace_key(found[0], event)
            self._set(found[0], "scored", rank=event.payload["aggregate"])

    def _pick(self, event: Event, ledger: Ledger) -> None:
        told = event.payload
        key = self._trace(POOL, told["problem_id"], event)
        text = told["problem"]["question"][:_SNIPPET]
        self._set(key, "picked", round=event.round, question=text)

    def _revision(self, event: Event, ledger: Ledger) -> None:
        told = event.payload
        key = self._trace(POOL, told["problem_id"], event)
        charge = told["charge"]
        tokens, values = charge["tokens_in"] + charge["tokens_out"], {"outcome": told["outcome"], "revision": event.key}
        self._set(key, "revised", **values, tokens=tokens, money=charge["money"])

    def _grade(self, event: Event, ledger: Ledger) -> None:
        grade = event.payload["grade"]
        key = self._trace(HELDOUT, grade["problem_id"], event)
        self._set(key, "drafted", round=event.round, answer=grade["answer"], right=grade["strict"])

    def _review(self, event: Event, ledger: Ledger) -> None:
        review = review_of(event)
        self._db.execute("INSERT INTO reviews VALUES (?, ?)", (review.revision, event.seq))
        stands = last_standing(self.said(review.revision, ledger))
        query = "UPDATE questions SET review = ?, reviewer = ? WHERE key = ?"
        told = (stands.decision, stands.reviewer) if stands else (None, None)
        self._db.execute(query, (*told, key_of(POOL, review.problem_id)))

    def said(self, revision: str, ledger: Ledger) -> list[Review]:
        """All reviews of a revision, in order."""
        return [review_of(ledger.event(seq)) for seq in self.reviews(revision)]

    def _request(self, event: Event, ledger: Ledger) -> None:
        asked = from_json(Request, event.payload["request"])
        key = self._known(POOL, asked.problem.id)
        self._db.execute("INSERT INTO requests VALUES (?, ?, ?, ?)", (event.key, event.seq, key, asked.key))

    def _ended(self, event: Event, ledger: Ledger) -> None:
        """A try that was lost has the key of its request, a reply that of all its tries."""
        where = "key = ?" if event.kind is Kind.LOST else "key LIKE ? || '#%'"
        self._db.execute(f"DELETE FROM requests WHERE {where}", (event.key,))

    def _answered(self, event: Event, ledger: Ledger) -> None:
        self._db.execute("DELETE FROM requests WHERE asked = ?", (event.key,))


def _measures(settings: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What the keys of scores are made of, beside those of their drafts: the uncertainty, by few samples too."""
    measure, few = settings["uncertainty"], settings["adaptive"]["few"]
    return [measure, *([measure | {"samples": few}] if few else [])]
