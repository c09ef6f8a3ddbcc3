"""BERT (Devlin et al. 2019): a text encoder with learned positions and types, normalised after each branch."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from research.models import text_encoder
from research.models.huggingface_settings import Settings, activation_name, check_described
from research.nn.names import Row, Table, norm_rows, torch_rows
from research.nn.stack import StackConfig
from research.nn.token_embedding import EmbeddingConfig
from research.nn.transformer import BlockConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(text_encoder.Config):
  """A BERT; see `bert_base` for the published ones."""

  def tables(self) -> dict[str, Table]:
    """Hugging Face's names. What one head has is not used for another."""
    rows, unused = encoder_rows("bert", self.encoder.num_layers), [r"(bert\.)?embeddings\.position_ids"]
    if self.head == "first":
      rows += torch_rows("bert.pooler.dense", "pooler", "linear")
    if self.head == "tokens":
      rows += [Row("cls.predictions.bias", "output_bias"),
               *torch_rows("cls.predictions.transform.dense", "transform", "linear"),
               *norm_rows("cls.predictions.transform.LayerNorm", "transform_norm", "torch")]
      unused += [r"cls\.seq_relationship\..*", r"cls\.predictions\.decoder\..*", r"(bert\.)?pooler\..*", r"classifier\..*"]
    else:
      rows += torch_rows("classifier", "head", "linear")
      unused += [r"cls\..*", *([r"(bert\.)?pooler\..*"] if self.head != "first" else [])]
    return {"hf": Table(tuple(rows), tuple(unused), prefix="bert.", older=OLDER)}


