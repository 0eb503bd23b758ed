"""The batches of one teacher at its endpoint: those of this session, and those that an earlier one has left there.

What is under way is known to the endpoint alone, so that a killed process leaves nothing behind to be repaired: each
batch carries the teacher's name in its metadata, and each of its lines the request's key. At the first request of a
session the list of batches is read. Of those that are over the replies are taken, of those under way the keys of
their input. A request that is in one of them is not sent again, whichever part of its batch was lost on the way:
the answer to the call that made it, some replies, or all. Only one whose reply was billed and is not to be had is
(`lost`). Where the input cannot be had any more, only the lines that the results name are known.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from elad.errors import TeacherError
from elad.ledger.cache import cache_folder
from elad.records import digest
from elad.teachers.batch_api import FIRST_PAUSE_SECONDS, Batch, BatchApi, Refused, growing
from elad.teachers.batch_lines import Results, input_keys
from elad.teachers.batch_record import Record
from elad.teachers.endpoint import Endpoint

_MOST_WAIT_SECONDS = 26 * 3600.0
"""A batch that takes longer than the 24 hours that it may take is given up; the endpoint should have ended it."""


@dataclass(slots=True, kw_only=True, eq=False)
class Posted:
    """A batch at the endpoint."""

    batch: Batch
    keys: set[str]
    """Of the requests whose replies can still be had from it."""
    lost: set[str] = field(default_factory=set[str])
    """Of those that were most likely billed, and whose replies cannot be had."""
    results: Results = field(default_factory=Results)
    """Empty until the batch is over."""
    spoilt: bool = False
    """Some of what it said cannot be read: a request that it says nothing of may have been billed."""

    def done(self, key: str) -> None:
        """Nothing more is wanted of this request."""
        self.keys.discard(key)
        self.lost.discard(key)


class Desk:
    """Where requests are handed in by the file. Its methods raise `TeacherError`, and `Stopped` where they wait."""

    def __init__(self, endpoint: Endpoint, sleep: Callable[[float], None]) -> None:
        self._endpoint = endpoint
        self._api = BatchApi(endpoint, sleep)
        self._record = Record(cache_folder(), endpoint.where)
        self._posted: list[Posted] | None = None
        """None until the list of earlier batches was read."""

    def holding(self, key: str) -> Posted | None:
        """The batch that the reply to a request can be had from."""
        return next((posted for posted in self._all() if key in posted.keys), None)

    def lost(self, key: str) -> bool:
        """Whether a request was most likely billed in a batch that its reply cannot be had from."""
        return self.holding(key) is None and any(key in posted.lost for posted in self._all())

    def post(self, lines: Mapping[str, bytes]) -> Posted:
        """A new batch of these lines, by key; what was lost of them before is done with.

        Raises: Stopped instead, where nobody is to wait for it.
        """
        name = f"elad-{digest(list(lines))}.jsonl"
        self._api.pause(0)
        file_id = self._api.upload(name, b"".join(lines.values()))
        self._api.pause(0)
        batch = self._api.create(file_id, {"elad": self._endpoint.id})
        for earlier in list(self._all()):
            earlier.lost -= lines.keys()
            self.settle(earlier)
        posted = Posted(batch=batch, keys=set(lines))
        self._all().append(posted)
        return posted

    def wait(self, posted: Posted) -> None:
        """Returns when the batch is over and its results are there.

        Raises: TeacherError when the endpoint turned the batch down as a whole, or does not end it.
        """
        waited, where = 0.0, f"{self._endpoint.where}: batch {self._shown(posted.batch.id)}"
        for pause in growing():
            if posted.batch.over:
                break
            if waited > _MOST_WAIT_SECONDS:
                status, hours = self._shown(posted.batch.status), waited / 3600
                raise TeacherError(f"{where} is still {status!r} after {hours:.0f} hours")
            self._api.pause(pause)
            waited += pause
            posted.batch = self._get(posted.batch)
        if posted.batch.ended("failed"):
            posted.keys.clear()
            raise TeacherError(f"{where} was turned down: {self._endpoint.clean(posted.batch.complaint)}")
        if not posted.results.known:
            self._collect(posted, frozenset(posted.keys))

    def settle(self, posted: Posted) -> None:
        """Notes that nothing more is to be had from a batch that is over, where that is so."""
        if posted.batch.over and not posted.keys and not posted.lost:
            self._record.add(posted.batch.id)
            self._all().remove(posted)

    def _all(self) -> list[Posted]:
        if self._posted is None:
            self._posted = sorted(self._earlier(), key=lambda posted: not posted.batch.over)
        return self._posted

    def _earlier(self) -> Iterator[Posted]:
        seen = set(self._record.done())
        for batch in self._listed():
            name = self._record.name(batch.id)
            if batch.marked != self._endpoint.id or name in seen:
                continue
            seen.add(name)
            posted = Posted(batch=batch, keys=set())
            if not batch.over:
                posted.keys = self._input_keys(batch)
            elif not batch.ended("failed"):
                self._take_up(posted)
            if posted.keys or posted.lost:
                yield posted
            else:
                self._record.add(batch.id)

    def _listed(self) -> Iterator[Batch]:
        try:
            yield from self._api.listed()
        except Refused as error:
            hint = "; it seems to have no batch API: teacher.channel=live" if error.status in (404, 405, None) else ""
            raise TeacherError(f"{error}{hint}") from None

    def _take_up(self, posted: Posted) -> None:
        try:
            asked = frozenset(self._input_keys(posted.batch))
        except Refused:
            asked = None
        try:
            self._collect(posted, asked)
        except TeacherError as error:
            gone = isinstance(error, Refused) and error.status == 404
            if asked is None and not gone:
                raise
            known = set(asked or ())
            posted.keys, posted.lost = (set(), known) if gone else (known, set())  # the latter `wait` tells of

    def _input_keys(self, batch: Batch) -> set[str]:
        try:
            return input_keys(self._api.content(batch.input_file_id or ""))
        except (Refused, ValueError) as error:
            said = self._endpoint.clean(str(error)) if isinstance(error, Refused) else "a line is damaged"
            raise Refused(
                f"{self._endpoint.where}: batch {self._shown(batch.id)} of an earlier session is "
                f"{self._shown(batch.status)}, and what is in it cannot be read ({said}): try again later, or "
                "teacher.channel=live",
                None,
            ) from None

    def _collect(self, posted: Posted, asked: frozenset[str] | None) -> None:
        """Downloads the results, again where they seem to be incomplete. `asked`: the lines that it has, if known.

        Raises: TeacherError when nothing of them can be read.
        """
        tries = self._endpoint.link.attempts
        results, spoilt = self._download(posted.batch, asked)
        while spoilt and tries > 1:
            tries -= 1
            self._api.pause(FIRST_PAUSE_SECONDS)
            posted.batch = self._get(posted.batch)
            results, spoilt = self._download(posted.batch, asked)
        if spoilt and not results.known:
            raise TeacherError(
                f"{self._endpoint.where}: the results of batch {self._shown(posted.batch.id)} cannot be read; the same "
                "command tries again, and with teacher.channel=live they are counted as lost"
            )
        posted.results, posted.spoilt, posted.keys = results, spoilt, set(results.good)
        posted.lost = results.garbled.keys() - results.good.keys()
        if spoilt and asked:
            posted.lost |= asked - results.named

    def _download(self, batch: Batch, asked: frozenset[str] | None) -> tuple[Results, bool]:
        """The results, and whether some of them seem to be missing."""
        results = Results()
        for file_id in (batch.output_file_id, batch.error_file_id):
            if file_id:
                results.add(self._api.content(file_id))
        answered = {*results.good, *results.garbled}
        found = answered if asked is None else answered & asked
        return results, results.unreadable > 0 or len(found) < batch.completed

    def _get(self, batch: Batch) -> Batch:
        try:
            return self._api.get(batch.id)
        except TeacherError as error:
            left = f"batch {self._shown(batch.id)} goes on there, the same command takes it up"
            raise TeacherError(f"{error}; {left}") from None

    def _shown(self, said: str) -> str:
        """An id or a status as it may be shown."""
        return self._endpoint.clean(said)[:80]
