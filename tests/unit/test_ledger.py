"""The ledger: whole groups or nothing, one writer, clear words about damage."""

import errno
import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad.errors import RunFolderError
from elad.ledger.budget import Budget
from elad.ledger.durability import Syncer
from elad.ledger.events import CONTROL, FILE, MAIN, Kind, Ledger, is_held
from elad.outcomes import ReplyOutcome
from elad.records import Charge, Reply, to_json

AMOUNTS = st.integers(0, 10_000)


def reply(key: str, tokens: int) -> dict[str, object]:
    charge = Charge(calls=1, tokens_in=tokens, tokens_out=2 * tokens, money=tokens / 1000, currency="USD")
    return to_json(Reply(request=key, text="", outcome=ReplyOutcome.OK, charge=charge, teacher="t"))


def test_events_come_back_in_order_and_by_key(tmp_path: Path) -> None:
    with Ledger(tmp_path, write=True) as ledger:
        ledger.append(Kind.DRAFT, [("b", {"n": 1}), ("a", {"n": 2})], round=1)
        ledger.append(Kind.SCORE, [("b", [0.5, None, "é\n"])], round=1)
    with Ledger(tmp_path, write=False) as ledger:
        assert [(event.kind, event.key) for event in ledger.events()] == [
            (Kind.DRAFT, "b"),
            (Kind.DRAFT, "a"),
            (Kind.SCORE, "b"),
        ]
        assert ledger.get(Kind.SCORE, "b") == [0.5, None, "é\n"]
        assert ledger.get(Kind.SCORE, "a") is None
        assert ledger.has(Kind.DRAFT, "a")
        assert not ledger.has(Kind.SCORE, "a")


def test_a_group_with_a_known_key_is_refused_whole(tmp_path: Path) -> None:
    with Ledger(tmp_path, write=True) as ledger:
        ledger.append(Kind.DRAFT, [("a", 1)], round=0)
        with pytest.raises(RunFolderError, match="UNIQUE"):
            ledger.append(Kind.DRAFT, [("b", 1), ("a", 2)], round=0)
        assert not ledger.has(Kind.DRAFT, "b")
        assert ledger.get(Kind.DRAFT, "a") == 1


def test_spent_is_the_sum_of_the_replies(tmp_path: Path) -> None:
    with Ledger(tmp_path, write=True) as ledger:
        ledger.append(Kind.REPLY, [(str(i), reply(str(i), i)) for i in range(10)], round=0)
        spent = ledger.spent()
    assert (spent.calls, spent.tokens_in, spent.tokens_out) == (10, 45, 90)
    assert spent.money == pytest.approx(0.045)
    assert spent.currency == "USD"


def test_a_full_disk_loses_nothing_that_was_there(tmp_path: Path) -> None:
    with Ledger(tmp_path, write=True) as ledger:
        ledger.append(Kind.DRAFT, [("a", "kept")], round=0)
        pages = ledger._db.execute("PRAGMA page_count").fetchone()[0]
        ledger._db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(RunFolderError, match="full"):
            ledger.append(Kind.DRAFT, [("b", "x" * 100_000)], round=0)
        assert ledger.get(Kind.DRAFT, "a") == "kept"
        assert not ledger.has(Kind.DRAFT, "b")


def test_a_folder_without_a_ledger_is_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="not a run folder"):
        Ledger(tmp_path, write=False)


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"not a database, certainly not one" * 50)
    with pytest.raises(RunFolderError, match="cannot be opened"):
        Ledger(tmp_path, write=True)
    assert (tmp_path / FILE).read_bytes().startswith(b"not a database")


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    with Ledger(tmp_path, write=True):
        pass
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("UPDATE meta SET value = '99' WHERE name = 'schema_version'")
    db.close()
    with pytest.raises(RunFolderError, match="version 99"):
        Ledger(tmp_path, write=False)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunFolderError, match="file"):
        Ledger(tmp_path / "file" / "run", write=True)


@given(st.lists(st.tuples(AMOUNTS, AMOUNTS), max_size=20), st.integers(0, 50_000))
def test_a_cap_on_tokens_is_never_passed(calls: list[tuple[int, int]], cap: int) -> None:
    budget, spent = Budget(tokens=cap), Charge()
    for tokens_in, tokens_out in calls:
        worst = Charge(calls=1, tokens_in=tokens_in, tokens_out=tokens_out)
        if budget.refusal(spent, Charge(), worst, 0.0) is None:
            spent = spent + worst
    assert spent.tokens_in + spent.tokens_out <= cap


