"""Everything that `elad` raises on purpose, drawn as a tree.

    EladError
    +-- InputError (ValueError)    what the user gave cannot be used            exit 2
    |   +-- DataError              a file of questions: names the file and line
    |   +-- ConfigError            an experiment: names the key
    |   +-- RunFolderError         a run folder that is locked, foreign or changed
    +-- RefusedError               we will not start: no price, teacher cannot do it   exit 3
    +-- TeacherError               the teacher could not be reached             exit 4
    +-- StudentError               a student model cannot be had or loaded      exit 2

A failure that belongs to one question (an unreadable reply, a student that never concludes) is
never an exception: it is an outcome in a record. See `elad.records`.
"""

import difflib
from collections.abc import Iterable


class EladError(Exception):
    """Base of the tree; `exit_code` is what the command line returns for it."""

    exit_code = 1


class InputError(EladError, ValueError):
    """What the user gave cannot be used; nothing was spent and nothing was written."""

    exit_code = 2


class DataError(InputError):
    """A data file cannot be used; the message starts with `file:line:` where one is known."""


class ConfigError(InputError):
    """An experiment cannot be built; the message names the key."""


class RunFolderError(InputError):
    """A run folder is held by another process, belongs to another experiment, or is damaged."""


class StudentError(InputError):
    """A student model is unknown, cannot be had or loaded, or comes out of its training broken."""


class RefusedError(EladError):
    """The run will not start, to protect the user's money or claims."""

    exit_code = 3


class TeacherError(EladError):
    """The teacher could not be reached; what was bought so far is in the ledger."""

    exit_code = 4


def require(holds: bool, key: str, expected: str, value: object) -> None:
    """Nothing where a setting `holds`. Raises: ConfigError that names its key, what it must be, and what it is.

    >>> require(False, "training.epochs", "above 0", -1)
    Traceback (most recent call last):
    elad.errors.ConfigError: training.epochs: must be above 0, not -1
    """
    if not holds:
        raise ConfigError(f"{key}: must be {expected}, not {value}")


def nearest(word: str, options: Iterable[str]) -> str:
    """A closing remark that names the nearest option, or all of them when none is near.

    >>> nearest("anwser", ["answer", "question"])
    "did you mean 'answer'?"
    >>> nearest("x", ["answer", "question"])
    "known: 'answer', 'question'"
    """
    known = sorted(set(options))
    if not known:
        return "there are none"
    near = difflib.get_close_matches(word, known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return "known: " + ", ".join(repr(option) for option in known)
