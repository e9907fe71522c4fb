#!/usr/bin/env python3
"""Streams generations from a polygraft router or worker with plain grpcio.

The stubs are generated from proto/polygraft/v1 when the program starts; nothing of polygraft is installed.

    generate.py "Once upon a time"
    generate.py --adapter sst2-sentiment --max-tokens 4 "Review: a warm and funny film ."
    generate.py --json < requests.jsonl        one request a line, all at once; one answer a line, in their order
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

PROTO = Path(__file__).resolve().parents[2] / "proto"
sys.path.insert(0, str(PROTO))
adapters_pb2 = grpc.protos("polygraft/v1/adapters.proto")
inference_pb2, inference_pb2_grpc = grpc.protos_and_services("polygraft/v1/inference.proto")


def to_request(fields: dict) -> inference_pb2.GenerateRequest:
    """A request from {"prompt": text or token ids, "adapter", "max_tokens", "temperature", "seed", "ignore_eos", "logprobs"}."""
    request = inference_pb2.GenerateRequest()
    if isinstance(fields["prompt"], str):
        request.text = fields["prompt"]
    else:
        request.token_ids.ids.extend(fields["prompt"])
    if fields.get("adapter"):
        request.adapter.id = fields["adapter"]
    for group, names in (("stopping", ("max_tokens", "ignore_eos")), ("sampling", ("temperature", "seed")), ("response", ("logprobs",))):
        for name in names:
            if fields.get(name) is not None:
                setattr(getattr(request, group), name, fields[name])
    return request


def answer(stub: inference_pb2_grpc.InferenceServiceStub, fields: dict, metadata: list) -> dict:
    """Runs one generation to its end."""
    result: dict = {"text": "", "token_ids": [], "logprobs": []}
    for event in stub.Generate(to_request(fields), timeout=600, metadata=metadata):
        kind = event.WhichOneof("event")
        if kind == "accepted":
            result["worker"] = event.accepted.worker
        elif kind == "delta":
            result["text"] += event.delta.text
            result["token_ids"] += event.delta.token_ids
            result["logprobs"] += [entry.logprob for entry in event.delta.logprobs]
        elif kind == "finished":
            result["finish_reason"] = inference_pb2.FinishReason.Name(event.finished.reason)
    return result


def stream(stub: inference_pb2_grpc.InferenceServiceStub, fields: dict, metadata: list) -> None:
    """Prints a generation as it comes."""
    for event in stub.Generate(to_request(fields), timeout=600, metadata=metadata):
        if event.WhichOneof("event") == "delta":
            print(event.delta.text, end="", flush=True)
    print()


def connect(args: argparse.Namespace) -> grpc.Channel:
    """A channel to the router, with TLS if its address begins with "https://"."""
    read = lambda path: Path(path).read_bytes() if path else None
    if not args.router.startswith("https://"):
        return grpc.insecure_channel(args.router)
    credentials = grpc.ssl_channel_credentials(read(args.tls_ca), read(args.tls_key), read(args.tls_cert))
    return grpc.secure_channel(args.router.removeprefix("https://"), credentials)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prompt", nargs="?", help="the prompt; not with --json")
    parser.add_argument("--router", default=os.environ.get("POLYGRAFT_ADDRESS", "127.0.0.1:50051"), metavar="HOST:PORT",
                        help='"https://HOST:PORT" for TLS (default: POLYGRAFT_ADDRESS, else %(default)s)')
    parser.add_argument("--tls-ca", metavar="FILE", help="authorities of the router's certificate, in PEM (default: well-known ones)")
    parser.add_argument("--tls-cert", metavar="FILE", help="certificate to show to the router, in PEM")
    parser.add_argument("--tls-key", metavar="FILE", help="key of that certificate")
    parser.add_argument("--adapter", help="adapter to use (default: the base model)")
    parser.add_argument("--max-tokens", type=int, help="most tokens to generate")
    parser.add_argument("--temperature", type=float, help="0 takes the most probable token (default)")
    parser.add_argument("--seed", type=int, help="seed of the draws")
    parser.add_argument("--json", action="store_true", help="read requests from standard input, one JSON object a line")
    parsed = parser.parse_args()
    if parsed.json == (parsed.prompt is not None):
        parser.error("give either a prompt or --json")
    return parsed


def main() -> int:
    """Returns the exit code: 1 if a request failed."""
    args = arguments()
    key = os.environ.get("POLYGRAFT_API_KEY")
    metadata = [("authorization", f"Bearer {key}")] if key else []
    with connect(args) as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        try:
            if not args.json:
                stream(stub, vars(args), metadata)
                return 0
            requests = [json.loads(line) for line in sys.stdin if line.strip()]
            with ThreadPoolExecutor(max(1, len(requests))) as pool:
                for result in pool.map(lambda fields: answer(stub, fields, metadata), requests):
                    print(json.dumps(result))
            return 0
        except grpc.RpcError as error:
            print(f"{error.code().name}: {error.details()}", file=sys.stderr)
            return 1


if __name__ == "__main__":
    sys.exit(main())
