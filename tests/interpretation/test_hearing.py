"""When words were heard, by attention, is what transformers' time warping says."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from research.decoding.whisper import whisper_tokens
from research.interpretation.hearing import begins
from research.interpretation.rewriting import NotThere
from research.pretrained.huggingface import model_of, settings_of, vocab_size_of
from research.pretrained.weights import Pretrained
from research.tasks.application import Heard
from research.training.state import merge, split

FIXTURES = pathlib.Path(__file__).parents[1] / "fixtures" / "speech"
OUTPUTS = dict(np.load(FIXTURES / "whisper_outputs.npz"))
FOLDER = FIXTURES / "whisper"
TOKENS = whisper_tokens(settings_of(FOLDER, "generation_config.json"))
HEADS = ((0, 1), (1, 0), (1, 3))


def found(heads):
  config, size = model_of(FOLDER), vocab_size_of(FOLDER)
  inputs = (jax.ShapeDtypeStruct((1, 32, 8), "float32"), jax.ShapeDtypeStruct((1, 8), "int32"))
  definition, *abstract = jax.eval_shape(lambda: split(config.build(inputs, size, nnx.Rngs(0))))
  variables = Pretrained(path=str(FOLDER), names="hf").load(None, config, *abstract)[:2]
  before, spoken = TOKENS.prompt(language="en"), OUTPUTS["spoken"]
  read = np.concatenate([np.tile(before, (3, 1)), spoken, np.full((3, 1), TOKENS.end)], 1)

  @jax.jit
  def run(variables, positions_B):
    model = merge(definition, *variables)
    encoded = model.encode(jnp.asarray(OUTPUTS["features"]))
    return begins(Heard(lambda tokens: model.read(encoded, tokens).logits(), jnp.asarray(read),
                        len(before) + (spoken < TOKENS.end).sum(1) + 1, len(before), positions_B, encoded.shape[1], heads))

  return run(variables, OUTPUTS["positions"])


def test_words_begin_where_transformers_says():
  np.testing.assert_array_equal(found(HEADS), OUTPUTS["begins"])


def test_heads_that_nobody_named_are_the_upper_half_and_others_are_refused():
  np.testing.assert_array_equal(found(()), found(tuple((1, head) for head in range(4))))
  with pytest.raises(NotThere, match=r"alignment_heads=\(1, 4\): the network has 2 layers of 4 heads"):
    found(((1, 4),))
