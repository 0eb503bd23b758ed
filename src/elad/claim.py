"""A run folder and the experiment that it belongs to."""

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from elad.errors import RunFolderError
from elad.experiment import Experiment
from elad.ledger.events import Kind, Ledger
from elad.ledger.prices import Price
from elad.ledger.reconcile import price_tables
from elad.records import Problem, digest_list, to_json

RECORDED_PACKAGES = ("elad", "torch", "transformers", "peft", "openai", "xllamacpp", "pydantic")


def claim(
    ledger: Ledger,
    experiment: Experiment,
    models: Mapping[str, str],
    data: Mapping[str, Sequence[Problem]],
    recalled_prices: Sequence[Price],
) -> None:
    """Ties a new folder to the experiment and its untrained models' ids by their part, or refuses one of another.

    Raises: RunFolderError that names every key that differs, or both currencies.
    """
    identity = (
        experiment.identity()
        | dict(models)
        | {f"data.{name}": digest_list(map(to_json, problems)) for name, problems in data.items()}
    )
    was = ledger.meta("identity")
    if was is None:
        ledger.set_meta({"identity": json.dumps(identity), "name": experiment.name})
    else:
        old = json.loads(was)
        differing = [key for key in sorted({*old, *identity}) if old.get(key) != identity.get(key)]
        if differing:
            told = ", ".join(f"{key}: {old.get(key)!r} -> {identity.get(key)!r}" for key in differing)
            raise RunFolderError(f"{ledger.folder}: was begun with another configuration ({told})")
    _refuse_currency(ledger, experiment)
    session: dict[str, Any] = {"experiment": experiment.resolved(), "base": str(experiment.base)}
    session |= {"versions": _versions(), "machine": _machine()}
    if recalled_prices:
        session["recalled_prices"] = [to_json(price) for price in recalled_prices]
    ledger.append(Kind.SESSION, [(str(time.time_ns()), session)], round=-1)


def _refuse_currency(ledger: Ledger, experiment: Experiment) -> None:
    """A price may change between sessions, its currency may not: the money of a run is one sum.

    Raises: RunFolderError where anything was asked at a price in another currency.
    """
    price: Price | None = getattr(experiment.teacher, "price", None)
    asked = next(ledger.events(Kind.REQUEST), None) is not None
    others = {was.currency for was in price_tables(ledger)} - {price.currency} if price and asked else set[str]()
    if price and others:
        raise RunFolderError(
            f"{ledger.folder}: its money is counted in {', '.join(sorted(others))}, teacher.price is in "
            f"{price.currency}; give the price in {min(others)}, or take another folder"
        )


def _versions() -> dict[str, str]:
    found: dict[str, str] = {"python": platform.python_version()}
    for package in RECORDED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _machine() -> dict[str, Any]:
    return {"system": platform.platform(), "cpus": os.cpu_count()}
