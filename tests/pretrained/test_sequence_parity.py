"""Encoder-decoders with weights of transformers give what transformers gave: outputs, and texts token for token."""

import dataclasses
import functools
import json
import os
import pathlib
import subprocess

import jax
import numpy as np
import pytest
from flax import nnx

from research.decoding.base import Requests
from research.decoding.decoder import make_decoder
from research.decoding.huggingface import decoding_of, settings_for, special_of
from research.decoding.settings import Greedy
from research.pretrained.files import open_weights
from research.pretrained.huggingface import export_folder, model_of, settings_of, vocab_size_of
from research.pretrained.weights import Pretrained
from research.training.state import merge, split

FIXTURES = pathlib.Path(__file__).parents[1] / "fixtures" / "pretrained"
NAMES = ("t5", "t5_v1_1", "bart", "bart_uneven", "marian", "marian_separate", "marian_untied", "pegasus")
OUTPUTS = dict(np.load(FIXTURES / "sequences_outputs.npz"))


def network(config, vocab_size):
  tokens = jax.ShapeDtypeStruct((2, 8), "int32")
  return jax.eval_shape(lambda: split(config.build((tokens, tokens), vocab_size, nnx.Rngs(0))))


def read(folder):
  """(configuration, definition, params, buffers) of a folder."""
  config = model_of(folder)
  definition, params, buffers = network(config, vocab_size_of(folder))
  return config, definition, *Pretrained(path=str(folder), names="hf").load(None, config, params, buffers)[:2]


@functools.cache
def load(name):
  return read(FIXTURES / "sequences" / name)


def generation_of(name):
  return {**settings_of(FIXTURES / "sequences" / name, "generation_config.json"), "max_new_tokens": 12}


def close(ours, theirs):
  """At 1e-5 of the largest."""
  np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())


TOO_ALIKE = ("bart", "marian", "marian_untied")  # each part of them is in another case too


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.heavy) if name in TOO_ALIKE else name for name in NAMES])
def test_outputs_are_those_of_transformers(name):
  _, definition, params, buffers = load(name)
  source, mask, target = (OUTPUTS[f"{name}/{key}"] for key in ("source", "mask", "target"))

  @jax.jit
  def run(params, buffers):
    model = merge(definition, params, buffers)
    return model.encode(source, mask), model(source, target, mask).logits()

  encoder, logits = run(params, buffers)
  close(encoder[mask], OUTPUTS[f"{name}/encoder"][mask])
  close(logits, OUTPUTS[f"{name}/logits"])


QUICK = ("t5_v1_1", "beam")


@pytest.mark.parametrize("name,search", [pytest.param(name, search, marks=() if (name, search) == QUICK else pytest.mark.heavy)
                                         for name in NAMES for search in ("greedy", "beam")])
def test_texts_are_those_of_generate(name, search):
  _, definition, params, buffers = load(name)
  decoding, special = decoding_of(generation_of(name)), special_of(generation_of(name))
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
    assert length == len(row) or row[length - 1] in special.end
  if search == "beam":
    np.testing.assert_allclose(found.scores_BN[:, 0], OUTPUTS[f"{name}/scores"], rtol=1e-5)


def written(name, folder):
  """A fixture in our own words: the folder that we write, with settings of ours."""
  config, _, params, buffers = load(name)
  settings = settings_of(FIXTURES / "sequences" / name)
  tokens = {key: settings[key] for key in ("pad_token_id", "eos_token_id", "decoder_start_token_id")}
  export_folder(folder, config, params, buffers, tokens=tokens, generation=settings_for(decoding_of(generation_of(name))))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_exported_is_what_was_loaded_bit_for_bit(name, tmp_path):
  written(name, tmp_path)
  theirs, ours = (open_weights(folder / "model.safetensors").tensors for folder in (FIXTURES / "sequences" / name, tmp_path))
  assert {n for n in ours if "embed_positions" not in n or n in theirs} == set(theirs)  # Marian files have no sinusoids
  for n in theirs:
    np.testing.assert_array_equal(ours[n].read(), theirs[n].read(), strict=True)
  assert model_of(tmp_path) == load(name)[0]
  before, after = (decoding_of(settings_of(tmp_path, "generation_config.json")), decoding_of(generation_of(name)))
  assert before == after


_LOAD = """
import sys, json, torch, transformers, numpy as np
folder = sys.argv[1]
kind = json.load(open(folder + "/config.json"))["architectures"][0]
model, info = getattr(transformers, kind).from_pretrained(folder, output_loading_info=True)
auto = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder)
assert type(auto) is type(model)
given = np.load(folder + "/given.npz")
inputs = {"input_ids": torch.from_numpy(given["source"]), "attention_mask": torch.from_numpy(given["mask"])}
with torch.no_grad():
  logits = model(**inputs, decoder_input_ids=torch.from_numpy(given["target"])).logits.numpy()
  beam = model.generate(**inputs).numpy()
  greedy = model.generate(**inputs, num_beams=1).numpy()
np.savez(folder + "/found.npz", logits=logits, beam=beam, greedy=greedy)
print(json.dumps({k: sorted(map(str, v)) for k, v in info.items() if v}))
"""


@pytest.mark.heavy
@pytest.mark.parametrize("name", NAMES)
def test_transformers_loads_what_we_write(name, tmp_path):
  """Needs FIELDWORK_PARITY_PYTHON, a Python with torch and transformers."""
  python = os.environ.get("FIELDWORK_PARITY_PYTHON")
  if not python:
    pytest.skip("set FIELDWORK_PARITY_PYTHON to a Python with torch and transformers")
  written(name, tmp_path)
  np.savez(tmp_path / "given.npz", **{key: OUTPUTS[f"{name}/{key}"].astype(np.int64) for key in ("source", "mask", "target")})
  done = subprocess.run([python, "-c", _LOAD, str(tmp_path)], check=True, env={}, capture_output=True, text=True)
  assert json.loads(done.stdout.splitlines()[-1]) == {}  # no tensor is missing, unexpected or of another shape
  found = np.load(tmp_path / "found.npz")
  close(found["logits"], OUTPUTS[f"{name}/logits"])
  for search in ("greedy", "beam"):
    np.testing.assert_array_equal(found[search], OUTPUTS[f"{name}/{search}"])
