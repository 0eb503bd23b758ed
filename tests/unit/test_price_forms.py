"""The forms of a price, from a configuration to the settings of a teacher and back."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from elad.errors import ConfigError
from elad.experiment import Experiment
from elad.ledger.price_forms import price_of
from elad.ledger.price_lists import listed
from elad.ledger.prices import Price
from elad.records import to_json

ROW: dict[str, Any] = {
    "input": 0.15,
    "cached_input": 0.075,
    "output": 0.6,
    "currency": "EUR",
    "per": 1000,
    "batch_discount": 0.5,
}
NUMBERS: dict[str, Any] = {"input": 1.0, "output": 2.0}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "prices.yaml"
    path.write_text(yaml.safe_dump({"my-model": ROW, "other": NUMBERS, 4: NUMBERS}))
    return path


def experiment(price: object, base: Path = Path()) -> Experiment:
    teacher = {"kind": "openai", "model": "m", "price": price}
    raw: dict[str, Any] = {
        "data": {"pool": "p", "heldout": "h"},
        "task": "numeric",
        "student": {"engine": "fake"},
        "teacher": teacher,
    }
    return Experiment.of(raw, base=base)


def settings_of(made: Experiment) -> Any:
    return made.teacher


def test_a_price_stays_as_it_is() -> None:
    price = Price(input=1, output=2)
    assert price_of(price) is price


def test_numbers_are_the_users_own_unless_they_say_otherwise() -> None:
    assert price_of(NUMBERS) == Price(input=1.0, output=2.0, source="user")
    assert price_of(NUMBERS | {"source": "list 1"}) == Price(input=1.0, output=2.0, source="list 1")


def test_a_name_is_looked_up() -> None:
    assert price_of("openai:gpt-4o-mini") == listed("gpt-4o-mini")


def test_a_row_of_a_table_names_its_file_and_model(table: Path) -> None:
    price = price_of({"table": table.name, "model": "my-model"}, base=table.parent)
    assert price == Price(**ROW, source="prices.yaml my-model")
    assert price_of({"table": str(table), "model": "4"}) == Price(**NUMBERS, source=f"{table} 4")


@pytest.mark.parametrize(
    ("price", "told"),
    [
        (3, r"teacher\.price: expected a model's name, numbers or a table, got 3"),
        ({"input": 1}, r"teacher\.price\.output: Field required"),
        ({"input": "dear", "output": 1}, r"teacher\.price\.input: .*number.*'dear'"),
        (NUMBERS | {"input": -1}, r"teacher\.price: price\.input: -1\.0 is not"),
        (NUMBERS | {"chached_input": 1}, r"teacher\.price\.chached_input: unknown key; did you mean 'cached_input'\?"),
        ({"table": "prices.yaml"}, r"teacher\.price\.model: expected text, got None"),
        ({"table": 1, "model": "m"}, r"teacher\.price\.table: expected text, got 1"),
        ({"table": "t", "modell": "m"}, r"teacher\.price\.modell: unknown key; did you mean 'model'\?"),
        ({"table": "none.yaml", "model": "m"}, r"teacher\.price\.table: .*none\.yaml: cannot be read"),
        ({"table": "prices.yaml", "model": "my-modle"}, r"prices\.yaml has no 'my-modle'; did you mean 'my-model'\?"),
        ("gpt-4o-mnii", r"teacher\.price: .*did you mean 'gpt-4o-mini'"),
    ],
)
def test_what_cannot_be_used_is_named(price: object, told: str, table: Path) -> None:
    with pytest.raises(ConfigError, match=told):
        price_of(price, base=table.parent)
    with pytest.raises(ConfigError, match=f"^experiment: {told}" if told.startswith("teacher") else told):
        experiment(price, table.parent)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("m: {input: 1,\n  output: [", r"prices\.yaml:2: not YAML: "),
        ("m: 2026-13-45", r"prices\.yaml: cannot be read: month"),
        ("- m", r"prices\.yaml: expected a mapping of models"),
        ("", r"prices\.yaml: expected a mapping of models"),
        ("m: 3", r"prices\.yaml: m: expected {input: \.\.\., output: \.\.\.}, got 3"),
        ("m: {input: 1}", r"prices\.yaml: m\.output: Field required"),
        ("m: {input: -1, output: 1}", r"prices\.yaml: m: price\.input: -1\.0 is not a finite amount"),
        ("m: {input: .inf, output: 1}", r"prices\.yaml: m: price\.input: inf is not a finite amount"),
        ("m: {input: 1, outptu: 1}", r"prices\.yaml: m\.outptu: unknown key; did you mean 'output'\?"),
        ("m: {input: 1, output: 1, source: me}", r"prices\.yaml: m\.source: unknown key"),
        ("m: {input: 1, output: 1, tiers: []}", r"prices\.yaml: m\.tiers: unknown key"),
        ("m: {input: 1, output: 1, batch_discount: 2}", r"prices\.yaml: m: price\.batch_discount: 2\.0 is not"),
    ],
)
def test_a_table_that_cannot_be_used_is_named(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "prices.yaml").write_text(text)
    with pytest.raises(ConfigError, match=rf"^teacher\.price.*{told}"):
        price_of({"table": "prices.yaml", "model": "m"}, base=tmp_path)


def test_a_table_lies_beside_the_experiment(table: Path) -> None:
    path = table.parent / "mine.yaml"
    raw = experiment(None).resolved()
    raw["teacher"]["price"] = {"table": "prices.yaml", "model": "other"}
    path.write_text(yaml.safe_dump(raw))
    assert settings_of(Experiment.load(path)).price == Price(**NUMBERS, source="prices.yaml other")


@pytest.mark.parametrize("form", ["name", "table", "numbers", "none"])
def test_the_resolved_experiment_stands_on_its_own(form: str, table: Path) -> None:
    forms = {"name": "gpt-4o-mini", "table": {"table": str(table), "model": "my-model"}, "numbers": NUMBERS}
    one = experiment(forms.get(form))
    price = settings_of(one).price
    table.unlink()
    resolved = one.resolved()["teacher"]["price"]
    assert resolved == (price and to_json(price))
    again = Experiment.of(one.resolved())
    assert settings_of(again).price == price
    assert again == one


def test_another_price_is_the_same_run_at_another_version(table: Path) -> None:
    runs = [experiment(price) for price in (None, "gpt-4o-mini", NUMBERS, {"table": str(table), "model": "my-model"})]
    assert all(run.identity() == runs[0].identity() for run in runs)
    assert len({settings_of(run).price.version for run in runs[1:]}) == 3
