"""What `elad methods` lists: every card's evidence, to the end and with its label."""

import re

import pytest

from elad.methods.finding import cards

LABEL = re.compile(r"\[(?:[SPCDR2](?:, )?)+\]")
NAMES = [card["name"] for card in cards()]


@pytest.mark.parametrize("name", NAMES)
def test_the_evidence_is_listed_to_its_end_and_has_a_label(name: str) -> None:
    (card,) = [one for one in cards() if one["name"] == name]
    assert LABEL.search(card["evidence"])
    assert card["evidence"].endswith((".", ")"))


def test_it_ends_where_the_next_part_begins() -> None:
    (card,) = [one for one in cards() if one["name"] == "multi_granularity"]
    assert card["evidence"].startswith("the paper could not be read in full. SCRG, the sum")
    assert card["evidence"].endswith("is recalled [R].")
