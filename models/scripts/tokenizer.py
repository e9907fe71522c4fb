"""Trains the base's byte-level BPE tokenizer on the pre-training mix and writes it in the Hugging Face layout."""

from __future__ import annotations

import argparse
import json
from itertools import islice
from pathlib import Path
from random import Random

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from corpora import banking77, e2e, viggo
from mix import ANSWER, documents

BOS, EOS, PAD = "<s>", "</s>", "<pad>"
CONTEXT = 1024


def train(data: Path, vocabulary: int, samples: int, seed: int) -> Tokenizer:
    """Byte-level BPE with single digits; a document is encoded as `<s> text`, and `</s>` ends it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[BOS, EOS, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [text.replace(ANSWER, "") for text in islice(documents(data, Random(seed)), samples)]
    texts += [pair.mr for pair in viggo(data, "train")] + [pair.mr for pair in e2e(data, "train")[:4000]]
    texts += [f" {row.label}" for row in banking77(data, "train")]
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    return tokenizer


def save(tokenizer: Tokenizer, out: Path) -> None:
    """Writes tokenizer.json and tokenizer_config.json."""
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(out / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": PAD,
        "clean_up_tokenization_spaces": False,
        "model_max_length": CONTEXT,
    }
    (out / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with one sub-folder per data set")
    parser.add_argument("--out", type=Path, required=True, help="folder of the base model")
    parser.add_argument("--vocabulary", type=int, default=4096, help="number of tokens (default: %(default)s)")
    parser.add_argument("--samples", type=int, default=60_000, help="documents to train on (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    save(train(args.data, args.vocabulary, args.samples, args.seed), args.out)


if __name__ == "__main__":
    main()
