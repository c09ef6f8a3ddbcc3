"""Names of a Vision Transformer's parameters in the files of others."""

import functools
import math
from typing import TYPE_CHECKING

import numpy as np

from research.nn.names import Row, Table, flax_rows, norm_rows, torch_rows
from research.nn.patches import resample_positions

if TYPE_CHECKING:
  from research.models.vit import Config


def tables(config: "Config") -> dict[str, Table]:
  """Hugging Face's, timm's, and those of the papers' own .npz files: the older ("augreg") and big_vision's."""
  return {"hf": _hugging_face(config), "timm": _timm(config), "augreg": _flax(config, plain=False),
          "big_vision": _flax(config, plain=True)}


def _resampled(num_prefix: int, array_1TD: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
  """Position embeddings of another resolution. Raises ValueError if either grid is no square."""
  sides = [math.isqrt(max(tokens - num_prefix, 0)) for tokens in (array_1TD.shape[1], shape[0])]
  if [num_prefix + side**2 for side in sides] != [array_1TD.shape[1], shape[0]] or 0 in sides:
    raise ValueError("position embeddings are resampled between square grids only")
  theirs, ours = sides
  return resample_positions(array_1TD[0], (theirs, theirs), (ours, ours), num_prefix)


def _embedding(config: "Config", class_token: str, distillation_token: str, positions: str) -> list[Row]:
  one = (1, 1, config.dim)
  rows = [Row(class_token, "class_token", shape=one)] if config.class_token else []
  rows += [Row(distillation_token, "distillation_token", shape=one)] if config.distillation_token else []
  if config.position == "learned":
    adapt = functools.partial(_resampled, config.num_prefix)
    rows.append(Row(positions, "position_embedding", shape=(1, -1, config.dim), adapt=adapt))
  return rows


def _hugging_face(config: "Config") -> Table:
  net = "deit" if config.distillation_token else "vit"
  embeddings = f"{net}.embeddings"
  rows = _embedding(config, f"{embeddings}.cls_token", f"{embeddings}.distillation_token", f"{embeddings}.position_embeddings")
  rows += torch_rows(f"{embeddings}.patch_embeddings.projection", "patch_embedding", "conv")
  for i in range(config.num_layers):
    theirs, ours = f"{net}.encoder.layer.{i}", f"layers/{i}"
    for word in ("query", "key", "value"):
      rows += torch_rows(f"{theirs}.attention.attention.{word}", f"{ours}/attention/{word}", "linear", bias=config.qkv_bias)
    rows += torch_rows(f"{theirs}.attention.output.dense", f"{ours}/attention/out", "linear")
    rows += norm_rows(f"{theirs}.layernorm_before", f"{ours}/attention_norm", "torch")
    rows += norm_rows(f"{theirs}.layernorm_after", f"{ours}/mlp_norm", "torch")
    rows += torch_rows(f"{theirs}.intermediate.dense", f"{ours}/mlp/up", "linear")
    rows += torch_rows(f"{theirs}.output.dense", f"{ours}/mlp/down", "linear")
  rows += norm_rows(f"{net}.layernorm", "norm", "torch")
  pooler = f"{net}.pooler.dense"
  rows += torch_rows(pooler, "representation", "linear") if config.representation_dim else ()
  rows += torch_rows("cls_classifier" if config.distillation_token else "classifier", "head", "linear")
  rows += torch_rows("distillation_classifier", "distillation_head", "linear") if config.distillation_token else ()
  # Files of the bare network have a pooler that was never trained, unless it is from ImageNet-21k.
  unused = () if config.representation_dim else (rf"({net}\.)?pooler\.dense\..*",)
  return Table(tuple(rows), unused, prefix=f"{net}.")


def _timm(config: "Config") -> Table:
  rows = _embedding(config, "cls_token", "dist_token", "pos_embed")
  rows += torch_rows("patch_embed.proj", "patch_embedding", "conv")
  for i in range(config.num_layers):
    theirs, ours = f"blocks.{i}", f"layers/{i}"
    rows += norm_rows(f"{theirs}.norm1", f"{ours}/attention_norm", "torch")
    rows += _joint(f"{theirs}.attn.qkv", f"{ours}/attention", ("query", "key", "value"), bias=config.qkv_bias)
    rows += torch_rows(f"{theirs}.attn.proj", f"{ours}/attention/out", "linear")
    rows += norm_rows(f"{theirs}.norm2", f"{ours}/mlp_norm", "torch") + _timm_mlp(f"{theirs}.mlp", f"{ours}/mlp")
  rows += norm_rows("norm", "norm", "torch")
  if config.pool == "map":
    rows += [Row("attn_pool.latent", "map_pool/probe", shape=(1, 1, config.dim)),
             *torch_rows("attn_pool.q", "map_pool/attention/query", "linear"),
             *_joint("attn_pool.kv", "map_pool/attention", ("key", "value"), bias=True),
             *torch_rows("attn_pool.proj", "map_pool/attention/out", "linear"),
             *norm_rows("attn_pool.norm", "map_pool/norm", "torch"), *_timm_mlp("attn_pool.mlp", "map_pool/mlp")]
  rows += torch_rows("pre_logits.fc", "representation", "linear") if config.representation_dim else ()
  rows += torch_rows("head", "head", "linear")
  rows += torch_rows("head_dist", "distillation_head", "linear") if config.distillation_token else ()
  return Table(tuple(rows))


def _joint(theirs: str, ours: str, words: tuple[str, ...], *, bias: bool) -> list[Row]:
  """Projections that one tensor holds one after another."""
  parts = [(word, (k, len(words))) for k, word in enumerate(words)]
  rows = [Row(f"{theirs}.weight", f"{ours}/{word}/kernel", "linear", part=part) for word, part in parts]
  return rows + [Row(f"{theirs}.bias", f"{ours}/{word}/bias", part=part) for word, part in parts if bias]


def _timm_mlp(theirs: str, ours: str) -> tuple[Row, ...]:
  return (*torch_rows(f"{theirs}.fc1", f"{ours}/up", "linear"), *torch_rows(f"{theirs}.fc2", f"{ours}/down", "linear"))


def _flax(config: "Config", *, plain: bool) -> Table:
  """The names of the papers' own files; `plain` are those of big_vision. Both have the approximate GELU ("gelu_tanh")."""
  prefix = "params/" if plain else ""
  positions = "pos_embedding" if plain else "Transformer/posembed_input/pos_embedding"
  rows = _embedding(config, f"{prefix}cls", f"{prefix}distillation", f"{prefix}{positions}")
  rows += flax_rows(f"{prefix}embedding", "patch_embedding")
  numbers = (0, 0, 1, 0) if plain else (0, 1, 2, 3)
  for i in range(config.num_layers):
    theirs, ours = f"{prefix}Transformer/encoderblock_{i}", f"layers/{i}"
    modules = zip(("LayerNorm", "MultiHeadDotProductAttention", "LayerNorm", "MlpBlock"), numbers)
    attention_norm, attention, mlp_norm, mlp = (f"{theirs}/{module}_{n}" for module, n in modules)
    rows += norm_rows(attention_norm, f"{ours}/attention_norm", "flax") + norm_rows(mlp_norm, f"{ours}/mlp_norm", "flax")
    rows += _flax_attention(attention, f"{ours}/attention", config, bias=config.qkv_bias) + _flax_mlp(mlp, f"{ours}/mlp")
  rows += norm_rows(f"{prefix}Transformer/encoder_norm", "norm", "flax")
  if config.pool == "map":
    pool = f"{prefix}MAPHead_0"
    rows += [Row(f"{pool}/probe", "map_pool/probe", shape=(1, 1, config.dim)),
             *_flax_attention(f"{pool}/MultiHeadDotProductAttention_0", "map_pool/attention", config, bias=True),
             *norm_rows(f"{pool}/LayerNorm_0", "map_pool/norm", "flax"), *_flax_mlp(f"{pool}/MlpBlock_0", "map_pool/mlp")]
  rows += flax_rows(f"{prefix}pre_logits", "representation") if config.representation_dim else ()
  return Table((*rows, *flax_rows(f"{prefix}head", "head")), unused=(r"opt/.*",), prefix=prefix)


def _flax_attention(theirs: str, ours: str, config: "Config", *, bias: bool) -> list[Row]:
  heads = (config.num_heads, config.dim // config.num_heads)
  words = ("query", "key", "value")
  rows = [Row(f"{theirs}/{word}/kernel", f"{ours}/{word}/kernel", shape=(config.dim, *heads)) for word in words]
  rows += [Row(f"{theirs}/{word}/bias", f"{ours}/{word}/bias", shape=heads) for word in words if bias]
  return [*rows, Row(f"{theirs}/out/kernel", f"{ours}/out/kernel", shape=(*heads, config.dim)),
          Row(f"{theirs}/out/bias", f"{ours}/out/bias")]


def _flax_mlp(theirs: str, ours: str) -> list[Row]:
  return [*flax_rows(f"{theirs}/Dense_0", f"{ours}/up"), *flax_rows(f"{theirs}/Dense_1", f"{ours}/down")]
