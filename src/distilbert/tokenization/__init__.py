"""Text to ids and back: the pure-Python WordPiece, the Rust one, and the layer that both share."""

from distilbert.tokenization.auto import AutoTokenizer
from distilbert.tokenization.basic import BasicTokenizer
from distilbert.tokenization.batch_encoding import BatchEncoding, CharSpan, TokenSpan
from distilbert.tokenization.fast import DistilBertTokenizerFast
from distilbert.tokenization.slow import DistilBertTokenizer
from distilbert.tokenization.wordpiece import WordpieceTokenizer, load_vocab

__all__ = [
    "AutoTokenizer",
    "BasicTokenizer",
    "BatchEncoding",
    "CharSpan",
    "DistilBertTokenizer",
    "DistilBertTokenizerFast",
    "TokenSpan",
    "WordpieceTokenizer",
    "load_vocab",
]
