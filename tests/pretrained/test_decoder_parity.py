"""Decoders and text encoders with weights of transformers give what transformers gave for the same tokens."""

import dataclasses
import functools
import gzip
import json
import os
import pathlib
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from research import rules
from research.config import ConfigError
from research.decoding.base import Requests, SpecialTokens
from research.decoding.decoder import decode
from research.decoding.settings import Beam, Decoding, Greedy
from research.models import bert, gpt2, llama, roberta
from research.models.huggingface_settings import check_described
from research.nn.vocabulary import TokenScores
from research.pretrained import mapping
from research.pretrained.files import Tensor, WeightsFile, open_weights
from research.pretrained.weights import Pretrained, export
from research.training.state import merge, split

FIXTURES = pathlib.Path(__file__).parents[1] / "fixtures" / "pretrained"
CONFIGS = json.loads((FIXTURES / "text_decoders_configs.json").read_text())
OUTPUTS = np.load(FIXTURES / "text_decoders.npz")
# As in make_text_decoders.py.
VOCAB, END = 40, 7
TOKENS = np.random.default_rng(0).integers(2, VOCAB, (3, 12))
MASK = np.arange(12) < np.array([[12], [7], [9]])
TYPES = np.arange(12) >= np.array([[5], [3], [12]])
PROMPTS = [[3, 14, 15, 9, 26], [5], [35, 8, 9], [11, 11, 12, 13]]

FAMILIES = {"gpt2": gpt2, "bert": bert, "roberta": roberta, **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3"), llama)}
DECODERS = ("gpt2", "gpt2_untied", "llama3", "llama_linear", "qwen2", "qwen3", "mistral")
ENCODERS = ("bert_classifier", "bert_tokens", "bert_pretraining", "roberta_classifier", "roberta_tokens")


def family(name):
  return FAMILIES[CONFIGS[name]["model_type"]]


def configuration(name):
  return family(name).from_huggingface(CONFIGS[name])


def network(config, num_outputs):
  return jax.eval_shape(lambda: split(config.build(jax.ShapeDtypeStruct((3, 12), "int32"), num_outputs, nnx.Rngs(0))))


def num_outputs(name):
  return 3 if name.endswith("classifier") else VOCAB


def load(name, config=None, path=None, dtype=None):
  config = configuration(name) if config is None else config
  definition, params, buffers = network(config, num_outputs(name))
  if dtype is not None:
    params = jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.shape, dtype), params)
  setting = Pretrained(path=str(path or FIXTURES / f"text_{name}.safetensors"), names="hf")
  return definition, *setting.load(None, config, params, buffers)[:2]


# Tiny networks are compiled longer than they run: without most of LLVM's work, in a third of the time.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


@functools.partial(jax.jit, static_argnums=(0, 3), compiler_options=QUICK)
def _run(definition, params, buffers, kind):
  model = merge(definition, params, buffers)
  if kind == "decoder":
    return model(TOKENS, segments_BT=MASK.astype(np.int32)).logits()
  tokens = np.where(MASK, TOKENS, 1 if kind == "roberta" else 0)
  out = model(tokens, jnp.asarray(MASK), types_BT=None if kind == "roberta" else TYPES.astype(np.int32))
  return out.logits() if isinstance(out, TokenScores) else out


def run(name, definition, params, buffers):
  out = np.asarray(_run(definition, params, buffers, "decoder" if name in DECODERS else name.partition("_")[0]))
  return out[MASK] if out.ndim == 3 else out


def close(ours, theirs):
  """At 1e-5 of the largest output."""
  np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())


@functools.cache
def loaded(name):
  return load(name)


@pytest.mark.parametrize("name", [*DECODERS, *ENCODERS])
def test_logits_of_transformers(name):
  close(run(name, *loaded(name)), OUTPUTS[name])


@pytest.mark.parametrize("name", ["gpt2", "llama3"])
def test_layers_that_are_not_stacked_are_filled_alike(name):
  config = configuration(name)
  config = dataclasses.replace(config, decoder=dataclasses.replace(config.decoder, scan=False))
  close(run(name, *load(name, config)), OUTPUTS[name])


HEAVY = [pytest.param("gpt2", 1, marks=pytest.mark.heavy), pytest.param("llama3", 4, marks=pytest.mark.heavy)]


