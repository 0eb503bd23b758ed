"""What all that went over the wire says together."""

import re
from collections import Counter

from elad.doctor.catalogue import Catalogue
from elad.doctor.finding import Finding, no, ok, unknown
from elad.doctor.wire import Wire

_VERSION = re.compile(r"(?:[-@:](?:\d[\d-]*|latest)|(?:[-._]\w[\w.-]*)?\.gguf)?")
"""What a reply may add to a model's name."""
_KEEPS_COMING = "a run asks again after faults like these; where a reply was lost on its way it may be billed twice"


def reachable(wire: Wire, listed: Catalogue | None) -> Finding:
    """Whether there is anybody, and somebody who speaks the protocol."""
    where = wire.endpoint.where
    if not wire.reached:
        return no("reachable", f"{where}: {_last(wire)}", "start the server, or correct teacher.base_url", fatal=True)
    astray = listed is None and not wire.answers and wire.denials and all(one.status == 404 for one in wire.denials)
    if astray:
        found = f"{where}: neither /models nor /chat/completions is there (404)"
        return no("reachable", found, "correct teacher.base_url: most addresses end in /v1", fatal=True)
    return ok("reachable", f"{where} answers", fatal=True)


def authorised(wire: Wire, key_name: str) -> Finding:
    """Whether key and account are good for every request."""
    refused = [one for one in wire.denials if one.status in (401, 402, 403)]
    if not refused:
        if wire.answers:
            return ok("authorised", "no request was refused", fatal=True)
        return unknown("authorised", "no request was answered", fatal=True)
    funds = any(one.status == 402 for one in refused)
    remedy = "top up the account" if funds else f"put a valid key for this address into {key_name}"
    share = "" if not wire.answers else f" ({len(refused)} of the requests; others were let in)"
    return no("authorised", f"{refused[-1]}{share}", remedy, fatal=True)


def model(wire: Wire, listed: Catalogue | None) -> Finding:
    """Whether the model exists, by the list and by what was answered."""
    asked = wire.endpoint.link.model
    near = f"correct teacher.model: {listed.near(asked)}" if listed and listed.names else "correct teacher.model"
    missing = [one for one in wire.denials if one.status == 404]
    if missing and not wire.answers:
        return no("model", f"{asked}: {missing[-1]}", near, fatal=True)
    if listed and asked in listed.names:
        return ok("model", f"{asked} is in its list of models", fatal=True)
    if not wire.answers:
        return unknown("model", "no request was answered", fatal=True)
    alias = next((name for name in listed.names if _same(asked, name)), None) if listed else None
    if alias:
        return ok("model", f"{asked} is in its list of models, as {alias}", fatal=True)
    if listed is None or not listed.names:
        return ok("model", f"{asked} is answered; the endpoint lists no models", fatal=True)
    return unknown("model", f"{asked} is not in its list of models, and is answered all the same", near, fatal=True)


def answers(wire: Wire, first: Finding) -> Finding:
    """Whether chat requests are answered at all; `first` is what became of the shortest."""
    if wire.answers:
        return first
    return no("answers", f"not one chat request was answered: {_last(wire)}", _to_do(wire), fatal=True)


def answering(wire: Wire) -> Finding:
    """Whether it is the model that was asked that answers."""
    asked, name = wire.endpoint.link.model, "answering model"
    told = Counter(str(answer.data["model"]) for answer in wire.answers if answer.data.get("model"))
    if not told:
        return unknown(name, "replies do not tell which model wrote them" if wire.answers else "no reply", "nothing")
    others = Counter({other: count for other, count in told.items() if not _same(asked, other)})
    if not others:
        return ok(name, f"{', '.join(sorted(told))} answers for {asked}")
    other, count = others.most_common(1)[0]
    found = f"{other} answered {count} of {len(wire.answers)} requests that asked for {asked}"
    return no(name, found, "name the model that you mean: prices and reused replies go by the name")


def usage(wire: Wire) -> Finding:
    """Whether every reply says what it took."""
    silent = sum(answer.completion.usage is None for answer in wire.answers)
    if not wire.answers:
        return unknown("usage", "no request was answered")
    if not silent:
        return ok("usage", "every reply told its tokens")
    found = f"{silent} of {len(wire.answers)} replies told no tokens"
    if wire.endpoint.link.counter:
        return no("usage", found, "nothing: teacher.tokenizer counts them")
    worst = "a call that tells none is charged at its worst case, so caps are reached early"
    return no("usage", found, f"name the model's tokenizer in teacher.tokenizer: {worst}")


def context(wire: Wire, listed: Catalogue | None) -> Finding:
    """How long a prompt and its reply may be."""
    name = "context length"
    if wire.too_long:
        return no(name, str(wire.too_long[-1]), "serve the model with a longer context, or take another")
    if listed and listed.context:
        return ok(name, f"{listed.context} tokens ({listed.told_by})")
    longest = max((one.completion.usage.tokens_in for one in wire.answers if one.completion.usage), default=None)
    took = f"; the longest prompt that it took had {longest} tokens" if longest else ""
    return unknown(name, f"it does not tell{took}", "nothing: what is too long fails alone, and is not billed")


def steady(wire: Wire) -> Finding:
    """How often a request had to be sent again."""
    if not wire.reached:
        return unknown("steady", "not reached")
    if not wire.troubles:
        return ok("steady", f"{wire.sent} requests, no faults")
    most, count = Counter(wire.troubles).most_common(1)[0]
    found = f"{len(wire.troubles)} faults in {wire.sent} requests; {count} times: {most}"
    return no("steady", found, _KEEPS_COMING)


def answers_as(wire: Wire) -> str | None:
    """The model that most replies name."""
    told = Counter(str(answer.data["model"]) for answer in wire.answers if answer.data.get("model"))
    return told.most_common(1)[0][0] if told else None


def _last(wire: Wire) -> str:
    """The last thing that went wrong."""
    said = [*wire.troubles, *map(str, wire.denials), *map(str, wire.too_long)]
    return said[-1] if said else "nothing was heard"


def _to_do(wire: Wire) -> str:
    return "see `authorised` and `model`" if wire.denials else "look at the server's own log, and try again later"


def _same(asked: str, told: str) -> bool:
    """Whether a name means the model that was asked: itself, a dated version, a file, with or without its maker."""
    short, long = sorted((name.casefold().rpartition("/")[2] for name in (asked, told)), key=len)
    return bool(short) and long.startswith(short) and _VERSION.fullmatch(long[len(short) :]) is not None
