"""A model with a loss of its own: what `fit`, `evaluate` and `predict` need besides `call`.

Without `compile(loss=…)` the loss is the task's, from the labels; they may be in the inputs or, as
Keras has it, beside them. With it, Keras's loss gets the labels and the logits.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import keras
from keras import ops

from distilbert.outputs import BaseModelOutput, ModelOutput
from distilbert.tf import inputs, losses
from distilbert.tf.backbone import layers_asked_for, to_result
from distilbert.tf.pretrained import TFDistilBertPreTrainedModel


class TaskModel(TFDistilBertPreTrainedModel):
    """An encoder and a head that a task trains."""

    output_class: ClassVar[type[ModelOutput]]
    label_names: ClassVar[tuple[str, ...]] = ("labels",)

    def check_inputs(self, given: Mapping[str, Any]) -> tuple[inputs.Size, inputs.Size]:
        """Check the arguments of a call, labels too."""
        batch, length = super().check_inputs(given)
        labels = {name: given[name] for name in self.label_names if name in given}
        if labels:
            if len(labels) < len(self.label_names):
                raise ValueError(f"give both {' and '.join(self.label_names)}, or neither")
            self.check_labels(labels, batch, length)
        return batch, length

    def check_labels(
        self, labels: Mapping[str, Any], batch: inputs.Size, length: inputs.Size
    ) -> None:
        """Check labels of (B, T) sequences, by name.

        Raises:
            TypeError, ValueError: they do not fit.
        """
        losses.check_classes(labels["labels"], (batch,), None)

    def task_loss(self, output: Mapping[str, Any], labels: Mapping[str, Any]) -> Any:
        """Return the loss, a scalar in float32, of an output and labels by name."""
        return losses.cross_entropy(output["logits"], labels["labels"])

    def predictions(self, output: Mapping[str, Any]) -> Any:
        """Return what metrics, and a loss of Keras's, compare with the labels."""
        return output["logits"]

    def has_classes(self, labels: Mapping[str, Any]) -> bool:
        """Whether labels are numbers of classes or tokens, of which -100 is left out."""
        return True

    def real_tokens(self, attention_mask: Any) -> Any:
        """Return (B, T), true where a token is real, on the unpadded path; else None."""
        if not self.distilbert.unpads(attention_mask):
            return None
        return ops.not_equal(ops.cast(attention_mask, "int32"), 0)

    def labels_that_count(self, labels: dict[str, Any], real: Any) -> dict[str, Any]:
        """Leave out labels of masked tokens, which the unpadded path does not compute.

        Args:
            real: as `real_tokens` returns it, and not None.
        """
        return labels

    def finish(
        self,
        attention_mask: Any,
        values: dict[str, Any],
        labels: dict[str, Any],
        encoded: BaseModelOutput,
        output_attentions: bool | None,
        output_hidden_states: bool | None,
        return_dict: bool | None,
    ) -> Any:
        """Return the result of a call: loss, the head's values, and of the encoder what is asked.

        Args:
            values: the head's.
            labels: by name; None where there are none.
            encoded: what the encoder returns.
        """
        loss = None
        if all(value is not None for value in labels.values()):
            loss = self._loss(values, labels, attention_mask)
        output = self.output_class(
            loss=loss,
            **values,
            **layers_asked_for(self.config, encoded, output_attentions, output_hidden_states),
        )
        return to_result(self.config, output, return_dict)

    def _loss(self, output: Mapping[str, Any], labels: dict[str, Any], attention_mask: Any) -> Any:
        real = self.real_tokens(attention_mask)
        if real is not None:
            labels = self.labels_that_count(labels, real)
        return self.task_loss(output, labels)

    # What Keras's loops call

    def compile(
        self, optimizer: Any = "rmsprop", loss: Any = None, *args: Any, **options: Any
    ) -> None:
        """Set up training, as any Keras model; without a loss it is the task's.

        Args:
            loss: of Keras's; scripts for transformers say `model.compute_loss` or
                `model.hf_compute_loss`, which is the task's, as None is.
            args, options: of Keras's `compile`: `metrics`, `weighted_metrics`, `jit_compile`, …
        """
        is_stand_in = getattr(loss, "__func__", None) is TaskModel.hf_compute_loss
        if is_stand_in or loss == self.compute_loss:
            loss = None
        # Keras keeps what an earlier call gave and this one does not.
        self.loss = self._compile_loss = self._compile_metrics = None
        super().compile(optimizer, loss, *args, **options)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as `get_compile_config` described; Keras does so only by its own `compile`."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Return the loss of a batch: the task's, or that of `compile(loss=…)`."""
        output, labels = self._output(x, y_pred), self._labels(x, y)
        if self._compile_loss is not None:
            return super().compute_loss(
                x, self._targets(labels), self.predictions(output), sample_weight, training
            )
        if sample_weight is not None:
            raise ValueError(
                "sample_weight and class_weight need a loss of Keras's: compile(loss=…)"
            )
        if not labels:
            raise ValueError(
                f"there are no labels to compute the loss from: put {self.label_names[0]!r} into "
                "the inputs, or give them as y"
            )
        loss = output.get("loss")
        if loss is None:
            mask = self._by_name((x,), {}).get("attention_mask")
            loss = self._loss(output, labels, mask)
        # Keras divides each by the number of replicas, whose gradients it adds up.
        return sum(self._aggregate_additional_loss(each) for each in (loss, *self.losses))

    def hf_compute_loss(self, *args: Any, **options: Any) -> Any:
        """Stand for the task's loss in `compile(loss=model.hf_compute_loss)`, uncalled.

        Raises:
            TypeError: always; it says how the loss of a batch is had.
        """
        raise TypeError(
            "hf_compute_loss only stands for the task's loss in compile, where it may be left out; "
            "that of a batch is model(inputs) with the labels among the inputs, and then .loss"
        )

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Update the metrics with labels and logits; labels of -100 weigh nothing.

        Only `compile(weighted_metrics=…)` looks at weights, as Keras has it.
        """
        output, labels = self._output(x, y_pred), self._labels(x, y)
        targets = self._targets(labels)
        if sample_weight is None and labels and self.has_classes(labels):
            sample_weight = keras.tree.map_structure(_is_labelled, targets)
        return super().compute_metrics(x, targets, self.predictions(output), sample_weight)

    def predict_step(self, *args: Any) -> Any:
        """Compute the outputs of a batch, labels left out."""
        *state, data = args
        x, *_ = keras.utils.unpack_x_y_sample_weight(data)
        if isinstance(x, Mapping):
            x = {name: value for name, value in x.items() if name not in self.label_names}
        return super().predict_step(*state, (x,))

    def _labels(self, x: Any, y: Any) -> dict[str, Any]:
        """Return the labels of a batch by name, from the inputs or from beside them."""
        names = self.label_names
        inside = {n: x[n] for n in names if n in x} if isinstance(x, Mapping) else {}
        if y is None:
            return inside
        if inside:
            raise ValueError(f"{names[0]} is in the inputs, and there are labels beside them")
        if isinstance(y, Mapping):
            if set(y) != set(names):
                raise ValueError(f"labels must be named {', '.join(names)}; got {', '.join(y)}")
            labels = dict(y)
        elif len(names) == 1:
            labels = {names[0]: y}
        elif isinstance(y, list | tuple) and len(y) == len(names):
            labels = dict(zip(names, y, strict=True))
        else:
            got = f"one array {inputs.sizes(y)}" if inputs.is_tensor(y) else f"{len(y)} arrays"
            raise ValueError(
                f"labels must be a tuple, list or dict of {' and '.join(names)}, got {got}; "
                "of y (batch, 2) give (y[:, 0], y[:, 1])"
            )
        self.check_inputs({**self._by_name((x,), {}), **labels})
        return labels

    def _targets(self, labels: dict[str, Any]) -> Any:
        if not labels:
            return None
        return labels if len(self.label_names) > 1 else labels[self.label_names[0]]

    def _output(self, x: Any, y_pred: Any) -> Any:
        """Return a call's result by name, also where `config.return_dict` is False."""
        if isinstance(y_pred, Mapping):
            return y_pred
        fields = self.output_class.fields[0 if self._has_labels(x) else 1 :]
        return dict(zip(fields, y_pred, strict=False))

    def _has_labels(self, x: Any) -> bool:
        return isinstance(x, Mapping) and self.label_names[0] in x


def _is_labelled(labels: Any) -> Any:
    return ops.cast(ops.not_equal(labels, losses.IGNORED), "float32")
