"""Makes the golden models: tiny random models of every served family, LoRA adapters, and what Hugging Face says.

    pip install -r requirements.txt && python generate.py --out .

With `--checkpoint` it does the same for a real model and its trained adapters, on the prompts of a demo-prompts.json:
`PG_GOLDEN=DIR golden_engine_test f32_engine` then holds the engine to it. Such folders are too big to commit.

Each folder holds a checkpoint as `save_pretrained` writes it, PEFT adapters below `adapters/`, and

* `expected.json`: prompts (token ids) and, for the base and each adapter, the tokens of greedy decoding;
* `expected.safetensors`: logits in float32, `<adapter or "base">/<prompt>` of shape [prompt tokens, vocabulary].

transformers and peft compute in float32 on the weights as stored. Weights are drawn so that attention, MLP and adapters
all matter, and prompts so that no greedy step is a near tie: an engine within 1e-4 must give the same tokens. The same
versions and seeds give the same files.
"""

import argparse
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    MistralConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

GREEDY_TOKENS = 12
SMALLEST_GAP = 2e-2  # between the two largest logits of a greedy step
DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


@dataclass
class Adapter:
    """A LoRA adapter: arguments of LoraConfig, and the dtype its tensors are stored in."""

    name: str
    dtype: str
    config: dict[str, Any]


@dataclass
class Case:
    """A model: its config, the dtype of its checkpoint, prompt lengths and adapters."""

    name: str
    config: Any
    dtype: str
    prompts: list[int]
    adapters: list[Adapter] = field(default_factory=list)
    max_shard_size: str = "1GB"


ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
ALL = [*ATTENTION, "gate_proj", "up_proj", "down_proj"]
COMMON = {"num_hidden_layers": 2, "bos_token_id": 1, "eos_token_id": 2, "rms_norm_eps": 1e-5, "max_position_embeddings": 512}


def cases() -> list[Case]:
    """All golden models. Sizes that are no multiples of 16 or 64 are there on purpose."""
    return [
        Case(
            "llama2",
            LlamaConfig(**COMMON, vocab_size=256, hidden_size=64, intermediate_size=128, num_attention_heads=4),
            "f16",
            [1, 7, 70],
            [
                Adapter("all-r8", "bf16", {"r": 8, "lora_alpha": 16, "target_modules": ALL}),
                Adapter("qv-r1", "f32", {"r": 1, "lora_alpha": 2, "target_modules": ["q_proj", "v_proj"]}),
                Adapter("all-linear-r4", "f16", {"r": 4, "lora_alpha": 6, "target_modules": "all-linear"}),
            ],
        ),
        Case(
            "llama3",
            LlamaConfig(
                **COMMON,
                vocab_size=320,
                hidden_size=64,
                intermediate_size=160,
                num_attention_heads=4,
                num_key_value_heads=2,
                tie_word_embeddings=True,
                rope_parameters={
                    "rope_type": "llama3",
                    "rope_theta": 10000.0,
                    "factor": 8.0,
                    "low_freq_factor": 1.0,
                    "high_freq_factor": 4.0,
                    "original_max_position_embeddings": 64,
                },
            ),
            "bf16",
            [5, 100],
            [
                Adapter("od-r3-rslora", "f32", {"r": 3, "lora_alpha": 5, "use_rslora": True, "target_modules": ["o_proj", "down_proj"]}),
                Adapter("regex-r8", "bf16", {"r": 8, "lora_alpha": 16, "target_modules": r".*layers\.(1|7)\..*\.(q|gate)_proj"}),
                Adapter("layer0-r16", "f16", {"r": 16, "lora_alpha": 16, "target_modules": ALL, "layers_to_transform": [0]}),
            ],
        ),
        Case(
            "llama-linear",
            LlamaConfig(
                **COMMON,
                vocab_size=203,
                hidden_size=72,
                intermediate_size=100,
                num_attention_heads=4,
                num_key_value_heads=1,
                attention_bias=True,
                mlp_bias=True,
                rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0},
            ),
            "f32",
            [3, 66],
            [Adapter("all-r5", "f32", {"r": 5, "lora_alpha": 10, "target_modules": ALL})],
            max_shard_size="120KB",
        ),
        Case(
            "mistral",
            MistralConfig(
                **COMMON,
                vocab_size=256,
                hidden_size=64,
                intermediate_size=128,
                num_attention_heads=4,
                num_key_value_heads=2,
                head_dim=32,
                sliding_window=16,
            ),
            "bf16",
            [15, 16, 90],
            [
                Adapter(
                    "patterns-r16",
                    "bf16",
                    {
                        "r": 16,
                        "lora_alpha": 16,
                        "target_modules": ALL,
                        "rank_pattern": {"q_proj": 3, r"layers\.1\.mlp\..*": 9},
                        "alpha_pattern": {"k_proj": 40, "layers.1.mlp.down_proj": 7},
                    },
                ),
            ],
        ),
        Case(
            "qwen2",
            Qwen2Config(
                **COMMON,
                vocab_size=272,
                hidden_size=64,
                intermediate_size=96,
                num_attention_heads=4,
                num_key_value_heads=2,
                tie_word_embeddings=True,
            ),
            "bf16",
            [2, 65],
            [
                Adapter("all-r64", "f16", {"r": 64, "lora_alpha": 64, "target_modules": ALL}),
                Adapter("attention-r8-rslora", "bf16", {"r": 8, "lora_alpha": 8, "use_rslora": True, "target_modules": ATTENTION}),
            ],
        ),
        Case(
            "qwen3",
            Qwen3Config(
                **COMMON,
                vocab_size=256,
                hidden_size=64,
                intermediate_size=128,
                num_attention_heads=4,
                num_key_value_heads=2,
                head_dim=32,
            ),
            "bf16",
            [4, 67],
            [
                Adapter("all-r8", "bf16", {"r": 8, "lora_alpha": 16, "target_modules": ALL}),
                Adapter("exclude-r2", "f32", {"r": 2, "lora_alpha": 8, "target_modules": ALL, "exclude_modules": ["up_proj", "k_proj"]}),
            ],
        ),
    ]


