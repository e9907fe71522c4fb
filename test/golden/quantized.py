"""Makes the golden models in 4 bits with the tools that make such checkpoints: gptqmodel (GPTQ and AWQ), bitsandbytes.

    pip install -r quantized-requirements.txt && python quantized.py --out .

Each is one tiny random Llama as the tool saves it. What transformers says of it is computed in float32 on the weights
that the tool itself unpacks, so that the engine, which reads the same files, is held to the tool's own view of them.
Files are as in generate.py. The same versions give the same files.
"""

import argparse
import json
import os
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("GPTQMODEL_CPU_WORKERS", "2")  # its default of half the cores is too few where there are two

import torch
from gptqmodel import GPTQModel, QuantizeConfig
from gptqmodel.quantization import FORMAT, METHOD
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, PreTrainedModel, PreTrainedTokenizerFast

from generate import ALL, COMMON, Adapter, Case, draw_weights, write_expected

VOCABULARY, GROUP = 128, 32
# AutoAWQ's search for clipping takes rows by 64: k and v need as many.
CONFIG = LlamaConfig(
    **COMMON,
    vocab_size=VOCABULARY,
    hidden_size=64,
    intermediate_size=128,
    num_attention_heads=2,
    num_key_value_heads=1,
    head_dim=64,
)
KEPT = {"config.json", "generation_config.json", "model.safetensors"}

Tool = Callable[[Path, Path], None]


def gptqmodel(**options: object) -> Tool:
    """GPTQ or AWQ, calibrated with random tokens."""

    def run(source: Path, out: Path) -> None:
        draw = random.Random(3)
        texts = [{"input_ids": [draw.randrange(3, VOCABULARY) for _ in range(64)], "attention_mask": [1] * 64} for _ in range(32)]
        model = GPTQModel.load(str(source), QuantizeConfig(bits=4, group_size=GROUP, **options), device="cpu")
        model.quantize(texts, batch_size=4)
        model.save(str(out))

    return run


def bitsandbytes(**options: object) -> Tool:
    """NF4 in blocks of 64, which is all that it has on the way through transformers."""

    def run(source: Path, out: Path) -> None:
        config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32, **options)
        model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float16, device_map="cpu", quantization_config=config)
        model.save_pretrained(out)

    return run


TOOLS: dict[str, Tool] = {
    "llama2-awq": gptqmodel(quant_method=METHOD.AWQ, format=FORMAT.GEMM, sym=False),
    "llama2-gptq": gptqmodel(desc_act=False, sym=True),
    "llama2-gptq-asymmetric": gptqmodel(desc_act=False, sym=False),
    "llama2-gptq-act-order": gptqmodel(desc_act=True, sym=True),
    "llama2-nf4": bitsandbytes(),
    "llama2-nf4-nested": bitsandbytes(bnb_4bit_use_double_quant=True),
}


def write_source(folder: Path) -> None:
    """The model to quantize, with a tokenizer, without which gptqmodel loads none."""
    model = AutoModelForCausalLM.from_config(CONFIG)
    draw_weights(model, torch.float16, torch.Generator().manual_seed(20260801))
    model.half().save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({f"t{i}": i for i in range(VOCABULARY)}, unk_token="t0"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="t1", eos_token="t2", pad_token="t2").save_pretrained(folder)


def unpacked(layer: torch.nn.Module) -> torch.Tensor:
    """The weights of a linear layer, [out, in] in float32, as its tool unpacks them."""
    if hasattr(layer, "dequantize_weight"):  # gptqmodel
        layer.scales = layer.scales.float()  # else it multiplies in fp16
        return layer.dequantize_weight().T
    if hasattr(layer.weight, "quant_state"):
        import bitsandbytes.functional as bnb

        state = layer.weight.quant_state
        state.dtype = torch.float32  # else it rounds to the model's dtype
        return bnb.dequantize_4bit(layer.weight.data, state)
    return layer.weight


@torch.no_grad()
def exact_twin(folder: Path) -> PreTrainedModel:
    """The model of a quantized checkpoint in float32, as loaded by transformers and unpacked by the tool."""
    packed = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, device_map="cpu")
    twin = AutoModelForCausalLM.from_config(CONFIG, attn_implementation="eager").float().eval()
    for name, parameter in twin.named_parameters():
        module = packed.get_submodule(name.rpartition(".")[0])
        parameter.copy_(unpacked(module) if name.endswith("proj.weight") else module.weight)
    return twin


def scrub(folder: Path) -> None:
    """Leaves what a served folder needs; gptqmodel notes a temporary folder of its own in the config."""
    for file in folder.iterdir():
        if file.name not in KEPT:
            file.unlink()
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["quantization_config"].get("meta", {}).pop("offload_to_disk_path", None)
    path.write_text(json.dumps(config, indent=2) + "\n")
    (folder / "model.safetensors").chmod(0o644)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder that gets a folder for each model")
    out = parser.parse_args().out.resolve()
    with tempfile.TemporaryDirectory() as temporary:
        os.chdir(temporary)  # gptqmodel leaves a folder of logs where it runs
        source = Path(temporary) / "source"
        write_source(source)
        for seed, (name, tool) in enumerate(TOOLS.items(), 1):
            folder = out / name
            shutil.rmtree(folder, ignore_errors=True)
            tool(source, folder)
            scrub(folder)
            case = Case(name, CONFIG, "f32", [6, 40], [Adapter("all-r4", "f16", {"r": 4, "lora_alpha": 8, "target_modules": ALL})])
            write_expected(case, exact_twin(folder), torch.Generator().manual_seed(seed), folder)


if __name__ == "__main__":
    main()
