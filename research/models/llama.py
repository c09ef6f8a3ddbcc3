"""Llama (Touvron et al. 2023) and its like: rotary positions, RMS normalisation first, gated networks, no biases.

Mistral is the same; Qwen2 has biases on queries, keys and values; Qwen3 normalises queries and keys.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from research.config import ConfigError
from research.models import language_model
from research.models.huggingface_settings import Settings, activation_name, check_described
from research.nn.names import Row, Table, norm_rows, torch_rows
from research.nn.rotary import Rotary
from research.nn.stack import StackConfig
from research.nn.token_embedding import EmbeddingConfig
from research.nn.transformer import BlockConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(language_model.Config):
  """A Llama, Mistral, Qwen2 or Qwen3; see below for published ones."""

  def tables(self) -> dict[str, Table]:
    """Hugging Face's names."""
    block = self.decoder.block
    qkv_bias = block.bias if block.qkv_bias is None else block.qkv_bias
    rows = [Row("model.embed_tokens.weight", "embedding/tokens/embedding")]
    for i in range(self.decoder.num_layers):
      theirs, ours = f"model.layers.{i}", f"decoder/layers/{i}"
      for word, part in (("q", "query"), ("k", "key"), ("v", "value")):
        rows += torch_rows(f"{theirs}.self_attn.{word}_proj", f"{ours}/attention/{part}", "linear", bias=qkv_bias)
      rows += torch_rows(f"{theirs}.self_attn.o_proj", f"{ours}/attention/out", "linear", bias=block.bias)
      if block.qk_norm:
        rows += [Row(f"{theirs}.self_attn.{word}_norm.weight", f"{ours}/attention/{part}_norm/scale")
                 for word, part in (("q", "query"), ("k", "key"))]
      for part in ("gate", "up", "down"):
        rows += torch_rows(f"{theirs}.mlp.{part}_proj", f"{ours}/mlp/{part}", "linear", bias=block.bias)
      rows += [*norm_rows(f"{theirs}.input_layernorm", f"{ours}/attention_norm", "torch")[:1],
               *norm_rows(f"{theirs}.post_attention_layernorm", f"{ours}/mlp_norm", "torch")[:1]]
    rows += norm_rows("model.norm", "decoder/norm", "torch")[:1]
    frequencies = r"(model\.)?(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq"  # which older files hold
    if self.tied:
      return {"hf": Table(tuple(rows), (frequencies, r"lm_head\.weight"), prefix="model.")}
    return {"hf": Table((*rows, Row("lm_head.weight", "head/embedding")), (frequencies,), prefix="model.")}


_PLAIN = Rotary()


def make(*, dim: int, num_layers: int, num_heads: int, num_kv_heads: int, mlp_dim: int, rotary: Rotary = _PLAIN,
         max_length: int = 2048, norm_eps: float = 1e-5, tied: bool = False, head_dim: int | None = None, bias: bool = False,
         qkv_bias: bool = False, qk_norm: bool = False, activation="silu", attention_dropout: float = 0.0,
         deviation: float = 0.02) -> Config:
  """One of any size, with the initial values that Hugging Face gives it.

  Args:
    dim: width of the model.
    num_layers: layers.
    num_heads, num_kv_heads: heads of queries, and of keys and values.
    mlp_dim: width of the gated networks.
    rotary: positions.
    max_length: positions that it was made for; nothing is cut there.
    norm_eps: added to the mean square.
    tied: one table for the first and the last layer.
    head_dim: size of a head; None for dim / num_heads.
    bias: of all dense layers.
    qkv_bias: of queries, keys and values.
    qk_norm: normalise queries and keys.
    activation: of the gate.
    attention_dropout: rate, on attention weights.
    deviation: of all initial weights.
  """
  block = BlockConfig(
      dim=dim, num_heads=num_heads, num_kv_heads=num_kv_heads, head_dim=head_dim, mlp_dim=mlp_dim, gated=True,
      activation=activation, rotary=rotary, qk_norm=qk_norm, norm="rms", norm_eps=norm_eps, bias=bias,
      qkv_bias=bias or qkv_bias, attention_dropout=attention_dropout, init="normal", init_scale=deviation)
  return Config(embedding=EmbeddingConfig(dim=dim, max_length=max_length, deviation=deviation),
                decoder=StackConfig(num_layers=num_layers, block=block, causal=True), tied=tied)


