"""Folders of transformers: what is read, what is written, and what is said of those that are not as they should be."""

import functools
import json
import os
import pathlib
import shutil
import subprocess

import jax
import ml_dtypes
import numpy as np
import pytest
import tokenizers
from etils import epath
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from research.config import ConfigError
from research.models import t5, transformer_2017
from research.preprocessing.text import loading
from research.preprocessing.text.huggingface import HuggingFaceTokenizer
from research.pretrained import safetensors_file
from research.pretrained.files import WeightsError, open_weights
from research.pretrained.huggingface import export_folder, model_of, vocab_size_of
from research.pretrained.weights import Pretrained
from research.rules import paths
from research.training.state import split

FIXTURES = pathlib.Path(__file__).parents[1] / "fixtures" / "pretrained" / "sequences"
WQ = "encoder.block.0.layer.0.SelfAttention.q.weight"


def tensors(name):
  return {n: tensor.read() for n, tensor in open_weights(FIXTURES / name / "model.safetensors").tensors.items()}


def folder_of(tmp_path, name, arrays, **changes):
  """A fixture's folder with other tensors, or other settings."""
  settings = json.loads((FIXTURES / name / "config.json").read_text()) | changes
  (tmp_path / "config.json").write_text(json.dumps(settings))
  safetensors_file.write(epath.Path(tmp_path) / "model.safetensors", arrays, {"format": "pt"}, digest=False)
  return tmp_path


