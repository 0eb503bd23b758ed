"""The file is the registry: each strategy file exports one frozen class, and each prompt has a reader."""

import ast
from pathlib import Path

import pytest
from room_kit import called
from room_kit import strategies as strategies_of_methods

from elad.learning import Feed, Objective
from elad.protocols import Encoder, Reviser, Selector, Stopping, Uncertainty

SOURCE = Path(__file__).resolve().parents[2] / "src" / "elad"
PROMISED = {
    "tasks": {"numeric", "choice", "text"},
    "students": {"transformers", "vllm", "fake"},
    "teachers": {"openai", "llamacpp", "recorded", "reference", "human", "fake"},
    "uncertainty": set(
        "elad entropy least_confidence margin disagreement variance self_consistency self_confidence perplexity "
        "token_entropy".split()
    ),
    "selection": set(
        "top random core_set k_means facility_location badge stratified cost_aware oracle part bandit two_sided".split()
    ),
    "stopping": {"value", "stable", "confident"},
    "revision": {"first_error", "rewrite", "answer_only"},
    "revision/judges": {"direct", "compare", "rollout", "stepwise"},
    "training/objectives": set(
        "sft forward_kl reverse_kl symmetric_kl jsd total_variation skewed_forward_kl skewed_reverse_kl dac_kl soft "
        "dpo weighted".split()
    ),
}
"""The kinds that the documentation names, by room; a room may hold more."""


def exports(tree: ast.Module) -> list[str] | None:
    """What `__all__` names, or None where the file has none."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    return None


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def strategies(room: str) -> dict[str, ast.Module]:
    files = (path for path in (SOURCE / room).glob("*.py") if path.name != "__init__.py")
    trees = {path.stem: parsed(path) for path in files}
    return {name: tree for name, tree in trees.items() if exports(tree) is not None}


@pytest.mark.parametrize("room", PROMISED)
def test_a_room_holds_the_kinds_that_are_promised(room: str) -> None:
    assert set(strategies(room)) >= PROMISED[room]


@pytest.mark.parametrize("room", PROMISED)
def test_a_strategy_is_one_frozen_keyword_only_class(room: str) -> None:
    found = strategies(room)
    assert found
    for name, tree in found.items():
        (exported,) = exports(tree) or [""]
        (strategy,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == exported]
        decorators = " ".join(map(ast.unparse, strategy.decorator_list))
        assert "dataclass(" in decorators, name
        assert "frozen=True" in decorators, name
        assert "kw_only=True" in decorators, name
        assert ast.get_docstring(strategy), name


def test_what_is_new_in_a_methods_file_is_called_as_one_of_the_verbs_is() -> None:
    """By that the conformance suites find it: a class that none of them knew would be tested by nobody."""
    verbs = [called(verb) for verb in (Encoder, Feed, Objective, Reviser, Selector, Stopping, Uncertainty)]
    spans = {f"elad.methods.multi_granularity:{name}" for name in ("Phrases", "Windows")}  # a verb of that file alone
    assert {name for name, strategy in strategies_of_methods().items() if called(strategy) not in verbs} == spans


PROMPTS = sorted(SOURCE.rglob("prompts/*.md"))


def test_there_are_prompts() -> None:
    assert {prompt.parent.parent.name for prompt in PROMPTS} == {"tasks", "revision", "uncertainty"}


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_prompt_is_named_in_its_room_or_by_a_purpose(prompt: Path) -> None:
    room = prompt.parent.parent
    readers = [*room.rglob("*.py"), SOURCE / "outcomes.py"]
    constants = {
        node.value.replace(" ", "_")
        for path in readers
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert {prompt.stem, prompt.name} & constants
    assert prompt.read_text(encoding="utf-8").strip()
