"""The part of vLLM's protocol that the engine speaks, answered by plain forward passes of a tiny model.

In this process behind an address, or as a program behind a socket in place of `serving.py`.
"""

import json
import os
import socketserver
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import log
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from elad.students.sampling import draw

OWN = {"top_k": 2, "min_p": 0.4, "repetition_penalty": 3.0, "presence_penalty": 2.0, "frequency_penalty": 2.0}
"""What the model's own settings bend draws by where a request does not say otherwise."""
UNEVEN = (1, 2, 1, 5, 3)
"""How many tokens the pieces of a stream have, over and over."""


class Replica:
    """A model and its adapters, and all that was asked of them."""

    def __init__(self, folder: Path | str, name: str = "base") -> None:
        self.base = name
        self.models: dict[str, Any] = {name: AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()}
        self.folder = folder
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.adapters = True
        self.bend = 1.0
        """What logits are multiplied with before log-probabilities are taken of them."""
        self._lock = threading.Lock()

    def load(self, name: str, path: str) -> bool:
        from peft import PeftModel

        if not self.adapters:
            return False
        base = AutoModelForCausalLM.from_pretrained(self.folder, dtype=torch.float32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for a property by its old name
            self.models[name] = PeftModel.from_pretrained(base, path).merge_and_unload().eval()
        return True

    @torch.inference_mode()
    def written(self, body: dict[str, Any]) -> Iterator[tuple[int, float]]:
        ids, start = list(body["prompt"]), len(body["prompt"])
        while len(ids) < start + body["max_tokens"]:
            with self._lock:
                logits = self.models[body["model"]](input_ids=torch.tensor([ids])).logits[0, -1]
            ids.append(token(bent(logits, ids, start, OWN | body), body, len(ids) - start))
            yield ids[-1], float((self.bend * logits).log_softmax(-1)[ids[-1]])
            if ids[-1] in body.get("stop_token_ids", []):
                return

    @torch.inference_mode()
    def weighed(self, body: dict[str, Any]) -> list[dict[str, Any] | None]:
        ids = body["prompt"]
        logs = (self.bend * self.models[body["model"]](input_ids=torch.tensor([ids])).logits[0]).log_softmax(-1)
        return [None] + [{str(one): {"logprob": float(logs[at, one]), "rank": 1}} for at, one in enumerate(ids[1:])]


def bent(logits: torch.Tensor, ids: Sequence[int], start: int, bounds: Mapping[str, Any]) -> torch.Tensor:
    """What vLLM makes of logits before it draws: penalties on tokens that were there, and the unlikely left out."""
    logits, new = logits.clone(), torch.tensor(ids[start:], dtype=torch.long)
    seen = torch.tensor(ids).unique()
    scale = torch.where(logits[seen] > 0, 1 / bounds["repetition_penalty"], bounds["repetition_penalty"])
    logits[seen] *= scale
    counts = new.bincount(minlength=len(logits))
    logits -= bounds["frequency_penalty"] * counts + bounds["presence_penalty"] * (counts > 0)
    if bounds["min_p"]:
        logits[logits < logits.max() + log(bounds["min_p"])] = -torch.inf
    if bounds["top_k"]:
        logits[logits < logits.topk(bounds["top_k"]).values[-1]] = -torch.inf
    return logits


def token(logits: torch.Tensor, body: dict[str, Any], step: int) -> int:
    """What is drawn, by the same rule as in the engine: from the seed of `vllm_xargs`, or vLLM's own."""
    if allowed := body.get("allowed_token_ids"):
        return allowed[0]
    told = body.get("vllm_xargs") or {}
    seed, temperature = told.get("elad_seed", body.get("seed")), told.get("elad_temperature", body["temperature"])
    luck = Random(int(seed or 0))
    for _ in range(step):
        luck.random()
    bounds: Any = SimpleNamespace(temperature=temperature, top_p=told.get("elad_top_p", body.get("top_p", 1.0)))
    return draw(logits[None], [luck], bounds)[0]


class Handler(BaseHTTPRequestHandler):
    replica: Replica

    def do_GET(self) -> None:
        models = [{"id": name} | ({"parent": self.replica.base} if at else {}) for at, name in enumerate(self.models)]
        self.reply({"object": "list", "data": models} if self.path == "/v1/models" else {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.replica.asked.append((self.path, body))
        if len(self.replica.asked) >= int(os.environ.get("VLLM_KIT_DIES_AFTER", "1000000")):
            os._exit(9)
        if self.path == "/v1/load_lora_adapter":
            loaded = self.replica.load(body["lora_name"], body["lora_path"])
            self.reply({} if loaded else {"detail": "Not Found"}, 200 if loaded else 404)
        elif self.path == "/v1/unload_lora_adapter":
            del self.replica.models[body["lora_name"]]
            self.reply({})
        elif body.get("stream"):
            self.stream(body)
        else:
            choice = shown(list(self.replica.written(body)))
            if "prompt_logprobs" in body:
                choice["prompt_logprobs"] = self.replica.weighed(body)
            self.reply({"choices": [choice]})

    @property
    def models(self) -> list[str]:
        return list(self.replica.models)

    def stream(self, body: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        part: list[tuple[int, float]] = []
        sizes = iter(UNEVEN * 99)
        size = next(sizes)
        try:
            for one in self.replica.written(body):
                part.append(one)
                if len(part) == size:
                    self.event(part)
                    part, size = [], next(sizes)
            self.event(part)
            self.wfile.write(b"data: [DONE]\n\n")
        except BrokenPipeError:
            self.replica.asked.append(("hung up", body))

    def event(self, part: list[tuple[int, float]]) -> None:
        self.wfile.write(f"data: {json.dumps({'choices': [shown(part)]})}\n\n".encode())

    def reply(self, answer: dict[str, Any], status: int = 200) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


def shown(part: list[tuple[int, float]]) -> dict[str, Any]:
    logs = [None if log != log else log for _, log in part]
    return {"index": 0, "text": "", "token_ids": [one for one, _ in part], "logprobs": {"token_logprobs": logs}}


class SocketServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128  # a connection to a full queue of such a socket is refused at once


def serve(replica: Replica) -> ThreadingHTTPServer:
    """A server at `http://127.0.0.1:PORT`, until it is shut down."""
    handler = type("Bound", (Handler,), {"replica": replica})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


def main(words: list[str]) -> None:
    """`serving.py FOLDER --uds SOCKET ...`; says what it was started with in a file beside the program."""
    told = {"words": words, "pid": os.getpid(), "socket": words[words.index("--uds") + 1], "keys": sorted(os.environ)}
    with Path(os.environ["VLLM_KIT_TOLD"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(told) + "\n")
    name = words[words.index("--served-model-name") + 1]
    handler = type("Bound", (Handler,), {"replica": Replica(words[0], name)})
    SocketServer(words[words.index("--uds") + 1], handler).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
