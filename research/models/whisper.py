"""Whisper (Radford et al. 2022): two convolutions over a log-mel spectrum and sinusoids, then layers that normalise first.

Shapes: B recordings, F frames, M mel filters, S = F/2 positions of the encoder, T tokens, D model.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from research.config import ConfigError
from research.models import encoder_decoder
from research.models.bart_like import layer_rows
from research.models.huggingface_settings import Settings, activation_name, check_described
from research.nn.activations import gelu
from research.nn.convolution import Conv
from research.nn.dropout import dropout, fold
from research.nn.names import Row, Table, norm_rows, torch_rows
from research.nn.stack import DecodingState, StackConfig
from research.nn.token_embedding import EmbeddingConfig
from research.nn.transformer import BlockConfig
from research.nn.vocabulary import TokenScores


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(encoder_decoder.Config):
  """A Whisper; see `tiny` and the others for the published ones.

  Attributes:
    num_mels: M.
    max_positions: the most S. Half a minute of audio is 3,000 frames, 1,500 positions.
  """

  num_mels: int = 80
  max_positions: int = 1500

  def build(self, inputs: tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct], num_outputs: int, rngs: nnx.Rngs) -> "Whisper":
    """The network for spectra (B, F, M) and targets (B, T) of a vocabulary of num_outputs.

    Raises ConfigError for spectra of another kind and for what is too long.
    """
    frames, tokens = inputs
    if len(frames.shape) != 3 or frames.shape[2] != self.num_mels:
      raise ConfigError(f"num_mels={self.num_mels}: the inputs are of shape {frames.shape[1:]}, not (frames, {self.num_mels})")
    if frames.shape[1] % 2 or frames.shape[1] > 2 * self.max_positions:
      raise ConfigError(f"max_positions={self.max_positions}: {frames.shape[1]} frames, which must be even and at most "
                        f"{2 * self.max_positions}")
    self.embedding.check(tokens.shape[1])
    return Whisper(self, inputs, num_outputs, rngs)

  def tables(self) -> dict[str, Table]:
    """Hugging Face's names."""
    last = ("proj_out.weight",) if self.tied else ()
    rows = [Row("model.decoder.embed_tokens.weight", "target_embedding/tokens/embedding", also=last),
            Row("model.decoder.embed_positions.weight", "target_embedding/positions/embedding")]
    for k, name in enumerate(("first", "second"), 1):
      rows += torch_rows(f"model.encoder.conv{k}", f"source_embedding/{name}", "conv1d")
    for word, stack in (("encoder", self.encoder), ("decoder", self.decoder)):
      for i in range(stack.num_layers):
        rows += layer_rows(f"model.{word}.layers.{i}", f"{word}/layers/{i}", cross=stack.block.cross, key_bias=False)
      rows += norm_rows(f"model.{word}.layer_norm", f"{word}/norm", "torch")
    fixed = functools.partial(sinusoids, self.max_positions, self.embedding.dim)
    return {"hf": Table(tuple(rows), prefix="model.", fixed=(("model.encoder.embed_positions.weight", fixed),))}


