"""The vllm engine against the transformers engine, with a real vLLM: `ELAD_VLLM` names the Python of its environment.

ELAD_VLLM=/opt/vllm/bin/python pytest tests/invariance/test_vllm_parity.py
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import pytest

from elad import sample
from elad.asks import Generation, Prompt
from elad.errors import StudentError
from elad.learning import Lesson
from elad.protocols import Student
from elad.records import Example, Message, Sampling
from elad.settings import Training
from elad.students.models import model_folder
from elad.students.vllm import Vllm
from elad.training.objectives.sft import Sft

PYTHON = os.environ.get("ELAD_VLLM")
pytestmark = [
    pytest.mark.model,
    pytest.mark.slow,
    pytest.mark.skipif(PYTHON is None, reason="ELAD_VLLM does not name the Python of an environment with vLLM"),
]
ROWS = [json.loads(line) for line in (sample.folder() / "warmup.jsonl").read_text(encoding="utf-8").splitlines()]
PROMPTS = [
    Prompt(messages=(Message(role="user", content=f"{row['question']} Explain, then say: The answer is N."),), seed=i)
    for i, row in enumerate(ROWS)
]
GOING_ON = [Prompt(messages=p.messages, prefix="First, we see that", seed=p.seed) for p in PROMPTS]
OPTIONS = [(prompt, option) for prompt in PROMPTS for option in (" A", " B", " C", " 17", " yes, of course")]
LONG = [(prompt, row["rationale"]) for prompt, row in zip(PROMPTS, ROWS, strict=True)]
GREEDY = Sampling(max_tokens=48)
WARM = Sampling(temperature=0.7, top_p=0.95, max_tokens=48)


def settings(dtype: str) -> Vllm:
    try:
        folder = model_folder("smollm2-135m")
    except StudentError as error:
        pytest.skip(f"needs smollm2-135m: {error}")
    return Vllm(model=str(folder), dtype="float32" if dtype == "float32" else "bfloat16", python=PYTHON)


def alike(ours: Sequence[Generation], theirs: Sequence[Generation]) -> float:
    """The share of prompts that get the very same text."""
    return fmean(one.text == other.text for one, other in zip(ours, theirs, strict=True))


def apart(ours: Student, theirs: Student) -> tuple[float, float]:
    """How far log-probabilities are apart, in nats: on average, and at most."""
    pairs = OPTIONS + LONG
    off = [
        abs(one - other)
        for first, second in zip(ours.score(pairs), theirs.score(pairs), strict=True)
        for one, other in zip(first, second, strict=True)
    ]
    return fmean(off), max(off)


def best(student: Student) -> list[int]:
    """Which of its options each prompt's student finds likeliest."""
    totals = [sum(logs) for logs in student.score(OPTIONS)]
    rows = [totals[start : start + 5] for start in range(0, len(totals), 5)]
    return [row.index(max(row)) for row in rows]


def test_in_single_precision_nothing_differs_before_and_after_training(tmp_path: Path) -> None:
    ours = settings("float32").open()
    theirs = ours.settings.local.open()
    examples = [
        Example(problem_id=str(i), messages=prompt.messages, target=target, source="warmup")
        for i, (prompt, target) in enumerate(LONG[:8])
    ]
    fit = ours.fit(examples, Lesson(objective=Sft(), training=Training(epochs=1), seed=1), folder=tmp_path)
    for one, other in ((ours, theirs), (fit.student, ours.settings.local.load(tmp_path))):
        mean, most = apart(one, other)
        assert (mean < 1e-4, most < 1e-2) == (True, True), (mean, most)
        assert best(one) == best(other)
        for prompts in (PROMPTS, GOING_ON):
            assert alike(one.generate(prompts, GREEDY), other.generate(prompts, GREEDY)) == 1.0
        drawn = one.generate(PROMPTS, WARM)
        assert alike(drawn, one.generate(PROMPTS[::-1], WARM)[::-1]) >= 0.95
        assert alike(drawn, other.generate(PROMPTS, WARM)) >= 0.9
    ours.close()


def test_in_half_precision_they_differ_by_rounding() -> None:
    ours = settings("bfloat16").open()
    theirs = ours.settings.local.open()
    mean, most = apart(ours, theirs)
    assert (mean < 0.1, most < 1.0) == (True, True), (mean, most)
    assert fmean(one == other for one, other in zip(best(ours), best(theirs), strict=True)) >= 0.9
    made, expected = ours.generate(PROMPTS, GREEDY), theirs.generate(PROMPTS, GREEDY)
    starts = [(one.text[:20], other.text[:20]) for one, other in zip(made, expected, strict=True)]
    assert fmean(one == other for one, other in starts) >= 0.8
    ours.close()
