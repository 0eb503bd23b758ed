"""What a page of ours sends back, read and bounded before it is looked at."""

from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.requests import Request

from elad.web.doors import Session, is_from

MOST_BYTES = 1_000_000
"""Of a form; a longer one is refused unread."""
_MOST_FIELDS = 16


class Refused(Exception):
    """A request that no page of ours sends: status and reason."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


def session_of(request: Request) -> Session:
    """Whose request it is; the guard lets no other in."""
    session: Session | None = request.state.session
    if session is None:
        raise Refused(403, "This needs a session.")
    return session


async def form_of(request: Request) -> Mapping[str, str]:
    """The fields of a form. Raises: Refused where it is too long, no form, or not made for this session."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise Refused(415, "This is no form.")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise Refused(413, "This form is too long.")
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=_MOST_FIELDS)
    except (UnicodeDecodeError, ValueError):
        raise Refused(400, "This form cannot be read.") from None
    fields = dict(pairs)
    if not is_from(session_of(request), fields.get("csrf", "")):
        raise Refused(403, "This form was not made in this session; open the page again.")
    return fields
