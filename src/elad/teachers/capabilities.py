"""What an endpoint was found to bear, kept in the user's cache, so that a run need not find out by refusals."""

import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import AwareDatetime, ConfigDict, ValidationError

from elad.ledger.cache import cache_folder
from elad.records import digest, from_json, to_json
from elad.teachers.endpoint import Concession, public_url

KEPT_DAYS = 30
_MOST_BYTES = 65_536
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What `elad doctor` found of one model at one address.

    Runs go by `conceded` and `context`; `elad doctor --json` shows the rest.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    address: str
    model: str
    at: AwareDatetime
    elad: str
    """The version that looked."""
    conceded: tuple[Concession, ...] = ()
    """What it turned down and is not asked for any more."""
    context: int | None = None
    """Tokens that it grants to a prompt and its reply, where it says so."""
    top_logprobs: int | None = None
    """The most alternatives for a token that it told; None where that could not be found out."""
    seconds: float | None = None
    """From a short request to its reply."""
    answers_as: str | None = None
    """The model that its replies name."""


def place(base_url: str, model: str) -> Path:
    """The file that holds the record of a model at an address."""
    return cache_folder() / "capabilities" / f"{digest([public_url(base_url), model])}.json"


def keep(found: Capabilities) -> Path:
    """Writes the record in place of an earlier one; gives the file. Raises: OSError where it cannot be written."""
    path = place(found.address, found.model)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(to_json(found), indent=1, ensure_ascii=False), encoding="utf-8")
    part.replace(path)
    return path


def known(base_url: str, model: str, *, now: datetime | None = None) -> Capabilities | None:
    """The record of a model at an address; None where there is none, or it is older than `KEPT_DAYS`.

    A record that cannot be read is ignored, and a warning in the log says so.
    """
    path = place(base_url, model)
    try:
        if not path.is_file():
            return None
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"larger than {_MOST_BYTES} bytes")
        found = from_json(Capabilities, json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError) as error:
        what = "not the fields of a record" if isinstance(error, ValidationError) else str(error)
        _LOG.warning("%s: is ignored, as it cannot be read: %s; `elad doctor` writes it anew", path, what)
        return None
    if (found.address, found.model) != (public_url(base_url), model):
        return None
    age = (now or datetime.now(UTC)) - found.at
    return found if abs(age) <= timedelta(days=KEPT_DAYS) else None
