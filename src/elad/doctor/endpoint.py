"""An endpoint looked at from all sides, for the price of a few tokens that are told first."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from elad.doctor import overall
from elad.doctor.catalogue import Catalogue, catalogue
from elad.doctor.finding import Finding, Verdict, no, ok, unknown
from elad.doctor.probes import PROBES, alternatives
from elad.doctor.wire import ATTEMPTS, Wire
from elad.records import Charge
from elad.teachers.capabilities import KEPT_DAYS, Capabilities, keep
from elad.teachers.endpoint import Concession, Endpoint

_SILENT_PROBES = 3
"""So many probes in a row without an answer, and the others are not tried: each may take a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What was found of an endpoint."""

    findings: tuple[Finding, ...]
    capabilities: Capabilities | None
    """Kept for runs; None where there was no answer to learn from."""
    spent: Charge


def bound(endpoint: Endpoint) -> Charge:
    """The most that looking can take: every probe twice, every byte a token, every reply as long as it may be."""
    asks = [ask for probe in PROBES for ask in probe.asks]
    worst = sum((endpoint.worst_case(ask) for ask in ATTEMPTS * asks), Charge())
    return replace(worst, calls=worst.calls + len(Concession))  # what is conceded is asked once more


def look(endpoint: Endpoint, key_name: str, wait: Callable[[float], None] = time.sleep) -> Looked:
    """Carries out every probe; what was learnt is kept for runs.

    `key_name` is the environment variable of the key, for remedies. A fault during one probe makes its finding
    `unknown` and nothing else.
    """
    wire = Wire(endpoint, most_calls=bound(endpoint).calls, wait=wait)
    try:
        listed = catalogue(wire)
        by_name = {finding.name: finding for finding in _probed(wire)}
    finally:
        wire.close()
    findings = (
        overall.reachable(wire, listed),
        overall.authorised(wire, key_name),
        overall.model(wire, listed),
        overall.answers(wire, by_name.pop("answers")),
        overall.answering(wire),
        overall.usage(wire),
        *by_name.values(),
        overall.context(wire, listed),
        overall.steady(wire),
    )
    capabilities = _learnt(wire, listed, by_name["log-probs"].verdict)
    cleaned = tuple(finding.told_by(wire.told) for finding in (*findings, _kept(capabilities)))
    return Looked(findings=cleaned, capabilities=capabilities, spent=wire.spent)


def _probed(wire: Wire) -> list[Finding]:
    """A finding for each probe; no more are tried once the endpoint is silent, or nobody is let in."""
    found: list[Finding] = []
    silent = 0
    for probe in PROBES:
        why = _pointless(wire, silent)
        if why:
            found.append(unknown(probe.name, f"not tried: {why}"))
            continue
        answered, faults = len(wire.answers), len(wire.troubles)
        found.append(probe.carry_out(wire))
        silent = silent + 1 if answered == len(wire.answers) and faults < len(wire.troubles) else 0
    return found


def _pointless(wire: Wire, silent: int) -> str:
    if not wire.reached:
        return "the endpoint is not reached"
    if wire.denials and not wire.answers:
        return "no request is let in"
    return "the endpoint has become silent" if silent >= _SILENT_PROBES else ""


def _kept(capabilities: Capabilities | None) -> Finding:
    name = "record"
    if capabilities is None:
        return unknown(name, "there was nothing to learn; an earlier record stays")
    try:
        return ok(name, f"runs go by {keep(capabilities)} for {KEPT_DAYS} days")
    except OSError as error:
        return no(name, f"cannot be written: {error}", "set ELAD_CACHE to a folder that can be; runs find out anew")


def _learnt(wire: Wire, listed: Catalogue | None, logprobs: Verdict) -> Capabilities | None:
    if not wire.answers:
        return None
    name = overall.answers_as(wire)
    return Capabilities(
        address=wire.endpoint.where,
        model=wire.endpoint.link.model,
        at=datetime.now(UTC).replace(microsecond=0),
        elad=_version(),
        conceded=tuple(sorted(wire.conceded)),
        context=listed.context if listed else None,
        top_logprobs=None if logprobs is Verdict.UNKNOWN else max(map(alternatives, wire.answers)),
        seconds=round(min(answer.seconds for answer in wire.answers), 3),
        answers_as=wire.told(name) if name else None,
    )


def _version() -> str:
    try:
        return version("elad")
    except PackageNotFoundError:
        return "not installed"
