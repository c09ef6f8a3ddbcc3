"""GPT-2 (Radford et al. 2019): learned positions, layers that normalise first, one table for the first and the last layer."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from research.models import language_model
from research.models.huggingface_settings import Settings, activation_name, check_described
from research.nn.names import Row, Table, norm_rows
from research.nn.stack import StackConfig
from research.nn.token_embedding import EmbeddingConfig
from research.nn.transformer import BlockConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(language_model.Config):
  """A GPT-2; see `gpt2` for the published ones."""

  def tables(self) -> dict[str, Table]:
    """Hugging Face's names. Its dense layers are (inputs, outputs), with queries, keys and values side by side in one."""
    rows = [Row("transformer.wte.weight", "embedding/tokens/embedding"),
            Row("transformer.wpe.weight", "embedding/positions/embedding")]
    for i in range(self.decoder.num_layers):
      theirs, ours = f"transformer.h.{i}", f"decoder/layers/{i}"
      for kind, word in (("weight", "kernel"), ("bias", "bias")):
        rows += [Row(f"{theirs}.attn.c_attn.{kind}", f"{ours}/attention/{part}/{word}", part=(k, 3))
                 for k, part in enumerate(("query", "key", "value"))]
        rows += [Row(f"{theirs}.attn.c_proj.{kind}", f"{ours}/attention/out/{word}"),
                 Row(f"{theirs}.mlp.c_fc.{kind}", f"{ours}/mlp/up/{word}"),
                 Row(f"{theirs}.mlp.c_proj.{kind}", f"{ours}/mlp/down/{word}")]
      rows += norm_rows(f"{theirs}.ln_1", f"{ours}/attention_norm", "torch")
      rows += norm_rows(f"{theirs}.ln_2", f"{ours}/mlp_norm", "torch")
    rows += norm_rows("transformer.ln_f", "decoder/norm", "torch")
    masks = r"(transformer\.)?h\.\d+\.attn\.(bias|masked_bias)"  # the causal mask, which older files hold
    if self.tied:
      return {"hf": Table(tuple(rows), (masks, r"lm_head\.weight"), prefix="transformer.")}
    return {"hf": Table((*rows, Row("lm_head.weight", "head/embedding")), (masks,), prefix="transformer.")}


def make(*, dim: int, num_layers: int, num_heads: int, max_length: int = 1024, dropout: float = 0.0) -> Config:
  """A GPT-2 of any size, with the initial values that Hugging Face gives it.

  Args:
    dim: width of the model.
    num_layers: layers.
    num_heads: attention heads.
    max_length: positions.
    dropout: rate, on the first layer's output, the branches and the attention weights; 0.1 in the paper.
  """
  block = BlockConfig(
      dim=dim, num_heads=num_heads, mlp_dim=4 * dim, activation="gelu_tanh", norm_eps=1e-5, dropout=dropout, init="normal",
      init_scale=0.02, out_scale=1 / math.sqrt(2 * num_layers))
  return Config(embedding=EmbeddingConfig(dim=dim, positions="learned", max_length=max_length, dropout=dropout),
                decoder=StackConfig(num_layers=num_layers, block=block, causal=True))


def gpt2(*, max_length: int = 1024, dropout: float = 0.0) -> Config:
  """GPT-2; with 50,257 tokens 124,439,808 parameters."""
  return make(dim=768, num_layers=12, num_heads=12, max_length=max_length, dropout=dropout)


def gpt2_medium(*, max_length: int = 1024, dropout: float = 0.0) -> Config:
  """GPT-2 medium: 354,823,168 parameters."""
  return make(dim=1024, num_layers=24, num_heads=16, max_length=max_length, dropout=dropout)


def gpt2_large(*, max_length: int = 1024, dropout: float = 0.0) -> Config:
  """GPT-2 large: 774,030,080 parameters."""
  return make(dim=1280, num_layers=36, num_heads=20, max_length=max_length, dropout=dropout)


def gpt2_xl(*, max_length: int = 1024, dropout: float = 0.0) -> Config:
  """GPT-2 XL: 1,557,611,200 parameters."""
  return make(dim=1600, num_layers=48, num_heads=25, max_length=max_length, dropout=dropout)


def from_huggingface(settings: Mapping[str, Any]) -> Config:
  """The network that a config.json describes. Raises ConfigError for what it says and we cannot represent."""
  read = Settings(settings, "gpt2")
  read.only("scale_attn_weights", True)
  read.only("scale_attn_by_inverse_layer_idx", False)
  read.only("add_cross_attention", False)
  for name in ("reorder_and_upcast_attn", "is_decoder", "n_ctx", "summary_type", "summary_use_proj", "summary_activation",
               "summary_proj_to_labels", "summary_first_dropout"):
    read.get(name, default=None)  # of the order of rounding, of older libraries, of another head
  dim, num_layers = read.get("n_embd", default=768), read.get("n_layer", default=12)
  deviation = read.get("initializer_range", default=0.02)
  block = BlockConfig(
      dim=dim, num_heads=read.get("n_head", default=12), mlp_dim=read.get("n_inner", default=None) or 4 * dim,
      activation=read.activation("activation_function", "gelu_new"), norm_eps=read.get("layer_norm_epsilon", default=1e-5),
      dropout=read.get("resid_pdrop", default=0.1), attention_dropout=read.get("attn_pdrop", default=0.1), init="normal",
      init_scale=deviation, out_scale=1 / math.sqrt(2 * num_layers))
  embedding = EmbeddingConfig(
      dim=dim, positions="learned", max_length=read.get("n_positions", default=1024),
      dropout=read.get("embd_pdrop", default=0.1), deviation=deviation)
  tied = read.get("tie_word_embeddings", default=True)
  read.finish()
  return Config(embedding=embedding, decoder=StackConfig(num_layers=num_layers, block=block, causal=True), tied=tied)


def to_huggingface(config: Config, vocab_size: int, tokens: Mapping[str, Any]) -> dict[str, Any]:
  """The config.json that describes a network.

  Args:
    config: of the network.
    vocab_size: tokens.
    tokens: which of them are special, as "eos_token_id".

  Raises:
    ConfigError: Hugging Face's GPT-2 cannot be like this.
  """
  block, embedding = config.decoder.block, config.embedding
  settings = {
      "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": vocab_size,
      "n_positions": embedding.max_length, "n_embd": block.dim, "n_layer": config.decoder.num_layers, "n_head": block.num_heads,
      "n_inner": block.mlp_dim, "activation_function": activation_name(block.activation), "resid_pdrop": block.dropout,
      "embd_pdrop": embedding.dropout, "attn_pdrop": block.weights_dropout, "layer_norm_epsilon": block.norm_eps or 1e-5,
      "initializer_range": embedding.deviation, "tie_word_embeddings": config.tied,
      **{"bos_token_id": None, "eos_token_id": None, **tokens}}
  check_described(config, from_huggingface(settings))
  return settings
