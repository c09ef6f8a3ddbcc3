"""Speech to text by an encoder and a decoder: the prompt comes before, and does not count."""


import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_networks import compiled
from tiny_whisper import OUTPUTS, TOKENS, load

from research.config import ConfigError
from research.decoding.settings import Decoding
from research.metrics.speech import ErrorRate
from research.tasks.speech_to_text import SpeechToText
from research.tasks.writing import Against, Writing
from research.training.state import merge


def task(**changes):
  prompt = TOKENS.prompt(language="en")
  writing = Writing(decoding=Decoding(constraints=TOKENS.constraints(timestamps=False), max_new_tokens=20),
                    against=(Against(metric=ErrorRate(), reference="text"),))
  settings = {"vocab_size": 68, "start_id": prompt[0], "prompt": prompt[1:], "end_id": TOKENS.end, "pad_id": TOKENS.end,
              "writing": writing, **changes}
  return SpeechToText(**settings)


def network():
  """(model of parameters, parameters) of the fixture."""
  _, definition, *variables = load()
  return lambda variables: merge(definition, *variables), variables


def batch():
  targets = np.array([[4, 9, 20, 40, 40], [1, 40, 40, 40, 40], [8, 8, 8, 30, 40]], np.int32)
  return {"inputs": OUTPUTS["features"], "inputs_length": np.array([32, 20, 32]), "targets": targets,
          "targets_length": np.array([4, 2, 5]), "mask": np.ones(3, np.float32), "index": np.arange(3)}


def test_losses_texts_and_explained_scores():
  """A prompt comes before the text, and is part of neither its loss nor of what is written."""
  of, variables = network()
  given, prompt = batch(), TOKENS.prompt(language="en")

  @compiled
  def run(variables, batch):
    model = of(variables)
    outputs = task().forward(model, batch, None)
    asked = jnp.where(jnp.arange(5) < batch["targets_length"][:, None], batch["targets"], -1)
    whole = model(batch["inputs"], jnp.concatenate([jnp.tile(jnp.array(prompt), (3, 1)), batch["targets"]], 1)).logits()
    return (whole, outputs.logits(), task().statistics(outputs, batch), task().records(outputs, batch),
            task().scores(outputs, asked), task().write(model, batch))

  whole, logits, rows, records, scores, written = run(variables, given)
  np.testing.assert_allclose(logits, whole[:, len(prompt) - 1:-1], rtol=0, atol=1e-4)
  log_probs = np.asarray(jax.nn.log_softmax(logits))
  for i, (row, length) in enumerate(zip(given["targets"], given["targets_length"])):
    places = np.arange(length)
    np.testing.assert_allclose(rows["loss"][i], (-log_probs[i, places, row[:length]].sum(), length), rtol=1e-4)
    np.testing.assert_allclose(scores[i], np.asarray(logits)[i, places, row[:length]].sum(), rtol=1e-4)
  np.testing.assert_allclose(records["seconds"], [0.32, 0.2, 0.32], rtol=1e-6)
  for tokens, length, theirs in zip(written["tokens"], written["length"], OUTPUTS["plain"][:, len(prompt):]):
    assert tokens[:length].tolist() == theirs[:length].tolist()


class Names:
  """A tokenizer that shows numbers."""

  def decode(self, ids):
    return [" " + " ".join(map(str, row.tolist())) for row in ids]


def test_texts_are_without_times_and_marks():
  written = {"tokens": np.array([[52, 4, 9, 60, 60, 7, 40], [3, 2, 40, 0, 0, 0, 0]]), "length": np.array([7, 3])}
  assert task().texts(written, Names()) == ["4 9 7", "3 2"]


def test_settings():
  for wrong, message in (({"prompt": (99,)}, "prompt="), ({"frame_rate": 0.0}, "frame_rate=0"), ({"end_id": -1}, "end_id=-1")):
    with pytest.raises(ConfigError, match=message):
      task(**wrong)
