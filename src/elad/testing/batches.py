"""The batch protocol: a file of chat requests in, a file of replies out, some polls later.

A batch goes on with each `GET /v1/batches/{id}`, never by the clock. Its lines are noted in the books: they
arrive when validation is over, and are billed, at half the price, when their replies are written.
"""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

from elad.records import derive_seed
from elad.testing.batch_lines import ENDPOINT, BatchLine, complaint, read_lines
from elad.testing.books import Bookkeeper, Entry
from elad.testing.replies import Author, BadRequestError, as_json, error_body, read_json, read_prompt
from elad.testing.uploads import MADE_AT, Files
from elad.testing.wire import Answer, HttpRequest

_WINDOW = "24h"
_DISCOUNT = 0.5
_MOST_LISTED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """How one batch goes. Lines are counted from 0, in the order of the input file."""

    validating: int = 1
    """Polls that find the batch so; the next two likewise."""
    in_progress: int = 1
    finalizing: int = 1
    failing: Mapping[int, int] = field(default_factory=dict[int, int])
    """Status by line: these are in the error file."""
    missing: Collection[int] = ()
    """These are in no file, and not billed."""
    expires_after: int | None = None
    """The batch expires with so many lines worked off; the others are in the error file as `batch_expired`."""
    fails: bool = False
    """Validation fails, as it also does on lines that cannot be read."""


