"""What every model class can do besides computing: files, sizes, embeddings, settings."""

import copy
import inspect
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar, Literal, Self, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from distilbert.checkpoint import choose_config, full_name
from distilbert.config import BertConfig, DistilBertConfig, PretrainedConfig
from distilbert.foreign_options import without_foreign
from distilbert.hub import Pushable, Source, push_folder, refuse_hub_options
from distilbert.modeling import files, loading, resizing
from distilbert.modeling.initialization import initialize, knows
from distilbert.modeling.inputs import head_weights
from distilbert.modeling.model import Embeddings, Transformer


def require_grad(module: nn.Module, inputs: Any, output: Tensor) -> None:
    """Make the output of a module one that gradients reach; a forward hook."""
    output.requires_grad_()


class PreTrainedModel(nn.Module, Pushable):
    """The part that DistilBERT's and BERT's classes share; not used directly."""

    config_class: ClassVar[type[PretrainedConfig]]
    base_model_prefix: ClassVar[str]
    supports_gradient_checkpointing = True
    main_input_name = "input_ids"

    embeddings: Embeddings
    transformer: Transformer
    _input_hook: RemovableHandle | None = None
    _is_empty = False  # whether its weights left the meta device and have no values yet

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        if not isinstance(config, self.config_class):
            raise TypeError(
                f"{type(self).__name__} takes a {full_name(self.config_class)}, "
                f"got a {full_name(type(config))}"
            )
        config.validate()
        self.config = copy.deepcopy(config)

    def post_init(self) -> None:
        """Give the weights their first values; the last line of each class's constructor.

        The encoder of a head keeps its own, which its constructor drew or a file had, and so do
        layers that are not linear, embeddings or layer normalisations.
        """
        self._is_empty = False
        for part in self.children():
            if isinstance(part, PreTrainedModel):
                part.config = self.config
                continue
            for module in part.modules():
                self._init_weights(module)
        self.tie_weights()
        with suppress(AttributeError):  # it is not there, mostly
            del self.config.gradient_checkpointing  # the stack of blocks has read it

    def _init_weights(self, module: nn.Module) -> None:
        """Give the weights of one module, without its parts, their first values.

        A class of one's own may do it otherwise.
        """
        for name, parameter in module.named_parameters(recurse=False):
            initialize(module, name, parameter, self.config)

    def init_weights(self) -> None:
        """Do what `post_init` does, under the name that older code calls.

        After `to_empty` of a model that was made on the meta device the encoder is drawn too.
        """
        for part in self.children():
            if isinstance(part, PreTrainedModel) and part._is_empty:
                part.init_weights()
        self.post_init()

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """Do what `to`, `half` and `to_empty` do; of these only the last leaves the meta device."""
        was_on_meta = any(parameter.is_meta for parameter in self.parameters())
        super()._apply(fn, recurse)
        if was_on_meta:
            self._is_empty = not any(parameter.is_meta for parameter in self.parameters())
        return self

    # Parts

    @property
    def base_model(self) -> Any:
        """The encoder, without a head."""
        return getattr(self, self.base_model_prefix, self)

    @property
    def name_or_path(self) -> str:
        """The folder or hub id that it was opened from; empty for a new model."""
        return self.config.name_or_path

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights."""
        return next(self.parameters()).dtype

    @property
    def num_labels(self) -> int:
        """`config.num_labels`."""
        return self.config.num_labels

    @num_labels.setter
    def num_labels(self, value: int) -> None:
        self.config.num_labels = value

    def get_input_embeddings(self) -> nn.Embedding:
        """Return the word embeddings."""
        return self.base_model.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the word embeddings; a tied decoder and `config.vocab_size` follow.

        An untied decoder has to be replaced as well, by `set_output_embeddings`.
        """
        self.base_model.embeddings.word_embeddings = value
        # A module of another class has as many rows as before, as far as is known.
        rows = getattr(value, "num_embeddings", self.config.vocab_size)
        resizing.configure(self, vocab_size=rows)
        self.tie_weights()

    def get_output_embeddings(self) -> nn.Linear | None:
        """Return the masked-LM decoder; None for a model without one."""
        return None

    def set_output_embeddings(self, value: nn.Linear) -> None:
        """Replace the masked-LM decoder.

        Raises:
            TypeError: this model has none.
        """
        raise TypeError(f"{type(self).__name__} has no output embeddings")

    def get_position_embeddings(self) -> nn.Embedding:
        """Return the position embeddings."""
        return self.base_model.embeddings.position_embeddings

    def tie_weights(self) -> None:
        """Make the decoder share the word embeddings, if the configuration says so.

        Its bias is cut, or gets zeros, where there are fewer or more words than before.
        """
        decoder = self.get_output_embeddings()
        if decoder is None or not self.config.tie_word_embeddings:
            return
        decoder.weight = self.get_input_embeddings().weight
        decoder.out_features = len(decoder.weight)
        if decoder.bias is not None and len(decoder.bias) != len(decoder.weight):
            bias = F.pad(decoder.bias.detach(), (0, len(decoder.weight) - len(decoder.bias)))
            decoder.bias = nn.Parameter(bias, requires_grad=decoder.bias.requires_grad)

    # For attention layers of one's own

    def get_extended_attention_mask(
        self,
        attention_mask: Tensor,
        input_shape: Any = None,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Return what is added to attention scores: 0 for what counts, else the lowest number.

        Args:
            attention_mask: (B, T) or (B, T, T), 0 for what does not count.
            input_shape, device: accepted from older code and not needed.
            dtype: by default that of the weights.

        Returns:
            (B, 1, 1, T) or (B, 1, T, T).

        Raises:
            ValueError: a mask of another shape.
        """
        if attention_mask.dim() not in (2, 3):
            raise ValueError(
                "attention_mask must be (batch, tokens) or (batch, tokens, tokens), got "
                f"{tuple(attention_mask.shape)}"
            )
        mask = attention_mask[:, None]
        if mask.dim() == 3:
            mask = mask[:, None]  # (B, 1, T) -> (B, 1, 1, T)
        dtype = dtype or self.dtype
        bias = torch.zeros_like(mask, dtype=dtype)
        return bias.masked_fill(mask == 0, torch.finfo(dtype).min)

    def get_head_mask(
        self, head_mask: Tensor | None, num_hidden_layers: int
    ) -> list[Tensor | None]:
        """Return a factor on attention weights for each layer, (1, H, 1, 1), or None for each.

        It has the type of the model's weights.

        Args:
            head_mask: (H,) or (layers, H), 0 for a head that is left out.

        Raises:
            ValueError: another shape.
        """
        factors = head_weights(head_mask, num_hidden_layers, self.config.n_heads)
        return [None if each is None else each.to(self.dtype) for each in factors]

    # Changes of size

    def resize_token_embeddings(
        self,
        new_num_tokens: int | None = None,
        pad_to_multiple_of: int | None = None,
        mean_resizing: bool = False,
    ) -> nn.Embedding:
        """Grow or cut the vocabulary at its end, decoder included, and return the embeddings.

        Without arguments nothing changes.

        Args:
            mean_resizing: new rows are the mean of the old ones; else drawn as in a new model.

        Raises:
            ValueError: fewer than one token, or fewer than `pad_token_id` needs.
        """
        return resizing.resize_tokens(self, new_num_tokens, pad_to_multiple_of, mean_resizing)

    def resize_position_embeddings(self, new_num_position_embeddings: int) -> None:
        """Allow longer or only shorter sequences.

        Learned positions keep their values and new ones are drawn as in a new model; sinusoidal
        ones are computed for the new length. Device and dtype stay.

        Raises:
            ValueError: fewer than one position.
        """
        resizing.resize_positions(self, new_num_position_embeddings)

    def prune_heads(self, heads_to_prune: Mapping[int, list[int]]) -> None:
        """Remove attention heads, {layer: heads}, for good; numbers are those of the full model.

        Negative layers count from the last, -1.

        Raises:
            ValueError: a layer or head that does not exist, or no head would be left in a layer.
        """
        resizing.prune_heads(self, heads_to_prune)

    # Settings

    def set_attn_implementation(self, attn_implementation: str) -> None:
        """Choose how attention is computed.

        Args:
            attn_implementation: `eager`, step by step; `sdpa`, PyTorch's fused kernels; `varlen`,
                without padding.
        """
        resizing.configure(self, attn_implementation=attn_implementation)

    def gradient_checkpointing_enable(
        self,
        gradient_checkpointing_kwargs: Mapping[str, Any] | None = None,
        every_n_layers: int = 1,
        offload: bool = False,
    ) -> None:
        """Keep only each layer's input for the backward pass and compute the rest again.

        Args:
            gradient_checkpointing_kwargs: only `use_reentrant`, either way: the gradients are the
                same, and it is always done without.
            every_n_layers, offload: only 1 and False; transformers' `Trainer` passes them.

        Raises:
            ValueError: anything else.
        """
        if every_n_layers != 1 or offload:
            raise ValueError("every layer is checkpointed (every_n_layers=1), without offload")
        given = dict(gradient_checkpointing_kwargs or {})
        if given.keys() - {"use_reentrant"}:
            raise ValueError(
                f"gradient_checkpointing_kwargs may hold use_reentrant, nothing else; got {given}"
            )
        self.base_model.transformer.gradient_checkpointing = True

    def gradient_checkpointing_disable(self) -> None:
        """Keep every activation again."""
        self.base_model.transformer.gradient_checkpointing = False

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether activations are computed again in the backward pass."""
        return self.base_model.transformer.gradient_checkpointing

    def enable_input_require_grads(self) -> RemovableHandle:
        """Let gradients reach the output of the word embeddings, also where these are frozen.

        Returns:
            The hook, whose `remove()` undoes it, as `disable_input_require_grads` does.
        """
        self.disable_input_require_grads()
        self._input_hook = self.get_input_embeddings().register_forward_hook(require_grad)
        return self._input_hook

    def disable_input_require_grads(self) -> None:
        """Undo `enable_input_require_grads`, if it was called."""
        if self._input_hook is not None:
            self._input_hook.remove()
            self._input_hook = None

    # Sizes

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """Count the parameters, a shared one once.

        Args:
            exclude_embeddings: leave out the embedding tables (words, positions, token types).
        """
        tables: set[int] = set()
        if exclude_embeddings:
            tables = {id(m.weight) for m in self.modules() if isinstance(m, nn.Embedding)}
        return sum(
            p.numel()
            for p in self.parameters()
            if id(p) not in tables and (p.requires_grad or not only_trainable)
        )

    def get_memory_footprint(self, return_buffers: bool = True) -> int:
        """Return the size of the weights in bytes, a shared one once."""
        tensors: list[Tensor] = list(self.parameters())
        if return_buffers:
            tensors += list(self.buffers())
        return sum(t.numel() * t.element_size() for t in tensors)

    # Files

    @overload
    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str] | None,
        *,
        output_loading_info: Literal[False] = ...,
        **options: Any,
    ) -> Self: ...

    @overload
    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str] | None,
        *,
        output_loading_info: Literal[True],
        **options: Any,
    ) -> tuple[Self, dict[str, list[Any]]]: ...

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str] | None,
        *,
        config: PretrainedConfig | str | os.PathLike[str] | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
        revision: str | None = None,
        subfolder: str = "",
        use_safetensors: bool | None = None,
        state_dict: Mapping[str, Tensor] | None = None,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
        dtype: torch.dtype | str | None = None,
        torch_dtype: torch.dtype | str | None = None,
        device: torch.device | str | int | None = None,
        **overrides: Any,
    ) -> Any:
        """Open a checkpoint: a local folder or a hub id, written by this package or transformers.

        The model is in evaluation mode. What the files lack is drawn as in a new model, and what
        they have besides is left out; both are reported in one line of the log. A BERT opened by
        a DistilBERT class is converted (`BertConfig.to_distilbert`).

        Args:
            pretrained_model_name_or_path: the folder or hub id; or the path of one file of weights,
                with `config` or a `config.json` beside it; None where both `config` and
                `state_dict` are given.
            config: use this configuration instead of the files', or that of another folder.
            use_safetensors: True opens safetensors only, False `pytorch_model.bin` only.
            state_dict: weights to use instead of the files'.
            ignore_mismatched_sizes: draw weights whose shape does not fit instead of failing.
            output_loading_info: return also a dict of missing_keys, unexpected_keys and
                mismatched_keys.
            dtype: type of the weights; "auto" is the files' own, None is float32 (PyTorch's
                default). `torch_dtype` is its old name.
            device: where the weights go.
            overrides: fields of the configuration to replace, and arguments of a constructor of
                one's own, by name.

        Raises:
            OSError: files that cannot be found or reached.
            ValueError: files that are damaged, hostile, of another kind, or do not fit; a device
                that is not there.
            TypeError: an argument that is none of these.
        """
        if pretrained_model_name_or_path is None:
            if config is None or state_dict is None:
                raise TypeError(
                    "from_pretrained needs a folder or a hub id; None takes both config=… and "
                    "state_dict=…"
                )
            pretrained_model_name_or_path = "state_dict"  # in messages: nothing is read there
        source = Source(
            pretrained_model_name_or_path,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
            token=token,
            revision=revision,
            subfolder=subfolder,
        )
        place = loading.choose_device(device)
        overrides = without_foreign(overrides)
        arguments = {
            name: overrides.pop(name)
            for name in inspect.signature(cls.__init__).parameters.keys() & overrides.keys()
            if not cls.config_class.has_field(name)
        }
        own = choose_config(source, cls.config_class, config, overrides)
        weights = state_dict
        if weights is None:
            weights = files.read_weights(source, use_safetensors=use_safetensors)
        with torch.device("meta"):
            model = cls(own, **arguments)
        draws_itself = cls._init_weights is not PreTrainedModel._init_weights
        if draws_itself or not knows(model):
            model = cls(own, **arguments)
        model.config.dtype = loading.choose_dtype(
            dtype if dtype is not None else torch_dtype, weights
        )
        info = loading.load_weights(
            model,
            weights,
            name=str(source),
            dtype=model.config.dtype,
            device=place,
            ignore_mismatched_sizes=ignore_mismatched_sizes,
            is_drawn=draws_itself,
        )
        model.eval()
        return (model, info) if output_loading_info else model

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        *,
        is_main_process: bool = True,
        state_dict: Mapping[str, Tensor] | None = None,
        save_function: Any = None,
        max_shard_size: int | str = "5GB",
        safe_serialization: bool = True,
        push_to_hub: bool = False,
        **hub: Any,
    ) -> None:
        """Write `config.json` and safetensors into a folder; transformers opens them too.

        Old files stay until the new ones are complete.

        Args:
            is_main_process: False does nothing; for the other processes of a distributed run.
            state_dict: weights to write instead of the model's own.
            save_function: accepted from accelerate's scripts and not needed.
            max_shard_size: largest file, in bytes or as "5GB".
            push_to_hub: upload the folder as well; `hub` goes to `push_to_hub`.

        Raises:
            ValueError: `safe_serialization=False`: nothing is written that could hold code;
                a weight that `torch.nn.utils.prune` or `parametrize` computes, or that is spread
                over processes.
            TypeError: an unknown option, or `variant`: files have no variants.
        """
        if hub.pop("variant", None) is not None:
            raise TypeError(
                "save_pretrained has no option 'variant': there is one file of weights. For half "
                "precision model.half().save_pretrained(folder); then rename model.safetensors to "
                "model.fp16.safetensors if a program asks for that name"
            )
        if not safe_serialization:
            raise ValueError("weights are written as safetensors only (safe_serialization=True)")
        refuse_hub_options(push_to_hub, hub)
        if not is_main_process:
            return
        files.save_model(self, save_directory, state_dict, max_shard_size)
        if push_to_hub:
            push_folder(save_directory, **hub)


class DistilBertPreTrainedModel(PreTrainedModel):
    """Base of the DistilBERT classes: files, embeddings, sizes, settings."""

    config_class = DistilBertConfig
    base_model_prefix = "distilbert"


class BertPreTrainedModel(PreTrainedModel):
    """Base of the BERT classes: files, embeddings, sizes, settings."""

    config_class = BertConfig
    base_model_prefix = "bert"