def test_what_is_in_flight_counts() -> None:
    budget = Budget(calls=3, money=1.0)
    one = Charge(calls=1, money=0.4, currency="EUR")
    assert budget.refusal(one, Charge(), one, 0.0) is None
    assert budget.refusal(one, one, one, 0.0) == "money: 1.0 EUR"
    assert Budget(calls=2).refusal(one, one, one, 0.0) == "calls: 2"
    assert Budget(seconds=5).refusal(Charge(), Charge(), one, 5.0) == "seconds: 5"
    assert Budget().refusal(one, one, one, 1e9) is None


@given(AMOUNTS, AMOUNTS, AMOUNTS)
def test_the_cap_on_questions_bounds_what_is_wanted(cap: int, bought: int, wanted: int) -> None:
    left = Budget(questions=cap).questions_left(bought, wanted)
    assert 0 <= left <= wanted
    assert left + bought <= max(cap, bought)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    with Ledger(tmp_path, write=True) as ledger:
        for n in range(40):
            ledger.append(Kind.DRAFT, [(f"{n}-{m}", "x" * 200) for m in range(20)], round=0)
    return tmp_path


@pytest.mark.parametrize("lost", [1, 100, 4096, 3 * 4096, 4096 + 1])
@pytest.mark.parametrize("write", [True, False])
def test_a_file_cut_short_is_refused_and_left_as_it_is(large: Path, lost: int, write: bool) -> None:
    path = large / FILE
    whole = path.read_bytes()
    path.write_bytes(whole[:-lost])
    with pytest.raises(RunFolderError, match="recover"):
        Ledger(large, write=write)
    path.write_bytes(whole)
    with Ledger(large, write=write) as ledger:
        assert sum(1 for _ in ledger.events(Kind.DRAFT)) == 800


def test_a_clock_that_is_set_back_takes_no_time_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([1000.0, 1010.0, 400.0, 405.0])
    monkeypatch.setattr("elad.ledger.events.time.time", lambda: next(clock))
    with Ledger(tmp_path, write=True) as ledger:
        for n, kind in enumerate((Kind.SESSION, Kind.DRAFT, Kind.DRAFT, Kind.DRAFT)):
            ledger.append(kind, [(str(n), 1)], round=0)
        assert ledger.elapsed_seconds() == pytest.approx(15.0)


def test_time_between_sessions_is_no_working_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 10.0, 5000.0, 5003.0])
    monkeypatch.setattr("elad.ledger.events.time.time", lambda: next(clock))
    with Ledger(tmp_path, write=True) as ledger:
        for n, kind in enumerate((Kind.SESSION, Kind.DRAFT, Kind.SESSION, Kind.DRAFT)):
            ledger.append(kind, [(str(n), 1)], round=0)
        assert ledger.elapsed_seconds() == pytest.approx(13.0)


@pytest.mark.parametrize("write", [True, False])
def test_a_ledger_of_version_1_is_read_and_brought_up_to_date(tmp_path: Path, write: bool) -> None:
    with Ledger(tmp_path, write=True) as ledger:
        ledger.append(Kind.REQUEST, [("k", {"purpose": "solve"})], round=1)
        ledger.append(Kind.ROUND, [("r", {"accuracy": 0.5, "interval": [0.4, 0.6]})], round=1)
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("UPDATE meta SET value = '1' WHERE name = 'schema_version'")
    db.close()
    before = (tmp_path / FILE).read_bytes()
    with Ledger(tmp_path, write=write) as ledger:
        asked = ledger.get(Kind.REQUEST, "k#0")
        assert asked == {"request": {"purpose": "solve"}, "reserved": {"calls": 1}}
        assert ledger.get(Kind.ROUND, "r") == {"accuracy": 0.5, "intervals": {"accuracy": [0.4, 0.6]}}
        assert ledger.meta("schema_version") == "4"
    assert ((tmp_path / FILE).read_bytes() == before) is not write


