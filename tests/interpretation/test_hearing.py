"""When words were heard, by attention, is what transformers' time warping says."""


import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_whisper import OUTPUTS, TOKENS, load

from research.interpretation.hearing import begins
from research.interpretation.rewriting import NotThere
from research.tasks.application import Heard
from research.training.state import merge

HEADS = ((0, 1), (1, 0), (1, 3))


def found(heads):
  _, definition, *variables = load()
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
