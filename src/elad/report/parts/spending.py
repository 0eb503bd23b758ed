"""Where the money went: by what was asked, by round, by what came of it; what the cache spared, what was lost."""

from collections.abc import Iterable, Mapping
from typing import Any

from elad.ledger.events import MAIN, Kind, Ledger
from elad.records import Charge, Reply, from_json, to_json
from elad.report.page.document import Figure, Part, Prose, Section, Shares, Table
from elad.report.page.wording import count, money, seconds, share

_CACHED = "from the cache of replies"
_LOST = "tries without a reply to keep"
_OPEN = "revisions that are not finished"


class _Sum:
    """Replies of one sort, and what they cost."""

    def __init__(self) -> None:
        self.replies = 0
        self.cached = 0
        self.charge = Charge()

    def add(self, reply: Reply) -> None:
        self.replies += 1
        self.cached += reply.cached
        self.charge += reply.charge

    def told(self, **what: Any) -> dict[str, Any]:
        return what | {"replies": self.replies, "cached": self.cached, **to_json(self.charge)}


class _Spared:
    """Replies of the cache, and what they had cost those who bought them, each currency by itself."""

    def __init__(self) -> None:
        self.replies = 0
        self.unknown = 0
        self.costs: dict[str | None, Charge] = {}

    def add(self, reply: Reply) -> None:
        if not reply.cached:
            return
        self.replies += 1
        self.unknown += reply.original is None
        had = reply.original or Charge()
        self.costs[had.currency] = self.costs.get(had.currency, Charge()) + had

    def told(self) -> dict[str, Any]:
        money = {name: charge.money for name, charge in self.costs.items() if name}
        out = sum(charge.tokens_out for charge in self.costs.values())
        return {
            "replies": self.replies,
            "had_cost": {"money": money, "tokens_out": out},
            "of_unknown_cost": self.unknown,
        }


def spared(ledger: Ledger) -> dict[str, Any]:
    """How many replies came from the cache, what they had cost by currency, and of how many that is not known."""
    found = _Spared()
    for event in ledger.events(Kind.REPLY):
        found.add(from_json(Reply, event.payload))
    return found.told()


def had_cost(cached: Mapping[str, Any]) -> str:
    """The money of `spared` in words.

    >>> had_cost({"had_cost": {"money": {"EUR": 1.0, "USD": 0.5}}, "of_unknown_cost": 0})
    '1.0000 EUR and 0.5000 USD'
    """
    amounts = [money(value, currency) for currency, value in sorted(cached["had_cost"]["money"].items())]
    return " and ".join(amounts) or "no money"


def spending(ledger: Ledger) -> dict[str, Any]:
    """Each sum is of all replies and of the tries that left none; the rows of each table add up to `total`.

    What was asked for a reply of the user's cache is not written down, so they are a row of their own. A reply that
    several revisions rest on counts for the first of them.
    """
    purposes = _purposes(ledger)
    outcomes = _outcomes(ledger)
    total, cached = _Sum(), _Spared()
    by_purpose: dict[str, _Sum] = {}
    by_round: dict[tuple[int, str], _Sum] = {}
    by_outcome: dict[str, _Sum] = {}
    for event in (*ledger.events(Kind.REPLY), *ledger.events(Kind.LOST)):
        reply, lost = from_json(Reply, event.payload), event.kind is Kind.LOST
        purpose = _CACHED if reply.cached else purposes.get(event.key.partition("#")[0], "not known")
        outcome = _LOST if lost else outcomes.get(reply.request, _OPEN)
        for group, key in ((by_purpose, purpose), (by_outcome, outcome)):
            group.setdefault(key, _Sum()).add(reply)
        by_round.setdefault((event.round, event.arm), _Sum()).add(reply)
        total.add(reply)
        cached.add(reply)
    rounds = sorted(by_round.items(), key=lambda item: (item[0][1] != MAIN, item[0][0]))
    return {
        "total": total.told(),
        "by_purpose": [one.told(what=what) for what, one in _dearest(by_purpose)],
        "by_round": [one.told(round=number, arm=arm) for (number, arm), one in rounds],
        "by_outcome": [one.told(what=what) for what, one in _dearest(by_outcome)],
        "cached": cached.told(),
    }


def _purposes(ledger: Ledger) -> dict[str, str]:
    """What was asked, by the key of the reply."""
    return {event.key.partition("#")[0]: event.payload["request"]["purpose"] for event in ledger.events(Kind.REQUEST)}