VERSION_2 = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE events (
    seq INTEGER PRIMARY KEY, at REAL NOT NULL, round INTEGER NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL,
    payload TEXT NOT NULL, UNIQUE (kind, key)
);
INSERT INTO meta VALUES ('schema_version', '2'), ('name', 'old');
INSERT INTO events VALUES (3, 1.5, 0, 'draft', 'a', '"x"'), (7, 2.5, 1, 'pick', 'b', '[1]'),
    (9, 3.5, 1, 'draft', 'b', '"y"');
"""


@pytest.mark.parametrize("write", [True, False])
def test_a_ledger_of_version_2_has_one_arm(tmp_path: Path, write: bool) -> None:
    with sqlite3.connect(tmp_path / FILE) as db:
        db.executescript(VERSION_2)
    db.close()
    with Ledger(tmp_path, write=write) as ledger:
        told = [(e.seq, e.at, e.round, e.kind, e.key, e.payload, e.arm) for e in ledger.events()]
        assert told == [
            (3, 1.5, 0, Kind.DRAFT, "a", "x", MAIN),
            (7, 2.5, 1, Kind.PICK, "b", [1], MAIN),
            (9, 3.5, 1, Kind.DRAFT, "b", "y", MAIN),
        ]
        assert (ledger.meta("schema_version"), ledger.meta("name")) == ("4", "old")
        if write:
            ledger.of(CONTROL).append(Kind.PICK, [("b", [2])], round=1)
            assert [event.seq for event in ledger.of(CONTROL).events()] == [10]


def test_an_arm_finds_its_own_and_every_request_and_reply(tmp_path: Path) -> None:
    with Ledger(tmp_path, write=True) as ledger:
        main, control = ledger.of(MAIN), ledger.of(CONTROL)
        main.append(Kind.DRAFT, [("a", "m"), ("b", "m")], round=1)
        control.append(Kind.DRAFT, [("a", "c")], round=2)
        main.append(Kind.REPLY, [("r", reply("r", 5))], round=1)
        control.append(Kind.REPLY, [("s", reply("s", 7))], round=1)
        assert (main.get(Kind.DRAFT, "a"), control.get(Kind.DRAFT, "a"), ledger.get(Kind.DRAFT, "a")) == ("m", "c", "m")
        assert (main.has(Kind.DRAFT, "b"), control.has(Kind.DRAFT, "b")) == (True, False)
        assert all(one.has(Kind.REPLY, key) for one in (main, control, ledger) for key in ("r", "s"))
        assert [event.key for event in control.events()] == ["a", "s"]
        assert [event.key for event in ledger.events(Kind.DRAFT)] == ["a", "b", "a"]
        spent = [one.spent().tokens_in for one in (main, control, ledger)]
        assert spent == [5, 7, 12]
        with pytest.raises(RunFolderError, match="UNIQUE"):
            control.append(Kind.DRAFT, [("a", "again")], round=2)


def test_who_looks_whether_a_folder_is_held_keeps_no_writer_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "lock").open("w") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert not is_held(tmp_path)
        waited: list[float] = []

        def look_away(seconds: float) -> None:
            waited.append(seconds)
            fcntl.flock(looking, fcntl.LOCK_UN)

        monkeypatch.setattr("elad.ledger.events.time.sleep", look_away)
        with Ledger(tmp_path, write=True):
            assert is_held(tmp_path)
        assert len(waited) == 1


def test_a_second_writer_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from elad.ledger.events import Ledger\n"
    code += "with Ledger(Path(sys.argv[1]), write=True): pass"
    with Ledger(tmp_path, write=True):
        told = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert told.returncode != 0
    assert f"in use by process {os.getpid()}" in told.stderr


@pytest.mark.parametrize("write", [True, False])
def test_an_emptied_ledger_is_refused_and_left_alone(large: Path, write: bool) -> None:
    (large / FILE).write_bytes(b"")
    (large / f"{FILE}-wal").write_bytes(b"what may still be saved")
    for _ in range(2):
        with pytest.raises(RunFolderError, match=r"is empty.*copy"):
            Ledger(large, write=write)
    assert (large / FILE).read_bytes() == b""
    assert (large / f"{FILE}-wal").read_bytes() == b"what may still be saved"


def test_a_ledger_that_is_gone_from_beside_its_log_is_not_begun_again(tmp_path: Path) -> None:
    (tmp_path / f"{FILE}-wal").write_bytes(b"what may still be saved")
    with pytest.raises(RunFolderError, match="log is still there"):
        Ledger(tmp_path, write=True)
    assert not (tmp_path / FILE).exists()


def test_a_process_killed_while_it_makes_a_ledger_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dying(*_: object) -> None:
        raise OSError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dying)
        with pytest.raises(RunFolderError, match="gone"):
            Ledger(tmp_path, write=True)
    assert not (tmp_path / FILE).exists()
    (tmp_path / f"{FILE}-new").write_bytes(b"")
    with Ledger(tmp_path, write=True) as ledger:
        ledger.append(Kind.DRAFT, [("a", 1)], round=0)
    assert {path.name for path in tmp_path.iterdir()} == {"lock", FILE}


KILLED = """
import os, signal, sys
from pathlib import Path
from elad.ledger.events import Kind, Ledger
ledger = Ledger(Path(sys.argv[1]), write=True)
for n in range(12):
    ledger.append(Kind.DRAFT, [(f"{n}-{m}", "x" * 500) for m in range(5)], round=0)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_log_that_is_cut_after_a_kill_gives_back_whole_groups_up_to_the_cut(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "run")], check=False)
    log = (tmp_path / "run" / f"{FILE}-wal").read_bytes()
    before = 0
    for number, share in enumerate((0.0, 0.3, 0.7, 0.9999, 1.0)):
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "run", folder)
        (folder / f"{FILE}-wal").write_bytes(log[: int(share * len(log))])
        with Ledger(folder, write=True) as ledger:
            kept = [event.key for event in ledger.events()]
            ledger.append(Kind.DRAFT, [("on", "we go")], round=0)
        assert kept == [f"{n}-{m}" for n in range(12) for m in range(5)][: len(kept)]
        assert len(kept) % 5 == 0
        assert before <= len(kept)
        before = len(kept)
    assert before == 60


