"""What a student wrote, as a record: split into steps, its answer read."""

from elad import steps
from elad.protocols import Task
from elad.records import Chain, Problem, Sampling


def make_chain(  # noqa: PLR0913
    text: str,
    problem: Problem,
    task: Task,
    *,
    finished: bool,
    sampling: Sampling,
    seed: int,
    tokens: int,
    most_steps: int,
) -> Chain:
    """The chain that a text is, its text kept as it stands; a surplus of steps is merged."""
    parsed = task.parse(text, problem, finished=finished)
    return Chain(
        problem_id=problem.id,
        text=text,
        steps=steps.split(text, most=most_steps),
        answer=parsed.answer,
        outcome=parsed.outcome,
        sampling=sampling,
        seed=seed,
        tokens=tokens,
    )
