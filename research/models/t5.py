"""T5 (Raffel et al. 2020) and its version 1.1: relative positions, root-mean-square normalisation first, no biases."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from research.config import ConfigError
from research.models import encoder_decoder
from research.models.huggingface_settings import ACTIVATIONS, Settings, activation_name, check_described
from research.nn.activations import Activation
from research.nn.names import Row, Table
from research.nn.relative import Relative
from research.nn.stack import StackConfig
from research.nn.token_embedding import EmbeddingConfig
from research.nn.transformer import BlockConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(encoder_decoder.Config):
  """A T5; see `t5_small`, `t5_1_1_small` and their neighbors for the published ones."""

  def tables(self) -> dict[str, Table]:
    """Hugging Face's names."""
    same = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", *(("lm_head.weight",) if self.tied else ()))
    rows = [Row("shared.weight", "source_embedding/tokens/embedding", also=same)]
    for word, stack in (("encoder", self.encoder), ("decoder", self.decoder)):
      for i in range(stack.num_layers):
        rows += _layer_rows(f"{word}.block.{i}.layer", f"{word}/layers/{i}", cross=stack.block.cross, gated=stack.block.gated)
      rows += [Row(f"{word}.block.0.layer.0.SelfAttention.relative_attention_bias.weight", f"{word}/relative/table/embedding"),
               Row(f"{word}.final_layer_norm.weight", f"{word}/norm/scale")]
    rows += [] if self.tied else [Row("lm_head.weight", "head/embedding")]
    # The oldest files have relative positions where there are none.
    return {"hf": Table(tuple(rows), (r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight",))}


def _layer_rows(theirs, ours, *, cross, gated):
  rows = []
  for k, (name, word) in enumerate((("SelfAttention", "attention"), ("EncDecAttention", "cross"))[:1 + cross]):
    rows += [Row(f"{theirs}.{k}.{name}.{part[0]}.weight", f"{ours}/{word}/{part}/kernel", "linear")
             for part in ("query", "key", "value", "out")]
    rows.append(Row(f"{theirs}.{k}.layer_norm.weight", f"{ours}/{word}_norm/scale"))
  last = f"{theirs}.{1 + cross}"
  mlp = {"wi_0": "gate", "wi_1": "up", "wo": "down"} if gated else {"wi": "up", "wo": "down"}
  rows += [Row(f"{last}.DenseReluDense.{name}.weight", f"{ours}/mlp/{word}/kernel", "linear") for name, word in mlp.items()]
  return [*rows, Row(f"{last}.layer_norm.weight", f"{ours}/mlp_norm/scale")]


def make(*, dim: int, num_layers: tuple[int, int], num_heads: int, mlp_dim: int, head_dim: int = 64,
         activation: Activation = "relu", gated: bool = False, tied: bool = True, scaled: bool = True, dropout: float = 0.1,
         norm_eps: float = 1e-6, num_buckets: int = 32, max_distance: int = 128) -> Config:
  """A T5 of any size, with the paper's initial values. (Those of an untied last layer are N(0, 1/dim), as its authors have
  them; Hugging Face has N(0, 1), with which no training can begin.)

  Args:
    dim: width of the model.
    num_layers: of encoder and decoder.
    num_heads: attention heads.
    mlp_dim: width of the two-layer networks.
    head_dim: size of a head.
    activation: of the two-layer networks.
    gated: whether it is multiplied by a second projection.
    tied: the last layer's table is the first one's.
    scaled: what the last layer sees is divided by √dim.
    dropout: rate, everywhere.
    norm_eps: added to the mean square.
    num_buckets, max_distance: see Relative.
  """
  block = BlockConfig(
      dim=dim, num_heads=num_heads, head_dim=head_dim, mlp_dim=mlp_dim, gated=gated, activation=activation, attention_scale=1.0,
      norm="rms", norm_eps=norm_eps, bias=False, dropout=dropout, mlp_dropout=dropout, init="lecun_normal")
  relative = Relative(num_buckets=num_buckets, max_distance=max_distance, deviation=dim**-0.5)
  stack = lambda k: StackConfig(num_layers=num_layers[k], block=dataclasses.replace(block, cross=k == 1), causal=k == 1,
                                dropout_last=dropout, relative=relative)
  return Config(embedding=EmbeddingConfig(dim=dim, dropout=dropout, deviation=1.0), encoder=stack(0), decoder=stack(1),
                tied=tied, output_scale=dim**-0.5 if scaled else 1.0)


def t5_small(*, dropout: float = 0.1) -> Config:
  """T5 small; with 32,128 tokens 60,506,624 parameters."""
  return make(dim=512, num_layers=(6, 6), num_heads=8, mlp_dim=2048, dropout=dropout)


def t5_base(*, dropout: float = 0.1) -> Config:
  """T5 base: 222,903,552 parameters."""
  return make(dim=768, num_layers=(12, 12), num_heads=12, mlp_dim=3072, dropout=dropout)


def t5_large(*, dropout: float = 0.1) -> Config:
  """T5 large: 737,668,096 parameters."""
  return make(dim=1024, num_layers=(24, 24), num_heads=16, mlp_dim=4096, dropout=dropout)


def t5_3b(*, dropout: float = 0.1) -> Config:
  """T5 3B: 2,851,598,336 parameters."""
  return make(dim=1024, num_layers=(24, 24), num_heads=32, mlp_dim=16384, head_dim=128, dropout=dropout)


def _version_1_1(dim, num_layers, num_heads, mlp_dim, dropout):
  return make(dim=dim, num_layers=(num_layers, num_layers), num_heads=num_heads, mlp_dim=mlp_dim, activation="gelu_tanh",
              gated=True, tied=False, scaled=False, dropout=dropout)


def t5_1_1_small(*, dropout: float = 0.0) -> Config:
  """T5 v1.1 small (pretrained without dropout, to be fine-tuned with 0.1); with 32,128 tokens 76,961,152 parameters."""
  return _version_1_1(512, 8, 6, 1024, dropout)


def t5_1_1_base(*, dropout: float = 0.0) -> Config:
  """T5 v1.1 base: 247,577,856 parameters."""
  return _version_1_1(768, 12, 12, 2048, dropout)


def t5_1_1_large(*, dropout: float = 0.0) -> Config:
  """T5 v1.1 large: 783,150,080 parameters."""
  return _version_1_1(1024, 24, 16, 2816, dropout)


def t5_1_1_xl(*, dropout: float = 0.0) -> Config:
  """T5 v1.1 XL: 2,849,757,184 parameters."""
  return _version_1_1(2048, 24, 32, 5120, dropout)


def from_huggingface(settings: Mapping[str, Any]) -> Config:
  """The network that a config.json describes. Raises ConfigError for what it says and we cannot represent."""
  read = Settings(settings, "t5")
  for name, value in (("is_encoder_decoder", True), ("is_decoder", False), ("add_cross_attention", False),
                      ("tie_encoder_decoder", False)):
    read.only(name, value)
  for name in ("n_positions", "initializer_factor", "classifier_dropout", "dense_act_fn", "is_gated_act"):
    read.get(name, default=None)  # of no effect, of the beginning, of another head, or said twice
  gated, _, word = read.get("feed_forward_proj", default="relu").rpartition("-")
  if gated not in ("", "gated") or word not in ACTIVATIONS:
    raise ConfigError(f"config.json: feed_forward_proj={settings['feed_forward_proj']} cannot be represented: "
                      f"must be one of {', '.join(ACTIVATIONS)}, also after 'gated-'")
  # Version 1.1 is told by its untied embedding; transformers 5 always writes "tied" and has a field of its own beside it.
  tied = read.get("tie_word_embeddings", default=True)
  num_layers = read.get("num_layers", default=6)
  config = make(
      dim=read.get("d_model", default=512), num_layers=(num_layers, read.get("num_decoder_layers", default=None) or num_layers),
      num_heads=read.get("num_heads", default=8), mlp_dim=read.get("d_ff", default=2048), head_dim=read.get("d_kv", default=64),
      activation="gelu_tanh" if (gated, word) == ("gated", "gelu") else ACTIVATIONS[word], gated=bool(gated), tied=tied,
      scaled=read.get("scale_decoder_outputs", default=tied), dropout=read.get("dropout_rate", default=0.1),
      norm_eps=read.get("layer_norm_epsilon", default=1e-6), num_buckets=read.get("relative_attention_num_buckets", default=32),
      max_distance=read.get("relative_attention_max_distance", default=128))
  read.finish()
  return config


def to_huggingface(config: encoder_decoder.Config, vocab_size: int, tokens: Mapping[str, Any]) -> dict[str, Any]:
  """The config.json that describes a network.

  Args:
    config: of the network.
    vocab_size: tokens.
    tokens: which of them are special, as "eos_token_id".

  Raises:
    ConfigError: Hugging Face's T5 cannot be like this.
  """
  block, relative = config.decoder.block, config.decoder.relative or Relative()
  word = "gelu" if block.gated and block.activation == "gelu_tanh" else activation_name(block.activation)
  scaled = config.output_scale != 1
  settings = {
      "model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True, "vocab_size": vocab_size,
      "d_model": block.dim, "d_kv": block.size, "d_ff": block.mlp_dim, "num_layers": config.encoder.num_layers,
      "num_decoder_layers": config.decoder.num_layers, "num_heads": block.num_heads,
      "relative_attention_num_buckets": relative.num_buckets, "relative_attention_max_distance": relative.max_distance,
      "dropout_rate": block.dropout, "layer_norm_epsilon": block.norm_eps or 1e-6,
      "feed_forward_proj": f"gated-{word}" if block.gated else word, "tie_word_embeddings": config.tied,
      **({} if scaled == config.tied else {"scale_decoder_outputs": scaled}), **tokens}
  check_described(config, from_huggingface(settings))
  return settings
