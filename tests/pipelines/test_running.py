import numpy as np
import pytest

from distilbert.pipelines.running import Row, run


def echo(seen):
    def model(input_ids, attention_mask, **more):
        seen.append((input_ids, attention_mask, more))
        return {"logits": input_ids.astype(float), "hidden_states": object()}

    return model


def rows_of(*lengths):
    return [Row([10 * i + 1] * n, [1] * n) for i, n in enumerate(lengths)]


def take(i, outputs):
    return i, outputs["logits"].tolist()


def test_rows_come_back_in_order_from_batches_of_like_lengths():
    seen, rows = [], rows_of(3, 7, 1, 7, 2)
    kept = run(echo(seen), rows, ["logits"], take, batch_tokens=14, with_types=False)
    assert [i for i, _ in kept] == [0, 1, 2, 3, 4]
    for (_, values), row in zip(kept, rows, strict=True):
        assert values[: len(row.ids)] == row.ids
    assert [ids.shape for ids, _, _ in seen] == [(2, 7), (3, 3)]
    assert all(ids.size <= 14 for ids, _, _ in seen)


def test_the_mask_marks_what_is_real():
    seen = []
    run(echo(seen), rows_of(1, 3), ["logits"], take, batch_tokens=100, with_types=True)
    ids, mask, more = seen[0]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert more["token_type_ids"].tolist() == mask.tolist()
    assert ids.dtype == mask.dtype == np.int64


def test_a_row_above_the_budget_goes_alone():
    seen = []
    run(echo(seen), rows_of(9, 2, 2), ["logits"], take, batch_tokens=4, with_types=False)
    assert [ids.shape for ids, _, _ in seen] == [(1, 9), (2, 2)]


def test_choices_are_rows():
    seen = []
    run(
        echo(seen),
        rows_of(2, 2),
        ["logits"],
        take,
        batch_tokens=9,
        with_types=False,
        with_choices=True,
    )
    assert seen[0][0].shape == (2, 1, 2)


@pytest.mark.parametrize("kind", [tuple, list, dict, np.asarray])
def test_outputs_in_any_form(kind):
    def model(input_ids, attention_mask):
        values = input_ids.astype(np.float64)
        if kind is dict:
            return {"logits": values}
        return values if kind is np.asarray else kind([values, object()])

    kept = run(model, rows_of(2), ["logits"], take, batch_tokens=9, with_types=False)
    assert kept == [(0, [1.0, 1.0])]


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ({"last_hidden_state": 0}, "gave last_hidden_state, and this task reads start, end"),
        ([np.zeros((1, 2))], "gave 1 outputs, this task needs 2"),
        (np.zeros((1, 2)), "gave one array, this task needs start, end"),
        ((np.zeros((3, 2)), np.zeros((3, 2))), r"gave start of shape \(3, 2\) for 1 rows"),
        ((np.float32(1), np.float32(1)), r"gave start of shape \(\) for 1 rows"),
    ],
)
def test_outputs_of_something_else(output, message):
    with pytest.raises(ValueError, match=message):
        run(
            lambda **_: output, rows_of(2), ["start", "end"], take,
            batch_tokens=9, with_types=False,
        )  # fmt: skip
