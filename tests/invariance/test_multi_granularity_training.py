"""The whole objective of multi-granularity revision in trainings of a tiny student beside a tiny guide."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_model
import torch

from elad.kinds import build
from elad.learning import Full, Lesson, Need, Targets
from elad.methods.multi_granularity import SpanConsistency, experiment
from elad.packing.sight import Sight
from elad.protocols import Fit
from elad.records import Example, Message
from elad.settings import Training
from elad.students.transformers import Transformers, TransformersStudent
from elad.training.batches import encoded
from elad.training.rows import collate
from elad.training.trainer import step_loss

TRAINING = Training(epochs=2, batch_size=4, micro_batch_size=4, learning_rate=0.01)


def examples(count: int) -> list[Example]:
    return [
        Example(
            problem_id=str(i),
            messages=(Message(role="user", content=f"{i} + 1?"),),
            target=f"{i} + 1 = {i + 1}.\n" * (1 + i % 3) + f"The answer is {i + 1}.",
            source="repaired",
        )
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[TransformersStudent, TransformersStudent]:
    """A student and a guide of other weights."""
    folders = [tiny_model.save(tmp_path_factory.mktemp("tiny"), seed=seed) for seed in (0, 1)]
    student, guide = (Transformers(model=str(folder), dtype="float32", lora=None).open() for folder in folders)
    for one in (student, guide):  # near uniform ones multiply to next to nothing
        one.model.lm_head.weight.data *= 20
    return student, guide


def lesson(guide: TransformersStudent, objective: Any, training: Training = TRAINING) -> Lesson:
    return Lesson(objective=objective, training=training, seed=3, guide=guide.guide())


def taught(student: TransformersStudent, how: Lesson, folder: Path) -> Fit:
    return student.fit(examples(8), how, folder=folder)


def test_eight_rows_at_once_are_eight_accumulated(
    both: tuple[TransformersStudent, TransformersStudent], tmp_path: Path
) -> None:
    student, guide = both
    objective = experiment().objective
    parts: list[list[float]] = []
    for micro in (4, 1):
        how = lesson(guide, objective, replace(TRAINING, micro_batch_size=micro))
        summary = taught(student, how, tmp_path / str(micro)).summary
        assert all(set(one) == {"sft", "dac_kl", "span"} for one in summary["parts"])
        assert all(sum(one.values()) == pytest.approx(loss, abs=1e-3) for one, loss in zip(
            summary["parts"], summary["losses"], strict=True
        ))  # fmt: skip
        parts.append([value for one in summary["parts"] for value in one.values()])
    assert parts[0] == pytest.approx(parts[1], abs=2e-3)
    assert all(value > 0 for value in parts[0])


def test_spans_lie_where_they_stand_in_the_text(both: tuple[TransformersStudent, TransformersStudent]) -> None:
    """Each packed target's place gives back its own token, and the loss is that of plain forward passes."""
    student, guide = both
    how = lesson(guide, SpanConsistency())
    items = [encoded(student.tokenizer, one, how) for one in examples(3)]
    rows = [item.rows[0] for item in items]
    batch = collate(rows, 40)
    for row, (start, end), token in zip(
        batch["rows"].tolist(), batch["places"].tolist(), batch["targets"].tolist(), strict=True
    ):
        said = "" if token == student.tokenizer.eos_token_id else student.tokenizer.decode([token])
        assert batch["texts"][row][start:end] == said
    packed = step_loss(student.model, batch, how, Sight.of(student.model.config))
    total = 0.0
    for row in rows:
        logits = [one.model(input_ids=torch.tensor([row.ids])).logits[0] for one in (student, guide)]
        mine, theirs = (one[row.target_start - 1 : -1].detach() for one in logits)
        count = len(row) - row.target_start
        targets = Targets(
            ids_N=torch.tensor(row.ids[row.target_start :]),
            mask_N=torch.ones(count, dtype=torch.bool),
            weights_N=torch.ones(count),
            rows_N=torch.zeros(count, dtype=torch.long),
            view=Full(logits_NV=theirs),
            texts_R=(row.text,),
            places_N2=torch.tensor(row.places),
        )
        total += SpanConsistency()(mine, targets).total.item()
    assert packed.total.item() == pytest.approx(total, rel=1e-3)
    assert total > 0


def test_rows_have_no_text_where_nobody_asks(both: tuple[TransformersStudent, TransformersStudent]) -> None:
    student, guide = both
    objective = build("elad.training.objectives", "forward_kl", "objective")
    assert Need.TEXT not in objective.needs
    item = encoded(student.tokenizer, examples(1)[0], lesson(guide, objective))
    assert (item.rows[0].text, item.rows[0].places) == ("", ())
    assert "texts" not in collate(item.rows)