class Spectrum(nnx.Module):
  """The encoder's first layer. Parameters: first/kernel (3, M, D), second/kernel (3, D, D)."""

  def __init__(self, num_mels: int, dim: int, *, dropout: float, dtype, rngs: nnx.Rngs):
    conv = lambda num_inputs, stride: Conv(num_inputs, dim, (3,), stride=stride, padding=1, init="torch_uniform", dtype=dtype,
                                           rngs=rngs)
    self.first, self.second, self.dropout = conv(num_mels, 1), conv(dim, 2), dropout

  def __call__(self, x_BFM: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    """(B, S, D)."""
    x_BSD = gelu(self.second(gelu(self.first(x_BFM))))
    positions_SD = jnp.asarray(sinusoids(x_BSD.shape[1], x_BSD.shape[2]), x_BSD.dtype)
    return dropout(x_BSD + positions_SD, self.dropout, key)


def sinusoids(length: int, dim: int) -> np.ndarray:
  """sin and cos of position/10000^(2i/(dim − 2)), sines in the first half: (length, dim) float32."""
  angles = np.arange(length)[:, None] * np.exp(-np.log(10_000) / (dim // 2 - 1) * np.arange(dim // 2))
  return np.concatenate([np.sin(angles), np.cos(angles)], 1).astype(np.float32)


class Whisper(encoder_decoder.EncoderDecoder):
  """Parameters: source_embedding/first/kernel ..., and those of EncoderDecoder.

  All positions of the encoder are attended to, also those behind the end of a recording: silence is heard.
  """

  def _source_layer(self, num_outputs, *, dtype, rngs):
    config = self.config
    assert isinstance(config, Config)
    return Spectrum(config.num_mels, config.embedding.dim, dropout=config.embedding.dropout, dtype=dtype, rngs=rngs)

  def __call__(self, source: jax.Array, target_BT: jax.Array, source_mask_BS: jax.Array | None = None, *,
               key: jax.Array | None = None) -> TokenScores:
    """The next target token's scores at each position, of spectra (B, F, M); see EncoderDecoder. No mask is looked at."""
    return super().__call__(source, target_BT, None, key=key)

  def encode(self, source: jax.Array, mask_BS: jax.Array | None = None, *, key: jax.Array | None = None) -> jax.Array:
    """(B, S, D) of spectra (B, F, M). No mask is looked at."""
    return self.encoder(self.source_embedding(source, key=fold(key, 0)), key=fold(key, 1))

  def start(self, inputs: dict[str, jax.Array], num_rows: int, num_slots: int) -> DecodingState:
    """The state before the first token. inputs: "inputs", spectra (B, F, M), or "encoded", what `encode` made of them."""
    memory_BSD = inputs["encoded"] if "encoded" in inputs else self.encode(inputs["inputs"])
    return self.decoder.start(num_rows, num_slots, memory_BSD.dtype, memory_BSD)


def make(*, dim: int, num_layers: int, num_heads: int, num_mels: int = 80, max_positions: int = 1500, max_length: int = 448,
         dropout: float = 0.0) -> Config:
  """A Whisper of any size, with the initial values that Hugging Face gives it.

  Args:
    dim: width of the model.
    num_layers: layers of the encoder, and of the decoder.
    num_heads: attention heads.
    num_mels: mel filters.
    max_positions: of the encoder.
    max_length: positions of the decoder, prompts included.
    dropout: rate, everywhere.
  """
  return _make(dim=dim, num_layers=(num_layers, num_layers), num_heads=(num_heads, num_heads), mlp_dim=(4 * dim, 4 * dim),
               num_mels=num_mels, max_positions=max_positions, max_length=max_length, activation="gelu", dropout=dropout,
               attention_dropout=dropout, mlp_dropout=dropout, deviation=0.02)


def _make(*, dim, num_layers, num_heads, mlp_dim, num_mels, max_positions, max_length, activation, dropout, attention_dropout,
          mlp_dropout, deviation):
  stack = lambda k: StackConfig(num_layers=num_layers[k], causal=k == 1, block=BlockConfig(
      dim=dim, num_heads=num_heads[k], mlp_dim=mlp_dim[k], cross=k == 1, activation=activation, key_bias=False, dropout=dropout,
      attention_dropout=attention_dropout, mlp_dropout=mlp_dropout, init="normal", init_scale=deviation))
  embedding = EmbeddingConfig(dim=dim, positions="learned", max_length=max_length, dropout=dropout, deviation=deviation)
  return Config(embedding=embedding, encoder=stack(0), decoder=stack(1), num_mels=num_mels, max_positions=max_positions)


def tiny(*, dropout: float = 0.0) -> Config:
  """Whisper tiny; with 51,865 tokens 37,184,640 parameters, tiny.en with 51,864 tokens 37,184,256."""
  return make(dim=384, num_layers=4, num_heads=6, dropout=dropout)


def base(*, dropout: float = 0.0) -> Config:
  """Whisper base: 71,825,920 parameters, base.en 71,825,408."""
  return make(dim=512, num_layers=6, num_heads=8, dropout=dropout)


def small(*, dropout: float = 0.0) -> Config:
  """Whisper small: 240,582,912 parameters, small.en 240,582,144."""
  return make(dim=768, num_layers=12, num_heads=12, dropout=dropout)


def medium(*, dropout: float = 0.0) -> Config:
  """Whisper medium: 762,321,920 parameters, medium.en 762,320,896."""
  return make(dim=1024, num_layers=24, num_heads=16, dropout=dropout)


def large_v2(*, dropout: float = 0.0) -> Config:
  """Whisper large, and large-v2: 1,541,384,960 parameters."""
  return make(dim=1280, num_layers=32, num_heads=20, dropout=dropout)


def large_v3(*, dropout: float = 0.0) -> Config:
  """Whisper large-v3, of 128 mel filters; with 51,866 tokens 1,541,570,560 parameters."""
  return make(dim=1280, num_layers=32, num_heads=20, num_mels=128, dropout=dropout)


def from_huggingface(settings: Mapping[str, Any]) -> Config:
  """The network that a config.json describes. Raises ConfigError for what it says and we cannot represent."""
  read = Settings(settings, "whisper")
  for name, value in (("is_encoder_decoder", True), ("scale_embedding", False), ("encoder_layerdrop", 0.0),
                      ("decoder_layerdrop", 0.0), ("tie_word_embeddings", True), ("use_weighted_layer_sum", False)):
    read.only(name, value)
  for name in ("num_hidden_layers", "forced_decoder_ids", "median_filter_width", "classifier_proj_size", "apply_spec_augment",
               "mask_time_prob", "mask_time_length", "mask_time_min_masks", "mask_feature_prob", "mask_feature_length",
               "mask_feature_min_masks", "lang_to_id", "task_to_id", "alignment_heads", "no_timestamps_token_id"):
    read.get(name, default=None)  # said twice, of how text is generated, of another head, of training
  both = lambda what, default: tuple(read.get(f"{word}_{what}", default=default) for word in ("encoder", "decoder"))
  config = _make(
      dim=read.get("d_model", default=384), num_layers=both("layers", 4), num_heads=both("attention_heads", 6),
      mlp_dim=both("ffn_dim", 1536), num_mels=read.get("num_mel_bins", default=80),
      max_positions=read.get("max_source_positions", default=1500), max_length=read.get("max_target_positions", default=448),
      activation=read.activation("activation_function", "gelu"), dropout=read.get("dropout", default=0.0),
      attention_dropout=read.get("attention_dropout", default=0.0), mlp_dropout=read.get("activation_dropout", default=0.0),
      deviation=read.get("init_std", default=0.02))
  read.finish()
  return config


def to_huggingface(config: Config, vocab_size: int, tokens: Mapping[str, Any]) -> dict[str, Any]:
  """The config.json that describes a network.

  Args:
    config: of the network.
    vocab_size: tokens.
    tokens: which of them are special, as "eos_token_id".

  Raises:
    ConfigError: Hugging Face's Whisper cannot be like this.
  """
  block, embedding = config.decoder.block, config.embedding
  stacks = {"encoder": config.encoder, "decoder": config.decoder}
  of_each = {"layers": lambda s: s.num_layers, "attention_heads": lambda s: s.block.num_heads,
             "ffn_dim": lambda s: s.block.mlp_dim, "layerdrop": lambda s: 0.0}
  settings = {
      "model_type": "whisper", "architectures": ["WhisperForConditionalGeneration"], "is_encoder_decoder": True,
      "vocab_size": vocab_size, "d_model": block.dim, "num_mel_bins": config.num_mels,
      **{f"{word}_{name}": of(stack) for name, of in of_each.items() for word, stack in stacks.items()},
      "num_hidden_layers": config.encoder.num_layers, "max_source_positions": config.max_positions,
      "max_target_positions": embedding.max_length, "activation_function": activation_name(block.activation),
      "scale_embedding": False, "dropout": block.dropout, "attention_dropout": block.weights_dropout,
      "activation_dropout": block.mlp_dropout, "init_std": embedding.deviation, "suppress_tokens": None,
      "begin_suppress_tokens": None, **{"bos_token_id": None, "eos_token_id": None, "pad_token_id": None, **tokens}}
  check_described(config, from_huggingface(settings))
  return settings


def preprocessor(config: Config) -> dict[str, Any]:
  """The preprocessor_config.json of such networks: what research.augmentation.audio_features.LogMel is told."""
  seconds = config.max_positions // 50
  return {"feature_extractor_type": "WhisperFeatureExtractor", "feature_size": config.num_mels, "hop_length": 160, "n_fft": 400,
          "chunk_length": seconds, "n_samples": seconds * 16_000, "nb_max_frames": seconds * 100, "sampling_rate": 16_000,
          "padding_side": "right", "padding_value": 0.0, "return_attention_mask": False}
