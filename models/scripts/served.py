"""Greedy answers from a running router or worker, over gRPC, with stubs generated from the contract when it starts."""

from __future__ import annotations

import importlib
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import mkdtemp
from types import ModuleType

import grpc
from grpc_tools import protoc


def contract(proto: Path) -> tuple[ModuleType, ModuleType, ModuleType]:
    """inference_pb2, adapters_pb2 and inference_pb2_grpc; `proto` is the folder that holds polygraft/v1."""
    out = mkdtemp(prefix="polygraft-stubs-")
    files = [str(path) for path in sorted(proto.glob("polygraft/v1/*.proto"))]
    code = protoc.main(["protoc", f"-I{proto}", f"--python_out={out}", f"--grpc_python_out={out}", *files])
    if code != 0:
        raise SystemExit(f"protoc could not read the contract in {proto}")
    sys.path.insert(0, out)
    messages = importlib.import_module("polygraft.v1.inference_pb2")
    adapters = importlib.import_module("polygraft.v1.adapters_pb2")
    stubs = importlib.import_module("polygraft.v1.inference_pb2_grpc")
    return messages, adapters, stubs


class Served:
    """A client that keeps `streams` generations in flight."""

    def __init__(self, address: str, proto: Path, streams: int) -> None:
        self.messages, self.adapters, stubs = contract(proto)
        self.stub = stubs.InferenceServiceStub(grpc.insecure_channel(address))
        self.streams = streams

    def answers(self, prompts: list[str], adapter: str | None, max_tokens: int, chat: bool) -> list[str]:
        """One greedy answer for each prompt, in order. `chat`: prompts are a user's message."""
        with ThreadPoolExecutor(self.streams) as pool:
            return list(pool.map(lambda prompt: self._answer(prompt, adapter, max_tokens, chat), prompts))

    def _answer(self, prompt: str, adapter: str | None, max_tokens: int, chat: bool) -> str:
        request = self.messages.GenerateRequest()
        if chat:
            request.chat.messages.add(role="user", content=prompt)
        else:
            request.text = prompt
        request.sampling.temperature = 0
        request.stopping.max_tokens = max_tokens
        if adapter is not None:
            request.adapter.CopyFrom(self.adapters.AdapterRef(id=adapter))
        events = self.stub.Generate(request, timeout=600)
        return "".join(event.delta.text for event in events if event.WhichOneof("event") == "delta")