OLDER = (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias"))


def encoder_rows(net: str, num_layers: int) -> list[Row]:
  """Rows of the first layer and the stack, under the name that the network has there."""
  rows = [Row(f"{net}.embeddings.{theirs}_embeddings.weight", f"embedding/{ours}/embedding")
          for theirs, ours in (("word", "tokens"), ("position", "positions"), ("token_type", "types"))]
  rows += norm_rows(f"{net}.embeddings.LayerNorm", "embedding/norm", "torch")
  for i in range(num_layers):
    theirs, ours = f"{net}.encoder.layer.{i}", f"encoder/layers/{i}"
    for word in ("query", "key", "value"):
      rows += torch_rows(f"{theirs}.attention.self.{word}", f"{ours}/attention/{word}", "linear")
    rows += torch_rows(f"{theirs}.attention.output.dense", f"{ours}/attention/out", "linear")
    rows += norm_rows(f"{theirs}.attention.output.LayerNorm", f"{ours}/attention_norm", "torch")
    rows += torch_rows(f"{theirs}.intermediate.dense", f"{ours}/mlp/up", "linear")
    rows += torch_rows(f"{theirs}.output.dense", f"{ours}/mlp/down", "linear")
    rows += norm_rows(f"{theirs}.output.LayerNorm", f"{ours}/mlp_norm", "torch")
  return rows


def make(cls, *, vocab_size: int, dim: int, num_layers: int, num_heads: int, mlp_dim: int, max_length: int = 512,
         offset: int = 0, num_types: int = 2, norm_eps: float = 1e-12, activation="gelu", dropout: float = 0.1,
         attention_dropout: float = 0.1, deviation: float = 0.02, **head):
  """One of any size, with the initial values that Hugging Face gives it.

  Args:
    cls: BERT's or RoBERTa's Config.
    vocab_size: tokens.
    dim: width of the model.
    num_layers: layers.
    num_heads: attention heads.
    mlp_dim: width of the two-layer networks.
    max_length: positions.
    offset: number of the first position's vector.
    num_types: kinds of positions.
    norm_eps: added to the variance.
    activation: of the two-layer networks.
    dropout: rate, on the first layer's output and the branches.
    attention_dropout: rate, on attention weights.
    deviation: of all initial weights.
    **head: the other fields of `cls`.
  """
  block = BlockConfig(
      dim=dim, num_heads=num_heads, mlp_dim=mlp_dim, activation=activation, norm_eps=norm_eps, norm_first=False,
      dropout=dropout, attention_dropout=attention_dropout, init="normal", init_scale=deviation)
  embedding = EmbeddingConfig(dim=dim, positions="learned", max_length=max_length, offset=offset, norm_eps=norm_eps,
                              num_types=num_types, dropout=dropout, deviation=deviation)
  return cls(embedding=embedding, encoder=StackConfig(num_layers=num_layers, block=block, causal=False, norm_last=False),
             vocab_size=vocab_size, **head)


def bert_base(*, vocab_size: int = 30_522, head="first") -> Config:
  """BERT-base; with 30,522 tokens (uncased) and two classes 109,483,778 parameters."""
  return make(Config, vocab_size=vocab_size, dim=768, num_layers=12, num_heads=12, mlp_dim=3072, head=head, head_dropout=0.1)


def bert_large(*, vocab_size: int = 30_522, head="first") -> Config:
  """BERT-large; with 30,522 tokens (uncased) and two classes 335,143,938 parameters."""
  return make(Config, vocab_size=vocab_size, dim=1024, num_layers=24, num_heads=16, mlp_dim=4096, head=head, head_dropout=0.1)


def from_huggingface(settings: Mapping[str, Any]) -> Config:
  """The network that a config.json describes; its head is that of `architectures`, a classifier's where there is none.

  Raises ConfigError for what it says and we cannot represent.
  """
  return read_huggingface(Config, Settings(settings, "bert"), offset=0)


def head_of(architectures: Sequence[str] | None) -> str:
  """Which head a config.json has; a classifier's where it does not say."""
  heads = {"ForMaskedLM": "tokens", "ForPreTraining": "tokens", "ForTokenClassification": "each"}
  return next((head for word, head in heads.items() for name in architectures or () if name.endswith(word)), "first")


def read_huggingface(cls, read: Settings, *, offset: int):
  """The same for a Config of BERT or RoBERTa, whose positions begin at `offset`."""
  for name, allowed in (("position_embedding_type", "absolute"), ("is_decoder", False), ("add_cross_attention", False),
                        ("tie_word_embeddings", True), ("is_encoder_decoder", False)):
    read.only(name, allowed)
  head = head_of(read.get("architectures", default=None))
  dropout = read.get("hidden_dropout_prob", default=0.1)
  head_dropout = read.get("classifier_dropout", default=None)
  head_dropout = dropout if head_dropout is None else head_dropout
  config = make(
      cls, vocab_size=read.need("vocab_size"), dim=read.get("hidden_size", default=768),
      num_layers=read.get("num_hidden_layers", default=12), num_heads=read.get("num_attention_heads", default=12),
      mlp_dim=read.get("intermediate_size", default=3072),
      max_length=read.get("max_position_embeddings", default=512) - offset, offset=offset,
      num_types=read.get("type_vocab_size", default=2), norm_eps=read.get("layer_norm_eps", default=1e-12),
      activation=read.activation("hidden_act", "gelu"), dropout=dropout,
      attention_dropout=read.get("attention_probs_dropout_prob", default=0.1),
      deviation=read.get("initializer_range", default=0.02), head=head,
      head_dropout=head_dropout, **({"pool_dropout": head_dropout} if offset else {}))
  read.finish()
  return config


def to_huggingface(config: Config, vocab_size: int, tokens: Mapping[str, Any], *, num_labels: int = 2) -> dict[str, Any]:
  """The config.json that describes a network.

  Args:
    config: of the network.
    vocab_size: tokens.
    tokens: which of them are special, as "pad_token_id".
    num_labels: classes, of a classifier.

  Raises:
    ConfigError: Hugging Face's BERT cannot be like this.
  """
  settings = write_huggingface(config, vocab_size, num_labels, "bert", "Bert", {"pad_token_id": 0, **tokens})
  check_described(config, from_huggingface(settings))
  return settings


def write_huggingface(config: text_encoder.Config, vocab_size: int, num_labels: int, kind: str, called: str,
                      tokens: Mapping[str, Any]) -> dict[str, Any]:
  """The same for BERT or RoBERTa."""
  block, embedding = config.encoder.block, config.embedding
  labels = {str(i): f"LABEL_{i}" for i in range(num_labels)}
  head = {"tokens": "MaskedLM", "each": "TokenClassification"}.get(config.head, "SequenceClassification")
  return {
      "model_type": kind, "architectures": [f"{called}For{head}"], "vocab_size": vocab_size, "hidden_size": block.dim,
      "num_hidden_layers": config.encoder.num_layers, "num_attention_heads": block.num_heads,
      "intermediate_size": block.mlp_dim, "hidden_act": activation_name(block.activation), "hidden_dropout_prob": block.dropout,
      "attention_probs_dropout_prob": block.weights_dropout, "classifier_dropout": config.head_dropout,
      "max_position_embeddings": embedding.max_length + embedding.offset,
      "type_vocab_size": embedding.num_types, "initializer_range": embedding.deviation,
      "layer_norm_eps": block.norm_eps or 1e-5,
      **({} if config.head == "tokens" else {"id2label": labels, "label2id": {name: int(i) for i, name in labels.items()}}),
      **tokens}
