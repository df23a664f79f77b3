"""What every Keras class can do besides computing: inputs, files, sizes, embeddings."""

import copy
import functools
import inspect
import math
import os
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Self, overload

import keras

from distilbert.checkpoint import choose_config, full_name
from distilbert.config import DistilBertConfig, PretrainedConfig
from distilbert.foreign_options import Table, without_foreign
from distilbert.hub import Pushable, Source, push_folder, refuse_hub_options
from distilbert.tf import inputs, resizing, weights
from distilbert.tf.model import Encoder

# Those of transformers' `from_pretrained` that the Keras classes alone have not.
_FOREIGN: Table = {
    "from_tf": ((None, False, True), "leave it out, tf_model.h5 is read where there is one"),
    "torch_dtype": ((None,), 'say dtype=, a policy of Keras\'s as "float16"; "auto" is none'),
    "use_safetensors": ((None, True), "leave it out, safetensors are read where there are some"),
}
_SHAPES = ("input_ids", "inputs_embeds", "attention_mask", "position_ids", "head_mask")


def _taking_mappings(loop: Callable[..., Any]) -> Callable[..., Any]:
    """Let one of Keras's loops, which know only dicts, take what a tokenizer returns."""

    def as_dict(given: Any) -> Any:
        if type(given) is tuple:  # as validation_data
            return tuple(map(as_dict, given))
        is_other = isinstance(given, Mapping) and not isinstance(given, dict)
        return dict(given) if is_other else given

    @functools.wraps(loop)
    def taking(self: Any, *args: Any, **options: Any) -> Any:
        options = {name: as_dict(value) for name, value in options.items()}
        return loop(self, *as_dict(args), **options)

    return taking


