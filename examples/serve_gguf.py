"""Serve a GGUF file over the OpenAI chat protocol on loopback, until Ctrl-C.

    python examples/serve_gguf.py PATH_OR_NAME [--port 8080] [--parallel 4] [--context 2048]

Then: teacher: {kind: openai, base_url: "http://127.0.0.1:8080/v1", model: any}
"""

import argparse
import threading

from elad.students.models import gguf_path
from elad.teachers.llamacpp import serve


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a GGUF file, or a name that `elad models` lists")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--parallel", type=int, default=4, help="requests in flight at once")
    parser.add_argument("--context", type=int, default=2048, help="tokens that one request may take")
    given = parser.parse_args()
    server = serve(gguf_path(given.model), parallel=given.parallel, context=given.context, port=given.port)
    print(f"{server.listening_address}/v1", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print("stopped")


if __name__ == "__main__":
    main()