def draw_weights(model: PreTrainedModel, dtype: torch.dtype, generator: torch.Generator) -> None:
    """Draws all weights, rounded to the checkpoint's dtype: unit gain for matrices, norms and biases off their defaults."""
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() == 2 and "embed_tokens" in name:
            value = noise * (0.35 if model.config.tie_word_embeddings else 1.0)
        elif parameter.dim() == 2:
            value = noise * 1.6 / parameter.shape[1] ** 0.5
        elif name.endswith("bias"):
            value = noise * 0.3
        else:
            value = 1.0 + noise * 0.25
        parameter.data = value.to(dtype).float()


def draw_adapter(model: PeftModel, dtype: torch.dtype, generator: torch.Generator) -> None:
    """Draws A and B, rounded to the adapter's dtype, so that the update is as large as a third of the base."""
    for name, parameter in model.named_parameters():
        if "lora_A" in name:
            value = torch.randn(parameter.shape, generator=generator) / parameter.shape[1] ** 0.5
        elif "lora_B" in name:
            value = torch.randn(parameter.shape, generator=generator) * 0.3 / parameter.shape[1] ** 0.5
        else:
            continue
        parameter.data = value.to(dtype).float()


@torch.no_grad()
def logits(model: torch.nn.Module, tokens: list[int]) -> torch.Tensor:
    """Logits [tokens, vocabulary] of one sequence, without a cache."""
    return model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0]


def greedy(model: torch.nn.Module, prompt: list[int]) -> tuple[list[int], float]:
    """Greedy tokens after a prompt, stop tokens not heeded, and the smallest gap between the two largest logits."""
    tokens, gap = list(prompt), float("inf")
    for _ in range(GREEDY_TOKENS):
        best = logits(model, tokens)[-1].topk(2)
        gap = min(gap, float(best.values[0] - best.values[1]))
        tokens.append(int(best.indices[0]))
    return tokens[len(prompt) :], gap


def draw_prompt(models: dict[str, torch.nn.Module], length: int, vocabulary: int, generator: torch.Generator) -> tuple[list[int], dict[str, list[int]]]:
    """A prompt for which no model comes near a tie, and each model's greedy tokens."""
    while True:
        prompt = torch.randint(3, vocabulary, (length,), generator=generator).tolist()
        results = {name: greedy(model, prompt) for name, model in models.items()}
        if all(gap >= SMALLEST_GAP for _, gap in results.values()):
            return prompt, {name: tokens for name, (tokens, _) in results.items()}


def save_adapter(model: PeftModel, adapter: Adapter, base: str, folder: Path) -> None:
    """Saves a PEFT folder without the model card."""
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.to(DTYPES[adapter.dtype])
    model.peft_config["default"].base_model_name_or_path = base
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()  # PEFT writes a set, in an order that changes from run to run
    path.write_text(json.dumps(config, indent=2) + "\n")


