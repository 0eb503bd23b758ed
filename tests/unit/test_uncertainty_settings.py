"""What the settings of ELAD's uncertainty take and refuse."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from elad.errors import ConfigError
from elad.uncertainty.cross_encoder import CrossEncoder
from elad.uncertainty.elad import Elad


@dataclass(frozen=True)
class Flat:
    """A scorer that finds everything equally entailed."""

    value: float = 0.5

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        return [self.value for _ in pairs]


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"samples": 0}, "samples"),
        ({"probe_samples": 0}, "probe_samples"),
        ({"probe_tokens": -1}, "probe_tokens"),
        ({"weight": 1.5}, "weight"),
        ({"weight": nan}, "weight"),
        ({"temperature": 0.0}, "temperature"),
        ({"settled": True, "intra": "leave_one_out"}, "settled"),
        ({"inter": "entailment"}, "nli"),
        ({"nli": CrossEncoder(model="x")}, "nli"),
    ],
)
def test_settings_that_cannot_be_used_are_named(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=rf"^uncertainty\.{key}: "):
        Elad(**settings)


def test_a_scorer_of_ones_own_can_be_written_down() -> None:
    settings = TypeAdapter(Elad).dump_python(Elad(inter="entailment", nli=Flat()), mode="json")
    assert settings["nli"] == {"value": 0.5}


def test_settings_come_from_plain_mappings(tmp_path: Path) -> None:
    adapter = TypeAdapter(Elad)
    assert adapter.validate_python({"intra": "prefix", "inter": "answers", "samples": 5, "aggregate": "mean"}) == Elad()
    built = adapter.validate_python({"inter": "entailment", "nli": {"model": str(tmp_path)}})
    assert built.nli == CrossEncoder(model=str(tmp_path))
    assert adapter.validate_python(adapter.dump_python(built, mode="json")) == built
    for wrong in ({"intra": "postfix"}, {"sample": 5}, {"nli": 3, "inter": "entailment"}):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)
