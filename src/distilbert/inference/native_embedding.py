"""Embeddings by the engine, in one call, and padding put back by its threads."""

from ctypes import byref, pointer

import torch
from torch import Tensor, nn

from distilbert.inference.encoder import DROPOUTS
from distilbert.inference.linear import Int8Embedding
from distilbert.modeling import inputs
from distilbert.modeling.model import Embeddings, PositionEmbedding
from distilbert.native import library, threads


class NativeEmbeddings(nn.Module):
    """Words + positions (+ token types), normalised: what `Embeddings` computes without dropout.

    Args:
        inner: for which `fits` is true, with tables in float32, or that of words in 8 bits; it
            stays, for given embeddings and for rows that do not exist.
    """

    def __init__(self, inner: Embeddings) -> None:
        super().__init__()
        self.inner = inner
        engine = library.engine()
        assert engine is not None
        self._embed = engine.distilbert_embed
        words, places, types = (
            inner.word_embeddings, inner.position_embeddings, inner.token_type_embeddings
        )  # fmt: skip
        is_int8 = isinstance(words, Int8Embedding)
        table = words.table if isinstance(words, Int8Embedding) else words.weight
        norm = inner.LayerNorm
        self._embedding = library.Embedding(
            words=library.Table(table.data_ptr(), len(table), is_int8),
            positions=places.weight.data_ptr(),
            types=None if types is None else types.weight.data_ptr(),
            position_count=places.num_embeddings,
            type_count=0 if types is None else types.num_embeddings,
            width=words.embedding_dim,
            norm=library.Norm(norm.weight.data_ptr(), norm.bias.data_ptr(), norm.eps),
        )

    @staticmethod
    def fits(inner: nn.Module) -> bool:
        """Whether embeddings are what the engine computes, and nothing of somebody else's."""
        if type(inner) is not Embeddings:
            return False
        norm, types = inner.LayerNorm, inner.token_type_embeddings
        own = (
            type(inner.word_embeddings) in (nn.Embedding, Int8Embedding)
            and type(inner.position_embeddings) is PositionEmbedding
            and type(types) in (type(None), nn.Embedding)
            and type(norm) is nn.LayerNorm
            and norm.elementwise_affine
            and norm.bias is not None
            and type(inner.dropout) in DROPOUTS
        )
        tensors = [*inner.parameters(), *inner.buffers()]
        return (
            own
            and all(x.is_contiguous() and x.device.type == "cpu" for x in tensors)
            and not any(x._forward_hooks or x._forward_pre_hooks for x in inner.modules())
        )

    @property
    def word_embeddings(self) -> nn.Module:
        """The table of words."""
        return self.inner.word_embeddings

    def forward(
        self,
        input_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
    ) -> Tensor:
        """As `Embeddings.forward`."""
        given = (input_ids, inputs_embeds, position_ids, token_type_ids)
        there = [x for x in given if x is not None]
        if input_ids is None or position_ids is None or not all(map(inputs.readable, there)):
            found: Tensor = self.inner(*given)
            return found
        words, positions, types = (
            None if x is None else x.expand(input_ids.shape).long().contiguous()
            for x in (input_ids, position_ids, token_type_ids)
        )
        assert words is not None
        assert positions is not None
        y = torch.empty(*words.shape, self._embedding.width, dtype=torch.float32, device="cpu")
        lookup = library.Lookup(
            embedding=pointer(self._embedding),
            words=words.data_ptr(),
            positions=positions.data_ptr(),
            types=None if types is None else types.data_ptr(),
            tokens=words.numel(),
            y=y.data_ptr(),
            threads=threads.count(),
        )
        failed = self._embed(byref(lookup))
        if failed == 1:
            raise MemoryError("not enough memory for embeddings")
        return self.inner(*given) if failed else y  # which says what does not exist
