"""What BART, Marian and PEGASUS have in common: a form of network, and Hugging Face's names of its parameters and settings."""

import functools
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import numpy as np

from research.models import encoder_decoder
from research.models.huggingface_settings import Settings, activation_name
from research.nn.activations import Activation
from research.nn.names import Row, Table, norm_rows, torch_rows
from research.nn.stack import StackConfig
from research.nn.token_embedding import EmbeddingConfig
from research.nn.transformer import BlockConfig

_C = TypeVar("_C", bound=encoder_decoder.Config)


def make(kind: type[_C], *, dim: int, num_layers: tuple[int, int], num_heads: tuple[int, int], mlp_dim: tuple[int, int],
         positions: Literal["learned", "sinusoidal"], norm_first: bool, norm_embedding: bool, scaled: bool,
         activation: Activation, max_length: int, dropout: float, attention_dropout: float, mlp_dropout: float,
         deviation: float = 0.02, source_size: int | None = None, tied: bool = True) -> _C:
  """A network of one of the three families. Weights begin as N(0, deviation²), biases as 0.

  Args:
    kind: the family's class.
    dim: width of the model.
    num_layers: of encoder and decoder.
    num_heads: attention heads in either.
    mlp_dim: width of the two-layer networks in either.
    positions: learned ones begin with two vectors that are not used.
    norm_first: normalise a branch's input, and the last layer's output, not the sum after it.
    norm_embedding: normalise the first layer's output.
    scaled: multiply tokens' vectors by √dim.
    activation: of the two-layer networks.
    max_length: positions.
    dropout: rate, on the first layer's output and the branches.
    attention_dropout: rate, on attention weights.
    mlp_dropout: rate, inside the two-layer networks.
    deviation: of the initial weights.
    source_size: the source's vocabulary, if it has one of its own.
    tied: the last layer's table is the decoder's first.
  """
  embedding = EmbeddingConfig(
      dim=dim, positions=positions, max_length=max_length, offset=2 if positions == "learned" else 0, scaled=scaled,
      norm_eps=1e-5 if norm_embedding else None, dropout=dropout, deviation=deviation)
  stack = lambda k: StackConfig(
      num_layers=num_layers[k], causal=k == 1, norm_last=norm_first, block=BlockConfig(
          dim=dim, num_heads=num_heads[k], mlp_dim=mlp_dim[k], cross=k == 1, activation=activation, norm_first=norm_first,
          dropout=dropout, attention_dropout=attention_dropout, mlp_dropout=mlp_dropout, init="normal", init_scale=deviation))
  return kind(embedding=embedding, encoder=stack(0), decoder=stack(1), source_size=source_size, tied=tied, output_bias=True)


# --- names of parameters -------------------------------------------------------------------------------------------------


def table(config: encoder_decoder.Config) -> Table:
  """Hugging Face's names."""
  rows, fixed = _token_rows(config), []
  for theirs, embedding in (("model.encoder", "source_embedding"), ("model.decoder", "target_embedding")):
    if config.embedding.positions == "learned":
      rows.append(Row(f"{theirs}.embed_positions.weight", f"{embedding}/positions/embedding"))
    else:
      sinusoids = functools.partial(_sinusoids, config.embedding.max_length, config.embedding.dim)
      fixed.append((f"{theirs}.embed_positions.weight", sinusoids))
    if config.embedding.norm_eps is not None:
      rows += norm_rows(f"{theirs}.layernorm_embedding", f"{embedding}/norm", "torch")
  for word, stack in (("encoder", config.encoder), ("decoder", config.decoder)):
    for i in range(stack.num_layers):
      rows += layer_rows(f"model.{word}.layers.{i}", f"{word}/layers/{i}", cross=stack.block.cross)
    if stack.norm_last:
      rows += norm_rows(f"model.{word}.layer_norm", f"{word}/norm", "torch")
  if config.output_bias:
    rows.append(Row("final_logits_bias", "output_bias", shape=(1, -1), absent=0.0))
  return Table(tuple(rows), (r"(model\.)?(en|de)coder\.version",), prefix="model.", fixed=tuple(fixed))


def _sinusoids(length, dim):
  angles = np.arange(length)[:, None] * 10_000.0 ** (-np.arange(0, dim, 2) / dim)
  return np.concatenate([np.sin(angles), np.cos(angles)], 1).astype(np.float32)


def _token_rows(config):
  names = [f"model.{word}.embed_tokens.weight" for word in ("encoder", "decoder")]
  last = ("lm_head.weight",)
  if config.source_size is None:
    rows = [Row("model.shared.weight", "source_embedding/tokens/embedding", also=(*names, *(last if config.tied else ())))]
  else:
    rows = [Row(names[0], "source_embedding/tokens/embedding"),
            Row(names[1], "target_embedding/tokens/embedding", also=last if config.tied else ())]
  return rows if config.tied else [*rows, Row(*last, "head/embedding")]


