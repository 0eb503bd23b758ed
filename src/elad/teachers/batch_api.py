"""The steps of the batch protocol at one endpoint, each tried again while its trouble may pass."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeVar, cast

import httpx2
import openai
from pydantic import BaseModel, Field, ValidationError

from elad.errors import TeacherError
from elad.interrupt import SLICE_SECONDS, Stopped, stopping
from elad.teachers.batch_lines import URL
from elad.teachers.call import concerns_account, unsent
from elad.teachers.endpoint import Endpoint
from elad.teachers.pace import duration
from elad.teachers.received import Received, whole

T = TypeVar("T")

FIRST_PAUSE_SECONDS = 5.0
"""Before the first poll, and before a step is tried again; each further pause is half as long again."""
MOST_PAUSE_SECONDS = 60.0
PATIENCE = 15
"""How often a step is tried while a batch is under way: ten minutes without the endpoint are borne."""
_MOST_PAGES = 10
_PAGE = 100
_MOST_ANSWER_BYTES = 16 * 1024 * 1024
_MOST_FILE_BYTES = 1024 * 1024 * 1024
_TRANSFER_SECONDS = 1800.0
_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})


class Refused(TeacherError):
    """The endpoint answered, but not with what was asked for, and will not do so the next time either."""

    def __init__(self, message: str, status: int | None) -> None:
        """`status` is None where the answer was good by its status, and could not be read."""
        super().__init__(message)
        self.status = status


class Batch(BaseModel):
    """What the endpoint says of one batch; a status that is not known is one of a batch under way."""

    id: str = Field(min_length=1)
    status: str
    input_file_id: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    metadata: Any = None
    request_counts: Any = None
    errors: Any = None

    @property
    def over(self) -> bool:
        return self.status.lower() in _ENDED

    def ended(self, status: str) -> bool:
        """Whether it ended in this status."""
        return self.status.lower() == status

    @property
    def completed(self) -> int:
        """How many lines were answered and billed, by the endpoint's count; 0 where it gives none."""
        try:
            return _Counts.model_validate(self.request_counts).completed
        except ValidationError:
            return 0

    @property
    def marked(self) -> str | None:
        """Whose batch it is, by its metadata; None where it is not one of ours."""
        try:
            return _Metadata.model_validate(self.metadata).elad
        except ValidationError:
            return None

    @property
    def complaint(self) -> str:
        """What is wrong with its input, in the endpoint's words."""
        try:
            said = [f"{error.message} ({error.code})" for error in _Errors.model_validate(self.errors).data[:3]]
        except ValidationError:
            said = []
        return "; ".join(said) or "no reason given"


class _Counts(BaseModel):
    completed: int


class _Metadata(BaseModel):
    elad: str


class _Error(BaseModel):
    message: str = "no message"
    code: Any = None


class _Errors(BaseModel):
    data: list[_Error]


class _File(BaseModel):
    id: str = Field(min_length=1)


class _Page(BaseModel):
    data: list[Any]
    has_more: bool = False