def write_expected(case: Case, base: PreTrainedModel, generator: torch.Generator, folder: Path) -> None:
    """Draws a case's adapters and prompts and writes them with what `base`, in float32, says with each adapter."""
    models: dict[str, torch.nn.Module] = {"base": base}
    for adapter in case.adapters:
        copy = AutoModelForCausalLM.from_config(case.config, attn_implementation="eager").float().eval()
        copy.load_state_dict(base.state_dict())
        model = get_peft_model(copy, LoraConfig(task_type="CAUSAL_LM", inference_mode=True, **adapter.config)).eval()
        draw_adapter(model, DTYPES[adapter.dtype], generator)
        models[adapter.name] = model

    prompts, results, tensors = [], {name: [] for name in models}, {}
    for index, length in enumerate(case.prompts):
        prompt, tokens = draw_prompt(models, length, case.config.vocab_size, generator)
        prompts.append(prompt)
        for name, model in models.items():
            results[name].append(tokens[name])
            tensors[f"{name}/{index}"] = logits(model, prompt).contiguous()
    save_file(tensors, folder / "expected.safetensors")
    (folder / "expected.json").write_text(json.dumps({"prompts": prompts, "greedy": results}) + "\n")

    for adapter in case.adapters:
        save_adapter(models[adapter.name], adapter, f"polygraft/golden-{case.name}", folder / "adapters" / adapter.name)


def generate(case: Case, seed: int, out: Path) -> None:
    """Writes one golden model."""
    folder = out / case.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(seed)
    base = AutoModelForCausalLM.from_config(case.config, attn_implementation="eager").float().eval()
    draw_weights(base, DTYPES[case.dtype], generator)
    write_expected(case, base, generator, folder)
    base.to(DTYPES[case.dtype]).save_pretrained(folder, max_shard_size=case.max_shard_size)


def real_prompts(file: Path, checkpoint: Path) -> list[list[int]]:
    """Token ids of the first two prompts of each entry; a list of messages goes through the chat template."""
    tokenizer, prompts = AutoTokenizer.from_pretrained(checkpoint), []
    for entry in json.loads(file.read_text()):
        for prompt in entry["prompts"][:2]:
            if not isinstance(prompt, str):
                prompt = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
            prompts.append(tokenizer(prompt)["input_ids"])
    return prompts


def generate_real(checkpoint: Path, adapters: Path, prompts_file: Path, out: Path) -> None:
    """Writes the golden folder of a real model: links to its files, and the expected values. Greedy tokens end before a near tie."""
    folder = out / checkpoint.name
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "adapters").mkdir(parents=True)
    for file in checkpoint.iterdir():
        (folder / file.name).symlink_to(file.resolve())
    names = sorted(path.name for path in adapters.iterdir() if (path / "adapter_config.json").exists())
    prompts, results, tensors = real_prompts(prompts_file, checkpoint), {}, {}
    for name in ["base", *names]:
        model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32, attn_implementation="eager").eval()
        if name != "base":
            (folder / "adapters" / name).symlink_to((adapters / name).resolve())
            model = PeftModel.from_pretrained(model, adapters / name).eval()
        results[name] = []
        for index, prompt in enumerate(prompts):
            tokens: list[int] = []
            while len(tokens) < GREEDY_TOKENS:
                best = logits(model, prompt + tokens)[-1].topk(2)
                if float(best.values[0] - best.values[1]) < SMALLEST_GAP:
                    break
                tokens.append(int(best.indices[0]))
            results[name].append(tokens)
            tensors[f"{name}/{index}"] = logits(model, prompt).contiguous()
        print(checkpoint.name, name, "done", flush=True)
    save_file(tensors, folder / "expected.safetensors")
    (folder / "expected.json").write_text(json.dumps({"prompts": prompts, "greedy": results}) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="where the model folders go")
    parser.add_argument("--only", help="make this model only")
    parser.add_argument("--checkpoint", type=Path, help="a real model's folder instead of the tiny random ones")
    parser.add_argument("--adapters", type=Path, help="with --checkpoint: the folder of its adapters")
    parser.add_argument("--prompts", type=Path, help="with --checkpoint: a demo-prompts.json")
    arguments = parser.parse_args()
    if (arguments.checkpoint is None) != (arguments.adapters is None) or (arguments.checkpoint is None) != (arguments.prompts is None):
        parser.error("--checkpoint, --adapters and --prompts go together")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    if arguments.checkpoint:
        return generate_real(arguments.checkpoint, arguments.adapters, arguments.prompts, arguments.out)
    for index, case in enumerate(cases()):
        if arguments.only in (None, case.name):
            generate(case, 1000 + index, arguments.out)
            print(case.name, "done", flush=True)


if __name__ == "__main__":
    main()