@pytest.mark.parametrize("name,beams", [("gpt2", 4), ("llama3", 1), *HEAVY])
def test_generated_tokens_of_transformers(name, beams):
  """Prompts of unequal length; theirs are padded on the left, ours on the right."""
  definition, params, buffers = loaded(name)
  search = Greedy() if beams == 1 else Beam(num_beams=beams, num_best=beams)
  decoding, special = Decoding(search=search, max_new_tokens=10), SpecialTokens(end=(END,), pad=0)
  generate = lambda p, requests: decode(merge(definition, p, buffers), requests, decoding, special, 10)
  prompts = np.zeros((len(PROMPTS), 5), np.int32)
  for row, prompt in zip(prompts, PROMPTS):
    row[:len(prompt)] = prompt
  found = jax.jit(generate, compiler_options=QUICK)(params, Requests(
      inputs=None, prompts_BP=prompts, lengths_B=np.array([len(p) for p in PROMPTS]), limits_B=np.full(len(PROMPTS), 10),
      keys_B=jax.random.split(jax.random.key(0), len(PROMPTS))))
  theirs = OUTPUTS[f"{name}_{beams}"]
  assert len({len(set(row)) for row in theirs.reshape(-1, 10).tolist()}) > 1  # they are not all one token, or all long
  np.testing.assert_array_equal(found.tokens_BNS[..., :theirs.shape[-1]], theirs)
  if beams > 1:
    np.testing.assert_allclose(found.scores_BN, OUTPUTS[f"{name}_{beams}_scores"], rtol=1e-4)


@pytest.mark.parametrize("name", [*DECODERS, *ENCODERS])
def test_what_is_exported_is_what_was_loaded_bit_for_bit(name, tmp_path):
  _, params, buffers = loaded(name)
  export(tmp_path / "ours.safetensors", configuration(name).tables()["hf"], params, buffers)
  theirs, ours = (open_weights(path).tensors for path in (FIXTURES / f"text_{name}.safetensors", tmp_path / "ours.safetensors"))
  assert set(ours) == set(theirs)
  for n in ours:
    np.testing.assert_array_equal(ours[n].read(), theirs[n].read(), strict=True)


@pytest.mark.parametrize("name", [*DECODERS, *ENCODERS])
def test_settings_written_and_read_again(name):
  config, settings = configuration(name), CONFIGS[name]
  labels = {"num_labels": 3} if name.endswith("classifier") else {}
  tokens = {key: value for key, value in settings.items() if key.endswith("_token_id")}
  written = json.loads(json.dumps(family(name).to_huggingface(config, VOCAB, tokens, **labels)))
  assert family(name).from_huggingface(written) == config
  differing = {key for key in written if key in settings and written[key] != settings[key]}
  llamas = {"model_type", "architectures"} if name == "mistral" else set()  # without its window, it is a Llama
  assert differing <= llamas | {"n_inner", "classifier_dropout"}  # which theirs leaves to a default


def _renamed(name, rename, more=()):
  """The file of a case under other names."""
  tensors = {rename(n): tensor for n, tensor in open_weights(FIXTURES / f"text_{name}.safetensors").tensors.items()}
  extra = {n: Tensor((1,), np.dtype("float32"), lambda: pytest.fail("read")) for n in more}
  return WeightsFile("renamed", {**tensors, **extra}, {})


@pytest.mark.parametrize("name,rename,more", [
    ("gpt2", lambda n: n.removeprefix("transformer."), ("h.0.attn.bias", "h.1.attn.masked_bias", "lm_head.weight")),
    ("llama_linear", lambda n: n.removeprefix("model."), ("rotary_emb.inv_freq", "layers.1.self_attn.rotary_emb.inv_freq")),
    ("bert_tokens", lambda n: n.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"),
     ("bert.embeddings.position_ids", "bert.pooler.dense.bias", "cls.seq_relationship.bias", "cls.predictions.decoder.weight")),
    ("roberta_classifier", lambda n: n, ("roberta.pooler.dense.bias", "lm_head.bias", "roberta.embeddings.position_ids")),
])
def test_older_and_bare_files(name, rename, more):
  file = _renamed(name, rename, more)
  config = configuration(name)
  definition, params, buffers = network(config, num_outputs(name))
  leaves = rules.paths(params)
  plan = mapping.plan(file, config.tables()["hf"], leaves)
  assert set(plan.left) == set(more)
  filled = mapping.fill(file, plan, leaves)
  close(run(name, definition, jax.tree.unflatten(jax.tree.structure(params), list(filled.values())), buffers), OUTPUTS[name])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_in_bfloat16(dtype, tmp_path):
  """A file in bfloat16 fills parameters of either type, and the numbers are those of the file."""
  name = "llama3"
  _, params, buffers = loaded(name)
  short = jax.tree.map(lambda p: np.asarray(p).astype(jnp.bfloat16), params)
  export(tmp_path / "short.safetensors", configuration(name).tables()["hf"], short, buffers)
  definition, found, _ = load(name, path=tmp_path / "short.safetensors", dtype=dtype)
  for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(short), strict=True):
    np.testing.assert_array_equal(a, b.astype(dtype), strict=True)
  if dtype == "float32":
    return
  theirs = OUTPUTS[name]
  error = np.abs(run(name, definition, found, buffers) - theirs).max() / np.abs(theirs).max()
  assert 1e-4 < error < 0.1


