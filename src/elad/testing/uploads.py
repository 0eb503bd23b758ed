"""The file part of the batch protocol: uploads, what is known of a file, and its content."""

from dataclasses import dataclass
from email.message import Message
from typing import Any

from elad.testing.replies import BadRequestError, as_json
from elad.testing.wire import Answer, HttpRequest

MADE_AT = 1_700_000_000
"""When everything here was made: there is no clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file as it was uploaded, or written by a batch."""

    id: str
    name: str
    purpose: str
    content: bytes

    @property
    def data(self) -> dict[str, Any]:
        """What the protocol says of it."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": len(self.content),
            "created_at": MADE_AT,
            "filename": self.name,
            "purpose": self.purpose,
            "status": "processed",
        }


class Files:
    """All files of a server."""

    def __init__(self) -> None:
        self._files: dict[str, StoredFile] = {}

    def add(self, name: str, purpose: str, content: bytes) -> StoredFile:
        """The file, now stored."""
        stored = StoredFile(id=f"file-{len(self._files):06d}", name=name, purpose=purpose, content=content)
        self._files[stored.id] = stored
        return stored

    def get(self, file_id: object) -> StoredFile:
        """The file of this id. Raises: BadRequestError where there is none."""
        stored = self._files.get(file_id) if isinstance(file_id, str) else None
        if stored is None:
            raise BadRequestError(f"No such File object: {file_id}", "id", code="not_found")
        return stored

    def answer(self, request: HttpRequest, parts: list[str]) -> Answer | None:
        """The answer to a request under `/v1/files`, given the rest of its path; None where nothing is there.

        Raises: BadRequestError on an upload that cannot be read, and on an unknown file.
        """
        match (request.method, parts):
            case ("POST", []):
                return Answer(body=as_json(self._uploaded(request).data))
            case ("GET", [file_id]):
                return Answer(body=as_json(self.get(file_id).data))
            case ("GET", [file_id, "content"]):
                return Answer(body=self.get(file_id).content, content_type="application/octet-stream")
            case _:
                return None

    def _uploaded(self, request: HttpRequest) -> StoredFile:
        fields = form_fields(request.headers.get("content-type", ""), request.body)
        if "file" not in fields or "purpose" not in fields:
            raise BadRequestError("An upload needs the fields 'file' and 'purpose'.", "file")
        name, content = fields["file"]
        purpose = fields["purpose"][1].decode(errors="replace")
        if purpose != "batch":
            raise BadRequestError(f"'{purpose}' is not a purpose that is served here; 'batch' is.", "purpose")
        return self.add(name, purpose, content)


def form_fields(content_type: str, body: bytes) -> dict[str, tuple[str, bytes]]:
    """File name (empty where there is none) and content of each field of a multipart form.

    Raises: BadRequestError where the body is no such form.
    """
    boundary = _parameter("content-type", content_type, "boundary")
    if not content_type.lower().startswith("multipart/form-data") or not boundary:
        raise BadRequestError("The upload is not multipart/form-data.")
    first, *parts = (b"\r\n" + body).split(b"\r\n--" + boundary.encode())
    if first.strip() or not parts or not parts[-1].startswith(b"--"):
        raise BadRequestError("The upload's parts cannot be told apart.")
    fields: dict[str, tuple[str, bytes]] = {}
    for part in parts[:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        for line in head.decode(errors="replace").split("\r\n"):
            header, _, value = line.partition(":")
            if header.strip().lower() == "content-disposition":
                name = _parameter("content-disposition", value, "name")
                fields[name] = (_parameter("content-disposition", value, "filename"), content)
    return fields


def _parameter(header: str, value: str, name: str) -> str:
    """A parameter of a header's value; empty where there is none."""
    message = Message()
    message[header] = value.strip()
    found = message.get_param(name, "", header=header)
    return found if isinstance(found, str) else found[2]
