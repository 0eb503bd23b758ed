"""A review page over a run on fakes, without a network."""

import json
import re
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from loop_kit import experiment, problems

pytest.importorskip("fastapi", reason="needs the extra `web`")

from starlette.testclient import TestClient

from elad.experiment import Data
from elad.ledger.events import FILE, Kind, Ledger
from elad.loop import run
from elad.records import Problem, from_json
from elad.web.app import application
from elad.web.desk import Desk
from elad.web.doors import Doors
from elad.web.index import key_of

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg/onload=alert(1)>',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "</textarea><script>alert(1)</script>",
    "{{ 7 * 7 }} {% raw %} ${7*7} <%= 7*7 %>",
    "[a link](javascript:alert(1)) **bold** `code` | table |",
    r"$\frac{1}{2}$ \input{/etc/passwd} \href{javascript:alert(1)}{x}",
    "<!-- --> ]]> <![CDATA[ &lt;b&gt; &#60;b&#62;",
    '<form action="//evil.example"><input name=csrf>',
    '<a href="//evil.example" hx-get="/run" hx-trigger="load">x</a>',
)
ORIGIN = {"origin": "http://testserver"}


class Seat:
    """A reviewer's browser."""

    def __init__(self, client: TestClient, token: str) -> None:
        self.client = client
        self.token = token

    def enter(self) -> "Seat":
        """Comes in by the link; the cookie is kept."""
        assert self.client.get("/enter", params={"token": self.token}).status_code == 200
        return self

    def read(self, address: str) -> str:
        """A page that must be there."""
        response = self.client.get(address)
        assert response.status_code == 200, response.text
        return response.text

    def form(self, key: str) -> dict[str, str]:
        """The hidden fields of a question's form, as its page has them now."""
        found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', self.read(f"/questions/{key}"))
        return {name: unescape(value) for name, value in found}

    def send(self, key: str, fields: dict[str, str]) -> str:
        """What the page says after a form was sent."""
        response = self.client.post(f"/questions/{key}/review", data=fields, headers={**ORIGIN, "hx-request": "true"})
        assert response.status_code == 200, response.text
        return response.text

    def decide(self, key: str, decision: str, **more: str) -> str:
        """The same for a decision on the page as it is now."""
        return self.send(key, self.form(key) | {"decision": decision} | more)


@contextmanager
def seated(folder: Path, *names: str) -> Generator[list[Seat]]:
    """Reviewers at one server; none has come in yet."""
    doors = Doors()
    tokens = [doors.invite(name) for name in names]
    app = application(lambda: Desk(folder), doors, frozenset({"testserver"}), "seat")
    with TestClient(app) as client:
        jars = [client, *(_another(client) for _ in names[1:])]
        yield [Seat(jar, token) for jar, token in zip(jars, tokens, strict=True)]


def _another(client: TestClient) -> TestClient:
    """A browser of its own at the same server."""
    other = TestClient(client.app)
    other.portal = client.portal  # the desk is at home in one thread
    return other


@contextmanager
def sitting(folder: Path, name: str = "ana") -> Generator[Seat]:
    """One reviewer who has come in."""
    with seated(folder, name) as (seat,):
        yield seat.enter()


@contextmanager
def locked(folder: Path) -> Generator[None]:
    """The ledger while somebody else writes to it and does not come to an end."""
    db = sqlite3.connect(folder / FILE, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        db.close()


def append(folder: Path, kind: Kind, key: str, payload: Any, number: int = 1) -> None:
    """An event more, as a run would append it."""
    with Ledger(folder, write=True) as ledger:
        ledger.append(kind, [(key, payload)], round=number)


def replaced(folder: Path, revision: dict[str, Any], more: dict[str, Any]) -> None:
    """Another payload in the place of a revision's."""
    db = sqlite3.connect(folder / FILE)
    asked = "kind = ? AND json_extract(payload, '$.problem_id') = ?"
    row = (json.dumps(revision | more), Kind.REVISION, revision["problem_id"])
    assert db.execute(f"UPDATE events SET payload = ? WHERE {asked}", row).rowcount == 1
    db.commit()
    db.close()


def bought(folder: Path) -> list[tuple[str, Problem, dict[str, Any]]]:
    """Key, question and revision of each question that was bought, in the order of the picks."""
    with Ledger(folder, write=False) as ledger:
        revised = {event.payload["problem_id"]: event for event in ledger.events(Kind.REVISION)}
        picks = [event.payload for event in ledger.events(Kind.PICK)]
    return [
        (key_of("pool", pick["problem_id"]), from_json(Problem, pick["problem"]), revised[pick["problem_id"]].payload)
        for pick in picks
    ]


def make_hostile(folder: Path) -> None:
    """A run whose questions, and what student and teacher say of them, are attacks."""
    plain = problems(len(HOSTILE), 1, "p")
    pool = tuple(
        replace(one, id=f"{n} {text}", question=f"{text} {one.question}", metadata={"x": text})
        for n, (one, text) in enumerate(zip(plain, HOSTILE, strict=True))
    )
    data = Data(pool=pool, heldout=problems(2, 2, "h"))
    run(experiment("rounds.count=1", f"rounds.questions={len(HOSTILE)}", data=data), folder)
    for n, (_, problem, revision) in enumerate(bought(folder)):
        text = HOSTILE[n]
        said = revision | {"after": f"{text}\nThe answer is 7.", "edit": text, "reason": text, "answer": text}
        append(folder, Kind.REVISION, f"hostile{n}", said | {"problem_id": problem.id, "reviser": text}, 2)
        step = {"text": text, "start": 0, "end": len(text)}
        chain = {"text": text, "steps": [step], "answer": text, "outcome": "parsed", "tail": text}
        chain |= {"problem_id": problem.id, "sampling": {}, "seed": 0, "tokens": 1}
        append(folder, Kind.DRAFT, f"hostile{n}", chain, 2)
