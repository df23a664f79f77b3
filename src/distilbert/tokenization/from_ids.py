"""Rows from ids that are already there: `prepare_for_model`, `truncate_sequences` and `pad`."""

from collections.abc import Mapping, Sequence
from typing import Any

from distilbert.fields import strings
from distilbert.tokenization.batch_encoding import BatchEncoding
from distilbert.tokenization.fitting import Fit
from distilbert.tokenization.options import Setting
from distilbert.tokenization.rows import Rows
from distilbert.tokenization.tensors import kind_within, to_ids, to_lists
from distilbert.tokenization.truncation import keep, kept_lengths


class FromIds(Rows):
    """Works on ids instead of text."""

    model_input_names = Setting(strings)
    pad_token_type_id: int = 0

    def _returns(self, name: str, asked: bool | None) -> bool:
        """Say whether an input is returned: as a call asks, else where the model takes it."""
        return name in self.model_input_names if asked is None else asked

    def prepare_for_model(
        self,
        ids: Sequence[int],
        pair_ids: Sequence[int] | None = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        prepend_batch_axis: bool = False,
        *,
        truncation_side: str | None = None,
    ) -> BatchEncoding:
        """Make one row of the ids of one text or two; options as in `__call__`.

        What truncation cuts off is returned, if asked for, as `overflowing_tokens` (preceded by
        `stride` kept ones) with `num_truncated_tokens`.

        Raises:
            ValueError: offsets, which ids do not have; overflowing tokens of a pair that both
                texts lose; or an option that is unknown, out of range or impossible.
        """
        if return_offsets_mapping:
            raise ValueError("ids have no offsets; give the text to the tokenizer instead")
        fit = self._fit(
            padding,
            truncation,
            max_length,
            stride,
            pad_to_multiple_of,
            padding_side,
            truncation_side,
            verbose,
        )
        ids, pair_ids = to_ids(ids), None if pair_ids is None else to_ids(pair_ids)
        pair = pair_ids is not None
        if return_overflowing_tokens and pair and fit.truncation == "longest_first":
            raise ValueError(
                "truncation='longest_first' may cut both texts, so there is no one list of "
                "overflowing tokens; use 'only_first' or 'only_second'"
            )
        room = self._room(fit, pair, add_special_tokens)
        total = len(ids) + len(pair_ids or [])
        excess = 0 if room is None else max(total - room, 0)
        first, second, lost = self._truncate(ids, pair_ids, excess, fit)
        if add_special_tokens:
            row = self.build_inputs_with_special_tokens(first, second)
            types = self.create_token_type_ids_from_sequences(first, second)
            special = self.get_special_tokens_mask(first, second)
        else:
            row = [*first, *(second or [])]
            types = [0] * len(first) + [1] * len(second or [])
            special = [0] * len(row)
        self._warn_if_long(len(row), fit, verbose)
        data: dict[str, Any] = {}
        if return_overflowing_tokens:
            data["overflowing_tokens"] = lost
            data["num_truncated_tokens"] = excess
        data["input_ids"] = row
        if self._returns("token_type_ids", return_token_type_ids):
            data["token_type_ids"] = types
        if return_special_tokens_mask:
            data["special_tokens_mask"] = special
        with_mask = self._returns("attention_mask", return_attention_mask)
        data = self._pad_row(data, fit, fit.padded_length(len(row)), with_mask)
        if return_length:
            data["length"] = len(data["input_ids"])
        return BatchEncoding(
            data, tensor_type=return_tensors, prepend_batch_axis=prepend_batch_axis
        )

    def truncate_sequences(
        self,
        ids: list[int],
        pair_ids: list[int] | None = None,
        num_tokens_to_remove: int = 0,
        truncation_strategy: str = "longest_first",
        stride: int = 0,
    ) -> tuple[list[int], list[int] | None, list[int]]:
        """Remove ids from one text or from a pair.

        Returns:
            The first text, the second, and what was removed (preceded by `stride` kept ids); the
            last is empty where both texts of a pair may lose ids.

        Raises:
            ValueError: an unknown strategy, or one that cannot remove as many.
        """
        fit = self._fit(False, truncation_strategy, max_length=1, stride=stride)
        second = None if pair_ids is None else to_ids(pair_ids)
        return self._truncate(to_ids(ids), second, num_tokens_to_remove, fit)

    def _truncate(
        self, ids: Sequence[int], pair_ids: Sequence[int] | None, excess: int, fit: Fit
    ) -> tuple[list[int], list[int] | None, list[int]]:
        first, second = list(ids), None if pair_ids is None else list(pair_ids)
        if excess <= 0:
            return first, second, []
        n, m = len(first), None if second is None else len(second)
        room = n + (m or 0) - excess
        if room < 0:
            raise ValueError(f"cannot remove {excess} ids: there are {n + (m or 0)}")
        n_kept, m_kept = kept_lengths(n, m, room, fit.truncation)
        side = fit.truncation_side
        lost: list[int] = []
        if second is None or fit.truncation != "longest_first":
            cut = first if n_kept < n else second or []
            size = min(excess + fit.stride, len(cut))
            lost = cut[len(cut) - size :] if side == "right" else cut[:size]
        first = first[slice(*keep(n, n_kept, side))]
        if second is not None:
            second = second[slice(*keep(len(second), m_kept, side))]
        return first, second, lost

    def pad(
        self,
        encoded_inputs: Any,
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Pad rows that were encoded before, as a data collator does.

        Args:
            encoded_inputs: one row or several: a mapping of lists or tensors, or a list of such
                mappings. `input_ids`, `attention_mask`, `token_type_ids` and
                `special_tokens_mask` are padded, everything else passes.
            padding: as in `__call__`; so are the options that follow.
            return_tensors: tensors in give tensors of that kind out, if not said otherwise.

        Raises:
            ValueError: no `input_ids`, nothing to pad, or rows of different keys.
        """
        batch = _gather(encoded_inputs)
        ids = batch["input_ids"]
        if return_tensors is None:
            return_tensors = kind_within(ids)
        values = {name: _plain(value) for name, value in batch.items()}
        ids = values["input_ids"]
        fit = self._fit(
            padding, False, max_length, 0, pad_to_multiple_of, padding_side, verbose=verbose
        )
        with_mask = self._returns("attention_mask", return_attention_mask)
        if not ids or isinstance(ids[0], int):
            length = fit.padded_length(len(ids)) if ids else 0
            row = self._pad_row(values, fit, length, with_mask)
            return BatchEncoding(row, tensor_type=return_tensors)
        for name, value in values.items():
            if not isinstance(value, list) or len(value) != len(ids):
                raise ValueError(f"{name!r} does not have one value for each of {len(ids)} rows")
        length = fit.padded_length(max(map(len, ids)))
        rows = [
            self._pad_row(
                {name: value[i] for name, value in values.items()}, fit, length, with_mask
            )
            for i in range(len(ids))
        ]
        return BatchEncoding(
            {name: [row[name] for row in rows] for name in rows[0]}, tensor_type=return_tensors
        )

    def _pad_row(
        self, row: dict[str, Any], fit: Fit, length: int, with_mask: bool
    ) -> dict[str, Any]:
        """Return a row filled up to `length`, with an attention mask if it had none."""
        ids = row["input_ids"]
        if with_mask and "attention_mask" not in row:
            row = {**row, "attention_mask": [1] * len(ids)}
        missing = length - len(ids)
        if fit.padding == "do_not_pad" or missing <= 0:
            return row
        fillers = {
            "input_ids": self.pad_token_id,
            "attention_mask": 0,
            "token_type_ids": self.pad_token_type_id,
            "special_tokens_mask": 1,
        }
        padded = dict(row)
        for name, filler in fillers.items():
            if name in row:
                filling = [filler] * missing
                on_left = fit.padding_side == "left"
                padded[name] = filling + row[name] if on_left else row[name] + filling
        return padded


def _gather(inputs: Any) -> dict[str, Any]:
    """Return one mapping of batches from whatever `pad` takes."""
    if isinstance(inputs, list | tuple):
        if not inputs or not all(isinstance(item, Mapping) for item in inputs):
            raise ValueError("expected encoded rows: a mapping with input_ids, or a list of such")
        names = list(inputs[0])
        for item in inputs:
            if set(item) != set(names):
                raise ValueError(
                    f"rows with different keys do not make a batch: {names} and {list(item)}"
                )
        inputs = {name: [item[name] for item in inputs] for name in names}
    if not isinstance(inputs, Mapping):
        raise ValueError(f"expected encoded rows, not {type(inputs).__name__}")
    if "input_ids" not in inputs:
        raise ValueError(f"there are no input_ids to pad, only {list(inputs)}")
    return dict(inputs)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else to_lists(value)
