"""Hear: what people have said of the revisions so far, fixed for a round when it first learns."""

from collections.abc import Mapping

from elad.ledger.events import Kind
from elad.ledger.people import Review, standing
from elad.records import digest, from_json, to_json
from elad.world import World


def hear(world: World, number: int) -> Mapping[str, Review]:
    """The reviews that a round goes by, by the key of their revision.

    They are those that stand when the round first learns, for both arms. What is said later is for later rounds: a
    round that was measured stays what it was, however often the run is resumed. A replay hears what its source heard.
    """
    key, everyone = digest([number]), world.ledger.of(None)
    told = everyone.get(Kind.HEARD, key)
    if told is None and not any(event.round == number for event in everyone.events(Kind.ROUND)):
        said = {name: to_json(review) for name, review in standing(everyone).items()}
        told = said or next((found for one in world.recalled if (found := one.get(Kind.HEARD, key))), None)
        if told:
            world.ledger.append(Kind.HEARD, [(key, told)], round=number)
    return {name: from_json(Review, review) for name, review in (told or {}).items()}
