"""RoBERTa (Liu et al. 2019): BERT, better trained. Positions are counted from 2; a classifier is one head of two layers."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from research.config import ConfigError
from research.models import text_encoder
from research.models.bert import OLDER, encoder_rows, head_of, make, read_huggingface, write_huggingface
from research.models.huggingface_settings import Settings, check_described
from research.nn.names import Row, Table, norm_rows, torch_rows

_OFFSET = 2  # position 0 is at row pad_token_id + 1, and RoBERTa's padding is token 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(text_encoder.Config):
  """A RoBERTa; see `roberta_base` for the published ones."""

  def tables(self) -> dict[str, Table]:
    """Hugging Face's names. What one head has is not used for another; its files' pooler was never trained."""
    rows = encoder_rows("roberta", self.encoder.num_layers)
    unused = [r"(roberta\.)?embeddings\.position_ids", r"(roberta\.)?pooler\..*"]
    if self.head == "tokens":
      rows += [Row("lm_head.bias", "output_bias"), *torch_rows("lm_head.dense", "transform", "linear"),
               *norm_rows("lm_head.layer_norm", "transform_norm", "torch")]
      unused += [r"lm_head\.decoder\..*", r"classifier\..*"]
    else:
      rows += torch_rows("classifier.dense", "pooler", "linear") if self.head == "first" else ()
      rows += torch_rows("classifier" if self.head == "each" else "classifier.out_proj", "head", "linear")
      unused += [r"lm_head\..*", *([r"classifier\.dense\..*"] if self.head == "mean" else [])]
    return {"hf": Table(tuple(rows), tuple(unused), prefix="roberta.", older=OLDER)}


def roberta_base(*, vocab_size: int = 50_265, head="first") -> Config:
  """RoBERTa-base; with 50,265 tokens and two classes 124,647,170 parameters."""
  return make(Config, vocab_size=vocab_size, dim=768, num_layers=12, num_heads=12, mlp_dim=3072, offset=_OFFSET, num_types=1,
              norm_eps=1e-5, head=head, pool_dropout=0.1, head_dropout=0.1)


def roberta_large(*, vocab_size: int = 50_265, head="first") -> Config:
  """RoBERTa-large; with 50,265 tokens and two classes 355,361,794 parameters."""
  return make(Config, vocab_size=vocab_size, dim=1024, num_layers=24, num_heads=16, mlp_dim=4096, offset=_OFFSET, num_types=1,
              norm_eps=1e-5, head=head, pool_dropout=0.1, head_dropout=0.1)


def from_huggingface(settings: Mapping[str, Any]) -> Config:
  """The network that a config.json describes; its head is that of `architectures`, a classifier's where there is none.

  Raises ConfigError for what it says and we cannot represent.
  """
  read = Settings(settings, "roberta")
  read.only("pad_token_id", 1)  # from which it counts positions
  if head_of(settings.get("architectures")) == "tokens" and settings.get("hidden_act", "gelu") != "gelu":
    raise ConfigError(f"config.json: hidden_act={settings['hidden_act']} cannot be represented: the head of tokens "
                      "has gelu, whatever the layers have")
  return read_huggingface(Config, read, offset=_OFFSET)


def to_huggingface(config: Config, vocab_size: int, tokens: Mapping[str, Any], *, num_labels: int = 2) -> dict[str, Any]:
  """The config.json that describes a network.

  Args:
    config: of the network.
    vocab_size: tokens.
    tokens: which of them are special, as "eos_token_id".
    num_labels: classes, of a classifier.

  Raises:
    ConfigError: Hugging Face's RoBERTa cannot be like this.
  """
  settings = write_huggingface(config, vocab_size, num_labels, "roberta", "Roberta", {**tokens, "pad_token_id": 1})
  check_described(config, from_huggingface(settings))
  return settings
