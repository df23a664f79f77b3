"""The first half of BERT's tokenization: a text into words and punctuation."""

from collections.abc import Iterable

from distilbert.tokenization.normalization import Normalizer
from distilbert.tokenization.splitting import word_pattern
from distilbert.tokenization.text import check_text


class BasicTokenizer:
    """Cleans a text, strips its accents, lower-cases it, splits it into words and punctuation.

    Words in `never_split` are left as they are. `strip_accents=None` means as `do_lower_case`.
    What counts as a control character, whitespace, punctuation, an accent or a lower-case letter
    is what the Rust library takes for one.

    >>> BasicTokenizer().tokenize("Ça va, Zoë?")
    ['ca', 'va', ',', 'zoe', '?']
    """

    def __init__(
        self,
        do_lower_case: bool = True,
        never_split: Iterable[str] | None = None,
        tokenize_chinese_chars: bool = True,
        strip_accents: bool | None = None,
        do_split_on_punc: bool = True,
    ) -> None:
        self.do_lower_case = do_lower_case
        self.never_split = set(never_split or ())
        self.tokenize_chinese_chars = tokenize_chinese_chars
        self.strip_accents = strip_accents
        self.do_split_on_punc = do_split_on_punc
        self._clean = Normalizer(
            tokenize_chinese_chars=tokenize_chinese_chars,
            strip_accents=False,
            do_lower_case=False,
        )
        self._fold = Normalizer(
            clean_text=False,
            tokenize_chinese_chars=False,
            strip_accents=strip_accents,
            do_lower_case=do_lower_case,
        )

    def tokenize(self, text: str, never_split: Iterable[str] | None = None) -> list[str]:
        """Return the words and punctuation of `text`, with more words to leave as they are.

        Raises:
            TypeError: `text` is not a string.
            ValueError: `text` has a lone surrogate.
        """
        kept = self.never_split.union(never_split or ())
        pattern = word_pattern(self.do_split_on_punc)
        text = self._clean.normalize(check_text(text))
        if not kept:
            return pattern.findall(self._fold.normalize(text))
        words = []
        for word in word_pattern(split_on_punctuation=False).findall(text):
            if word not in kept:
                word = self._fold.normalize(word)
            words += [word] if word in kept else pattern.findall(word)
        return words