# --- networks of real size ---------------------------------------------------------------------------------------------------

PUBLISHED = {  # parameters, as Hugging Face's pages and papers have them
    "gpt2": (gpt2.gpt2(), 50_257, 124_439_808),
    "gpt2_medium": (gpt2.gpt2_medium(), 50_257, 354_823_168),
    "gpt2_large": (gpt2.gpt2_large(), 50_257, 774_030_080),
    "gpt2_xl": (gpt2.gpt2_xl(), 50_257, 1_557_611_200),
    "smollm2_135m": (llama.smollm2_135m(), 49_152, 134_515_008),
    "smollm2_360m": (llama.smollm2_360m(), 49_152, 361_821_120),
    "tinyllama_1b": (llama.tinyllama_1b(), 32_000, 1_100_048_384),
    "llama2_7b": (llama.llama2_7b(), 32_000, 6_738_415_616),
    "llama3_8b": (llama.llama3_8b(), 128_256, 8_030_261_248),
    "llama3_2_1b": (llama.llama3_2_1b(), 128_256, 1_235_814_400),
    "mistral_7b": (llama.mistral_7b(), 32_768, 7_248_023_552),
    "qwen2_0_5b": (llama.qwen2_0_5b(), 151_936, 494_032_768),
    "qwen3_0_6b": (llama.qwen3_0_6b(), 151_936, 596_049_920),
    "bert_base": (bert.bert_base(), 2, 109_483_778),
    "bert_large": (bert.bert_large(), 2, 335_143_938),
    "roberta_base": (roberta.roberta_base(), 2, 124_647_170),
    "roberta_large": (roberta.roberta_large(), 2, 355_361_794),
}


@functools.cache
def published_names():
  return json.loads(gzip.decompress((FIXTURES / "text_decoders_names.json.gz").read_bytes()))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks(name):
  """Their settings, their number of parameters, and a place for every tensor of theirs."""
  config, outputs, count = PUBLISHED[name]
  described = family(f"published/{name}").from_huggingface(CONFIGS[f"published/{name}"])
  check_described(config, described)  # but for dropout
  _, params, buffers = network(config, outputs)
  leaves = rules.paths(params)
  assert not buffers and sum(p.size for p in leaves.values()) == count
  tensors = {n: Tensor(tuple(shape), np.dtype("float32"), lambda: pytest.fail("read")) for n, shape in published_names()[name]}
  plan = mapping.plan(WeightsFile(name, tensors, {}), config.tables()["hf"], leaves)
  assert set(plan.fills) == set(leaves) and not plan.fresh
  assert all("position_ids" in n for n in plan.left)