class TFDistilBertPreTrainedModel(keras.Model, Pushable):
    """Base of the Keras classes: inputs, files, embeddings, sizes.

    A class of your own on it has the encoder as `self.distilbert = Encoder(self.config)`
    (`distilbert.tf.model.Encoder`), its layers, built, and a `call`.
    """

    config_class: ClassVar[type[PretrainedConfig]] = DistilBertConfig
    base_model_prefix: ClassVar[str] = "distilbert"
    main_input_name = "input_ids"
    has_head: ClassVar[bool] = True

    distilbert: Encoder
    config: DistilBertConfig

    def __init__(self, config: DistilBertConfig, **options: Any) -> None:
        # Inputs are not cast here, so that a label keeps its precision; the layers cast theirs.
        super().__init__(autocast=False, **options)
        if not isinstance(config, DistilBertConfig):
            raise TypeError(
                f"{type(self).__name__} takes a {full_name(DistilBertConfig)}, "
                f"got a {full_name(type(config))}"
            )
        if self.quantization_mode is not None:
            raise ValueError(f"dtype={self.dtype_policy.name!r}: {weights.QUANTISED}")
        config.validate()
        if config.attn_implementation == "varlen" and keras.backend.backend() != "tensorflow":
            raise ValueError('attn_implementation="varlen" needs the TensorFlow backend')
        self.config = copy.deepcopy(config)
        self.built = True

    # Inputs

    fit = _taking_mappings(keras.Model.fit)
    evaluate = _taking_mappings(keras.Model.evaluate)
    predict = _taking_mappings(keras.Model.predict)
    train_on_batch = _taking_mappings(keras.Model.train_on_batch)
    test_on_batch = _taking_mappings(keras.Model.test_on_batch)
    predict_on_batch = _taking_mappings(keras.Model.predict_on_batch)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute; see `call` for the arguments, which may also be one dict, list or tuple."""
        return super().__call__(**self._checked(args, kwargs))

    def stateless_call(
        self,
        trainable_variables: Any,
        non_trainable_variables: Any,
        *args: Any,
        return_losses: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Compute with given weights; what Keras calls under JAX, past `__call__`."""
        return super().stateless_call(
            trainable_variables,
            non_trainable_variables,
            return_losses=return_losses,
            **self._checked(args, kwargs),
        )

    def _checked(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        given = self._by_name(args, kwargs)
        if given.pop("token_type_ids", None) is not None:
            warnings.warn(
                "token_type_ids are ignored: DistilBERT has no token types, "
                "only [SEP] separates texts",
                stacklevel=3,
            )
        self.check_inputs(given)
        return given

    def _by_name(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of `call` by name, those that are None left out."""
        named: Mapping[str, Any] = {}
        if args and isinstance(args[0], Mapping):
            named, args = args[0], args[1:]
        elif args and isinstance(args[0], list | tuple):
            if not all(x is None or inputs.is_tensor(x) for x in args[0]):
                inputs.check_integers("input_ids", args[0])
            args = (*args[0], *args[1:])
        twice = named.keys() & kwargs.keys()
        if twice:
            raise TypeError(f"{sorted(twice)[0]} is given twice")
        bound = inspect.signature(self.call).bind_partial(*args, **named, **kwargs)
        return {name: value for name, value in bound.arguments.items() if value is not None}

    def check_inputs(self, given: Mapping[str, Any]) -> tuple[inputs.Size, inputs.Size]:
        """Check the arguments of a call and return (B, T) as far as they are known.

        Raises:
            ValueError, TypeError: inputs that do not fit together or the model.
            IndexError: an id outside the vocabulary or the positions, if it is on the host.
        """
        inputs.check_kinds(given)
        return inputs.check(self.config, **{n: given[n] for n in _SHAPES if n in given})

    def build(self, input_shape: Any = None) -> None:
        """Do nothing: weights are made by the constructor."""

    # Parts

    @property
    def base_model(self) -> Encoder:
        """The encoder, without a head: a Keras layer."""
        return self.distilbert

    @property
    def num_labels(self) -> int:
        """`config.num_labels`."""
        return self.config.num_labels

    def get_input_embeddings(self) -> Any:
        """Return the word embeddings, a Keras layer with `embeddings` (V, C)."""
        return self.distilbert.embeddings.word_embeddings

    def get_output_embeddings(self) -> Any:
        """Return the masked-LM decoder; None for a model without one."""
        return None

    def get_position_embeddings(self) -> Any:
        """Return the position embeddings, a Keras layer with `embeddings` (positions, C)."""
        return self.distilbert.embeddings.position_embeddings

    def untie_if_different(self, weight: Any, name: str) -> None:
        """Take a decoder that a file has although the configuration ties it; only a masked LM."""

    def resize_token_embeddings(self, new_num_tokens: int | None = None) -> Any:
        """Grow or cut the vocabulary at its end, decoder included, and return the embeddings.

        New rows are drawn as in a new model. Compile the model again afterwards: an optimiser
        knows the old weights.

        Raises:
            ValueError: fewer than one token, or fewer than `pad_token_id` needs.
        """
        return resizing.resize_tokens(self, new_num_tokens)

    def resize_position_embeddings(self, new_num_position_embeddings: int) -> None:
        """Allow longer or only shorter sequences.

        Learned positions keep their values and new ones are drawn as in a new model; sinusoidal
        ones are computed for the new length. Compile the model again afterwards.

        Raises:
            ValueError: fewer than one position.
        """
        resizing.resize_positions(self, new_num_position_embeddings)

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """Count the parameters, a shared one once.

        Args:
            exclude_embeddings: leave out the embedding tables (words and positions).
        """
        tables = (self.get_input_embeddings(), self.get_position_embeddings())
        left_out = {id(w) for table in tables for w in table.weights if exclude_embeddings}
        counted = self.trainable_weights if only_trainable else self.weights
        return sum(math.prod(w.shape) for w in counted if id(w) not in left_out)

    def quantize(self, *args: Any, **options: Any) -> None:
        """Refuse Keras's quantisation, of which no file could be opened again.

        Raises:
            ValueError: always; it says what there is instead.
        """
        raise ValueError(weights.QUANTISED)

    # Files

    def input_signature(
        self, batch: int | None = None, tokens: int | None = None
    ) -> list[dict[str, Any]]:
        """Return what `export` takes as inputs: ids and mask, int32, of fixed or any (None) size.

        Example:
            >>> from distilbert import DistilBertConfig, TFDistilBertModel
            >>> config = DistilBertConfig(vocab_size=9, n_layers=1, n_heads=2, dim=8, hidden_dim=8)
            >>> model = TFDistilBertModel(config)
            >>> model.input_signature(1, 128)[0]["input_ids"].shape
            (1, 128)
        """
        return inputs.signature((batch, tokens))

    def export(
        self,
        filepath: str | os.PathLike[str],
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **options: Any,
    ) -> None:
        """Write the model for inference elsewhere, by Keras's exporters.

        The result takes `input_ids` and `attention_mask` and gives what a call gives; LiteRT in
        float32, whatever the model's `dtype` is.

        Args:
            filepath: a folder, or for LiteRT a file `….tflite`.
            format: "tf_saved_model", "litert", or another that Keras knows.
            input_signature: by default `input_signature()`: batches of any size and length. JAX
                needs the length: `input_signature(tokens=128)`.
            options: of Keras's exporter; for LiteRT those of TensorFlow's converter, as
                `optimizations=[tf.lite.Optimize.DEFAULT]` for int8 weights.

        Raises:
            ValueError: under JAX, a size besides the batch's that is not fixed; a configuration
                that asks for all layers; or "onnx", which `distilbert.export_onnx` writes, from
                the folder of `save_pretrained`.
        """
        if format == "onnx":
            raise ValueError(
                "Keras does not write ONNX here: save_pretrained(folder), then "
                "distilbert.export_onnx(folder, out), which needs no framework"
            )
        if input_signature is None:
            input_signature = self.input_signature()
        if keras.backend.backend() == "jax":
            inputs.check_fixed(input_signature)
        for name in ("output_hidden_states", "output_attentions"):
            if getattr(self.config, name):
                raise ValueError(
                    f"config.{name} is True, and an exported model cannot return a tuple of "
                    f"tensors: say model.config.{name} = False"
                )
        if format == "litert" and self.compute_dtype != "float32":  # has float32 operators alone
            self._in_float32().export(filepath, format, verbose, input_signature, **options)
            return
        unpadded = self.distilbert.unpadded
        if format == "litert":  # has no operator for what `varlen` does
            self.distilbert.unpadded = False
        try:
            super().export(filepath, format, verbose, input_signature, **options)
        finally:
            self.distilbert.unpadded = unpadded

    def _in_float32(self) -> Self:
        """Return a copy that computes in float32."""
        copied = self.from_config({**self.get_config(), "dtype": "float32"})
        own = weights.named_weights(self)
        for name, weight in weights.named_weights(copied).items():
            weight.assign(own[name].read())
        return copied

    def get_config(self) -> dict[str, Any]:
        """Return what Keras writes into a `.keras` file to build the model again."""
        return {
            "config": self.config.to_dict(),
            "name": self.name,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "trainable": self.trainable,
            "frozen": [n for n, w in weights.named_weights(self).items() if w.frozen],
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """Build the model that `get_config` described."""
        options = {**config, "config": cls.config_class.from_dict(config["config"])}
        if isinstance(options.get("dtype"), dict):
            options["dtype"] = keras.dtype_policies.deserialize(options["dtype"])
        trainable, frozen = options.pop("trainable", True), options.pop("frozen", ())
        model = cls(**options)
        for name, weight in weights.named_weights(model).items():
            if name in frozen:
                weight.variable.trainable = False
        for layer in model._flatten_layers(include_self=False):
            if layer.weights and not layer.trainable_weights:
                layer.trainable = False  # TensorFlow ignores True where it says True already
        if not trainable:
            model.trainable = False
        return model

    @overload
    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        output_loading_info: Literal[False] = ...,
        **options: Any,
    ) -> Self: ...

    @overload
    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        output_loading_info: Literal[True],
        **options: Any,
    ) -> tuple[Self, dict[str, list[Any]]]: ...

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        config: DistilBertConfig | str | os.PathLike[str] | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
        revision: str | None = None,
        subfolder: str = "",
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
        from_pt: bool = False,
        dtype: Any = None,
        **overrides: Any,
    ) -> Any:
        """Open a checkpoint: a local folder or a hub id, of either framework, without PyTorch.

        Read are safetensors as this package and transformers write them (PyTorch's and the
        TensorFlow classes'), and `tf_model.h5`. What the files lack is drawn as in a new model,
        and what they have besides is left out; both are reported in one line of the log. A BERT
        is converted (`BertConfig.to_distilbert`).

        Args:
            config: use this configuration instead of the files', or that of another folder.
            ignore_mismatched_sizes: draw weights whose shape does not fit instead of failing.
            output_loading_info: return also a dict of missing_keys, unexpected_keys and
                mismatched_keys.
            from_pt: accepted from older code and not needed: the files say what they are.
            dtype: a Keras dtype policy, as "mixed_bfloat16"; None is Keras's own (float32 unless
                it was changed).
            overrides: fields of the configuration to replace.

        Raises:
            OSError: files that cannot be found or reached.
            ValueError: files that are damaged, hostile, of another kind, or do not fit.
            TypeError: an argument that is neither an option nor a field.
        """
        source = Source(
            pretrained_model_name_or_path,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
            token=token,
            revision=revision,
            subfolder=subfolder,
        )
        overrides = without_foreign(overrides, _FOREIGN)
        own: Any = choose_config(source, cls.config_class, config, overrides)
        found = weights.read_weights(source)
        model = cls(own, dtype=dtype) if dtype is not None else cls(own)
        info = weights.load_weights(
            model, found, name=str(source), ignore_mismatched_sizes=ignore_mismatched_sizes
        )
        return (model, info) if output_loading_info else model

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        *,
        max_shard_size: int | str = "5GB",
        safe_serialization: bool = True,
        push_to_hub: bool = False,
        **hub: Any,
    ) -> None:
        """Write `config.json` and safetensors into a folder; the PyTorch classes open them too.

        Old files stay until the new ones are complete. For a SavedModel or LiteRT see `export`.

        Args:
            max_shard_size: largest file, in bytes or as "5GB".
            push_to_hub: upload the folder as well; `hub` goes to `push_to_hub`.

        Raises:
            ValueError: `safe_serialization=False`: only safetensors are written; or a layer was
                quantised.
        """
        if not safe_serialization:
            raise ValueError("weights are written as safetensors only (safe_serialization=True)")
        if "saved_model" in hub:
            raise TypeError(
                "save_pretrained has no option 'saved_model': a SavedModel is written by "
                "model.export(folder)"
            )
        refuse_hub_options(push_to_hub, hub)
        weights.save_model(self, save_directory, max_shard_size)
        if push_to_hub:
            push_folder(save_directory, **hub)