def _outcomes(ledger: Ledger) -> dict[str, str]:
    """What became of the revision that a request was for."""
    found: dict[str, str] = {}
    for event in ledger.events(Kind.REVISION):
        for request in event.payload["requests"]:
            found.setdefault(request, event.payload["outcome"])
    return found


def _dearest(group: Mapping[str, _Sum]) -> Iterable[tuple[str, _Sum]]:
    """What took most first: by money, else by tokens, else by replies."""
    return sorted(
        group.items(),
        key=lambda item: (-item[1].charge.money, -item[1].charge.tokens_out, -item[1].replies, item[0]),
    )


def section(told: dict[str, Any]) -> Section:
    """The sum, and three ways to take it apart."""
    found, total = told["spending"], told["spending"]["total"]
    if not total["replies"]:
        return Section(
            name="money", title="Where the money went", parts=[Prose(text="Nothing was asked of a teacher.")]
        )
    currency = told["status"]["spent"]["currency"]
    asked = f"{count(total['replies'], 'reply', 'replies')} and lost tries, {count(total['calls'], 'call')}"
    parts: list[Part] = [
        Prose(
            text=f"{asked}: {total['tokens_in']:,} tokens in, of which the endpoint cached "
            f"{total['tokens_cached']:,}, and {total['tokens_out']:,} out, {_sum(total, currency)}."
        ),
        *_spared(found),
        _by_purpose(told),
        _table("By what came of it", ("what came of it",), [((row["what"],), row) for row in found["by_outcome"]]),
        _table(
            "By round and arm",
            ("arm", "round"),
            [((row["arm"], "–" if row["round"] < 0 else str(row["round"])), row) for row in found["by_round"]],
        ),
    ]
    return Section(name="money", title="Where the money went", parts=parts)


def _sum(charge: Mapping[str, Any], currency: str | None) -> str:
    return money(charge["money"], currency) if currency else "no money: the teacher has no price"


def _spared(found: dict[str, Any]) -> Iterable[Prose]:
    cached = found["cached"]
    if cached["replies"]:
        unknown, every = cached["of_unknown_cost"], cached["replies"] == found["total"]["replies"]
        more = f"; of {unknown} of them it is not known what they had cost" if unknown else ""
        yield Prose(
            text=f"{'All ' if every else ''}{count(cached['replies'], 'reply', 'replies')} came from the cache of "
            f"earlier runs at no charge; they had cost {had_cost(cached)} and "
            f"{cached['had_cost']['tokens_out']:,} output tokens{more}."
        )


def _by_purpose(told: dict[str, Any]) -> Figure:
    rows, total = told["spending"]["by_purpose"], told["spending"]["total"]
    by = "money" if total["money"] else "tokens_out" if total["tokens_out"] else "replies"
    unit = {"money": f"money ({total['currency']})", "tokens_out": "output tokens", "replies": "replies"}[by]
    shares = [
        (
            row["what"],
            row[by],
            f"{money(row[by], None) if by == 'money' else f'{row[by]:,}'} ({share(row[by] / total[by])})",
        )
        for row in rows
    ]
    return Figure(
        title="By what was asked of the teacher",
        caption=f"All of it was spent in the stage that revises. n = {count(total['replies'], 'reply', 'replies')} "
        f"and lost tries, seed {told['asked']['seed']}, all arms.",
        charts=[Shares(x=unit, rows=shares)],
        table=_table("By what was asked", ("what was asked",), [((row["what"],), row) for row in rows]),
    )


def _table(title: str, names: tuple[str, ...], rows: Iterable[tuple[tuple[str, ...], dict[str, Any]]]) -> Table:
    rows = list(rows)
    currency = next((row["currency"] for _, row in rows if row["currency"]), None)
    unit = f" ({currency})" if currency else ""
    head = (*names, "replies", "from cache", "tokens in", "cached by endpoint", "tokens out", f"money{unit}", "waited")
    return Table(
        title=title,
        head=head,
        rows=[
            (
                *name,
                f"{row['replies']:,}",
                f"{row['cached']:,}",
                f"{row['tokens_in']:,}",
                f"{row['tokens_cached']:,}",
                f"{row['tokens_out']:,}",
                money(row["money"], None),
                seconds(row["seconds"]),
            )
            for name, row in rows
        ],
    )
