"""LoRA: what is added, what is trained, and the ways in and out."""

import dataclasses
import json
import os
import pathlib
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from small_networks import compiled, random_network

from research import rules
from research.config import ConfigError, from_json, to_json
from research.models import bert, gpt2, llama
from research.optimizers.adamw import AdamW
from research.optimizers.schedule import Length
from research.pretrained import lora
from research.pretrained.files import WeightsError, open_weights
from research.pretrained.lora import ADAPTERS, ONLY_ADAPTERS, LoRA
from research.pretrained.weights import Pretrained, export
from research.tasks.classification import Classification
from research.training import program
from research.training.settings import Training
from research.training.state import merge, split

FIXTURES = pathlib.Path(__file__).parents[1] / "fixtures" / "pretrained"
SETTINGS = json.loads((FIXTURES / "text_decoders_configs.json").read_text())
ENCODER = bert.make(bert.Config, vocab_size=11, dim=16, num_layers=2, num_heads=2, mlp_dim=20, max_length=8)
LLAMA = LoRA(model=llama.from_huggingface(SETTINGS["llama3"]), rank=3, alpha=12.0)
GPT2 = LoRA(model=gpt2.from_huggingface(SETTINGS["gpt2"]), rank=2, alpha=6.0)
TOKENS = jnp.asarray(np.random.default_rng(0).integers(2, 40, (2, 6)))


def decoder(model, name):
  """(definition, parameters) with weights of transformers below random adapters."""
  definition, params = random_network(model, 40, jax.ShapeDtypeStruct((2, 6), "int32"))
  return definition, Pretrained(path=str(FIXTURES / f"text_{name}.safetensors"), names="hf", fresh=(ADAPTERS,)).load(
      None, model, params, {})[0]


def logits(definition, params):
  return compiled(lambda params: merge(definition, params, {})(TOKENS).logits())(params)


def test_the_network_begins_as_it_was():
  """B is 0; the other parameters are the same as without adapters."""
  create = lambda config: split(config.build(jax.ShapeDtypeStruct((2, 6), "int32"), 3, nnx.Rngs(0)))[1]
  plain, adapted = compiled(lambda: (create(ENCODER), create(LoRA(model=ENCODER))))()
  found = lora.adapters(adapted)
  assert set(found) == {f"encoder/layers/attention/{name}/lora_{x}" for name in ("query", "value") for x in "ab"}
  assert not any(np.any(x) for path, x in found.items() if path.endswith("b"))
  assert all(np.std(x) > 0.1 for path, x in found.items() if path.endswith("a"))
  assert found["encoder/layers/attention/query/lora_a"].shape == (2, 16, 8)  # each layer has its own
  jax.tree.map(np.testing.assert_array_equal, LoRA(model=ENCODER).bare(adapted), plain)


