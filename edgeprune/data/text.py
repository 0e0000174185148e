"""Labelled lines of text as the tokens of a vocabulary: WordPiece, as BERT reads (Wu et al. 2016; Devlin et al. 2019).

DIR/train.tsv, DIR/test.tsv   a line an example: its label, a tab, its text; UTF-8
DIR/vocab.txt                 a token a line, in the order of their numbers; or in the folder above DIR
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path

import torch

from ..errors import EdgepruneError
from .splits import ArraySplit, spread

PAD, UNKNOWN, FIRST, LAST = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
LONGEST = 128  # tokens that are read of a text where nobody says how many
LONGEST_WORD = 100  # letters; a longer one is unknown, as in BERT


class WordPiece:
    """Text to numbers: words are parted into the longest tokens there are, from the left; inner parts are written ##so.

    A vocabulary without a capital letter is of a model that reads everything in small letters and without accents.
    """

    def __init__(self, tokens: list[str], where: str = "the vocabulary") -> None:
        self.number = {token: i for i, token in enumerate(tokens)}
        missing = [token for token in (PAD, UNKNOWN, FIRST, LAST) if token not in self.number]
        if missing or self.number[PAD] != 0:
            fault = f"{', '.join(missing)} missing" if missing else f"{PAD} is not its first token"
            raise EdgepruneError(f"{where} is no vocabulary of BERT ({fault}); take the one of the pre-trained model")
        self.cased = any(token != token.lower() for token in tokens if not token.startswith("["))
        self._known: dict[str, list[int]] = {}

    def __call__(self, text: str) -> list[int]:
        """The numbers of a text, between those of [CLS] and [SEP]."""
        inside = [number for word in self.words(text) for number in self._of_word(word)]
        return [self.number[FIRST], *inside, self.number[LAST]]

    def words(self, text: str) -> Iterator[str]:
        """The words of a text; every mark of punctuation and every ideograph is one of its own."""
        if not self.cased:
            parts = unicodedata.normalize("NFD", text.lower())
            text = "".join(letter for letter in parts if unicodedata.category(letter) != "Mn")
        word = ""
        for letter in text:
            alone = _stands_alone(letter)
            if alone or letter.isspace():
                if word:
                    yield word
                word = ""
                if alone:
                    yield letter
            elif letter != "\ufffd" and not unicodedata.category(letter).startswith("C"):
                word += letter
        if word:
            yield word

    def _of_word(self, word: str) -> list[int]:
        if word not in self._known:
            self._known[word] = self._parted(word)
        return self._known[word]

    def _parted(self, word: str) -> list[int]:
        numbers: list[int] = []
        start = 0
        while start < len(word) <= LONGEST_WORD:
            prefix = "##" if start else ""
            end = next((e for e in range(len(word), start, -1) if prefix + word[start:e] in self.number), None)
            if end is None:
                return [self.number[UNKNOWN]]
            numbers.append(self.number[prefix + word[start:end]])
            start = end
        return numbers or [self.number[UNKNOWN]]


def read_text(folder: Path, length: int | None, limit: int | None) -> tuple[dict[str, ArraySplit], tuple[str, ...]]:
    """The splits of a folder and its labels, in the order of their names; every text has `length` tokens, padded or cut off.

    Without a length it is that of the longest text, at most 128.
    """
    pieces = _vocabulary(folder)
    lines = {split: _lines(folder / f"{split}.tsv") for split in ("train", "test") if (folder / f"{split}.tsv").exists()}
    if "test" not in lines:
        raise EdgepruneError(f"{folder} has no test.tsv, which accuracy is measured on; a line of it is label, tab, text")
    labels = tuple(sorted({label for pairs in lines.values() for label, _ in pairs}))
    chosen = {split: [pairs[i] for i in spread(len(pairs), limit).tolist()] for split, pairs in lines.items()}
    tokens = {split: [pieces(text) for _, text in pairs] for split, pairs in chosen.items()}
    size = length or min(max(len(row) for rows in tokens.values() for row in rows), LONGEST)
    number = {label: i for i, label in enumerate(labels)}
    splits = {}
    for split, rows in tokens.items():
        ids = torch.zeros(len(rows), size, dtype=torch.int64)
        for i, row in enumerate(rows):
            kept = row if len(row) <= size else [*row[: size - 1], row[-1]]
            ids[i, : len(kept)] = torch.tensor(kept)
        splits[split] = ArraySplit(ids, torch.tensor([number[label] for label, _ in chosen[split]]), None)
    return splits, labels


def _vocabulary(folder: Path) -> WordPiece:
    if not folder.is_dir():
        raise EdgepruneError(f"{folder} is no folder; it should hold train.tsv, test.tsv and vocab.txt")
    for path in (folder / "vocab.txt", folder.parent / "vocab.txt"):
        if path.is_file():
            lines = _text_of(path).removesuffix("\n").split("\n")
            return WordPiece([line.rstrip("\r") for line in lines], str(path))
    raise EdgepruneError(f"{folder} has no vocab.txt, nor has the folder above it; put that of the pre-trained model there")


def _lines(path: Path) -> list[tuple[str, str]]:
    pairs = []
    for number, line in enumerate(_text_of(path).split("\n"), 1):
        if not line.strip():
            continue
        label, tab, text = line.rstrip("\r").partition("\t")
        if not tab or not label.strip() or not text.strip():
            raise EdgepruneError(f"{path}, line {number}: no label, tab and text; write them so")
        pairs.append((label.strip(), text))
    if not pairs:
        raise EdgepruneError(f"{path} holds no line")
    return pairs


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EdgepruneError(f"{path} cannot be read as UTF-8 ({error}); save it again") from None


def _stands_alone(letter: str) -> bool:
    code = ord(letter)
    if 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126:
        return True  # also those that Unicode calls symbols, such as $ and ^
    if unicodedata.category(letter).startswith("P"):
        return True
    return 0x4E00 <= code <= 0x9FFF or 0x3400 <= code <= 0x4DBF or 0xF900 <= code <= 0xFAFF or 0x20000 <= code <= 0x2FA1F
