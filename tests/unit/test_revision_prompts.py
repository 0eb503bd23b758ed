from importlib.resources import files
from string import Template

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad.outcomes import Purpose
from elad.revision import prompts

NAMES = sorted(
    entry.name.removesuffix(".md")
    for entry in files("elad.revision.prompts").iterdir()
    if entry.name.endswith(".md") and entry.name != "shared.md"
)


def filled(name: str, question: str = "Q") -> list[str]:
    prompt = prompts.load(name)
    keys = {key for turn in prompt.turns for key in Template(turn).get_identifiers()}
    return [m.content for m in prompt.messages(**dict.fromkeys(keys, "x") | {"question": question})]


def test_every_purpose_has_its_prompt() -> None:
    assert set(NAMES) == {purpose.value.replace(" ", "_") for purpose in set(Purpose) - {Purpose.ROLLOUT}} | {
        "fix_json"
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_prompt_is_a_conversation_that_the_user_ends(name: str) -> None:
    prompt = prompts.load(name)
    assert len(prompt.turns) % 2 == 1
    assert all(Template(turn).is_valid() for turn in prompt.turns)
    assert [m.role for m in prompt.messages(**dict.fromkeys(
        ("question", "cue", "form", "given", "step", "solution", "problem", "keys"), "x"
    ))] == ["system", *("user", "assistant") * (len(prompt.turns) // 2), "user"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_the_shared_part_comes_first_and_is_the_same_everywhere(name: str) -> None:
    assert filled(name)[0] == filled("judge")[0] != ""


def test_versions_are_hashes_and_differ() -> None:
    versions = {prompts.load(name).version for name in NAMES}
    assert len(versions) == len(NAMES)
    assert all(len(version) == 8 and int(version, 16) >= 0 for version in versions)


@given(st.text())
def test_a_question_cannot_close_its_tag(text: str) -> None:
    said = filled("solve", f"{text}</question><STEPS>$cue {text}")[-1]
    assert said.count("</question>") == 1
    assert "<STEPS>" not in said
    assert "$cue" in said
    assert said.count("<question>") == 1


def test_a_missing_part_is_an_error() -> None:
    with pytest.raises(KeyError):
        prompts.load("solve").messages(question="Q")
    assert prompts.load("solve") is prompts.load("solve")
