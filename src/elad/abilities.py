"""What some students and teachers can besides (`protocols`): abilities that not every one of them has."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, runtime_checkable

from elad.learning import Guide
from elad.protocols import Contrast, Prompt, Student


@runtime_checkable
class Embeds(Protocol):
    """A student that also turns prompts into vectors."""

    def embed(self, prompts: Sequence[Prompt]) -> list[tuple[float, ...]]:
        """A vector for each prompt, all of one length: the more alike two prompts are to it, the nearer they lie.

        A vector depends on its own prompt alone. One that does not fit the context is all zeros.
        """
        ...


@runtime_checkable
class Entropies(Protocol):
    """A student that also tells how undecided it is before each token."""

    def entropies(self, pairs: Sequence[tuple[Prompt, str]]) -> list[tuple[float, ...]]:
        """For each token that `score` gives a log-probability, the entropy of what might have stood in its place.

        A share of that of the uniform distribution over the vocabulary, 0..1; at temperature 1.
        """
        ...


@runtime_checkable
class Remembers(Protocol):
    """A student that need not read again what it has just written."""

    def remembering(self) -> AbstractContextManager[None]:
        """Until it is left: what the first `generate` writes is kept in mind for the calls after it.

        They give what they would give without it, but for the last bits of the arithmetic.
        """
        ...


@runtime_checkable
class Guides(Protocol):
    """A student whose own predictions can be looked at while another one learns."""

    def guide(self) -> Guide:
        """It, as it is; it stays so."""
        ...

    def refuse_other_tokens(self, student: Student) -> None:
        """Nothing where that student reads and writes the same tokens, so that its predictions can be compared.

        Raises: StudentError that says in what they differ.
        """
        ...


@runtime_checkable
class Attending(Protocol):
    """A teacher whose replies people write into the ledger of the run."""

    def attend(self, answer: Callable[[str], Mapping[str, Any] | None], note: Callable[[str], None]) -> None:
        """Tells it where the answer to a request of this key is found once there is one, and who is told of waiting."""
        ...


@runtime_checkable
class Contrasts(Protocol):
    """A student that can be held against another one, token by token."""

    def contrast(self, pairs: Sequence[tuple[Prompt, str]], guide: Student) -> list[Contrast]:
        """Where in each text, right after its prompt, the guide would go on otherwise.

        Edge: none where the pair does not fit the context. Raises: StudentError where the guide reads other tokens or
        shows none of its predictions.
        """
        ...
