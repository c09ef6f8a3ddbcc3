"""A Whisper with weights of transformers gives what transformers gave: outputs, and texts token for token."""

import json
import os
import re
import subprocess

import jax
import numpy as np
import pytest
from etils import epath
from small_networks import compiled
from tiny_whisper import FOLDER, GENERATION, OUTPUTS, TOKENS, load

from research.decoding.base import Requests
from research.decoding.decoder import decode
from research.decoding.settings import Decoding
from research.decoding.whisper import whisper_tokens
from research.pretrained import safetensors_file
from research.pretrained.files import WeightsError, open_weights
from research.pretrained.huggingface import export_folder, model_of, settings_of
from research.pretrained.weights import Pretrained
from research.training.state import merge


def close(ours, theirs):
  """At 1e-5 of the largest."""
  np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())


def test_outputs_are_those_of_transformers():
  _, definition, *variables = load()
  features, target = OUTPUTS["features"], OUTPUTS["target"]

  @compiled
  def run(variables):
    model = merge(definition, *variables)
    return model.encode(features), model(features, target).logits()

  encoder, logits = run(variables)
  close(encoder, OUTPUTS["encoder"])
  close(logits, OUTPUTS["logits"])


@pytest.mark.heavy  # tests/tasks and tests/decoding/test_long_form.py compare such texts, too
@pytest.mark.parametrize("timestamps", [False, True])
def test_texts_are_those_of_generate(timestamps):
  _, definition, *variables = load()
  theirs = OUTPUTS["timed" if timestamps else "plain"]
  prompt = TOKENS.prompt(language="en", timestamps=timestamps)
  assert prompt == tuple(theirs[0, :len(prompt)])
  decoding = Decoding(constraints=TOKENS.constraints(timestamps=timestamps), max_new_tokens=20)
  requests = Requests(
      inputs={"inputs": OUTPUTS["features"]}, prompts_BP=np.tile(prompt, (3, 1)), lengths_B=np.full(3, len(prompt)),
      limits_B=np.full(3, 20), keys_B=jax.random.split(jax.random.key(0), 3))
  found = compiled(lambda variables: decode(merge(definition, *variables), requests, decoding, TOKENS.special, 20))(variables)
  for tokens_S, length, row in zip(found.tokens_BNS[:, 0], found.lengths_BN[:, 0], theirs[:, len(prompt):]):
    assert tokens_S[:length].tolist() == row[:length].tolist()
    assert length == len(row) or row[length - 1] == TOKENS.end


def written(folder):
  """The folder that we write of the fixture."""
  config, _, params, buffers = load()
  settings = settings_of(FOLDER)
  tokens = {name: settings[name] for name in ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id")}
  export_folder(folder, config, params, buffers, tokens=tokens, generation=GENERATION)


def test_what_is_exported_is_what_was_loaded_bit_for_bit(tmp_path):
  written(tmp_path)
  theirs, ours = (open_weights(folder / "model.safetensors").tensors for folder in (FOLDER, tmp_path))
  assert set(theirs) == set(ours)
  for name in theirs:
    exact = "embed_positions" not in name or "decoder" in name  # sinusoids of two libraries
    np.testing.assert_allclose(ours[name].read(), theirs[name].read(), rtol=0, atol=0 if exact else 1e-6, err_msg=name)
  assert model_of(tmp_path) == load()[0]
  assert whisper_tokens(settings_of(tmp_path, "generation_config.json")) == TOKENS


_LOAD = """
import sys, json, torch, transformers, numpy as np
folder = sys.argv[1]
model, info = transformers.WhisperForConditionalGeneration.from_pretrained(folder, output_loading_info=True)
given = {k: torch.from_numpy(v) for k, v in np.load(folder + "/given.npz").items()}
features = given["features"].swapaxes(1, 2)
with torch.no_grad():
  logits = model(features, decoder_input_ids=given["target"].long()).logits.numpy()
  text = model.generate(features, language="en", task="transcribe", max_new_tokens=20, return_timestamps=True,
                        force_unique_generate_call=True).numpy()
np.savez(folder + "/found.npz", logits=logits, text=text)
print(json.dumps({k: sorted(map(str, v)) for k, v in info.items() if v}))
"""


@pytest.mark.heavy
def test_transformers_loads_what_we_write(tmp_path):
  """Needs FIELDWORK_PARITY_PYTHON, a Python with torch and transformers."""
  python = os.environ.get("FIELDWORK_PARITY_PYTHON")
  if not python:
    pytest.skip("set FIELDWORK_PARITY_PYTHON to a Python with torch and transformers")
  written(tmp_path)
  np.savez(tmp_path / "given.npz", features=OUTPUTS["features"], target=OUTPUTS["target"])
  done = subprocess.run([python, "-c", _LOAD, str(tmp_path)], check=True, env={}, capture_output=True, text=True)
  assert json.loads(done.stdout.splitlines()[-1]) == {}  # no tensor is missing, unexpected or of another shape
  found = np.load(tmp_path / "found.npz")
  close(found["logits"], OUTPUTS["logits"])
  np.testing.assert_array_equal(found["text"], OUTPUTS["timed"])


def test_files_whose_sinusoids_are_others_are_refused(tmp_path):
  arrays = {name: tensor.read() for name, tensor in open_weights(FOLDER / "model.safetensors").tensors.items()}
  name = "model.encoder.embed_positions.weight"
  config, _, params, buffers = load()
  safetensors_file.write(epath.Path(tmp_path) / "model.safetensors", {**arrays, name: arrays[name][::-1]}, {}, digest=False)
  with pytest.raises(WeightsError, match=re.escape(f"tensor {name!r} should follow from the configuration")):
    Pretrained(path=str(tmp_path), names="hf").load(None, config, params, buffers)
