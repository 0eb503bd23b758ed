"""Experience: what the rounds so far have bought, for the selectors that learn from it."""

from elad.ledger.events import Event, Kind
from elad.outcomes import RevisionOutcome
from elad.protocols import Experienced, Selector, Task
from elad.records import Charge, Past, Problem, Reply, Revision, from_json
from elad.stages.embedding import embeddings
from elad.world import World


def experienced(world: World, number: int) -> Selector:
    """The selector of a round; one that learns knows what the arm bought in the rounds before, from the ledger alone.

    What failed is left out: nothing was bought, and that says nothing of the question. What came from the user's cache
    counts as what it had cost, so that what is picked does not depend on what is in there.
    """
    selector = world.experiment.selector
    if not isinstance(selector, Experienced):
        return selector
    revised = {
        event.payload["problem_id"]: from_json(Revision, event.payload)
        for event in world.ledger.events(Kind.REVISION)
        if event.round < number and event.payload["outcome"] != RevisionOutcome.FAILED
    }
    costs = {reply.request: reply.bought for reply in map(_reply, world.ledger.of(None).events(Kind.REPLY))}
    picks = [event for event in world.ledger.events(Kind.PICK) if event.payload["problem_id"] in revised]
    problems = [from_json(Problem, event.payload["problem"]) for event in picks]
    vectors = embeddings(world, problems, number) or [None] * len(picks)
    return selector.having([
        Past(
            round=event.round,
            problem=problem,
            chain=revised[problem.id].before,
            aggregate=event.payload["aggregate"],
            parts={name: tuple(values) for name, values in event.payload["parts"].items()},
            embedding=None if vector is None else tuple(vector),
            by=event.payload["by"],
            outcome=revised[problem.id].outcome,
            changed=_changed(world.task, problem, revised[problem.id]),
            charge=sum((costs[name] for name in revised[problem.id].requests), Charge()),
        )
        for event, problem, vector in zip(picks, problems, vectors, strict=True)
    ])  # fmt: skip


def _changed(task: Task, problem: Problem, revision: Revision) -> bool:
    """Whether what is to be learnt ends elsewhere than the draft; a draft without an answer ends nowhere."""
    said = task.parse(revision.before, problem).answer
    return revision.answer is not None and not task.same(said, revision.answer, problem)


def _reply(event: Event) -> Reply:
    return from_json(Reply, event.payload)
