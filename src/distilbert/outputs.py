"""What a forward pass returns: a dict whose keys are also attributes and tuple positions.

Shared by PyTorch and Keras: a value is a tensor (or a tuple of tensors) of either.
"""

from typing import Any, ClassVar


class ModelOutput(dict[str, Any]):
    """A dict of the values that are there, in a fixed order, also by attribute and by index.

    A value that was not asked for is not a key; its attribute is None.

    Example:
        >>> output = MaskedLMOutput(logits=[1.0])
        >>> output.logits, output["logits"], output[0], output.loss, list(output)
        ([1.0], [1.0], [1.0], None, ['logits'])
    """

    fields: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        values: dict[str, Any] = dict(*args, **kwargs)
        unknown = values.keys() - set(self.fields)
        if unknown:
            raise TypeError(
                f"{type(self).__name__} has no field {sorted(unknown)[0]!r}; "
                f"its fields are {', '.join(self.fields)}"
            )
        self._fill(values)

    def _fill(self, values: dict[str, Any]) -> None:
        """Hold these values and no others: the fields in their order, then the rest."""
        order = dict.fromkeys((*self.fields, *values))
        super().clear()
        super().update({name: values[name] for name in order if values.get(name) is not None})

    def __getattr__(self, name: str) -> Any:
        if name in type(self).fields or name in self:
            return self.get(name)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.fields:
            raise AttributeError(f"{type(self).__name__} has no field {name!r}")
        self[name] = value

    def __setitem__(self, name: str, value: Any) -> None:
        """Set a value in its place in the order, a new key last; None takes it away."""
        self._fill({**self, name: value})

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(key) if isinstance(key, str) else self.to_tuple()[key]

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Set several values."""
        for name, value in dict(*args, **kwargs).items():
            self[name] = value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.items())})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (), None, None, iter(self.items())

    def to_tuple(self) -> tuple[Any, ...]:
        """Return the values that are there, in order."""
        return tuple(self.values())


class BaseModelOutput(ModelOutput):
    """The encoder's result.

    Attributes:
        last_hidden_state: (B, T, C), the last layer's output.
        hidden_states: n_layers + 1 tensors (B, T, C), embeddings first; if asked for.
        attentions: n_layers tensors (B, H, T, T), weights after the softmax; if asked for.
    """

    fields = ("last_hidden_state", "hidden_states", "attentions")


class BaseModelOutputWithPooling(ModelOutput):
    """BERT's result: `BaseModelOutput` and `pooler_output` (B, C)."""

    fields = ("last_hidden_state", "pooler_output", "hidden_states", "attentions")


class MaskedLMOutput(ModelOutput):
    """`loss` (scalar, with labels), `logits` (B, T, V), `hidden_states`, `attentions`."""

    fields = ("loss", "logits", "hidden_states", "attentions")


class SequenceClassifierOutput(ModelOutput):
    """`loss` (scalar, with labels), `logits` (B, num_labels), `hidden_states`, `attentions`."""

    fields = ("loss", "logits", "hidden_states", "attentions")


class MultipleChoiceModelOutput(ModelOutput):
    """`loss` (scalar, with labels), `logits` (B, choices), `hidden_states`, `attentions`."""

    fields = ("loss", "logits", "hidden_states", "attentions")


class TokenClassifierOutput(ModelOutput):
    """`loss` (scalar, with labels), `logits` (B, T, num_labels), `hidden_states`, `attentions`."""

    fields = ("loss", "logits", "hidden_states", "attentions")


class QuestionAnsweringModelOutput(ModelOutput):
    """`loss` (scalar, with positions), `start_logits` and `end_logits` (B, T), and the rest."""

    fields = ("loss", "start_logits", "end_logits", "hidden_states", "attentions")


ALL_OUTPUTS = (
    BaseModelOutput,
    BaseModelOutputWithPooling,
    MaskedLMOutput,
    SequenceClassifierOutput,
    MultipleChoiceModelOutput,
    TokenClassifierOutput,
    QuestionAnsweringModelOutput,
)
