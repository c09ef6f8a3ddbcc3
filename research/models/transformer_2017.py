"""The Transformer of "Attention Is All You Need" (Vaswani et al. 2017): post-norm, ReLU, sinusoidal positions, one table."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from research.models import bart_like, encoder_decoder, marian
from research.nn.names import Table
from research.nn.stack import StackConfig
from research.nn.token_embedding import EmbeddingConfig
from research.nn.transformer import BlockConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(encoder_decoder.Config):
  """A Transformer; see `transformer_base` and its neighbors."""

  def tables(self) -> dict[str, Table]:
    """Hugging Face's names of the same network, which it calls Marian."""
    return {"hf": bart_like.table(self)}


def make(*, dim: int, num_layers: int, num_heads: int, mlp_dim: int, source_size: int | None = None, dropout: float = 0.1,
         norm_first: bool = False) -> Config:
  """A Transformer of any size. Tables begin as N(0, 1/dim), so that scaled they are of size 1; weights as Glorot has them.

  Args:
    dim: width of the model.
    num_layers: layers of the encoder, and of the decoder.
    num_heads: attention heads.
    mlp_dim: width of the two-layer networks.
    source_size: the source's vocabulary, if it has one of its own.
    dropout: rate, on the first layer's output and the branches.
    norm_first: normalise a branch's input, not the sum after it: as the authors' code came to do after the paper.
  """
  block = BlockConfig(dim=dim, num_heads=num_heads, mlp_dim=mlp_dim, activation="relu", norm_first=norm_first, dropout=dropout,
                      attention_dropout=0.0, init="glorot_uniform")
  stack = lambda cross: StackConfig(num_layers=num_layers, block=dataclasses.replace(block, cross=cross), causal=cross,
                                    norm_last=norm_first)
  embedding = EmbeddingConfig(dim=dim, positions="sinusoidal", scaled=True, dropout=dropout, deviation=dim**-0.5)
  return Config(embedding=embedding, encoder=stack(False), decoder=stack(True), source_size=source_size)


def transformer_tiny(*, source_size: int | None = None, dropout: float = 0.3) -> Config:
  """For Multi30k's 29,000 pairs (Wu et al. 2021); with 9,716 tokens 2,568,704 parameters."""
  return make(dim=128, num_layers=4, num_heads=4, mlp_dim=256, source_size=source_size, dropout=dropout)


def transformer_base(*, source_size: int | None = None, dropout: float = 0.1) -> Config:
  """The paper's base model; with 37,000 tokens 63,082,496 parameters."""
  return make(dim=512, num_layers=6, num_heads=8, mlp_dim=2048, source_size=source_size, dropout=dropout)


def transformer_big(*, source_size: int | None = None, dropout: float = 0.3) -> Config:
  """The paper's big model, whose dropout is 0.1 for English to French; with 37,000 tokens 214,245,376 parameters."""
  return make(dim=1024, num_layers=6, num_heads=16, mlp_dim=4096, source_size=source_size, dropout=dropout)


def to_huggingface(config: encoder_decoder.Config, vocab_size: int, tokens: Mapping[str, Any]) -> dict[str, Any]:
  """The config.json of a Marian that is the same network. Raises ConfigError if there is none; see `marian.to_huggingface`."""
  return marian.to_huggingface(config, vocab_size, tokens)