def smollm2_135m() -> Config:
  """SmolLM2-135M; with 49,152 tokens 134,515,008 parameters."""
  return make(dim=576, num_layers=30, num_heads=9, num_kv_heads=3, mlp_dim=1536, rotary=Rotary(base=100_000.0),
              max_length=8192, tied=True)


def smollm2_360m() -> Config:
  """SmolLM2-360M; with 49,152 tokens 361,821,120 parameters."""
  return make(dim=960, num_layers=32, num_heads=15, num_kv_heads=5, mlp_dim=2560, rotary=Rotary(base=100_000.0),
              max_length=8192, tied=True)


def tinyllama_1b() -> Config:
  """TinyLlama-1.1B; with 32,000 tokens 1,100,048,384 parameters."""
  return make(dim=2048, num_layers=22, num_heads=32, num_kv_heads=4, mlp_dim=5632)


def llama2_7b() -> Config:
  """Llama-2-7B; with 32,000 tokens 6,738,415,616 parameters."""
  return make(dim=4096, num_layers=32, num_heads=32, num_kv_heads=32, mlp_dim=11_008, max_length=4096)


def llama3_8b() -> Config:
  """Llama-3-8B; with 128,256 tokens 8,030,261,248 parameters."""
  return make(dim=4096, num_layers=32, num_heads=32, num_kv_heads=8, mlp_dim=14_336, rotary=Rotary(base=500_000.0),
              max_length=8192)


def llama3_2_1b() -> Config:
  """Llama-3.2-1B; with 128,256 tokens 1,235,814,400 parameters."""
  return make(dim=2048, num_layers=16, num_heads=32, num_kv_heads=8, mlp_dim=8192, tied=True, max_length=131_072,
              rotary=Rotary(base=500_000.0, stretch=32.0))


def mistral_7b() -> Config:
  """Mistral-7B-v0.3, the first without a sliding window; with 32,768 tokens 7,248,023,552 parameters."""
  return make(dim=4096, num_layers=32, num_heads=32, num_kv_heads=8, mlp_dim=14_336, rotary=Rotary(base=1_000_000.0),
              max_length=32_768)


def qwen2_0_5b() -> Config:
  """Qwen2-0.5B and Qwen2.5-0.5B; with 151,936 tokens 494,032,768 parameters."""
  return make(dim=896, num_layers=24, num_heads=14, num_kv_heads=2, mlp_dim=4864, rotary=Rotary(base=1_000_000.0),
              max_length=32_768, norm_eps=1e-6, tied=True, qkv_bias=True)


def qwen3_0_6b() -> Config:
  """Qwen3-0.6B; with 151,936 tokens 596,049,920 parameters."""
  return make(dim=1024, num_layers=28, num_heads=16, num_kv_heads=8, mlp_dim=3072, rotary=Rotary(base=1_000_000.0),
              max_length=40_960, norm_eps=1e-6, tied=True, head_dim=128, qk_norm=True)


_HEADS = {"llama": None, "mistral": 8, "qwen2": 32, "qwen3": 32}  # num_key_value_heads, where config.json does not say
_LENGTHS = {"llama": 2048, "mistral": 131_072, "qwen2": 32_768, "qwen3": 32_768}  # max_position_embeddings


