"""The cache of replies under several processes at once."""

import multiprocessing
from multiprocessing.synchronize import Barrier
from pathlib import Path

from purchase_kit import request

from elad.ledger.cache import Cache
from elad.outcomes import ReplyOutcome
from elad.records import Charge, Reply

PROCESSES = 4
FRESH = 100
"""Files that all processes open at the same time when there is none yet."""


def replied(process: int) -> Reply:
    """What a process has to say."""
    asked = request(process)
    text = f"reply of {process}"
    return Reply(request=asked.key, text=text, outcome=ReplyOutcome.OK, charge=Charge(calls=1), teacher="t", reason="")


def work(folder: Path, process: int, together: Barrier) -> None:
    """Opens each file together with the others, writes to it, and reads what all have written."""
    try:
        for n in range(FRESH):
            together.wait()
            cache = Cache(folder / str(n), "s")
            cache.put(request(process), replied(process))
            cache.put(request(-1), replied(process))
            together.wait()
            kept = [cache.get(request(other)) for other in range(PROCESSES)]
            assert [reply and reply.text for reply in kept] == [f"reply of {other}" for other in range(PROCESSES)]
            assert cache.get(request(-1))
            cache.close()
    except BaseException:
        together.abort()  # the others need not wait for this one
        raise


def test_many_processes_open_fresh_files_at_once_and_write_and_read(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(PROCESSES, timeout=120)
    processes = [context.Process(target=work, args=(tmp_path, n, together)) for n in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * PROCESSES