class BatchApi:
    """One endpoint's files and batches. Every step may raise `TeacherError`, and `Stopped` in a pause."""

    def __init__(self, endpoint: Endpoint, sleep: Callable[[float], None]) -> None:
        self._endpoint = endpoint
        self._sleep = sleep
        self._files = endpoint.client.files.with_streaming_response
        self._batches = endpoint.client.batches.with_streaming_response

    def listed(self) -> Iterator[Batch]:
        """The batches, newest first, at most a thousand; entries that cannot be read are left out."""
        after: str | None = None
        for _ in range(_MOST_PAGES):
            page = self._steadily(lambda after=after: self._page(after), self._endpoint.link.attempts)
            batches = list(_readable(page.data))
            yield from batches
            if not page.has_more or not batches or batches[-1].id == after:
                return
            after = batches[-1].id

    def upload(self, name: str, content: bytes) -> str:
        """The id of the file, now at the endpoint."""

        def step() -> str:
            sending = self._files.create(file=(name, content), purpose="batch")
            return _File.model_validate_json(self._read(sending, transfer=True)).id

        return self._steadily(step, self._endpoint.link.attempts)

    def create(self, file_id: str, metadata: dict[str, str]) -> Batch:
        """The batch of an uploaded file. Made once: before a second try it is looked for."""
        tried = False

        def step() -> Batch:
            nonlocal tried
            if tried:
                found = [batch for batch in _readable(self._page(None).data) if batch.input_file_id == file_id]
                if found:
                    return found[0]
            tried = True
            sending = self._batches.create(
                input_file_id=file_id, endpoint=URL, completion_window="24h", metadata=metadata
            )
            return Batch.model_validate_json(self._read(sending))

        return self._steadily(step, self._endpoint.link.attempts)

    def get(self, batch_id: str) -> Batch:
        """The batch as it is now."""
        step = lambda: Batch.model_validate_json(self._read(self._batches.retrieve(batch_id)))  # noqa: E731
        return self._steadily(step, PATIENCE)

    def content(self, file_id: str) -> bytes:
        """What is in a file."""
        return self._steadily(lambda: self._read(self._files.content(file_id), transfer=True), PATIENCE)

    def pause(self, seconds: float) -> None:
        """Waits. Raises: Stopped as soon as it is not to wait any longer."""
        while seconds > 0 and not stopping():
            self._sleep(min(seconds, SLICE_SECONDS))
            seconds -= SLICE_SECONDS
        if stopping():
            raise Stopped

    def _page(self, after: str | None) -> _Page:
        sending = self._batches.list(limit=_PAGE, after=after) if after else self._batches.list(limit=_PAGE)
        return _Page.model_validate_json(self._read(sending))

    def _read(self, sending: AbstractContextManager[Any], *, transfer: bool = False) -> bytes:
        seconds = _TRANSFER_SECONDS if transfer else self._endpoint.link.timeout_seconds
        deadline = time.monotonic() + seconds
        most_bytes = _MOST_FILE_BYTES if transfer else _MOST_ANSWER_BYTES
        with cast("AbstractContextManager[Received]", sending) as response:
            return whole(response, most_bytes=most_bytes, deadline=deadline)

    def _steadily(self, step: Callable[[], T], tries: int) -> T:
        """What the step gives. Raises: Refused when the endpoint will not; TeacherError when it stays out of reach."""
        pauses = growing()
        while True:
            tries -= 1
            try:
                return step()
            except (openai.OpenAIError, httpx2.HTTPError, ValueError, TimeoutError) as error:
                if _lasts(error) or not tries:
                    raise self._trouble(error) from None
                asked = _asked_seconds(error)
            self.pause(min(max(next(pauses), asked), MOST_PAUSE_SECONDS))

    def _trouble(self, error: Exception) -> TeacherError:
        where, status = self._endpoint.where, None
        if isinstance(error, ValidationError):
            first = error.errors(include_input=False, include_url=False, include_context=False)[0]
            what = f"the answer of its batch API cannot be read: {first['msg']}"
        elif unsent(error):
            what = f"cannot connect ({error.__cause__ or error})"
        else:
            what = str(error) or type(error).__name__
        message = f"{where}: {self._endpoint.clean(what)}"
        if isinstance(error, openai.APIStatusError):
            status = error.status_code
        return Refused(message, status) if _lasts(error) or isinstance(error, ValueError) else TeacherError(message)


def growing() -> Iterator[float]:
    """Seconds of one pause after the other."""
    seconds = FIRST_PAUSE_SECONDS
    while True:
        yield min(seconds, MOST_PAUSE_SECONDS)
        seconds *= 1.5


def _asked_seconds(error: Exception) -> float:
    """How long the endpoint wants to be left alone; 0 where it does not say."""
    named = error.response.headers.get("retry-after", "") if isinstance(error, openai.APIStatusError) else ""
    return duration(named) or 0.0


def _lasts(error: Exception) -> bool:
    """Whether the endpoint has told an error that will be there the next time too."""
    if not isinstance(error, openai.APIStatusError):
        return False
    passes = error.status_code in (408, 409, 429) or error.status_code >= 500
    return concerns_account(error) or not passes


def _readable(entries: list[Any]) -> Iterator[Batch]:
    for entry in entries:
        try:
            yield Batch.model_validate(entry)
        except ValidationError:
            continue