def layer_rows(theirs: str, ours: str, *, cross: bool, key_bias: bool = True) -> list[Row]:
  """Names of a layer's parameters."""
  rows = []
  for name, word in (("self_attn", "attention"), ("encoder_attn", "cross"))[:1 + cross]:
    for part in ("query", "key", "value", "out"):
      short = "out" if part == "out" else part[0]
      rows += torch_rows(f"{theirs}.{name}.{short}_proj", f"{ours}/{word}/{part}", "linear", bias=key_bias or part != "key")
    rows += norm_rows(f"{theirs}.{name}_layer_norm", f"{ours}/{word}_norm", "torch")
  rows += torch_rows(f"{theirs}.fc1", f"{ours}/mlp/up", "linear") + torch_rows(f"{theirs}.fc2", f"{ours}/mlp/down", "linear")
  return [*rows, *norm_rows(f"{theirs}.final_layer_norm", f"{ours}/mlp_norm", "torch")]


# --- settings ------------------------------------------------------------------------------------------------------------


def read(settings: Settings, kind: type[_C], *, positions: Literal["learned", "sinusoidal"], norm_first: bool,
         norm_embedding: bool, source_size: int | None = None, tied: bool = True) -> _C:
  """The network that a config.json describes; `settings` is as yet unread but for what the last two arguments are taken from.

  Raises:
    ConfigError: it says something that we cannot represent.
  """
  for name, value in (
      ("is_encoder_decoder", True), ("is_decoder", False), ("add_cross_attention", False), ("tie_encoder_decoder", False),
      ("encoder_layerdrop", 0.0), ("decoder_layerdrop", 0.0), ("add_bias_logits", False), ("normalize_before", norm_first),
      ("add_final_layer_norm", norm_first), ("normalize_embedding", norm_embedding),
      ("static_position_embeddings", positions == "sinusoidal")):
    settings.only(name, value)
  for name in ("num_hidden_layers", "extra_pos_embeddings", "classifier_dropout", "classif_dropout", "_num_labels", "save_step",
               "force_bos_token_to_be_generated"):
    settings.get(name, default=None)  # said twice, of another head, or of how text is generated
  both = lambda what, default: tuple(settings.get(f"{word}_{what}", default=default) for word in ("encoder", "decoder"))
  config = make(
      kind, dim=settings.get("d_model", default=1024), num_layers=both("layers", 12), num_heads=both("attention_heads", 16),
      mlp_dim=both("ffn_dim", 4096), positions=positions, norm_first=norm_first, norm_embedding=norm_embedding,
      scaled=settings.get("scale_embedding", default=False), activation=settings.activation("activation_function", "gelu"),
      max_length=settings.get("max_position_embeddings", default=1024), dropout=settings.get("dropout", default=0.1),
      attention_dropout=settings.get("attention_dropout", default=0.0),
      mlp_dropout=settings.get("activation_dropout", default=0.0), deviation=settings.get("init_std", default=0.02),
      source_size=source_size, tied=tied)
  settings.finish()
  return config


def written(config: encoder_decoder.Config, model_type: str, architecture: str, vocab_size: int,
            tokens: Mapping[str, Any]) -> dict[str, Any]:
  """The config.json of a network, which must be one of its family's.

  Args:
    config: of the network.
    model_type: the family.
    architecture: the class that loads it.
    vocab_size: tokens.
    tokens: which of them are special, as "eos_token_id".
  """
  block, embedding = config.decoder.block, config.embedding
  stacks = {"encoder": config.encoder, "decoder": config.decoder}
  of_each = {"layers": lambda s: s.num_layers, "attention_heads": lambda s: s.block.num_heads,
             "ffn_dim": lambda s: s.block.mlp_dim, "layerdrop": lambda s: 0.0}
  return {
      "model_type": model_type, "architectures": [architecture], "is_encoder_decoder": True, "vocab_size": vocab_size,
      "d_model": block.dim, **{f"{word}_{name}": of(stack) for name, of in of_each.items() for word, stack in stacks.items()},
      "num_hidden_layers": config.encoder.num_layers, "max_position_embeddings": embedding.max_length,
      "activation_function": activation_name(block.activation), "scale_embedding": embedding.scaled, "dropout": block.dropout,
      "attention_dropout": block.weights_dropout, "activation_dropout": block.mlp_dropout, "init_std": embedding.deviation,
      "tie_word_embeddings": config.tied, **tokens}
