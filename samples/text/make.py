"""Makes what is in this folder: two tasks of real words, their vocabulary, and a small BERT pre-trained on other words.

    pip install 'edgeprune[torch,transformers]' babel==2.18.0
    python samples/text/make.py

The words are the Unicode CLDR's names of places, languages, currencies, scripts and cities in 36 languages, as the package babel
carries them. Both tasks take theirs from 16 languages; what is in neither task is what the BERT is pre-trained on: it fills in
masked tokens (Devlin et al. 2019), and no label is looked at.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from babel import Locale
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import Tensor

from edgeprune.data.text import WordPiece
from edgeprune.encoders import transformers
from edgeprune.pruning.recipe import Recipe

HERE = Path(__file__).parent
TASK_LANGUAGES = ("de", "nl", "sv", "da", "nb", "fr", "es", "pt", "it", "ca", "ro", "pl", "cs", "sk", "hr", "fi")
OTHER_LANGUAGES = (
    "en", "is", "gl", "sl", "hu", "et", "lv", "lt", "tr", "vi", "id", "ms", "sw", "eu", "cy", "ga", "sq", "af", "az", "uz",
)  # fmt: skip
KINDS = ("city", "currency", "language", "script", "territory")
TRAIN, TEST = 4000, 1000
VOCABULARY, LONGEST = 800, 16


def names(language: str) -> Iterator[tuple[str, str]]:
    """(kind, name) of all that the language has a name for."""
    locale = Locale.parse(language)
    tables = {
        "city": {key: zone["city"] for key, zone in locale.time_zones.items() if "city" in zone},
        "currency": dict(locale.currencies),
        "language": dict(locale.languages),
        "script": dict(locale.scripts),
        "territory": dict(locale.territories),
    }
    for kind in KINDS:
        for _, name in sorted(tables[kind].items()):
            if name[:1].isalpha() and "\t" not in name:
                yield kind, name


def tasks(draw: random.Random) -> tuple[dict[str, list[tuple[str, str]]], list[str]]:
    """The lines (label, text) of both tasks, and the texts of neither; a text that has two labels is in no task."""
    labels: dict[str, dict[str, set[str]]] = {"language": defaultdict(set), "kind": defaultdict(set)}
    spelled: dict[str, str] = {}
    every: dict[str, None] = {}
    for language in (*TASK_LANGUAGES, *OTHER_LANGUAGES):
        for kind, name in names(language):
            key = name.casefold()
            every.setdefault(key)
            spelled.setdefault(key, name)
            if language in TASK_LANGUAGES:
                labels["language"][key].add(language)
                labels["kind"][key].add(kind)
    lines, taken = {}, set()
    for task in ("language", "kind"):
        by_label = defaultdict(list)
        for key, found in labels[task].items():
            if len(found) == 1 and key not in taken:
                by_label[next(iter(found))].append(key)
        chosen = []
        for label, keys in sorted(by_label.items()):
            few = draw.sample(sorted(keys), min((TRAIN + TEST) // len(by_label), len(keys)))
            chosen += [(label, key) for key in few]
        taken.update(key for _, key in chosen)
        draw.shuffle(chosen)
        lines[task] = [(label, spelled[key]) for label, key in chosen]
    return lines, [spelled[key] for key in every if key not in taken]


def vocabulary(texts: list[str]) -> list[str]:
    """The tokens that a WordPiece of this size learns of the texts."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=VOCABULARY, special_tokens=special))
    numbers = tokenizer.get_vocab()
    return sorted(numbers, key=numbers.__getitem__)


def masked(ids: Tensor, mask: int, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The ids with 15 % of the tokens hidden, and what was there; -100 elsewhere. Of ten, eight are masked and one is random."""
    hidden = (torch.rand(ids.shape, generator=generator) < 0.15) & (ids > 4)
    wanted = ids.masked_fill(~hidden, -100)
    how = torch.rand(ids.shape, generator=generator)
    seen = ids.masked_fill(hidden & (how < 0.8), mask)
    other = torch.randint(5, size, ids.shape, generator=generator)
    return torch.where(hidden & (how >= 0.9), other, seen), wanted


def pretrained(texts: list[str], tokens: list[str], epochs: int) -> torch.nn.Module:
    """A BERT of two layers that learned to fill in."""
    pieces = WordPiece(tokens)
    rows = [row if len(row) <= LONGEST else [*row[: LONGEST - 1], row[-1]] for row in map(pieces, texts)]
    ids = torch.zeros(len(rows), LONGEST, dtype=torch.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(tokens), hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=256,
        max_position_embeddings=32, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    module = transformers.BertForMaskedLM(config)
    recipe = Recipe(epochs, 3e-3, batch_size=256, warmup=0.1)
    optimizer = torch.optim.AdamW(module.parameters(), lr=recipe.lr, weight_decay=0.01)
    generator = torch.Generator().manual_seed(0)
    steps, step = epochs * -(-len(ids) // recipe.batch_size), 0
    for epoch in range(epochs):
        losses = []
        for part in torch.randperm(len(ids), generator=generator).split(recipe.batch_size):
            batch = ids[part]
            batch = batch[:, : int((batch > 0).sum(1).max())]
            seen, wanted = masked(batch, tokens.index("[MASK]"), len(tokens), generator)
            for group in optimizer.param_groups:
                group["lr"] = recipe.lr_at(step, steps)
            optimizer.zero_grad()
            hidden = module.bert(input_ids=seen, attention_mask=batch != 0)[0][wanted >= 0]
            loss = F.cross_entropy(module.cls(hidden), wanted[wanted >= 0])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            losses.append(float(loss.detach()))
            step += 1
        print(f"epoch {epoch + 1} of {epochs}: loss {sum(losses) / len(losses):.3f}", flush=True)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=30, help="of pre-training; 0 writes the tasks and the vocabulary only")
    epochs = parser.parse_args().epochs
    lines, rest = tasks(random.Random(0))
    file = HERE / "vocab.txt"
    if not file.exists():  # learning breaks ties by chance; what is pre-trained is of one vocabulary
        file.write_text("\n".join(vocabulary(rest)) + "\n", encoding="utf-8")
    tokens = file.read_text(encoding="utf-8").split()
    pieces = WordPiece(tokens)
    for task, long in lines.items():
        pairs = [(label, name) for label, name in long if len(pieces(name)) <= LONGEST]
        (HERE / task).mkdir(exist_ok=True)
        cut = len(pairs) * TRAIN // (TRAIN + TEST)
        for split, part in (("train", pairs[:cut]), ("test", pairs[cut:])):
            text = "".join(f"{label}\t{name}\n" for label, name in part)
            (HERE / task / f"{split}.tsv").write_text(text, encoding="utf-8")
        print(f"{task}: {cut:,} + {len(pairs) - cut:,} lines")
    print(f"{len(rest):,} other texts, {len(tokens)} tokens")
    if epochs:
        pretrained(rest, tokens, epochs).save_pretrained(HERE / "pretrained")


if __name__ == "__main__":
    main()