def from_huggingface(settings: Mapping[str, Any]) -> Config:
  """The network that a config.json describes. Raises ConfigError for what it says and we cannot represent."""
  read = Settings(settings, "llama", "mistral", "qwen2", "qwen3")
  kind = read.model_type
  dim, num_heads = read.get("hidden_size", default=4096), read.get("num_attention_heads", default=32)
  for name in ("rope_interleaved", "use_mrope"):
    read.only(name, False)
  bias = read.get("attention_bias", default=False)
  if (bias and kind != "llama") or bias != read.get("mlp_bias", default=False):
    raise ConfigError(f"config.json: attention_bias={bias} cannot be represented: all dense layers have a bias, or none "
                      "(but Qwen2's queries, keys and values)")
  head_dim = read.get("head_dim", default=128 if kind == "qwen3" else None)
  length = read.get("max_position_embeddings", default=_LENGTHS[kind])
  window = read.get("sliding_window", default=None if kind == "llama" else 4096)
  if kind.startswith("qwen") and not read.get("use_sliding_window", default=False):
    window = None
  if window is not None:
    raise ConfigError(f"config.json: sliding_window={window} cannot be represented: must be null")
  read.get("max_window_layers", default=None)  # which of the layers have the window
  if other := set(read.get("layer_types", default=None) or ()) - {"full_attention"}:
    raise ConfigError(f"config.json: layer_types={sorted(other)} cannot be represented: must be full_attention")
  config = make(
      dim=dim, num_layers=read.get("num_hidden_layers", default=32), num_heads=num_heads,
      num_kv_heads=read.get("num_key_value_heads", default=_HEADS[kind]) or num_heads,
      mlp_dim=read.get("intermediate_size", default={"llama": 11_008, "mistral": 14_336}.get(kind, 22_016)),
      head_dim=None if head_dim is None or head_dim * num_heads == dim else head_dim, rotary=_rotary(read), max_length=length,
      norm_eps=read.get("rms_norm_eps", default=1e-6), tied=read.get("tie_word_embeddings", default=False), bias=bias,
      qkv_bias=kind == "qwen2", qk_norm=kind == "qwen3", activation=read.activation("hidden_act", "silu"),
      attention_dropout=read.get("attention_dropout", default=0.0) or 0.0,
      deviation=read.get("initializer_range", default=0.02))
  read.finish()
  return config


def _rotary(read: Settings) -> Rotary:
  """Of rope_theta and rope_scaling, or of rope_parameters, which transformers 5 has instead."""
  base = read.get("rope_theta", default=10_000.0)
  found = {**(read.get("rope_scaling", default=None) or {}), **(read.get("rope_parameters", default=None) or {})}
  kind = found.pop("rope_type", found.pop("type", "default"))
  found.pop("type", None)
  base = float(found.pop("rope_theta", base))
  wanted = {"default": (), "linear": ("factor",),
            "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")}.get(kind)
  if wanted is None or set(found) != set(wanted):
    raise ConfigError(f"config.json: rope_scaling={{'rope_type': {kind!r}, {str(found)[1:]} cannot be represented: must be "
                      "default, linear with a factor, or llama3 with its four numbers")
  if kind == "default":
    return Rotary(base=base)
  if kind == "linear":
    return Rotary(base=base, linear=float(found["factor"]))
  return Rotary(base=base, stretch=float(found["factor"]), low=float(found["low_freq_factor"]),
                high=float(found["high_freq_factor"]), original_length=found["original_max_position_embeddings"])


def to_huggingface(config: Config, vocab_size: int, tokens: Mapping[str, Any]) -> dict[str, Any]:
  """The config.json of a network: Qwen3's if queries are normalised, Qwen2's if they alone have a bias, else Llama's.

  Args:
    config: of the network.
    vocab_size: tokens.
    tokens: which of them are special, as "eos_token_id".

  Raises:
    ConfigError: none of these can be like this.
  """
  block, embedding = config.decoder.block, config.embedding
  kind = "qwen3" if block.qk_norm else "qwen2" if block.qkv_bias and not block.bias else "llama"
  rotary = block.rotary or Rotary()
  rope = None
  if rotary.stretch != 1:
    rope = {"rope_type": "llama3", "factor": rotary.stretch, "low_freq_factor": rotary.low, "high_freq_factor": rotary.high,
            "original_max_position_embeddings": rotary.original_length}
  elif rotary.linear != 1:
    rope = {"rope_type": "linear", "factor": rotary.linear}
  settings = {
      "model_type": kind, "architectures": [f"{kind.title()}ForCausalLM"], "vocab_size": vocab_size, "hidden_size": block.dim,
      "intermediate_size": block.mlp_dim, "num_hidden_layers": config.decoder.num_layers,
      "num_attention_heads": block.num_heads, "num_key_value_heads": block.num_kv_heads or block.num_heads,
      "hidden_act": activation_name(block.activation),
      "max_position_embeddings": embedding.max_length, "initializer_range": embedding.deviation,
      "rms_norm_eps": block.norm_eps or 1e-6, "tie_word_embeddings": config.tied, "attention_dropout": block.weights_dropout,
      "rope_theta": rotary.base, "rope_scaling": rope,
      **({"attention_bias": block.bias, "mlp_bias": block.bias} if kind == "llama" else {"use_sliding_window": False}),
      **({} if kind == "qwen2" else {"head_dim": block.size}), **{"bos_token_id": None, "eos_token_id": None, **tokens}}
  check_described(config, from_huggingface(settings))
  return settings