@pytest.mark.parametrize("name,changes,message", [
    ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx=True"),
    ("gpt2", {"activation_function": "mish"}, "activation_function=mish"),
    ("gpt2", {"some_new_trick": 3}, "some_new_trick=3"),
    ("mistral", {"sliding_window": 4096}, "sliding_window=4096"),
    ("llama3", {"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4}}, "yarn"),
    ("llama3", {"attention_bias": True}, "attention_bias=True"),
    ("qwen2", {"layer_types": ["sliding_attention", "full_attention"]}, "sliding_attention"),
    ("qwen3", {"model_type": "qwen3_moe"}, "model_type=qwen3_moe"),
    ("bert_tokens", {"position_embedding_type": "relative_key"}, "position_embedding_type=relative_key"),
    ("bert_tokens", {"is_decoder": True}, "is_decoder=True"),
    ("roberta_tokens", {"hidden_act": "relu"}, "hidden_act=relu"),
    ("roberta_tokens", {"pad_token_id": 0}, "pad_token_id=0"),
])
def test_settings_that_cannot_be_represented(name, changes, message):
  with pytest.raises(ConfigError, match=message):
    family(name).from_huggingface({**CONFIGS[name], **changes})


def test_older_settings_of_positions():
  """transformers 4 has rope_theta and rope_scaling."""
  settings = {k: v for k, v in CONFIGS["llama3"].items() if k != "rope_parameters"}
  scaling = {k: v for k, v in CONFIGS["llama3"]["rope_parameters"].items() if k != "rope_theta"}
  assert llama.from_huggingface({**settings, "rope_theta": 100.0, "rope_scaling": scaling}) == configuration("llama3")
  linear = {"type": "linear", "factor": 4.0}
  assert llama.from_huggingface({**settings, "rope_scaling": linear}).decoder.block.rotary.linear == 4


def test_networks_that_hugging_face_does_not_have():
  config = gpt2.make(dim=16, num_layers=1, num_heads=2)
  post = dataclasses.replace(config.decoder, block=dataclasses.replace(config.decoder.block, norm_first=False))
  with pytest.raises(ConfigError, match=r"decoder.block.norm_first=False: Hugging Face's gpt2"):
    gpt2.to_huggingface(dataclasses.replace(config, decoder=post), 40, {})
  both = llama.make(dim=16, num_layers=1, num_heads=2, num_kv_heads=1, mlp_dim=8, qkv_bias=True, qk_norm=True)
  with pytest.raises(ConfigError, match="qkv_bias=True"):
    llama.to_huggingface(both, 40, {})


@pytest.mark.heavy
def test_initial_values_are_those_of_transformers():
  """GPT-2's: of each tensor its standard deviation, which for many numbers is that of the distribution."""
  config = gpt2.make(dim=128, num_layers=4, num_heads=2, max_length=20)
  params = jax.jit(lambda: split(config.build(jax.ShapeDtypeStruct((1, 20), "int32"), VOCAB, nnx.Rngs(0)))[1])()
  ours = mapping.Theirs(config.tables()["hf"], rules.paths(params))
  for name, theirs in CONFIGS["initial_deviations"].items():
    if name != "lm_head.weight":
      assert np.std(ours[name]) == pytest.approx(theirs, rel=0.06, abs=1e-9), name


_LOAD = """
import sys, torch, transformers, numpy as np
folder, kind = sys.argv[1:]
model = getattr(transformers, kind).from_pretrained(folder).eval()
given = np.load(f"{folder}/given.npz")
more = {"token_type_ids": torch.from_numpy(given["types"])} if "types" in given else {}
with torch.no_grad():
  out = model(torch.from_numpy(given["tokens"]), attention_mask=torch.from_numpy(given["mask"]), **more)
np.save(f"{folder}/logits.npy", out.logits.numpy())
"""


@pytest.mark.heavy
@pytest.mark.parametrize("name", [*DECODERS, *ENCODERS])
def test_transformers_loads_what_we_write(name, tmp_path):
  """Needs FIELDWORK_PARITY_PYTHON, a Python with torch and transformers."""
  python = os.environ.get("FIELDWORK_PARITY_PYTHON")
  if not python:
    pytest.skip("set FIELDWORK_PARITY_PYTHON to a Python with torch and transformers")
  config = configuration(name)
  _, params, buffers = loaded(name)
  labels = {"num_labels": 3} if name.endswith("classifier") else {}
  settings = family(name).to_huggingface(config, VOCAB, {"eos_token_id": END}, **labels)
  (tmp_path / "config.json").write_text(json.dumps(settings))
  export(tmp_path / "model.safetensors", config.tables()["hf"], params, buffers)
  kind = name.partition("_")[0]
  tokens = TOKENS if name in DECODERS else np.where(MASK, TOKENS, 1 if kind == "roberta" else 0)
  types = {"types": TYPES.astype(np.int64)} if kind == "bert" else {}
  np.savez(tmp_path / "given.npz", tokens=tokens, mask=MASK.astype(np.int64), **types)
  subprocess.run([python, "-c", _LOAD, str(tmp_path), settings["architectures"][0]], check=True, env={})
  logits = np.load(tmp_path / "logits.npy")
  close(logits[MASK] if logits.ndim == 3 else logits, OUTPUTS[name])
