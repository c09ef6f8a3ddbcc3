"""The data of networks that read texts: with a label or number each, or another text each, a translation or a summary."""

from collections.abc import Mapping
from typing import Literal

from research.data.buckets import Buckets
from research.data.dataset import Data
from research.data.sources import Source
from research.data.tokenized import Tokenized, Tokens
from research.preprocessing.arrays import Rename


def labeled(train: Source, evaluation: Mapping[str, Source], tokens: Tokens, *, batch_size: int, lengths: tuple[int, ...],
            label: str = "label", answers: Literal["labels", "targets"] = "labels", eval_batch_size: int = 64) -> Data:
  """Texts with a class each, or a number.

  Args:
    train, evaluation: the texts.
    tokens: what is made of them: the feature "inputs".
    batch_size: texts a step; of the longest.
    lengths: that texts are padded to.
    label: the field that says the class or the number.
    answers: the feature that the task reads it from: "labels" for classes, "targets" for numbers.
    eval_batch_size: texts an evaluation step.
  """
  ids = lambda texts: Tokenized(source=texts, features=(tokens,), keep=(label,))
  return Data(train=ids(train), evaluation={name: ids(texts) for name, texts in evaluation.items()}, batch_size=batch_size,
              eval_batch_size=eval_batch_size, transforms=(Rename(pairs=((label, answers),)),),
              buckets=Buckets(features=(tokens.name,), lengths=tuple((length,) for length in lengths)))


def pairs(train: Source, evaluation: Mapping[str, Source], features: tuple[Tokens, ...], *, batch_size: int,
          lengths: tuple[tuple[int, int], ...], longer: Literal["truncate", "drop"] = "truncate",
          eval_batch_size: int = 64) -> Data:
  """Texts with another text each.

  Args:
    train, evaluation: the texts.
    features: what is made of the two texts: two features.
    batch_size: pairs a step; of the longest.
    lengths: that both are padded to, for each bucket.
    longer: see Buckets.
    eval_batch_size: pairs an evaluation step.
  """
  ids = lambda texts: Tokenized(source=texts, features=features)
  return Data(train=ids(train), evaluation={name: ids(texts) for name, texts in evaluation.items()}, batch_size=batch_size,
              eval_batch_size=eval_batch_size,
              buckets=Buckets(features=tuple(feature.name for feature in features), lengths=lengths, longer=longer))
