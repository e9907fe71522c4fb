"""Measures vLLM's CPU build through its engine, in this process.

vllm_driver.py FOLDER THREADS VOCABULARY CONTEXT ADAPTER...
"""

import gc
import os
import sys
import time

from protocol import Case, SteppedDriver, Tokens, serve


class VllmDriver(SteppedDriver):
    def __init__(self, folder: str, vocabulary: int, context: int, adapters: list[str]):
        super().__init__()
        self._folder = folder
        self._context = context
        self._adapters = adapters
        self._tokens = Tokens(vocabulary)
        self._engine = None
        self._with_adapters = False
        self._made: dict[str, int] = {}
        self._next = 0

    def end(self) -> None:
        self._engine.abort_request(list(self._made))
        while self._engine.has_unfinished_requests():
            self._engine.step()
        self._made = {}

    def _begun(self) -> bool:
        return all(self._made.values())

    def _prepare(self, case: Case) -> None:
        """An engine that can use adapters is slower without them too, so that there is one for either."""
        from vllm import EngineArgs, LLMEngine

        with_adapters = case.adapters > 0
        if self._engine is not None and self._with_adapters == with_adapters:
            return
        if self._engine is not None:
            self._engine.engine_core.shutdown()
            self._engine = None
            gc.collect()
        lora = {"enable_lora": True, "max_loras": len(self._adapters), "max_lora_rank": 16} if with_adapters else {}
        self._with_adapters = with_adapters
        self._engine = LLMEngine.from_engine_args(
            EngineArgs(
                model=self._folder,
                skip_tokenizer_init=True,
                dtype="bfloat16",
                max_model_len=self._context,
                max_num_seqs=64,
                max_num_batched_tokens=512,
                enable_prefix_caching=False,
                **lora,
            )
        )

    def _decode(self, count: int) -> tuple[int, float]:
        """Until every stream has so many tokens more; steps overlap with scheduling, so that not each brings one."""
        wanted = {name: made + count for name, made in self._made.items()}
        before = sum(self._made.values())
        start = time.perf_counter()
        while any(self._made[name] < least for name, least in wanted.items()):
            self._step()
        seconds = time.perf_counter() - start
        return sum(self._made.values()) - before, seconds

    def _prefill(self) -> tuple[int, float]:
        self._add(1)
        start = time.perf_counter()
        while self._engine.has_unfinished_requests():
            self._step()
        seconds = time.perf_counter() - start
        self._made = {}
        return self._case.streams * self._case.context, seconds

    def _add(self, outputs: int) -> None:
        from vllm import SamplingParams
        from vllm.lora.request import LoRARequest

        sampling = SamplingParams(max_tokens=outputs, ignore_eos=True, temperature=0, detokenize=False)
        self._made = {}
        for stream in range(self._case.streams):
            adapter = None
            if self._case.adapters:
                index = stream % self._case.adapters
                adapter = LoRARequest(f"adapter-{index}", index + 1, self._adapters[index])
            name = str(self._next)
            self._next += 1
            prompt = {"prompt_token_ids": self._tokens.take(self._case.context)}
            self._engine.add_request(name, prompt, sampling, lora_request=adapter)
            self._made[name] = 0

    def _step(self) -> None:
        for output in self._engine.step():
            if output.request_id in self._made:
                self._made[output.request_id] = len(output.outputs[0].token_ids)


def start():
    folder, threads, vocabulary, context, *adapters = sys.argv[1:]
    os.environ.update(
        OMP_NUM_THREADS=threads,
        VLLM_CPU_KVCACHE_SPACE="2",  # GiB
        VLLM_ENABLE_V1_MULTIPROCESSING="0",
        VLLM_LOGGING_LEVEL="WARNING",
        VLLM_NO_USAGE_STATS="1",
        HF_HUB_OFFLINE="1",
    )
    import vllm

    return "vLLM", f"{vllm.__version__}, bf16", VllmDriver(folder, int(vocabulary), int(context), adapters)


if __name__ == "__main__":
    sys.exit(serve(start))
