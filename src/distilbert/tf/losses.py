"""Task losses, in float32. A batch in which nothing is labelled has loss 0.

The checks look at shapes where they are known, and at values on the host.
"""

from typing import Any

from keras import ops

from distilbert.config import PretrainedConfig
from distilbert.tf.inputs import Sizes, dtype_of, fits, infers_shapes, is_tensor, on_host, sizes

IGNORED = -100


def check_classes(labels: Any, expected: Sizes, classes: int | None) -> None:
    """Check class numbers before they are used.

    Args:
        expected: their shape.
        classes: how many there are; None if it is not known.

    Raises:
        TypeError: they are no tensor, or not integers.
        ValueError: another shape, or a label outside 0 … classes - 1 that is not -100.
    """
    _require_tensor("labels", labels)
    if not fits(sizes(labels), expected):
        raise ValueError(f"labels must be {expected}, got {sizes(labels)}")
    if "int" not in dtype_of(labels) and not infers_shapes():
        raise TypeError(f"labels must be integers, got {dtype_of(labels)}")
    values = on_host(labels)
    if values is not None and classes is not None:
        wrong = values[(values != IGNORED) & ((values < 0) | (values >= classes))]
        if wrong.size:
            raise ValueError(
                f"labels hold {wrong[0]}; there are {classes} classes, 0 to {classes - 1} "
                f"({IGNORED} is left out)"
            )


def cross_entropy(logits: Any, labels: Any) -> Any:
    """Mean cross-entropy of (…, K) logits and (…) labels, those equal to -100 left out."""
    if dtype_of(labels) not in ("int32", "int64"):
        labels = ops.cast(labels, "int32")
    labelled = ops.not_equal(labels, IGNORED)
    terms = ops.sparse_categorical_crossentropy(
        ops.where(labelled, labels, ops.zeros_like(labels)),
        ops.cast(logits, "float32"),
        from_logits=True,
    )
    total = ops.sum(ops.where(labelled, terms, 0.0))
    return total / ops.cast(ops.maximum(ops.sum(ops.cast(labelled, "int32")), 1), "float32")


def check_classification(labels: Any, batch: int | None, config: PretrainedConfig) -> None:
    """Check the labels of texts, for any kind of problem.

    Raises:
        TypeError, ValueError: as in `check_classes`, values of another shape than the logits, or
            a single label of one class.
    """
    _require_tensor("labels", labels)
    shape = sizes(labels)
    per_text = fits(shape, (batch,)) or fits(shape, (batch, 1))
    if problem(labels, config) == "single_label_classification":
        if not per_text:
            raise ValueError(
                f"labels must be ({batch},), one class per text, got {shape}; "
                "several classes per text are floating zeros and ones, or say "
                'config.problem_type = "multi_label_classification"'
            )
        if dtype_of(labels) != "bool":  # which are 0 and 1
            check_classes(labels, shape, config.num_labels)
    elif not fits(shape, (batch, config.num_labels)) and not (config.num_labels == 1 and per_text):
        raise ValueError(f"labels must be ({batch}, {config.num_labels}), got {shape}")


def classification(logits: Any, labels: Any, config: PretrainedConfig) -> Any:
    """Regression, single-label or multi-label loss of (B, num_labels) logits.

    Which one `config.problem_of` says.
    """
    kind = problem(labels, config)
    if kind == "single_label_classification":
        return cross_entropy(logits, ops.reshape(labels, (-1,)))
    logits = ops.cast(logits, "float32")
    targets = ops.cast(ops.reshape(labels, ops.shape(logits)), "float32")
    if kind == "regression":
        terms = ops.square(logits - targets)
    else:
        terms = ops.binary_crossentropy(targets, logits, from_logits=True)
    count = ops.maximum(ops.cast(ops.size(logits), "float32"), 1.0)
    return ops.sum(terms) / count


def check_positions(positions: Any, batch: int | None) -> None:
    """Check where answers start or end.

    Raises:
        TypeError: they are no tensor, or not integers.
        ValueError: another shape than (B,) or (B, 1).
    """
    _require_tensor("positions", positions)
    shape = sizes(positions)
    if not (fits(shape, (batch,)) or fits(shape, (batch, 1))):
        raise ValueError(f"positions must be ({batch},), got {shape}")
    if "int" not in dtype_of(positions) and not infers_shapes():
        raise TypeError(f"positions must be integers, got {dtype_of(positions)}")


def spans(start_logits: Any, end_logits: Any, starts: Any, ends: Any) -> Any:
    """Mean of the cross-entropies of start and end positions; those outside are left out.

    Args:
        start_logits, end_logits: (B, T).
        starts, ends: (B,) or (B, 1).
    """
    return (_position(start_logits, starts) + _position(end_logits, ends)) / 2


def hide_masked(logits: Any, real: Any, fill: float) -> Any:
    """Return (B, T, K) logits with `fill` at masked tokens; all of them if `real` is None."""
    if real is None:
        return logits
    return ops.where(ops.expand_dims(real, -1), logits, ops.convert_to_tensor(fill, logits.dtype))


def only_where(labels: Any, real: Any) -> Any:
    """Return (B, T) labels with -100 where a token is masked."""
    return ops.where(real, labels, ops.full_like(labels, IGNORED))


def only_real_positions(positions: Any, real: Any) -> Any:
    """Return (B,) positions with -100 where they point to a masked token or outside."""
    positions = ops.reshape(positions, (-1,))
    length = ops.shape(real)[1]
    inside = ops.cast(ops.clip(positions, 0, length - 1), "int32")
    at = ops.take_along_axis(real, ops.expand_dims(inside, 1), axis=1)[:, 0]
    return ops.where(at, positions, ops.full_like(positions, IGNORED))


def _position(logits: Any, positions: Any) -> Any:
    positions = ops.reshape(positions, (-1,))
    inside = ops.logical_and(positions >= 0, positions < ops.shape(logits)[1])
    return cross_entropy(logits, ops.where(inside, positions, ops.full_like(positions, IGNORED)))


def problem(labels: Any, config: PretrainedConfig) -> str:
    """Return what the labels of texts say: regression, or one class or several of each text."""
    floating = "float" in dtype_of(labels)
    if infers_shapes() and len(sizes(labels)) == 1:
        floating = False
    return config.problem_of(floating=floating)


def _require_tensor(name: str, x: Any) -> None:
    if not is_tensor(x):
        raise TypeError(f"{name} must be an array or a tensor, got {type(x).__name__}")
