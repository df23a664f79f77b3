"""How long texts are cut: how much of each text of a pair stays, and the windows over the rest.

The arithmetic is the Rust library's, ties included; here it is plain integers, for both tokenizers.
"""

from distilbert.tokenization.options import Side, Truncation

Window = tuple[int, int]


def kept_lengths(
    first: int, second: int | None, room: int, strategy: Truncation
) -> tuple[int, int]:
    """Return how many pieces of each text stay so that both together fit into `room`.

    Args:
        first: pieces of the first text.
        second: pieces of the second text, None where there is none.
        room: pieces that fit, special tokens not counted.

    Raises:
        ValueError: the strategy shortens one text only, and that is not enough.
    """
    is_single, second = second is None, second or 0
    excess = first + second - room
    if excess <= 0 or strategy == "do_not_truncate":
        return first, second
    if room == 0:
        return 0, 0
    if strategy == "longest_first":
        return _longest_first(first, second, room)
    if strategy == "only_second" and is_single:
        raise ValueError(
            "truncation='only_second' needs a second text (text_pair) to shorten; "
            "use truncation=True for single texts"
        )
    length = first if strategy == "only_first" else second
    if length <= excess:
        raise ValueError(
            f"truncation={strategy!r} cannot make the pair fit: {excess} pieces too many, and the "
            f"text it may shorten has {length}; raise max_length or use truncation='longest_first'"
        )
    if strategy == "only_first":
        return first - excess, second
    return first, length - excess


def _longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    short, long = sorted((first, second))
    long = short if short > room else max(short, room - short)
    if short + long > room:
        short = room // 2
        long = short + room % 2
    return (long, short) if first > second else (short, long)


def windows(length: int, size: int, stride: int, side: Side) -> list[Window]:
    """Return the windows of `size` pieces that cover a text, consecutive ones sharing `stride`.

    The first one is what truncation keeps: the start of the text, or its end for side `left`.

    Raises:
        ValueError: a window holds no more pieces than it shares with the next.

    Example:
        >>> windows(6, 4, 1, "right")
        [(0, 4), (3, 6)]
        >>> windows(6, 4, 1, "left")
        [(2, 6), (0, 3)]
    """
    if length <= size:
        return [(0, length)]
    if stride >= size:
        raise ValueError(
            f"stride={stride} leaves no progress: windows over this text hold {size} pieces beside "
            "the special tokens and the other text; lower stride or raise max_length"
        )
    step = size - stride
    count = _window_count(length, size, stride)
    if side == "right":
        return [(at, min(at + size, length)) for at in range(0, count * step, step)]
    return [(max(at - size, 0), at) for at in range(length, length - count * step, -step)]


def tokens_in_windows(length: int, size: int, stride: int, around: int) -> int:
    """Return how many tokens the windows over a text have, with those `around` each of them.

    >>> tokens_in_windows(6, 4, 1, around=2)
    11
    """
    count = _window_count(length, size, stride)
    return length + (count - 1) * stride + count * around


def _window_count(length: int, size: int, stride: int) -> int:
    return 1 if length <= size else -(-(length - size) // (size - stride)) + 1


def keep(length: int, size: int, side: Side) -> Window:
    """Return the one window that truncation keeps."""
    return (0, size) if side == "right" else (length - size, length)
