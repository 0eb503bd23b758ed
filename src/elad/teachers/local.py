"""A teacher without a model: it answers at once, by a rule."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from elad.outcomes import Purpose, ReplyOutcome
from elad.records import Charge, Reply, Request

ONE_CALL = Charge(calls=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """A `Teacher` that is a function of the request; `worst_case` is what answering would cost."""

    id: str
    serves: frozenset[Purpose]
    answer: Callable[[Request], Reply]
    priced: bool = True

    def worst_case(self, request: Request) -> Charge:
        return replace(self.answer(request).charge, calls=1, seconds=0.0)

    @property
    def repeatable(self) -> bool:
        return True

    @property
    def way(self) -> str:
        return "local"

    def lost(self, request: Request) -> bool | None:
        return None

    @property
    def scope(self) -> str | None:
        return None

    def ask(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        for request in requests:
            if request is None:
                return
            yield self.answer(request)

    def close(self) -> None:
        pass


def said(request: Request, teacher: str, text: str, charge: Charge = ONE_CALL) -> Reply:
    """A good reply."""
    return Reply(request=request.key, text=text, outcome=ReplyOutcome.OK, charge=charge, teacher=teacher)


def failed(request: Request, teacher: str, reason: str) -> Reply:
    """A reply that says why there is none."""
    return Reply(
        request=request.key,
        text="",
        outcome=ReplyOutcome.FAILED,
        charge=Charge(),
        teacher=teacher,
        reason=reason,
    )
