"""A wav2vec 2.0 with weights of transformers gives what transformers gave, with and without a mask over padding."""

import functools
import json
import os
import pathlib
import subprocess

import jax
import numpy as np
import pytest
from etils import epath
from flax import nnx
from small_networks import compiled

from research.augmentation import base as augmentation
from research.config import ConfigError
from research.nn.ctc import best_labels
from research.preprocessing.text import loading
from research.pretrained import safetensors_file
from research.pretrained.files import open_weights
from research.pretrained.huggingface import audio_features_of, export_folder, model_of, vocab_size_of
from research.pretrained.weights import Pretrained
from research.training.state import merge, split

FIXTURES = pathlib.Path(__file__).parents[1] / "fixtures" / "speech"
OUTPUTS = dict(np.load(FIXTURES / "wav2vec2_outputs.npz"))
NAMES = ("group", "layer")


def folder_of(name):
  return FIXTURES / "wav2vec2" / name


@functools.cache
def load(name):
  """(configuration, definition, params, buffers) of a fixture."""
  config = model_of(folder_of(name))
  build = lambda: split(config.build(jax.ShapeDtypeStruct((3, 900), "float32"), vocab_size_of(folder_of(name)), nnx.Rngs(0)))
  definition, params, buffers = jax.eval_shape(build)
  return config, definition, *Pretrained(path=str(folder_of(name)), names="hf").load(None, config, params, buffers)[:2]


def close(ours, theirs):
  """At 1e-5 of the largest."""
  np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())


@pytest.mark.parametrize("name", NAMES)
def test_outputs_and_texts_are_those_of_transformers(name):
  config, definition, *variables = load(name)
  assert config.masked == (name == "layer")

  @compiled
  def run(variables, samples, theirs, lengths):
    ours = augmentation.apply(audio_features_of(folder_of(name)), {"inputs": samples, "inputs_length": lengths}, None)["inputs"]
    frames = merge(definition, *variables)(theirs, lengths)
    return ours, frames, best_labels(*frames)

  theirs = OUTPUTS[f"{name}/inputs"]
  inputs, frames, (labels, num) = run(variables, OUTPUTS["samples"], theirs, OUTPUTS["lengths"])
  same = slice(0, 3 if config.masked else 1)  # without a mask, transformers takes padding for samples in their mean, too
  close(inputs[same], theirs[same])
  np.testing.assert_array_equal(frames.lengths, OUTPUTS["frames"])
  for ours, theirs, length in zip(frames.logits, OUTPUTS[f"{name}/logits"], OUTPUTS["frames"]):
    close(ours[:length], theirs[:length])
  texts = loading.load(folder_of(name)).decode([row[:n] for row, n in zip(labels, num)])
  assert [text.strip() for text in texts] == OUTPUTS[f"{name}/text"].tolist()


@pytest.mark.parametrize("name", NAMES)
def test_what_is_exported_is_what_was_loaded_bit_for_bit(name, tmp_path):
  config, _, params, buffers = load(name)
  export_folder(tmp_path, config, params, buffers, tokens={"pad_token_id": 0})
  theirs, ours = (open_weights(folder / "model.safetensors").tensors for folder in (folder_of(name), tmp_path))
  assert set(ours) - {"wav2vec2.masked_spec_embed"} == set(theirs) - {"wav2vec2.masked_spec_embed"}
  for n in theirs:
    np.testing.assert_array_equal(ours[n].read(), theirs[n].read(), strict=True)
  assert model_of(tmp_path) == config and audio_features_of(tmp_path) == audio_features_of(folder_of(name))


def test_older_names_of_the_weight_norm(tmp_path):
  arrays = {name: tensor.read() for name, tensor in open_weights(folder_of("group") / "model.safetensors").tensors.items()}
  for new, old in (("parametrizations.weight.original0", "weight_g"), ("parametrizations.weight.original1", "weight_v")):
    arrays = {name.replace(new, old): array for name, array in arrays.items()}
  assert any(name.endswith("weight_g") for name in arrays)
  safetensors_file.write(epath.Path(tmp_path) / "model.safetensors", arrays, {}, digest=False)
  config, _, params, buffers = load("group")
  found, _, _ = Pretrained(path=str(tmp_path), names="hf").load(None, config, params, buffers)
  jax.tree.map(np.testing.assert_array_equal, found, params)


def test_features_that_cannot_be(tmp_path):
  path = tmp_path / "preprocessor_config.json"
  for settings, message in (({"feature_extractor_type": "ViTImageProcessor"}, "feature_extractor_type=ViTImageProcessor"),
                            ({"feature_extractor_type": "WhisperFeatureExtractor", "do_normalize": True}, "do_normalize=True")):
    path.write_text(json.dumps(settings))
    with pytest.raises(ConfigError, match=message):
      audio_features_of(tmp_path)


_LOAD = """
import sys, json, torch, transformers, numpy as np
folder = sys.argv[1]
model, info = transformers.AutoModelForCTC.from_pretrained(folder, output_loading_info=True)
extract = transformers.AutoFeatureExtractor.from_pretrained(folder)
given = np.load(folder + "/given.npz")
inputs = extract([x[:n] for x, n in zip(given["samples"], given["lengths"])], sampling_rate=16_000, padding=True,
                 return_tensors="pt")
with torch.no_grad():
  logits = model(**inputs).logits.numpy()
np.savez(folder + "/found.npz", logits=logits)
print(json.dumps({k: sorted(map(str, v)) for k, v in info.items() if v}))
"""


@pytest.mark.heavy
@pytest.mark.parametrize("name", NAMES)
def test_transformers_loads_what_we_write(name, tmp_path):
  """Needs FIELDWORK_PARITY_PYTHON, a Python with torch and transformers."""
  python = os.environ.get("FIELDWORK_PARITY_PYTHON")
  if not python:
    pytest.skip("set FIELDWORK_PARITY_PYTHON to a Python with torch and transformers")
  config, _, params, buffers = load(name)
  export_folder(tmp_path, config, params, buffers, tokens={"pad_token_id": 0})
  np.savez(tmp_path / "given.npz", samples=OUTPUTS["samples"], lengths=OUTPUTS["lengths"])
  done = subprocess.run([python, "-c", _LOAD, str(tmp_path)], check=True, env={}, capture_output=True, text=True)
  unexpected = json.loads(done.stdout.splitlines()[-1])
  assert unexpected in ({}, {"unexpected_keys": ["wav2vec2.masked_spec_embed"]})  # which only training needs
  close(np.load(tmp_path / "found.npz")["logits"], OUTPUTS[f"{name}/logits"])
