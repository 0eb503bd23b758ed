"""The faults of the chaos teacher, and which request meets which."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import accumulate

from elad.errors import ConfigError
from elad.records import derive_seed


class Fault(StrEnum):
    """What goes wrong with one request.

    Refused ones are turned away before anything was generated and cost nothing. All others are billed:
    the reply was generated, otherwise than it should be or whole and then spoiled on its way.
    """

    RATE_LIMIT = "rate limit"
    """Refused: 429 with `Retry-After`."""
    RATE_LIMIT_BARE = "rate limit, bare"
    """Refused: 429 without a word on when to come back."""
    SERVER_ERROR = "server error"
    """Refused: 500."""
    BAD_GATEWAY = "bad gateway"
    """Refused: 502."""
    UNAVAILABLE = "unavailable"
    """Refused: 503."""
    HTML_OK = "html with status 200"
    """Refused: the page of a proxy, with status 200."""
    HTML_ERROR = "html with status 502"
    """Refused: the page of a proxy, with status 502."""
    AUTH_EXPIRED = "auth expired"
    """Refused: 401, the key has expired (for this request; `Changes.auth_ends_after` is for good)."""
    CONTEXT_LENGTH = "context length"
    """Refused: 400, a context limit just below the prompt's length (`Changes.context_tokens` is for good)."""
    SLOW = "slow"
    """The first byte comes `slow_seconds` late; then all is well."""
    STALL = "stall"
    """Half of the reply, silence for `stall_seconds`, and the connection is closed."""
    RESET = "reset"
    """Half of the reply, and the connection is reset."""
    TRUNCATED_JSON = "truncated json"
    """Half of the JSON, sent as if it were whole."""
    INVALID_UTF8 = "invalid utf-8"
    """Two bytes within the text that are no UTF-8."""
    DUPLICATE = "duplicate"
    """The whole reply twice on one connection, in one piece; the connection stays open. A client that reads
    ahead and uses the connection again takes the second one for the reply to its next request."""
    HUGE = "huge"
    """A text of more than 30 MB; the usage is that of the text without its filling."""
    WRONG_SCHEMA = "wrong schema"
    """Valid JSON that is no chat completion."""
    EMPTY_CHOICES = "empty choices"
    """A chat completion with no choice in it."""
    LENGTH = "length"
    """Half of the text, with finish_reason `length`."""
    NO_USAGE = "no usage"
    """A chat completion that does not say what it used."""
    WRONG_MODEL = "wrong model"
    """A chat completion that names another model than was asked for."""
    PRICE_CHANGE = "price change"
    """Billed, and reported in `usage.x_price`, at `Changes.price_factor` times the price."""
    REFUSAL = "refusal"
    """The model declines: no content, but a `refusal`."""
    CONTENT_FILTER = "content filter"
    """Half of the text, with finish_reason `content_filter`."""


TRANSIENT = frozenset({
    Fault.RATE_LIMIT, Fault.RATE_LIMIT_BARE, Fault.SERVER_ERROR, Fault.BAD_GATEWAY, Fault.UNAVAILABLE,
    Fault.HTML_OK, Fault.HTML_ERROR, Fault.SLOW, Fault.STALL, Fault.RESET, Fault.TRUNCATED_JSON,
    Fault.INVALID_UTF8, Fault.WRONG_SCHEMA, Fault.EMPTY_CHOICES,
})  # fmt: skip
"""Faults after which the same request may well succeed. `HUGE` would belong here, but weighs too much."""


class Plan:
    """Which request meets which fault: those of the script in order, after them each by its own lot.

    The lot of the n-th request of the same content depends on the seed, the content and n alone.
    """

    def __init__(self, seed: int, script: Sequence[Fault | None], faults: Mapping[Fault, float] | float) -> None:
        self._seed = seed
        self._script = list(reversed(script))
        shares = _shares(faults)
        self._kinds = list(shares)
        self._bounds = list(accumulate(shares.values()))
        self._seen: Counter[str] = Counter()

    def draw(self, digest: str) -> Fault | None:
        """The fault of the request that is served now; None where it is served well."""
        n = self._seen[digest]
        self._seen[digest] += 1
        if self._script:
            return self._script.pop()
        if not self._kinds:
            return None
        at = bisect_right(self._bounds, derive_seed("chaos", self._seed, digest, n) / 2**63)
        return self._kinds[at] if at < len(self._kinds) else None


def _shares(faults: Mapping[Fault, float] | float) -> dict[Fault, float]:
    """Share of each kind, in the order of the enum; a single number is spread over the transient kinds.

    Raises: ConfigError on a share outside 0..1 and on a sum above 1.
    """
    if not isinstance(faults, Mapping):
        faults = dict.fromkeys(TRANSIENT, faults / len(TRANSIENT))
    for fault, share in faults.items():
        if not 0 <= share <= 1:
            raise ConfigError(f"chaos.faults: {share} for {fault.value!r} is not a share (0..1)")
    if sum(faults.values()) > 1 + 1e-9:
        raise ConfigError(f"chaos.faults: the shares add up to {sum(faults.values()):g}, more than 1")
    return {fault: faults[fault] for fault in Fault if faults.get(fault)}
