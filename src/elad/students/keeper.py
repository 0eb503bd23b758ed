"""Runs a command for as long as standard input stays open, and leaves nothing of it behind.

A server must not outlive the process that started it, however that ends. When it is killed, nothing of its own is run
any more, but its end of the pipe closes. Run as a file by any Python: it takes nothing of this package.

    python -I keeper.py SECONDS COMMAND...

The command has so many seconds to end by itself before it is killed with all that it started.
"""

import os
import signal
import subprocess
import sys
import threading


def main() -> None:
    """Runs what the arguments say; the process and all of its group are dead afterwards."""
    child = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL)
    threading.Thread(target=_end_with_input, args=(child, float(sys.argv[1])), daemon=True).start()
    status = child.wait()
    sys.stdout.write(f"{sys.argv[2]} ended with status {status}\n")
    sys.stdout.flush()
    os.killpg(0, signal.SIGKILL)


def _end_with_input(child: "subprocess.Popen[bytes]", seconds: float) -> None:
    sys.stdin.buffer.read()
    child.terminate()
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