class _Interrupted:
    """A connection that Ctrl-C reaches between two statements."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def executemany(self, *_: object) -> None:
        raise KeyboardInterrupt

    def __getattr__(self, name: str) -> object:
        return getattr(self._db, name)


def test_ctrl_c_in_an_append_leaves_no_open_transaction(tmp_path: Path) -> None:
    with Ledger(tmp_path, write=True) as ledger:
        whole = ledger._db
        ledger._db = _Interrupted(whole)  # pyright: ignore[reportAttributeAccessIssue]
        with pytest.raises(KeyboardInterrupt):
            ledger.append(Kind.DRAFT, [("a", 1)], round=0)
        ledger._db = whole
        ledger.append(Kind.STATE, [("b", {"state": "stopped"})], round=-1)
        assert [event.key for event in ledger.events()] == ["b"]


def test_a_log_that_cannot_be_opened_to_be_synced_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    syncer = Syncer(tmp_path / "file" / "wal")  # its parent is a file: not a directory
    syncer.changed()
    with pytest.raises(NotADirectoryError):
        syncer.close()
    with pytest.raises(NotADirectoryError):
        syncer.changed()


def test_what_is_changed_while_a_sync_is_at_work_is_synced_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "wal"
    log.write_bytes(b"")
    began, go_on = threading.Event(), threading.Event()
    synced: list[bytes] = []

    def fsync(_: int) -> None:
        synced.append(log.read_bytes())
        began.set()
        assert go_on.wait(30)

    monkeypatch.setattr(os, "fsync", fsync)
    syncer = Syncer(log)
    syncer.changed()
    assert began.wait(30)
    log.write_bytes(b"more")
    syncer.changed()
    syncer._closing.set()  # as by `close`, which waits
    go_on.set()
    syncer.close()
    assert synced[-1] == b"more"


def test_a_ledger_that_cannot_be_synced_at_the_end_says_so_and_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    ledger = Ledger(tmp_path, write=True)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        ledger.append(Kind.DRAFT, [("a", 1)], round=0)
        with pytest.raises(RunFolderError, match="Input/output error"):
            ledger.__exit__(None, None, None)
    with Ledger(tmp_path, write=True) as ledger:
        assert ledger.get(Kind.DRAFT, "a") == 1
