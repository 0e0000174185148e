"""Labelled lines of text: tokens as BERT's own tokenizer makes them, lengths, labels, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from edgeprune.data import held_out, load_data
from edgeprune.data.text import WordPiece
from edgeprune.errors import EdgepruneError

SAMPLE = Path(__file__).parents[1] / "samples" / "text"
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##able", "##ly", "read", "a", ",", "##s", "$", "e", "é", "ö"]
TEXTS = [
    "Readable, reads", "unreadably", "a,a", "READ", "", "   ", "a\tread\u00a0a", "é Ö", "read\u0301", "zzz a", "$a^a", "a" * 120,
    "中文 a", "a\u200bread", "a\ufffdread", "re-read", "l’Île", "ﬁ",
]  # fmt: skip


def test_words_are_parted_into_the_longest_tokens_from_the_left() -> None:
    pieces = WordPiece(TOKENS)
    assert pieces("Unreadable reads, a") == [2, 1, 8, 11, 10, 9, 3]
    assert pieces("unable") == [2, 5, 6, 3]
    assert pieces("Éa") == [2, 1, 3]
    assert pieces("é") == [2, 13, 3]


@pytest.mark.parametrize("cased", [False, True])
def test_tokens_are_those_of_the_tokenizers_that_berts_are_trained_with(cased: bool) -> None:
    tokenizers: Any = pytest.importorskip("tokenizers", reason="needs the extra: pip install 'edgeprune[transformers]'")
    vocabulary = [*TOKENS, *(["Read", "É"] if cased else [])]
    model = tokenizers.models.WordPiece({token: i for i, token in enumerate(vocabulary)}, unk_token="[UNK]")
    theirs = tokenizers.Tokenizer(model)
    theirs.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=not cased)
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    ours = WordPiece(vocabulary)
    lines = [line.split("\t")[1] for line in (SAMPLE / "kind" / "test.tsv").read_text().splitlines()[:300]]
    for text in (*TEXTS, *lines):
        assert ours(text)[1:-1] == theirs.encode(text).ids, text


def folder(tmp_path: Path, **files: str) -> Path:
    for name, text in {"vocab.txt": "\n".join(TOKENS) + "\n", **{k.replace("_", "."): v for k, v in files.items()}}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_texts_are_padded_to_the_longest_and_cut_where_asked(tmp_path: Path) -> None:
    made = folder(tmp_path, train_tsv="x\ta\ny\tunable reads\n", test_tsv="y\ta, a\n")
    data = load_data(f"text:{made}")
    assert (data.input_shape, data.classes) == ((6,), ("x", "y"))
    assert data.train is not None
    ids, labels = data.train.first(2)
    assert ids.dtype == torch.int64
    assert ids.tolist() == [[2, 9, 3, 0, 0, 0], [2, 5, 6, 8, 11, 3]]
    assert labels.tolist() == [0, 1]
    short = load_data(f"text:{made}", input_shape=(4,)).train
    assert short is not None
    assert short.first(2)[0].tolist() == [[2, 9, 3, 0], [2, 5, 6, 3]]
    assert next(iter(data.train.batches(2, shuffle=True, seed=1, augment=True)))[0].dtype == torch.int64


def test_the_sample_is_two_tasks_over_the_vocabulary_above_them() -> None:
    language, kind = (load_data(f"text:{SAMPLE / task}") for task in ("language", "kind"))
    assert (len(language.classes), kind.classes) == (16, ("city", "currency", "language", "script", "territory"))
    assert language.train is not None
    assert (len(language.train), len(language.test)) == (3842, 961)  # type: ignore[arg-type]
    for data in (language, kind):
        ids, _ = data.test.first(961)
        assert 0 <= int(ids.min()) <= int(ids.max()) < 800
    validation = held_out(language, 100)
    assert validation.test.first(1)[0].dtype == torch.int64


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"train_tsv": "x\ta\n"}, "no test.tsv"),
        ({"test_tsv": "x a\n"}, "line 1: no label, tab and text"),
        ({"test_tsv": "x\ta\n\ny\t \n"}, "line 3: no label, tab and text"),
        ({"test_tsv": "\n"}, "holds no line"),
        ({"test_tsv": "x\ta\n", "vocab_txt": "a\n[PAD]\n[UNK]\n[CLS]\n[SEP]\n"}, r"\[PAD\] is not its first token"),
        ({"test_tsv": "x\ta\n", "vocab_txt": "[PAD]\na\n"}, r"\[UNK\], \[CLS\], \[SEP\] missing"),
    ],
)
def test_what_is_no_text_is_refused_with_its_place(files: dict[str, str], expected: str, tmp_path: Path) -> None:
    with pytest.raises(EdgepruneError, match=expected):
        load_data(f"text:{folder(tmp_path, **files)}")


def test_images_sizes_and_missing_vocabularies_are_refused(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "test.tsv").write_text("x\ta\n")
    with pytest.raises(EdgepruneError, match=r"no vocab\.txt, nor has the folder above"):
        load_data(f"text:{inner}")
    (inner / "vocab.txt").write_text("\n".join(TOKENS))
    with pytest.raises(EdgepruneError, match="shape"):
        load_data(f"text:{inner}", input_shape=(3, 8, 8))
