"""The chaos teacher as a process: `python -m elad.testing.chaos --faults 0.3 --log books.jsonl`."""

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from elad.errors import ConfigError
from elad.testing.teacher import ChaosTeacher


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until SIGTERM or SIGINT; the first line of the output is the base URL. Returns the exit status."""
    settings = vars(_parser().parse_args(arguments))
    stopped = threading.Event()

    def stop(*_: object) -> None:
        stopped.set()

    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, stop)
    try:
        with ChaosTeacher(**settings) as server:
            sys.stdout.write(f"{server.base_url}\n")
            sys.stdout.flush()
            stopped.wait()
    except (ConfigError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m elad.testing.chaos",
        description="A local OpenAI-compatible server with faults. Its settings are those of ChaosTeacher.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--faults", type=float, default=0.0, help="share of requests that meet a transient fault")
    parser.add_argument("--seed", type=int, default=0, help="of the faults")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="from a request to its reply")
    parser.add_argument("--slow-seconds", type=float, default=3.0, help="how late a slow first byte is")
    parser.add_argument("--stall-seconds", type=float, default=5.0, help="how long a stalled reply is silent")
    parser.add_argument("--limit", type=int, help="requests in service at once; the excess gets a 429")
    parser.add_argument("--idempotent", action="store_true", help="honour the header Idempotency-Key")
    parser.add_argument("--log", type=Path, help="append what happens to this file, as lines of JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