class _Batch:
    """One batch: what the protocol says of it, its lines in the order of work, and the statuses to come."""

    def __init__(
        self, data: dict[str, Any], lines: list[BatchLine], plan: BatchPlan, errors: list[dict[str, Any]]
    ) -> None:
        self.data = data
        self.lines = lines
        self.plan = plan
        self.errors = errors
        self.worked_off = len(lines) if plan.expires_after is None else plan.expires_after
        self._next = deque(["validating"] * plan.validating)
        if errors:
            self._next.append("failed")
            return
        self._next.extend(["in_progress"] * plan.in_progress)
        if plan.expires_after is None:
            self._next.extend(["finalizing"] * plan.finalizing)
        self._next.append("completed" if plan.expires_after is None else "expired")

    @property
    def over(self) -> bool:
        return not self._next

    def advance(self) -> str | None:
        """The status that one poll brings; None where it stays what it was."""
        status = self._next.popleft() if self._next else self.data["status"]
        if status == self.data["status"]:
            return None
        self.enter(status)
        return status

    def cancel(self) -> None:
        """Winds the batch up: a half of the lines is worked off, where work had begun and not ended."""
        done = {"validating": 0, "in_progress": self.worked_off // 2}
        self.worked_off = done.get(self.data["status"], self.worked_off)
        self.enter("cancelling")
        self._next = deque(["cancelled"])

    def enter(self, status: str) -> None:
        self.data |= {"status": status, f"{status}_at": MADE_AT}


class BatchDesk:
    """Files and batches of one server. Used from one thread."""

    def __init__(self, author: Author, keeper: Bookkeeper, plans: Sequence[BatchPlan], seed: int) -> None:
        self._author = author
        self._keeper = keeper
        self._plans = plans
        self._seed = seed
        self._files = Files()
        self._batches: dict[str, _Batch] = {}

    def answer(self, request: HttpRequest, path: str) -> Answer:
        """The answer to a request under `/v1/files` or `/v1/batches`.

        Raises: BadRequestError on what cannot be served; its code is `not_found` where nothing is there.
        """
        match (request.method, path.strip("/").split("/")):
            case (_, ["v1", "files", *rest]) if answer := self._files.answer(request, rest):
                return answer
            case ("POST", ["v1", "batches"]):
                batch = self._created(read_json(request.body))
            case ("GET", ["v1", "batches"]):
                return Answer(body=as_json(self._listed(urlsplit(request.target).query)))
            case ("GET", ["v1", "batches", batch_id]):
                batch = self._get(batch_id)
                self._polled(batch)
            case ("POST", ["v1", "batches", batch_id, "cancel"]):
                batch = self._get(batch_id)
                if batch.over:
                    raise BadRequestError(f"Cannot cancel a batch with status '{batch.data['status']}'.")
                batch.cancel()
            case _:
                raise BadRequestError(f"Invalid URL ({request.method} {path})", code="not_found")
        return Answer(body=as_json(batch.data))

    def _get(self, batch_id: str) -> _Batch:
        if batch_id not in self._batches:
            raise BadRequestError(f"No batch found with id '{batch_id}'.", "batch_id", code="not_found")
        return self._batches[batch_id]

    def _created(self, asked: Mapping[str, Any]) -> _Batch:
        for name, served in (("endpoint", ENDPOINT), ("completion_window", _WINDOW)):
            if asked.get(name) != served:
                raise BadRequestError(f"'{name}' must be '{served}' here.", name)
        stored = self._files.get(asked.get("input_file_id"))
        number = len(self._batches)
        plan = self._plans[number] if number < len(self._plans) else BatchPlan()
        lines, errors = read_lines(stored.content)
        if plan.fails:
            errors.append(complaint("token_limit_exceeded", "Enqueued token limit reached for this organization."))
        data: dict[str, Any] = {
            "id": f"batch_{number:06d}",
            "object": "batch",
            "endpoint": ENDPOINT,
            "errors": None,
            "input_file_id": stored.id,
            "completion_window": _WINDOW,
            "status": "validating",
            "output_file_id": None,
            "error_file_id": None,
            "created_at": MADE_AT,
            "expires_at": MADE_AT + 24 * 3600,
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            "metadata": asked.get("metadata"),
        }
        batch = _Batch(data, _shuffled(lines, derive_seed("batch", self._seed, number)), plan, errors)
        self._batches[data["id"]] = batch
        return batch

    def _listed(self, query: str) -> dict[str, Any]:
        """A page of the list, the newest batch first."""
        asked = parse_qs(query)
        newest = [batch.data for batch in reversed(self._batches.values())]
        after, limit = asked.get("after", [""])[0], asked.get("limit", ["20"])[0]
        if after:
            before = [n for n, data in enumerate(newest) if data["id"] == after]
            newest = newest[before[0] + 1 :] if before else []
        page = newest[: min(int(limit), _MOST_LISTED) if limit.isdecimal() else 20]
        return {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
            "has_more": len(newest) > len(page),
        }

    def _polled(self, batch: _Batch) -> None:
        match batch.advance():
            case "failed":
                batch.data["errors"] = {"object": "list", "data": batch.errors}
            case "in_progress":
                batch.data["request_counts"] = {"total": len(batch.lines), "completed": 0, "failed": 0}
                for line in batch.lines:
                    self._keeper.note(Entry.ARRIVED, line.digest, in_service=0)
            case "completed" | "expired" | "cancelled":
                self._write(batch)
            case _:
                pass

    def _write(self, batch: _Batch) -> None:
        """Writes the results, and bills what was generated."""
        results: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        for place, line in enumerate(batch.lines):
            if line.number in batch.plan.missing:
                continue
            if place >= batch.worked_off:
                errors += [line.expired()] if batch.data["status"] == "expired" else []
                continue
            result = self._worked_off(line, batch.plan.failing.get(line.number))
            (results if result["response"]["status_code"] == 200 else errors).append(result)
        for name, found in (("output", results), ("error", errors)):
            if found:
                content = b"".join(as_json(result) + b"\n" for result in found)
                stored = self._files.add(f"{batch.data['id']}_{name}.jsonl", "batch_output", content)
                batch.data[f"{name}_file_id"] = stored.id
        batch.data["request_counts"] |= {"completed": len(results), "failed": len(errors)}

    def _worked_off(self, line: BatchLine, status: int | None) -> dict[str, Any]:
        try:
            if status is not None:
                result = line.failed(status)
            else:
                completion = self._author.write(read_prompt(line.body), factor=_DISCOUNT)
                self._keeper.note(Entry.BILLED, line.digest, **completion.costs)
                self._keeper.note(Entry.ANSWERED, line.digest)
                return line.result(200, completion.data)
        except BadRequestError as error:
            result = line.result(400, error_body(str(error), kind="invalid_request_error", param=error.param))
        except Exception:  # the user's own function
            result = line.failed(500)
        self._keeper.note(Entry.REFUSED, line.digest, status=result["response"]["status_code"])
        return result


def _shuffled(lines: list[BatchLine], seed: int) -> list[BatchLine]:
    """The lines in another order than they came in, where there are two or more."""
    shuffled = list(lines)
    Random(seed).shuffle(shuffled)
    return shuffled if shuffled != lines else lines[::-1]
