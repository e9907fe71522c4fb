"""Measures OpenVINO GenAI's continuous batching, step by step.

openvino_driver.py MODEL.gguf THREADS VOCABULARY
"""

import sys
import time

import numpy
import openvino
import openvino_genai as genai

from protocol import Case, SteppedDriver, Tokens, Unsupported, serve


class OpenVinoDriver(SteppedDriver):
    def __init__(self, model: str, threads: int, vocabulary: int):
        super().__init__()
        scheduler = genai.SchedulerConfig()
        scheduler.cache_size = 2  # GiB
        scheduler.max_num_batched_tokens = 512
        scheduler.max_num_seqs = 64
        scheduler.enable_prefix_caching = False
        self._pipeline = genai.ContinuousBatchingPipeline(model, scheduler, "CPU", {"INFERENCE_NUM_THREADS": threads})
        self._tokens = Tokens(vocabulary)
        self._handles = []
        self._next = 0

    def _prepare(self, case: Case) -> None:
        if case.adapters:
            raise Unsupported("OpenVINO GenAI cannot mix adapters in a batch")

    def _begun(self) -> bool:
        return all([self._read(handle) for handle in self._handles])

    def _step(self) -> None:
        self._pipeline.step()

    def end(self) -> None:
        for handle in self._handles:
            handle.cancel()
        while self._pipeline.has_non_finished_requests():
            self._pipeline.step()
        self._handles = []

    def _decode(self, steps: int) -> tuple[int, float]:
        start = time.perf_counter()
        for _ in range(steps):
            self._pipeline.step()
        seconds = time.perf_counter() - start
        made = sum(self._read(handle) for handle in self._handles)
        if made != steps * self._case.streams:
            raise RuntimeError(f"{made} tokens came of {steps} steps of {self._case.streams} streams")
        return made, seconds

    def _prefill(self) -> tuple[int, float]:
        self._add(1)
        start = time.perf_counter()
        while self._pipeline.has_non_finished_requests():
            self._pipeline.step()
        seconds = time.perf_counter() - start
        self._handles = []
        return self._case.streams * self._case.context, seconds

    def _add(self, outputs: int) -> None:
        config = genai.GenerationConfig(max_new_tokens=outputs, ignore_eos=True, do_sample=False)
        self._handles = []
        for _ in range(self._case.streams):
            prompt = openvino.Tensor(numpy.array([self._tokens.take(self._case.context)], dtype=numpy.int64))
            self._handles.append(self._pipeline.add_request(self._next, prompt, config))
            self._next += 1

    @staticmethod
    def _read(handle) -> int:
        """How many tokens a stream has produced since it was last asked."""
        count = 0
        while handle.can_read():
            count += sum(len(output.generated_ids) for output in handle.read().values())
        return count


def start():
    model, threads, vocabulary = sys.argv[1:]
    return "OpenVINO GenAI", f"{genai.__version__}, q4_0", OpenVinoDriver(model, int(threads), int(vocabulary))


if __name__ == "__main__":
    sys.exit(serve(start))
