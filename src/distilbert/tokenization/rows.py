"""From cut texts to rows: truncation, overflow rows, special tokens, padding."""

from collections.abc import Sequence

from distilbert.tokenization.engine import Pieces
from distilbert.tokenization.fitting import Fit, Fitting
from distilbert.tokenization.row import Part, Row
from distilbert.tokenization.truncation import keep, kept_lengths, windows


class Rows(Fitting):
    """Makes rows of pieces, the same way whichever engine cut them."""

    def _make_rows(
        self,
        firsts: Sequence[Pieces],
        seconds: Sequence[Pieces | None],
        fit: Fit,
        framed: bool,
        overflow: bool,
    ) -> tuple[list[Row], list[int]]:
        """Return the rows, and the index of the text (or pair) each one is from."""
        frame = self._frame
        rooms = {
            pair: self._room(fit, pair, framed)
            for pair in {second is not None for second in seconds}
        }
        rows: list[Row] = []
        origins: list[int] = []
        for i, (first, second) in enumerate(zip(firsts, seconds, strict=True)):
            n, m = len(first.ids), 0 if second is None else len(second.ids)
            room = rooms[second is not None]
            if room is None or n + m <= room:
                rows.append(Row(_parts(first, (0, n), second, (0, m)), frame, framed))
                origins.append(i)
                continue
            for parts in self._cut_to_fit(first, second, room, fit, overflow):
                rows.append(Row(parts, frame, framed))
                origins.append(i)
        if fit.padding != "do_not_pad" and rows:
            length = fit.padded_length(max(len(row.ids) for row in rows))
            for row in rows:
                row.pad(length, fit.padding_side == "left")
        return rows, origins

    def _cut_to_fit(
        self, first: Pieces, second: Pieces | None, room: int, fit: Fit, overflow: bool
    ) -> Sequence[Sequence[Part]]:
        """Return the parts of each row that a long text (or pair) makes; the first is the main."""
        n = len(first.ids)
        m = None if second is None else len(second.ids)
        n_kept, m_kept = kept_lengths(n, m, room, fit.truncation)
        side = fit.truncation_side
        if not overflow:
            kept = keep(n, n_kept, side)
            return [_parts(first, kept, second, keep(m or 0, m_kept, side))]
        if (n and not n_kept) or (m and not m_kept):
            raise ValueError(
                f"max_length={fit.max_length} leaves a text no room at all, so no number of "
                "overflow rows can hold it; raise max_length"
            )
        a = windows(n, n_kept, fit.stride, side)
        b = windows(m or 0, m_kept, fit.stride, side)
        # The Rust library's order: rows with the first window of A but not of B come last.
        order = [(a[0], b[0]), *((x, y) for x in a[1:] for y in b), *((a[0], y) for y in b[1:])]
        return [_parts(first, x, second, y) for x, y in order]


def _parts(
    first: Pieces, a: tuple[int, int], second: Pieces | None, b: tuple[int, int]
) -> tuple[Part, ...]:
    if second is None:
        return (Part(first, *a),)
    return (Part(first, *a), Part(second, *b))
