"""Write `src/distilbert/tokenization/unicode_tables.py` from the installed `tokenizers` library.

Every code point is put through the library's own normalizers and splitters, so the pure-Python
tokenizer knows what the Rust one knows, whatever Unicode version Python was built with.
Run: `python scripts/make_unicode_tables.py`.
"""

import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

TABLES = Path(__file__).parents[1] / "src/distilbert/tokenization/unicode_tables.py"

CODE_POINTS = [code for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
CHARACTERS = [chr(code) for code in CODE_POINTS]
HANGUL_SYLLABLES = range(0xAC00, 0xD7A4)

HEADER = '''\
"""What the Rust `tokenizers` library knows about Unicode. scripts/make_unicode_tables.py wrote it.

Hexadecimal code points and inclusive ranges `first-last`; `characters.py` reads them.
Tables of tokenizers {version}.
"""
'''


def bert(
    clean_text: bool = False,
    handle_chinese_chars: bool = False,
    strip_accents: bool = False,
    lowercase: bool = False,
) -> normalizers.BertNormalizer:
    return normalizers.BertNormalizer(clean_text, handle_chinese_chars, strip_accents, lowercase)


def batches(items: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def normalize_each(normalizer: normalizers.Normalizer, texts: list[str]) -> dict[str, str]:
    """Normalise texts one by one, in bulk: none of them sees its neighbours past the bar."""
    answers: dict[str, str] = {}
    for batch in batches([text for text in texts if "|" not in text], 50_000):
        whole = normalizer.normalize_str("|".join(batch))
        answers.update(zip(batch, whole.split("|"), strict=True))
    answers["|"] = normalizer.normalize_str("|")
    return answers


def probe_splitting() -> tuple[set[str], set[str]]:
    """Return what separates words and what is a word of its own: whitespace and punctuation."""
    splitter = pre_tokenizers.BertPreTokenizer()
    spaces: set[str] = set()
    punctuation: set[str] = set()
    for batch in batches(CHARACTERS, 20_000):
        pieces = splitter.pre_tokenize_str("".join(f"a{character}b " for character in batch))
        spans = {offsets for _, offsets in pieces}
        for index, character in enumerate(batch):
            start = 4 * index
            if (start, start + 3) in spans:
                continue
            (punctuation if (start + 1, start + 2) in spans else spaces).add(character)
    return spaces, punctuation


def probe_word_characters() -> set[str]:
    """Return what an added token of a single word may not touch."""
    tokenizer = Tokenizer(models.WordLevel({"unknown": 0}, unk_token="unknown"))
    tokenizer.add_tokens([AddedToken("<t>", single_word=True, normalized=False)])
    words = set()
    # Short texts: the library reads all of a text before a match to see what stands there.
    rows = list(batches(CHARACTERS, 32))
    for some in (rows[start : start + 1000] for start in range(0, len(rows), 1000)):
        texts = ["".join(f" {character}<t>" for character in row) for row in some]
        for row, encoding in zip(some, tokenizer.encode_batch(texts), strict=True):
            matches = {
                start // 5
                for index, (start, _) in zip(encoding.ids, encoding.offsets, strict=True)
                if index == 1
            }
            words |= {character for place, character in enumerate(row) if place not in matches}
    return words


def probe_combining_order(plain: list[str]) -> dict[str, int]:
    """Return the rank of every character that canonical ordering moves, 1 for the first."""
    nfd = normalizers.NFD()

    def swapped(pairs: Iterable[tuple[str, str]]) -> list[bool]:
        texts = [f"a{first}{second}" for first, second in pairs]
        answers = normalize_each(nfd, texts)
        return [answers[text] != text for text in texts]

    after_overlay = swapped((mark, "\u0334") for mark in plain)  # lowest class
    before_iota = swapped(("\u0345", mark) for mark in plain)  # highest class
    marks = [
        mark
        for mark, after, before in zip(plain, after_overlay, before_iota, strict=True)
        if after or before
    ]
    # A mark's rank counts the marks that would move before it; equal classes get equal counts.
    movers: dict[str, int] = {}
    for mark in marks:
        if mark in movers:
            continue
        others_move = swapped((mark, other) for other in marks)
        it_moves = swapped((other, mark) for other in marks)
        for other, one, another in zip(marks, others_move, it_moves, strict=True):
            if not one and not another:
                movers[other] = sum(others_move)
    ranks = {count: rank for rank, count in enumerate(sorted(set(movers.values())), 1)}
    return {mark: ranks[count] for mark, count in movers.items()}


def changed(answers: dict[str, str]) -> dict[str, str]:
    return {before: after for before, after in answers.items() if before != after}


def hexadecimal(text: str) -> str:
    return "+".join(f"{ord(character):04X}" for character in text)


def span(first: int, last: int) -> str:
    return f"{first:04X}" if first == last else f"{first:04X}-{last:04X}"


def ranges(characters: Iterable[str]) -> str:
    return " ".join(span(first, last) for first, last, _ in runs(dict.fromkeys(characters)))


def runs(values: dict[str, int] | dict[str, None]) -> list[tuple[int, int, int | None]]:
    """Join neighbouring code points of one value: (first, last, value)."""
    found: list[tuple[int, int, int | None]] = []
    for character, value in sorted(values.items()):
        code = ord(character)
        if found and found[-1][1] == code - 1 and found[-1][2] == value:
            found[-1] = (found[-1][0], code, value)
        else:
            found.append((code, code, value))
    return found


def shifted_runs(lower: dict[str, str]) -> str:
    """Write `first-last:image of first`, the image shifting along; `/2` takes every second one."""
    found: list[list[int]] = []  # first, last, step, image
    words = []
    for before, after in sorted(lower.items()):
        if len(after) > 1:
            words.append(f"{hexadecimal(before)}:{hexadecimal(after)}")
            continue
        code, image = ord(before), ord(after)
        if found:
            first, last, step, start = found[-1]
            same_shift = code - first == image - start
            if same_shift and code - last == (step or code - last) and code - last <= 2:
                found[-1][1:3] = [code, code - last]
                continue
        found.append([code, code, 0, image])
    words += [
        f"{span(first, last)}{'/2' if step == 2 else ''}:{image:04X}"
        for first, last, step, image in found
    ]
    return " ".join(words)


def tables() -> dict[str, str]:
    """Probe the library; return each table's text by its name."""
    cleaned = changed(normalize_each(bert(clean_text=True), CHARACTERS))
    removed = {character for character, after in cleaned.items() if not after}
    spaces, punctuation = probe_splitting()
    assert {c for c, after in cleaned.items() if after == " "} == spaces - removed - {" "}
    assert set(cleaned.values()) == {"", " "}

    spaced = changed(normalize_each(bert(handle_chinese_chars=True), CHARACTERS))
    assert all(after == f" {character} " for character, after in spaced.items())

    decomposed = changed(normalize_each(normalizers.NFD(), CHARACTERS))
    stripped = normalize_each(bert(strip_accents=True), CHARACTERS)
    accents = {character for character, after in stripped.items() if not after}
    for character, after in stripped.items():
        whole = decomposed.get(character, character)
        assert after == "".join(part for part in whole if part not in accents)

    lower = changed(normalize_each(bert(lowercase=True), CHARACTERS))
    plain = [c for c in CHARACTERS if c not in decomposed and c != "|"]
    order = probe_combining_order(plain)

    return {
        "REMOVED": ranges(removed),
        "WHITESPACE": ranges(spaces),
        "CHINESE": ranges(spaced),
        "PUNCTUATION": ranges(punctuation),
        "WORD": ranges(probe_word_characters()),
        "ACCENTS": ranges(accents),
        "COMBINING_ORDER": " ".join(
            f"{span(first, last)}:{rank}" for first, last, rank in runs(order)
        ),
        "LOWER_CASE": shifted_runs(lower),
        "DECOMPOSITION": " ".join(
            f"{hexadecimal(before)}:{hexadecimal(after)}"
            for before, after in sorted(decomposed.items())
            if ord(before) not in HANGUL_SYLLABLES
        ),
    }


def render(found: dict[str, str], version: str) -> str:
    sections = [HEADER.format(version=version)]
    for name, text in found.items():
        sections.append(f'{name} = """\n{textwrap.fill(text, 98, break_on_hyphens=False)}\n"""\n')
    return "\n".join(sections)


def main() -> None:
    TABLES.write_text(render(tables(), tokenizers.__version__), encoding="utf-8")


if __name__ == "__main__":
    main()