@pytest.mark.parametrize("scan", [True, False])
def test_what_is_added_to_a_weight(scan):
  model = LoRA(model=dataclasses.replace(ENCODER, encoder=dataclasses.replace(ENCODER.encoder, scan=scan)), rank=3, alpha=12.0)
  _, params = random_network(model, 3)
  before, after = rules.paths(params), rules.paths(model.merged(params))
  changed = {path for path in before if np.any(before[path] != after[path])}
  names = [f"layers/{name}" for name in (("attention",) if scan else ("0/attention", "1/attention"))]
  assert changed == {f"encoder/{name}/{word}/kernel" for name in names for word in ("query", "value")}
  for path in changed:
    a, b = (np.asarray(before[path.replace("kernel", x)]) for x in ("lora_a", "lora_b"))
    np.testing.assert_allclose(after[path] - before[path], 4 * np.einsum("...nr,...rm->...nm", a, b), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("step", [False, pytest.param(True, marks=pytest.mark.heavy)], ids=["abstract", "step"])
def test_adapters_alone_are_trained(step):
  model, batch_size = LoRA(model=ENCODER, rank=4), 8
  spec = {"inputs": jax.ShapeDtypeStruct((batch_size, 6), jnp.int32), "labels": jax.ShapeDtypeStruct((batch_size,), jnp.int32),
          "mask": jax.ShapeDtypeStruct((batch_size,), jnp.float32)}
  training = Training(steps="10")
  built = program.build(
      model=model, task=Classification(num_classes=3), optimizer=AdamW(learning_rate=0.1, learning_rate_rules=ONLY_ADAPTERS),
      training=training, specs=(spec,), length=Length(total_steps=10, batch_size=batch_size, steps_per_epoch=10),
      mesh=training.sharding.mesh(jax.devices()[:1]))
  # r (d_in + d_out) of each kernel, twice for Adam's two moments.
  adapters = lora.adapters(built.abstract.params)
  trained = sum(p.size for p in adapters.values())
  assert trained == 2 * 2 * 4 * (16 + 16)
  assert sum(x.size for x in jax.tree.leaves(built.abstract.optimizer) if x.ndim) == 2 * trained
  if not step:
    return
  blank = lambda a: jax.random.key(0) if jnp.issubdtype(a.dtype, jax.dtypes.prng_key) else jnp.zeros(a.shape, a.dtype)
  state = dataclasses.replace(jax.tree.map(blank, built.abstract), params=random_network(model, 3)[1])
  before = {path: np.array(p) for path, p in rules.paths(state.params).items()}
  random = np.random.default_rng(0)
  batch = {"inputs": random.integers(0, 11, (batch_size, 6)).astype(np.int32), "mask": np.ones(batch_size, np.float32),
           "labels": np.arange(batch_size, dtype=np.int32) % 3}
  state = built.step(state, jax.device_put(batch, built.batches[-1]["mask"].sharding))
  moved = {path for path, p in rules.paths(state.params).items() if np.any(before[path] != p)}
  assert moved == set(adapters)
  # What evaluation sees, and what remains without adapters, is the same network.
  inputs = jnp.asarray(batch["inputs"])
  bound = compiled(lambda p: built.network.bind(p, {})(inputs))(state.params)
  definition, _ = random_network(ENCODER, 3)
  alone = compiled(lambda p: merge(definition, p, {})(inputs))
  np.testing.assert_allclose(alone(model.bare(state.params)), bound, rtol=1e-5, atol=1e-5)
  drop = {path: p for path, p in before.items() if "lora" not in path}
  base = jax.tree.unflatten(jax.tree.structure(model.bare(state.params)), list(drop.values()))
  assert not np.allclose(alone(base), bound, atol=1e-3)


def test_adapters_are_saved_alone(tmp_path):
  _, params = decoder(LLAMA, "llama3")
  lora.save(tmp_path / "adapters.safetensors", LLAMA, params)
  assert set(open_weights(tmp_path / "adapters.safetensors").tensors) == set(lora.adapters(params))
  blank = jax.tree.map_with_path(lambda path, p: jnp.zeros_like(p) if "lora" in rules.join(path) else p, params)
  loaded = lora.load(tmp_path / "adapters.safetensors", LLAMA, blank)
  jax.tree.map(np.testing.assert_array_equal, loaded, params)
  other = dataclasses.replace(LLAMA, rank=4)
  with pytest.raises(WeightsError, match=r"lora_a has shape \(2, 24, 3\), not \(2, 24, 4\)"):
    lora.load(tmp_path / "adapters.safetensors", other, random_network(other, 40)[1])
  with pytest.raises(WeightsError, match=r"alpha=12\.0, the network's have 24\.0"):
    lora.load(tmp_path / "adapters.safetensors", dataclasses.replace(LLAMA, alpha=24.0), params)


def test_adapters_in_pefts_form(tmp_path):
  _, params = decoder(LLAMA, "llama3")
  lora.save_peft(tmp_path, LLAMA, params)
  tensors = open_weights(tmp_path / "adapter_model.safetensors").tensors
  a, b = (tensors[f"base_model.model.model.layers.1.self_attn.v_proj.lora_{x}.weight"].read() for x in "AB")
  value = params["decoder"]["layers"]["attention"]["value"]
  np.testing.assert_array_equal(a, value["lora_a"][1].T)
  np.testing.assert_array_equal(b, value["lora_b"][1].T)
  settings = json.loads((tmp_path / "adapter_config.json").read_text())
  assert settings["r"] == 3 and settings["lora_alpha"] == 12
  assert settings["target_modules"] == r"model\.layers\.\d+\.self_attn\.q_proj|model\.layers\.\d+\.self_attn\.v_proj"
  blank = jax.tree.map_with_path(lambda path, p: jnp.zeros_like(p) if "lora" in rules.join(path) else p, params)
  jax.tree.map(np.testing.assert_array_equal, lora.load_peft(tmp_path, LLAMA, blank), params)
  (tmp_path / "adapter_config.json").write_text(json.dumps({**settings, "use_dora": True}))
  with pytest.raises(WeightsError, match="use_dora=True"):
    lora.load_peft(tmp_path, LLAMA, blank)


def test_adapters_of_a_fused_tensor_in_pefts_form(tmp_path):
  """GPT-2's queries and values are parts of one tensor: theirs is one adapter of twice the rank, and 0 for the keys."""
  definition, params = decoder(GPT2, "gpt2")
  lora.save_peft(tmp_path, GPT2, params)
  settings = json.loads((tmp_path / "adapter_config.json").read_text())
  assert set(settings["rank_pattern"].values()) == {4} and set(settings["alpha_pattern"].values()) == {12.0}
  assert settings["fan_in_fan_out"]
  tensors = open_weights(tmp_path / "adapter_model.safetensors").tensors
  wide = LoRA(model=GPT2.model, rank=4, alpha=12.0, targets=(r".*/attention/(query|key|value)/kernel",))
  (tmp_path / "adapter_config.json").write_text(json.dumps({**settings, "r": 4, "lora_alpha": 12, "rank_pattern": {},
                                                            "alpha_pattern": {}}))
  definition_wide, params_wide = decoder(wide, "gpt2")
  loaded = lora.load_peft(tmp_path, wide, params_wide)
  assert tensors["base_model.model.transformer.h.0.attn.c_attn.lora_B.weight"].shape == (48, 4)
  assert not np.any(loaded["decoder"]["layers"]["attention"]["key"]["lora_b"])
  ours = logits(definition, GPT2.merged(params))
  np.testing.assert_allclose(logits(definition_wide, wide.merged(loaded)), ours, rtol=1e-4, atol=1e-5)
  assert not np.allclose(logits(definition, params), ours, atol=1e-2)


def test_settings():
  assert from_json(to_json(LLAMA)) == LLAMA
  with pytest.raises(ConfigError, match="rank=0"):
    LoRA(model=ENCODER, rank=0)
  with pytest.raises(ConfigError, match="no regular expression"):
    LoRA(model=ENCODER, targets=("(",))
  with pytest.raises(ConfigError, match=r"'.\*/q/kernel' matches no kernel"):
    jax.eval_shape(lambda: LoRA(model=ENCODER, targets=(".*/q/kernel",)).build(
        jax.ShapeDtypeStruct((2, 6), "int32"), 3, nnx.Rngs(0)))


_LOAD = """
import sys, torch, transformers, peft, numpy as np
folder, kind = sys.argv[1:]
model = getattr(transformers, kind).from_pretrained(folder)
model = peft.PeftModel.from_pretrained(model, f"{folder}/adapters").eval()
with torch.no_grad():
  np.save(f"{folder}/logits.npy", model(torch.from_numpy(np.load(f"{folder}/tokens.npy"))).logits.numpy())
"""


@pytest.mark.heavy
@pytest.mark.parametrize("name,model,family", [("llama3", LLAMA, llama), ("gpt2", GPT2, gpt2)])
def test_peft_loads_what_we_write(name, model, family, tmp_path):
  """Needs FIELDWORK_PARITY_PYTHON, a Python with torch, transformers and peft."""
  python = os.environ.get("FIELDWORK_PARITY_PYTHON")
  if not python:
    pytest.skip("set FIELDWORK_PARITY_PYTHON to a Python with torch, transformers and peft")
  definition, params = decoder(model, name)
  settings = family.to_huggingface(model.model, 40, {})
  (tmp_path / "config.json").write_text(json.dumps(settings))
  export(tmp_path / "model.safetensors", model.tables()["hf"], params, {})
  lora.save_peft(tmp_path / "adapters", model, params)
  np.save(tmp_path / "tokens.npy", np.asarray(TOKENS, np.int64))
  subprocess.run([python, "-c", _LOAD, str(tmp_path), settings["architectures"][0]], check=True, env={})
  ours = np.asarray(logits(definition, model.merged(params)))
  np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), ours, rtol=0, atol=1e-5 * np.abs(ours).max())
