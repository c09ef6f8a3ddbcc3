"""Marian's Transformers (Junczys-Dowmunt et al. 2018), as of OPUS-MT (Tiedemann, Thottingal 2020): the 2017 Transformer with
swish, and an untrained constant on each token's score."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from research.models import bart_like, encoder_decoder
from research.models.huggingface_settings import Settings, check_described
from research.nn.activations import Activation
from research.nn.names import Table


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(encoder_decoder.Config):
  """A Marian; see `marian_base` for the most frequent published one."""

  def tables(self) -> dict[str, Table]:
    """Hugging Face's names."""
    return {"hf": bart_like.table(self)}


def make(*, dim: int, num_layers: int, num_heads: int, mlp_dim: int, activation: Activation = "silu", max_length: int = 512,
         source_size: int | None = None, dropout: float = 0.1) -> Config:
  """A Marian of any size, with the initial values that Hugging Face gives it.

  Args:
    dim: width of the model.
    num_layers: layers of the encoder, and of the decoder.
    num_heads: attention heads.
    mlp_dim: width of the two-layer networks.
    activation: of the two-layer networks.
    max_length: positions that it was trained for.
    source_size: the source's vocabulary, if it has one of its own.
    dropout: rate, on the first layer's output and the branches.
  """
  return bart_like.make(
      Config, dim=dim, num_layers=(num_layers, num_layers), num_heads=(num_heads, num_heads), mlp_dim=(mlp_dim, mlp_dim),
      positions="sinusoidal", norm_first=False, norm_embedding=False, scaled=True, activation=activation, max_length=max_length,
      dropout=dropout, attention_dropout=0.0, mlp_dropout=0.0, source_size=source_size)


def marian_base(*, source_size: int | None = None, dropout: float = 0.1) -> Config:
  """Marian's "transformer-align", 6 + 6 layers; with 58,101 tokens (English to German) 73,886,208 parameters."""
  return make(dim=512, num_layers=6, num_heads=8, mlp_dim=2048, source_size=source_size, dropout=dropout)


def from_huggingface(settings: Mapping[str, Any]) -> Config:
  """The network that a config.json describes. Raises ConfigError for what it says and we cannot represent."""
  read = Settings(settings, "marian")
  vocab_size = read.need("vocab_size")
  if read.get("share_encoder_decoder_embeddings", default=True):
    read.only("tie_word_embeddings", True)
    read.only("decoder_vocab_size", vocab_size, None)
    source_size, tied = None, True
  else:
    read.get("decoder_vocab_size", default=None)  # as vocab_size: the network is built for it
    source_size, tied = vocab_size, read.get("tie_word_embeddings", default=True)
  return bart_like.read(read, Config, positions="sinusoidal", norm_first=False, norm_embedding=False, source_size=source_size,
                        tied=tied)


def to_huggingface(config: encoder_decoder.Config, vocab_size: int, tokens: Mapping[str, Any]) -> dict[str, Any]:
  """The config.json that describes a network.

  Args:
    config: of the network.
    vocab_size: tokens, of the target.
    tokens: which of them are special, as "eos_token_id".

  Raises:
    ConfigError: Hugging Face's Marian cannot be like this.
  """
  settings = {
      **bart_like.written(config, "marian", "MarianMTModel", config.source_size or vocab_size, tokens),
      "decoder_vocab_size": vocab_size, "share_encoder_decoder_embeddings": config.source_size is None}
  # Where a network has no constants, transformers takes 0.
  check_described(dataclasses.replace(config, output_bias=True), from_huggingface(settings))
  return settings
