"""Run folders written straight into a ledger: any number of questions, whose texts say whatever a test wants."""

from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from loop_kit import experiment

from elad.evaluation.intervals import wilson
from elad.ledger.events import Kind, Ledger
from elad.ledger.prices import Price
from elad.records import Charge, digest, to_json

Said = Callable[[str], str]
"""What is said in the place of a word: a question, a step, a reason."""
ROUNDS = 2
HELDOUT = 8
PRICE = Price(input=2.0, output=8.0)
CHARGE = Charge(
    calls=1,
    tokens_in=300,
    tokens_out=40,
    money=PRICE.money(tokens_in=300, tokens_cached=0, tokens_out=40),
    currency=PRICE.currency,
    price_version=PRICE.version,
)
OUTCOMES = ("repaired", "accepted", "wrong end")


def written(folder: Path, questions: int, said: Said = lambda word: word) -> Path:
    """A finished run of two rounds that bought so many questions in all, out of a pool of twice as many."""
    settings = experiment("teacher.kind=fake", "rounds.count=2").resolved()
    settings["data"] = {"pool": [said("pool")], "heldout": [said("heldout")], "warmup": [], "columns": {}, "limit": {}}
    settings["teacher"] |= {"model": said("model"), "price": to_json(PRICE)}
    ids = [f"{said('id')}{place}" for place in range(2 * questions)]
    half = questions // ROUNDS
    with Ledger(folder, write=True) as ledger:
        ledger.set_meta({"identity": '{"data.heldout": "0"}', "name": said("name")})
        session = {"experiment": settings, "base": "/nowhere", "versions": {"elad": "1"}, "machine": _MACHINE}
        ledger.append(Kind.SESSION, [("session", session)], round=-1)
        _round(ledger, 0, [], 0, said)
        for number in range(1, ROUNDS + 1):
            bought = ids[(number - 1) * half : number * half]
            _draft(ledger, number, ids[(number - 1) * half :], said, settings["uncertainty"])
            _buy(ledger, number, bought, said)
            _round(ledger, number, bought, number * half, said)
        ledger.append(Kind.STATE, [("end", {"state": "finished", "reason": said("end")})], round=-1)
    return folder


_MACHINE = {"system": "a machine", "cpus": 2}


def _chain(problem: str, said: Said) -> dict[str, Any]:
    texts = [f"{said(f'step {i}')}\n" for i in range(3)]
    ends = [sum(map(len, texts[: i + 1])) for i in range(3)]
    starts = [0, *ends[:-1]]
    spans = zip(texts, starts, ends, strict=True)
    return {
        "problem_id": problem,
        "text": "".join(texts),
        "steps": [{"text": text, "start": start, "end": end} for text, start, end in spans],
        "answer": said("answer"),
        "outcome": "parsed",
        "sampling": {},
        "seed": 0,
        "tokens": 30,
        "surprise": 0.5,
    }


def _draft(ledger: Ledger, number: int, ids: list[str], said: Said, measure: Any) -> None:
    drafts = [(digest(["draft", number, key]), _chain(key, said)) for key in ids]
    ledger.append(Kind.DRAFT, drafts, round=number)
    scores = (
        (digest([key, measure]), _scores(1 - place / len(drafts))) for place, (key, _) in enumerate(drafts)
    )  # the first are the most uncertain
    ledger.append(Kind.SCORE, scores, round=number)


def _scores(aggregate: float) -> dict[str, Any]:
    steps = [aggregate, aggregate, 0.0]
    return {"parts": {"intra": steps, "inter": steps}, "steps": steps, "aggregate": aggregate, "confidence": 0.5}


def _buy(ledger: Ledger, number: int, ids: list[str], said: Said) -> None:
    picks = ((digest([number, key]), _pick(key, rank, said)) for rank, key in enumerate(ids))
    ledger.append(Kind.PICK, picks, round=number)
    asked = {"request": {"purpose": "judge"}, "reserved": to_json(CHARGE), "way": "live"}
    replied = {"text": said("reply"), "outcome": "ok", "charge": to_json(CHARGE), "teacher": "t"}
    requests = {key: digest(["ask", key]) for key in ids}
    ledger.append(Kind.REQUEST, ((f"{name}#0", asked) for name in requests.values()), round=number)
    replies = ((name, replied | {"request": name}) for name in requests.values())
    ledger.append(Kind.REPLY, replies, round=number)
    revisions = (
        (digest(["revision", key]), _revision(key, OUTCOMES[place % len(OUTCOMES)], requests[key], said))
        for place, key in enumerate(ids)
    )
    ledger.append(Kind.REVISION, revisions, round=number)


def _pick(key: str, rank: int, said: Said) -> dict[str, Any]:
    asked = {"question": said("question"), "answer": said("gold"), "choices": [said("a"), said("b")]}
    told = {"problem_id": key, "rank": rank, "aggregate": 0.9 - rank / 1e5, "parts": {}, "by": None}
    return told | {"problem": {"id": key, **asked}}


def _revision(key: str, outcome: str, request: str, said: Said) -> dict[str, Any]:
    accepted = outcome == "accepted"
    return {
        "problem_id": key,
        "outcome": outcome,
        "before": _chain(key, said)["text"],
        "after": None if outcome == "wrong end" else said("after"),
        "answer": said("revised"),
        "verdicts": ["right"] * 3 if accepted else ["right", "wrong", "unjudged"],
        "first_error": None if accepted else 1,
        "edit": None if accepted else said("edit"),
        "reason": said("reason"),
        "reviser": "first_error",
        "charge": to_json(CHARGE),
        "requests": [request],
        "prompt_versions": [],
    }


def _round(ledger: Ledger, number: int, picks: list[str], bought: int, said: Said) -> None:
    right = HELDOUT // 4 + 2 * number
    grades = [
        (
            digest(["grade", number, place]),
            {
                "chain": _chain(f"h{place}", said),
                "grade": {"problem_id": f"h{place}", "strict": place < right, "lenient": place < right}
                | {"outcome": "parsed", "answer": said("answer"), "steps": 3},
            },
        )
        for place in range(HELDOUT)
    ]
    ledger.append(Kind.GRADE, grades, round=number)
    shares = {name: right / HELDOUT for name in ("accuracy", "accuracy_lenient", "parsed")}
    revisions = {outcome: sum(i % 3 == place for i in range(len(picks))) for place, outcome in enumerate(OUTCOMES)}
    told = {
        "round": number,
        "picks": picks,
        "revisions": revisions,
        "examples": bought,
        "student": f"student {number}",
        **shares,
        "steps": 3.0,
        "intervals": {**{name: wilson(right, HELDOUT) for name in shares}, "steps": (3.0, 3.0)},
        "charge": to_json(ledger.spent()),
        "seconds": {},
    }
    ledger.append(Kind.STAGE, [(f"stage {number}", {"stage": "revise", "seconds": 2.5})], round=number)
    ledger.append(Kind.ROUND, [(f"round {number}", told)], round=number)


class Parsed(HTMLParser):
    """What a browser would see of a page: its elements with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.style = ""
        self._open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            self.style += data
        else:
            self.text.append(data)

    @property
    def words(self) -> str:
        """The text with every white space one blank."""
        return " ".join(" ".join(self.text).split())

    def named(self, tag: str) -> Iterator[dict[str, str | None]]:
        """The attributes of each element of a name."""
        return (attributes for name, attributes in self.elements if name == tag)
