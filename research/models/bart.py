"""BART (Lewis et al. 2020): learned positions, normalised embeddings, layers that normalise last."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from research.models import bart_like, encoder_decoder
from research.models.huggingface_settings import Settings, check_described
from research.nn.names import Table


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(encoder_decoder.Config):
  """A BART; see `bart_base` and `bart_large` for the published ones."""

  def tables(self) -> dict[str, Table]:
    """Hugging Face's names."""
    return {"hf": bart_like.table(self)}


def make(*, dim: int, num_layers: int, num_heads: int, mlp_dim: int, max_length: int = 1024, dropout: float = 0.1) -> Config:
  """A BART of any size, with the initial values that Hugging Face gives it.

  Args:
    dim: width of the model.
    num_layers: layers of the encoder, and of the decoder.
    num_heads: attention heads.
    mlp_dim: width of the two-layer networks.
    max_length: positions.
    dropout: rate, everywhere.
  """
  return bart_like.make(
      Config, dim=dim, num_layers=(num_layers, num_layers), num_heads=(num_heads, num_heads), mlp_dim=(mlp_dim, mlp_dim),
      positions="learned", norm_first=False, norm_embedding=True, scaled=False, activation="gelu", max_length=max_length,
      dropout=dropout, attention_dropout=dropout, mlp_dropout=dropout)


def bart_base(*, dropout: float = 0.1) -> Config:
  """BART base; with 50,265 tokens 139,420,416 parameters."""
  return make(dim=768, num_layers=6, num_heads=12, mlp_dim=3072, dropout=dropout)


def bart_large(*, dropout: float = 0.1) -> Config:
  """BART large: 406,291,456 parameters."""
  return make(dim=1024, num_layers=12, num_heads=16, mlp_dim=4096, dropout=dropout)


def from_huggingface(settings: Mapping[str, Any]) -> Config:
  """The network that a config.json describes. Raises ConfigError for what it says and we cannot represent."""
  read = Settings(settings, "bart")
  read.only("tie_word_embeddings", True)
  return bart_like.read(read, Config, positions="learned", norm_first=False, norm_embedding=True)


def to_huggingface(config: encoder_decoder.Config, vocab_size: int, tokens: Mapping[str, Any]) -> dict[str, Any]:
  """The config.json that describes a network.

  Args:
    config: of the network.
    vocab_size: tokens.
    tokens: which of them are special, as "eos_token_id".

  Raises:
    ConfigError: Hugging Face's BART cannot be like this.
  """
  settings = bart_like.written(config, "bart", "BartForConditionalGeneration", vocab_size, tokens)
  check_described(config, from_huggingface(settings))
  return settings
