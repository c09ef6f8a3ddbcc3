"""What a network hears in single utterances, for people who want to see and hear them too. T frames, M features."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import Mesh

from research.data.dataset import Data, Opened
from research.data.examples import Examples, Subset
from research.decoding.ctc_alignment import AlignmentError
from research.preprocessing.text.base import Tokenizer
from research.tasks.base import Batch
from research.training.program import Network
from research.training.sharding import batch_sharding, replicated


class ListeningTask(Protocol):
  """A task that says when words were said."""

  noise_levels: tuple[float, ...]

  def listen(self, model: Any, batch: Batch) -> dict[str, jax.Array]: ...

  def word_times(self, heard: dict[str, np.ndarray], text: str, tokenizer: Tokenizer) -> list[dict[str, str | float]]: ...


@dataclasses.dataclass(frozen=True)
class Heard:
  """An utterance.

  Attributes:
    record: its sound file, or None where the data hold none.
    features: as the network sees them, (T, M); samples (T,) of a network that reads these.
    seconds: its duration, by the frames.
    words: of the transcript, with `start` and `end` in seconds; [] where it cannot be aligned.
  """

  record: bytes | None
  features: np.ndarray
  seconds: float
  words: list[dict[str, Any]]


def listen(network: Network, task: ListeningTask, data: Data, opened: Opened, split: str, chosen: np.ndarray,
           texts: Sequence[str], params, buffers, mesh: Mesh) -> list[Heard]:
  """Runs some utterances once more.

  Args:
    network: what hears.
    task: what for.
    data: the experiment's.
    opened: the same, opened.
    split: where the utterances are.
    chosen: their numbers there.
    texts: their transcripts.
    params, buffers: of the network.
    mesh: where parameters and batches are.
  """
  examples = opened.evaluation[split]
  part = dataclasses.replace(opened, evaluation={split: Subset(examples, chosen)}, evaluation_bucket={
      name: bucket[chosen] for name, bucket in opened.evaluation_bucket.items() if name == split})

  def hear(params, buffers, batch):
    seen = network.see(batch)
    heard = task.listen(network.bind(params, buffers), seen)
    return {**heard, "features": seen["inputs"], "num": seen["inputs_length"], "index": batch["index"]}

  run, found, tokenizer = jax.jit(hear, out_shardings=replicated(mesh)), {}, examples.tokenizers["targets"]
  records = _records(examples, chosen)
  for batch in data.evaluating(part, split, sharding=batch_sharding(mesh)):
    rows = jax.device_get(run(params, buffers, batch))
    for b, n in enumerate(rows["index"].tolist()):
      if n >= 0 and batch["mask"][b]:
        row = {name: array[b] for name, array in rows.items()}
        try:
          words = task.word_times(row, texts[n], tokenizer)
        except AlignmentError:
          words = []
        found[n] = Heard(records[n], row["features"][:row["num"]], float(row["length"] / row["rate"]), words)
  return [found[n] for n in range(len(chosen)) if n in found]


def _records(examples: Examples, chosen: np.ndarray) -> list[bytes | None]:
  read = examples.read(chosen)
  return list(read["record"]) if "record" in read else [None] * len(chosen)