def sharded(tmp_path, arrays):
  """The folder of "t5" in two shards and an index."""
  shutil.copy(FIXTURES / "t5" / "config.json", tmp_path)
  shards = {f"model-0000{k}-of-00002.safetensors": sorted(arrays)[k - 1::2] for k in (1, 2)}
  for shard, names in shards.items():
    safetensors_file.write(epath.Path(tmp_path) / shard, {n: arrays[n] for n in names}, {}, digest=False)
  index = {"metadata": {}, "weight_map": {n: shard for shard, names in shards.items() for n in names}}
  (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
  return tmp_path


@functools.cache
def network(config, vocab_size):
  tokens = jax.ShapeDtypeStruct((2, 8), "int32")
  return jax.eval_shape(lambda: split(config.build((tokens, tokens), vocab_size, nnx.Rngs(0)))[1:])


def values(config, vocab_size):
  """(params, buffers), each array of values of its own."""
  shapes, definition = jax.tree.flatten(network(config, vocab_size))
  return definition.unflatten(i + np.arange(x.size, dtype=np.float32).reshape(x.shape) for i, x in enumerate(shapes))


def load(folder, *, vocab_size=None, like=lambda x: x):
  config = model_of(folder)
  params, buffers = jax.tree.map(like, network(config, vocab_size or vocab_size_of(folder)))
  return paths(Pretrained(path=str(folder), names="hf").load(None, config, params, buffers)[0:2])


def same(a, b):
  assert list(a) == list(b)
  for path in a:
    np.testing.assert_array_equal(a[path], b[path], err_msg=path)


def test_shards_are_one_file(tmp_path):
  same(load(sharded(tmp_path, tensors("t5"))), load(FIXTURES / "t5"))


def test_bfloat16_is_read_to_where_it_lies(tmp_path):
  arrays = {name: array.astype(ml_dtypes.bfloat16) for name, array in tensors("t5").items()}
  mesh = Mesh(np.array(jax.devices()[:2]), ("fsdp",))
  spread = lambda x: jax.ShapeDtypeStruct(
      x.shape, "bfloat16", sharding=NamedSharding(mesh, PartitionSpec(*[None] * (len(x.shape) - 1), "fsdp")))
  found = load(folder_of(tmp_path, "t5", arrays), like=spread)
  for path, array in load(FIXTURES / "t5").items():
    assert found[path].dtype == "bfloat16" and len(found[path].sharding.device_set) == 2
    np.testing.assert_array_equal(found[path], np.asarray(array).astype(ml_dtypes.bfloat16))


def test_tied_tensors_are_there_once_or_often(tmp_path):
  arrays = tensors("t5")
  table = arrays["shared.weight"]
  same(load(folder_of(tmp_path, "t5", arrays | {"lm_head.weight": table, "encoder.embed_tokens.weight": table})),
       load(FIXTURES / "t5"))
  only = {name: array for name, array in arrays.items() if name != "shared.weight"} | {"decoder.embed_tokens.weight": table}
  same(load(folder_of(tmp_path, "t5", only)), load(FIXTURES / "t5"))
  with pytest.raises(WeightsError, match=r"'shared.weight' and 'lm_head.weight' differ; this network has one for both"):
    load(folder_of(tmp_path, "t5", arrays | {"lm_head.weight": table + 1}))


def test_files_of_the_bare_network_and_without_constants(tmp_path):
  arrays = {name.removeprefix("model."): array for name, array in tensors("bart").items() if name != "final_logits_bias"}
  found, whole = load(folder_of(tmp_path, "bart", arrays)), load(FIXTURES / "bart")
  bias = next(path for path in whole if path.endswith("output_bias"))
  assert np.asarray(whole[bias]).any() and not np.asarray(found[bias]).any()
  same({**found, bias: 0}, {**whole, bias: 0})


def test_untied_t5_of_either_transformers(tmp_path):
  """Version 5 writes "tied" of all of them; version 4 says how it is, but not whether the last layer's input is scaled."""
  arrays = tensors("t5_v1_1")
  five = model_of(FIXTURES / "t5_v1_1")
  settings = json.loads((FIXTURES / "t5_v1_1" / "config.json").read_text())
  assert settings["tie_word_embeddings"] and not five.tied and five.output_scale == 1
  four = {name: value for name, value in settings.items() if name != "scale_decoder_outputs"} | {"tie_word_embeddings": False}
  assert t5.from_huggingface(four) == five
  tied = {name: array for name, array in arrays.items() if name != "lm_head.weight"}
  assert model_of(folder_of(tmp_path, "t5_v1_1", tied)).tied


@pytest.mark.parametrize("change,message", [
    ({WQ: None}, rf"missing in the file \(1\): {WQ} \(12, 16\) for encoder/layers/0/attention/query/kernel"),
    ({WQ: "misspelt"}, rf"missing in the file \(1\): {WQ}(.|\n)*in the file, but not used \(1\): misspelt \(12, 16\)"),
    ({WQ: np.zeros((16, 12), np.float32)}, rf"of the wrong shape or type \(1\): {WQ} has shape \(16, 12\), not \(12, 16\)"),
    ({"shared.weight": np.zeros((41, 16), np.float32)}, r"shared.weight has shape \(41, 16\), not \(40, 16\)"),
])
def test_tensors_that_do_not_fit(change, message, tmp_path):
  (name, new), = change.items()
  arrays = tensors("t5")
  old = arrays.pop(name)
  if new is not None:
    arrays[new if isinstance(new, str) else name] = old if isinstance(new, str) else new
  with pytest.raises(WeightsError, match=message):
    load(folder_of(tmp_path, "t5", arrays))


def test_all_that_does_not_fit_is_said_at_once(tmp_path):
  arrays = tensors("t5")
  arrays.pop("decoder.final_layer_norm.weight")
  arrays |= {WQ: np.zeros((16, 12), np.float32), "odd": np.zeros(3, np.float32)}
  with pytest.raises(WeightsError) as caught:
    load(folder_of(tmp_path, "t5", arrays), vocab_size=39)
  for part in ("decoder.final_layer_norm.weight", f"{WQ} has shape", "shared.weight has shape (40, 16), not (39, 16)",
               "odd (3,)"):
    assert part in str(caught.value)


def test_damaged_shards(tmp_path):
  first, second = (f"model-0000{k}-of-00002.safetensors" for k in (1, 2))
  folder = sharded(tmp_path, tensors("t5"))
  data = (folder / first).read_bytes()
  (folder / first).write_bytes(data[:-100])
  with pytest.raises(WeightsError, match=rf"index.json: {first}: the file is cut off") as caught:
    load(folder)
  assert "\n" not in str(caught.value)
  (folder / first).unlink()
  (folder / second).unlink()
  with pytest.raises(WeightsError, match=f"index.json: files that it names are missing: {first}, {second}"):
    load(folder)


def test_folders_that_are_none(tmp_path):
  with pytest.raises(WeightsError, match=r"holds no config\.json"):
    model_of(tmp_path)
  (tmp_path / "config.json").write_text('{"model_type": "marain"}')
  with pytest.raises(ConfigError, match=r"model_type=marain: known are bart, .*Did you mean"):
    model_of(tmp_path)
  (tmp_path / "config.json").write_text("{")
  with pytest.raises(WeightsError, match=r"config.json cannot be read"):
    model_of(tmp_path)
  shutil.copy(FIXTURES / "t5" / "config.json", tmp_path)
  (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x02")
  with pytest.raises(WeightsError, match=r"holds neither model.safetensors nor .*, but pytorch_model.bin"):
    load(tmp_path)
  for name in ("model.safetensors", "model.safetensors.index.json"):
    (tmp_path / name).write_bytes(b"{}")
  with pytest.raises(WeightsError, match="holds both"):
    load(tmp_path)


def test_exports_that_cannot_be(tmp_path):
  config = transformer_2017.make(dim=8, num_layers=1, num_heads=2, mlp_dim=8)
  params, buffers = values(config, 20)
  with pytest.raises(ConfigError, match="eos_token_id=20: the vocabulary has 20 tokens"):
    export_folder(tmp_path, config, params, buffers, tokens={"eos_token_id": 20})
  assert not list(tmp_path.iterdir())
  export_folder(tmp_path, config, params, buffers, tokens={"eos_token_id": 1, "pad_token_id": 0})
  # The same network, which transformers calls Marian: its constants are 0.
  found = load(tmp_path)
  assert set(open_weights(tmp_path / "model.safetensors").tensors).isdisjoint({"lm_head.weight", "final_logits_bias"})
  same({**found, "1/output_bias": 0}, {**paths((params, buffers)), "1/output_bias": 0})


def test_vectors_of_positions_must_be_the_sinusoids(tmp_path):
  arrays = tensors("pegasus")
  same(load(folder_of(tmp_path, "pegasus", {n: x for n, x in arrays.items() if "embed_positions" not in n})),
       load(FIXTURES / "pegasus"))
  name = "model.decoder.embed_positions.weight"
  with pytest.raises(WeightsError, match=f"tensor '{name}' should follow from the configuration"):
    load(folder_of(tmp_path, "pegasus", arrays | {name: arrays[name][::-1]}))


def words(*more):
  """A tokenizer of three words, special tokens and what else is given."""
  tokens = {token: i for i, token in enumerate(("<pad>", "</s>", "<unk>", "a", "small", "house", *more))}
  tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(tokens, unk_token="<unk>"))
  tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
  tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
  return HuggingFaceTokenizer(tokenizer, {"pad": "<pad>", "eos": "</s>", "unk": "<unk>"})


def with_tokenizer(folder, tokenizer):
  config = t5.make(dim=8, num_layers=(1, 1), num_heads=2, mlp_dim=8)
  export_folder(folder, config, *values(config, 10),
                tokens={"eos_token_id": 1, "pad_token_id": 0, "decoder_start_token_id": 0},
                tokenizer=tokenizer, generation={"num_beams": 2})
  return folder


def test_a_tokenizer_goes_with_it(tmp_path):
  ours = loading.load(with_tokenizer(tmp_path, words()))
  assert ours.encode(["small house"])[0].tolist() == [4, 5] and (ours.eos_id, ours.pad_id) == (1, 0)
  assert json.loads((tmp_path / "generation_config.json").read_text())["num_beams"] == 2
  with pytest.raises(ConfigError, match=r"vocab_size=10: the tokenizer has 11 ids"):
    with_tokenizer(tmp_path / "other", words(*"bcdef"))


@pytest.mark.heavy
def test_transformers_loads_the_tokenizer(tmp_path):
  """Needs FIELDWORK_PARITY_PYTHON, a Python with torch and transformers."""
  python = os.environ.get("FIELDWORK_PARITY_PYTHON")
  if not python:
    pytest.skip("set FIELDWORK_PARITY_PYTHON to a Python with torch and transformers")
  code = """
import sys, transformers
t = transformers.AutoTokenizer.from_pretrained(sys.argv[1])
print(t("a small house boat", add_special_tokens=False).input_ids, t.eos_token_id, t.pad_token_id, t.unk_token_id)
"""
  done = subprocess.run([python, "-c", code, str(with_tokenizer(tmp_path, words()))], check=True, env={}, capture_output=True,
                        text=True)
  assert done.stdout.splitlines()[-1] == "[3, 4, 5, 2] 1 0 2"
