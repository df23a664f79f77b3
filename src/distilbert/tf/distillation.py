"""Distillation in Keras: the triple loss of arXiv 1910.01108 as a model to `fit`.

One step is that of `distilbert.distillation.step.DistillationStep` with the counts of its batch; it
makes the logits of all tokens, teacher's and student's, where that one works in chunks.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from distilbert.config import student_config
from distilbert.loss_terms import check_temperature, check_weights
from distilbert.tf import losses
from distilbert.tf.layers import dense
from distilbert.tf.masked_lm import TFDistilBertForMaskedLM
from distilbert.tf.weights import load_weights, named_weights

TERMS = ("ce", "mlm", "cos")


def from_teacher(
    teacher: TFDistilBertForMaskedLM, layers: Sequence[int], **changes: Any
) -> TFDistilBertForMaskedLM:
    """Make a student of some of the teacher's layers, its embeddings and its masked-LM head.

    Args:
        layers: of the teacher, from 0, in order.
        changes: fields of the configuration to replace.

    Raises:
        ValueError: as `student_config`.
    """
    config = student_config(teacher.config, layers, **changes)
    prefix = "distilbert.transformer.layer."
    weights = {}
    for name, weight in named_weights(teacher).items():
        number, _, rest = name.removeprefix(prefix).partition(".")
        if not name.startswith(prefix):
            weights[name] = weight.read()
        elif int(number) in layers:
            for own, layer in enumerate(layers):
                if int(number) == layer:
                    weights[f"{prefix}{own}.{rest}"] = weight.read()
    student = TFDistilBertForMaskedLM(config)
    load_weights(student, weights, name="the teacher", ignore_mismatched_sizes=False)
    return student


class TFDistiller(keras.Model):
    """A student that learns from a teacher by the triple loss; `compile` and `fit` it.

    Batches are masked: a dict of `input_ids`, `attention_mask` and `labels` (-100 where a token is
    not masked; `distilbert.distillation.masking.draw` makes them). The student is trained in place;
    save it with its own `save_pretrained`. The teacher is frozen. A BERT teacher opens as
    `TFDistilBertForMaskedLM`.

    Args:
        student: trained.
        teacher: taught by; of the same vocabulary if `ce` is not 0.
        ce: weight of L_ce, the teacher's distribution over the vocabulary at all real tokens.
        mlm: weight of L_mlm, the masked tokens.
        cos: weight of L_cos, the direction of the last hidden state; where the widths differ, the
            student's is projected by a layer of the distiller's own.
        temperature: of L_ce.
        ce_at_masked: L_ce only at masked tokens instead of all.

    Raises:
        ValueError: weights or a temperature that make no sense, or vocabularies that differ.

    Example:
        >>> import numpy as np
        >>> from distilbert import DistilBertConfig, TFDistilBertForMaskedLM, TFDistiller
        >>> config = DistilBertConfig(vocab_size=20, n_layers=2, n_heads=2, dim=8, hidden_dim=8)
        >>> teacher = TFDistilBertForMaskedLM(config)
        >>> config.n_layers = 1
        >>> distiller = TFDistiller(TFDistilBertForMaskedLM(config), teacher)
        >>> distiller.compile(optimizer="sgd")
        >>> labels = np.array([[-100, 7, -100, -100]])
        >>> batch = {"input_ids": np.array([[2, 4, 9, 3]]), "labels": labels}
        >>> sorted(distiller.fit(batch, verbose=0).history)
        ['ce', 'cos', 'loss', 'mlm']
    """

    def __init__(
        self,
        student: TFDistilBertForMaskedLM,
        teacher: TFDistilBertForMaskedLM,
        *,
        ce: float = 5.0,
        mlm: float = 2.0,
        cos: float = 1.0,
        temperature: float = 2.0,
        ce_at_masked: bool = False,
    ) -> None:
        super().__init__(name="distiller")
        factors = {"ce": ce, "mlm": mlm, "cos": cos}
        check_weights(factors)
        check_temperature(temperature)
        own, other = student.config, teacher.config
        if ce and own.vocab_size != other.vocab_size:
            raise ValueError(
                f"L_ce needs one vocabulary: the teacher has {other.vocab_size} entries, "
                f"the student {own.vocab_size}"
            )
        teacher.trainable = False
        self.student, self.teacher = student, teacher
        self.factors, self.temperature, self.ce_at_masked = factors, temperature, ce_at_masked
        self.projection = None
        if cos and own.dim != other.dim:
            self.projection = dense(own.dim, other.dim, "projection", own, self.dtype_policy)
        self.means = [keras.metrics.Mean(name=name) for name in TERMS if factors[name]]
        self.built = True

    def call(
        self,
        input_ids: Any,
        attention_mask: Any = None,
        labels: Any = None,
        training: bool = False,
    ) -> dict[str, Any]:
        """Return each term, divided by its count in the batch, and their weighted sum, `loss`.

        Args:
            input_ids: (B, T), masks applied; or a dict of these arguments.
            attention_mask: (B, T), 1 where a token is real.
            labels: (B, T), the original ids of masked tokens, -100 elsewhere.
        """
        if isinstance(input_ids, Mapping):
            return self.call(**input_ids, training=training)
        given = {"input_ids": input_ids}
        if attention_mask is not None:
            given["attention_mask"] = attention_mask
        if labels is None:
            raise ValueError("there are no labels in the inputs: batches are masked ones")
        real = ops.ones_like(input_ids) if attention_mask is None else attention_mask
        real = ops.cast(ops.not_equal(real, 0), "float32")  # (B, T)
        states = self._states(self.student, given, training)  # (B, T, C)
        goal = ops.stop_gradient(self._states(self.teacher, given, False))
        terms = {}
        if self.factors["ce"] or self.factors["mlm"]:
            logits = ops.cast(self.student.decode(states), "float32")  # (B, T, V)
        if self.factors["ce"]:
            taught = ops.stop_gradient(ops.cast(self.teacher.decode(goal), "float32"))
            where = real
            if self.ce_at_masked:
                where = ops.cast(ops.not_equal(labels, losses.IGNORED), "float32")
            terms["ce"] = _mean(_divergence(logits, taught, self.temperature), where)
        if self.factors["mlm"]:
            terms["mlm"] = losses.cross_entropy(logits, labels)
        if self.factors["cos"]:
            own = states if self.projection is None else self.projection(states)
            terms["cos"] = _mean(1.0 - _cosine(own, goal), real)
        return {**terms, "loss": sum(self.factors[name] * term for name, term in terms.items())}

    def _states(self, model: TFDistilBertForMaskedLM, given: Any, training: bool) -> Any:
        model.check_inputs(given)
        return model.distilbert(**given, training=training).last_hidden_state

    def get_config(self) -> dict[str, Any]:
        """Refuse to be written into a `.keras` file; weights can be (`save_weights`).

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            "a distiller is not saved whole: save the student, distiller.student.save_pretrained"
            "(folder), or weights, save_weights or ModelCheckpoint(…, save_weights_only=True)"
        )

    # What Keras's loops call

    def fit(self, *args: Any, **options: Any) -> Any:
        """Train, as any Keras model.

        Raises:
            NotImplementedError: among the `callbacks` is one that would save the distiller.
        """
        for callback in keras.tree.flatten(options.get("callbacks")):
            saves = isinstance(callback, keras.callbacks.ModelCheckpoint)
            if saves and not callback.save_weights_only:
                self.get_config()
        return super().fit(*args, **options)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Return the loss that `call` computed."""
        if y is not None or sample_weight is not None:
            raise ValueError("the distiller takes labels in the inputs, and no sample weights")
        # Keras divides it by the number of replicas, whose gradients it adds up.
        return self._aggregate_additional_loss(y_pred["loss"])

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Update the mean of each term."""
        for mean in self.means:
            mean.update_state(y_pred[mean.name])
        return self.get_metrics_result()


def _mean(terms: Any, where: Any) -> Any:
    """Mean of (B, T) terms where `where` is 1; 0 where nothing is."""
    return ops.sum(ops.where(where > 0, terms, 0.0)) / ops.maximum(ops.sum(where), 1.0)


def _divergence(student: Any, teacher: Any, temperature: float) -> Any:
    """T^2 KL(softmax(teacher / T) || softmax(student / T)) of (B, T, V) logits, (B, T)."""
    own = ops.log_softmax(student / temperature)
    goal = ops.log_softmax(teacher / temperature)
    return temperature**2 * ops.sum(ops.exp(goal) * (goal - own), axis=-1)


def _cosine(a: Any, b: Any) -> Any:
    """Cosine of (B, T, C) vectors, (B, T)."""
    a, b = ops.cast(a, "float32"), ops.cast(b, "float32")
    # The floor is PyTorch's; inside the root, whose gradient at 0 would be infinite.
    squares = (ops.maximum(ops.sum(x * x, axis=-1), 1e-16) for x in (a, b))
    lengths = [ops.sqrt(square) for square in squares]
    return ops.sum(a * b, axis=-1) / (lengths[0] * lengths[1])
