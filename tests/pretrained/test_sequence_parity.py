"""Encoder-decoders with weights of transformers give what transformers gave: outputs, and texts token for token."""

import dataclasses
import functools
import pathlib

import jax
import numpy as np
import pytest
from flax import nnx

from research.decoding.base import Requests
from research.decoding.decoder import make_decoder
from research.decoding.huggingface import decoding_of, special_of
from research.decoding.settings import Greedy
from research.pretrained.huggingface import model_of, settings_of, vocab_size_of
from research.pretrained.weights import Pretrained
from research.training.state import merge, split

FIXTURES = pathlib.Path(__file__).parents[1] / "fixtures" / "pretrained"
NAMES = ("t5", "t5_v1_1", "bart", "bart_uneven", "marian", "marian_separate", "marian_untied", "pegasus")
OUTPUTS = dict(np.load(FIXTURES / "sequences_outputs.npz"))


def network(config, vocab_size):
  tokens = jax.ShapeDtypeStruct((2, 8), "int32")
  return jax.eval_shape(lambda: split(config.build((tokens, tokens), vocab_size, nnx.Rngs(0))))


@functools.cache
def load(name):
  """(configuration, definition, params, buffers) of a fixture."""
  folder = FIXTURES / "sequences" / name
  config = model_of(folder)
  definition, params, buffers = network(config, vocab_size_of(folder))
  return config, definition, *Pretrained(path=str(folder), names="hf").load(None, config, params, buffers)[:2]


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_those_of_transformers(name):
  _, definition, params, buffers = load(name)
  source, mask, target = (OUTPUTS[f"{name}/{key}"] for key in ("source", "mask", "target"))

  @jax.jit
  def run(params, buffers):
    model = merge(definition, params, buffers)
    return model.encode(source, mask), model(source, target, mask).logits()

  encoder, logits = run(params, buffers)
  np.testing.assert_allclose(encoder[mask], OUTPUTS[f"{name}/encoder"][mask], rtol=0, atol=1e-5 * np.abs(encoder[mask]).max())
  np.testing.assert_allclose(logits, OUTPUTS[f"{name}/logits"], rtol=0, atol=1e-5 * np.abs(logits).max())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("search", ["greedy", "beam"])
def test_texts_are_those_of_generate(name, search):
  _, definition, params, buffers = load(name)
  settings = {**settings_of(FIXTURES / "sequences" / name, "generation_config.json"), "max_new_tokens": 12}
  decoding, special = decoding_of(settings), special_of(settings)
  if search == "greedy":
    decoding = dataclasses.replace(decoding, search=Greedy())
  source, mask, theirs = (OUTPUTS[f"{name}/{key}"] for key in ("source", "mask", search))
  ones = np.ones(len(source), np.int32)
  requests = Requests(
      inputs={"inputs": source, "lengths": mask.sum(1)}, prompts_BP=theirs[:, :1], lengths_B=ones, limits_B=12 * ones,
      keys_B=jax.random.split(jax.random.key(0), len(source)))
  bind = lambda variables: merge(definition, *variables)
  found = make_decoder(bind, decoding, special)((params, buffers), requests, 12)
  for tokens_S, length, row in zip(found.tokens_BNS[:, 0], found.lengths_BN[:, 0], theirs[:, 1:]):
    assert tokens_S[:length].tolist() == row[:length].tolist()
    assert length == len(row) or np.isin(row[length - 1], special.end)
  if search == "beam":
    np.testing.assert_allclose(found.scores_BN[:, 0], OUTPUTS[f"{name}/scores"], rtol=1e-5)
