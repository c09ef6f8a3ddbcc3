"""The fixture's Whisper, and what transformers gave of it; see fixtures/speech/make_whisper.py."""

import functools
import pathlib

import jax
import numpy as np
from flax import nnx

from research.decoding.whisper import whisper_tokens
from research.pretrained.huggingface import model_of, settings_of, vocab_size_of
from research.pretrained.weights import Pretrained
from research.training.state import split

FOLDER = pathlib.Path(__file__).parent / "fixtures" / "speech" / "whisper"
OUTPUTS = dict(np.load(FOLDER.parent / "whisper_outputs.npz"))
GENERATION = settings_of(FOLDER, "generation_config.json")
TOKENS = whisper_tokens(GENERATION)


@functools.cache
def load():
  """(configuration, definition, params, buffers)."""
  config = model_of(FOLDER)
  inputs = (jax.ShapeDtypeStruct((3, 32, 8), "float32"), jax.ShapeDtypeStruct((3, 8), "int32"))
  definition, params, buffers = jax.eval_shape(lambda: split(config.build(inputs, vocab_size_of(FOLDER), nnx.Rngs(0))))
  return config, definition, *Pretrained(path=str(FOLDER), names="hf").load(None, config, params, buffers)[:2]
