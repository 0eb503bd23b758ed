"""Who may come in: links that let a reviewer in once, and the sessions that they begin."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass

_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A reviewer who came in."""

    reviewer: str
    csrf: str
    """What each of its forms carries; no other site can know it."""


class Doors:
    """Tokens not used yet, and sessions by the hash of their cookie; none of the secrets is kept or told again."""

    def __init__(self) -> None:
        self._tokens: dict[str, str] = {}
        self._sessions: dict[str, Session] = {}

    def invite(self, reviewer: str) -> str:
        """A token that lets this reviewer in once."""
        token = secrets.token_urlsafe(_BYTES)
        self._tokens[_hash(token)] = reviewer
        return token

    def enter(self, token: str) -> str | None:
        """The cookie of a session for a token that was not used yet; None for any other."""
        reviewer = self._tokens.pop(_hash(token), None)
        if reviewer is None:
            return None
        cookie = secrets.token_urlsafe(_BYTES)
        self._sessions[_hash(cookie)] = Session(reviewer=reviewer, csrf=secrets.token_urlsafe(_BYTES))
        return cookie

    def session(self, cookie: str | None) -> Session | None:
        """The session of a cookie."""
        return self._sessions.get(_hash(cookie)) if cookie else None


def is_from(session: Session, csrf: str) -> bool:
    """Whether a form was made for this session."""
    return hmac.compare_digest(session.csrf.encode(), csrf.encode("utf-8", "replace"))


def _hash(secret: str) -> str:
    """Looked up instead of the secret itself, so that the time it takes tells nothing of it."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
