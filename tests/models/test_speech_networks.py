"""Whisper and wav2vec 2.0: published sizes and settings, what padding changes, what training hides."""

import dataclasses
import functools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from small_networks import compiled, random_network

from research.config import ConfigError, from_json, to_json
from research.models import wav2vec2, whisper
from research.nn.stack import StackConfig
from research.nn.transformer import BlockConfig
from research.training.state import merge, split

# Of the files that were published with the networks, as far as it concerns them.
WHISPER = {"model_type": "whisper", "activation_dropout": 0.0, "activation_function": "gelu", "attention_dropout": 0.0,
           "begin_suppress_tokens": [220, 50257], "d_model": 384, "decoder_attention_heads": 6, "decoder_ffn_dim": 1536,
           "decoder_layerdrop": 0.0, "decoder_layers": 4, "decoder_start_token_id": 50258, "dropout": 0.0,
           "encoder_attention_heads": 6, "encoder_ffn_dim": 1536, "encoder_layerdrop": 0.0, "encoder_layers": 4,
           "eos_token_id": 50257, "forced_decoder_ids": [[1, 50259]], "init_std": 0.02, "is_encoder_decoder": True,
           "max_length": 448, "max_source_positions": 1500, "max_target_positions": 448, "num_hidden_layers": 4,
           "num_mel_bins": 80, "pad_token_id": 50257, "scale_embedding": False, "suppress_tokens": [1, 2], "vocab_size": 51865}
WAV2VEC2 = {"model_type": "wav2vec2", "activation_dropout": 0.1, "apply_spec_augment": True, "attention_dropout": 0.1,
            "conv_bias": False, "conv_dim": [512] * 7, "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
            "conv_stride": [5, 2, 2, 2, 2, 2, 2], "ctc_loss_reduction": "sum", "ctc_zero_infinity": False,
            "do_stable_layer_norm": False, "feat_extract_activation": "gelu", "feat_extract_dropout": 0.0,
            "feat_extract_norm": "group", "feat_proj_dropout": 0.1, "final_dropout": 0.1, "gradient_checkpointing": False,
            "hidden_act": "gelu", "hidden_dropout": 0.1, "hidden_dropout_prob": 0.1, "hidden_size": 768,
            "initializer_range": 0.02, "intermediate_size": 3072, "layer_norm_eps": 1e-05, "layerdrop": 0.1,
            "mask_feature_length": 10, "mask_feature_prob": 0.0, "mask_time_length": 10, "mask_time_prob": 0.05,
            "num_attention_heads": 12, "num_conv_pos_embedding_groups": 16, "num_conv_pos_embeddings": 128,
            "num_feat_extract_layers": 7, "num_hidden_layers": 12, "pad_token_id": 0, "vocab_size": 32}
SIZES = [(whisper.tiny, 51865), (whisper.tiny, 51864), (whisper.base, 51865), (whisper.base, 51864), (whisper.small, 51865),
         (whisper.small, 51864), (whisper.medium, 51865), (whisper.medium, 51864), (whisper.large_v2, 51865),
         (whisper.large_v3, 51866), (wav2vec2.base, 32), (wav2vec2.large, 32), (wav2vec2.large_lv60, 32)]


@functools.cache
def number(variant, num_outputs):
  config = variant()
  audio = lambda *shape: jax.ShapeDtypeStruct((1, *shape), "float32")
  inputs = ((audio(3000, config.num_mels), jax.ShapeDtypeStruct((1, 4), "int32")) if isinstance(config, whisper.Config)
            else audio(16_000))
  params = jax.eval_shape(lambda: split(config.build(inputs, num_outputs, nnx.Rngs(0)))[1])
  return sum(math.prod(p.shape) for p in jax.tree.leaves(params))


QUICK = ((whisper.tiny, 51865), (whisper.tiny, 51864), (whisper.large_v3, 51866), (wav2vec2.base, 32),
         (wav2vec2.large_lv60, 32))


@pytest.mark.parametrize("variant,num_outputs", [pytest.param(*size, marks=() if size in QUICK else pytest.mark.heavy)
                                                 for size in SIZES], ids=lambda value: getattr(value, "__name__", str(value)))
def test_sizes_are_those_published(variant, num_outputs):
  first, *second = re.findall(r"\b\d[\d,]{7,}\b", variant.__doc__)
  english = num_outputs == 51864
  assert f"{number(variant, num_outputs):,}" == (second[0] if english else first)


def test_published_settings_are_the_named_variants():
  assert whisper.from_huggingface(WHISPER) == whisper.tiny()
  again = whisper.to_huggingface(whisper.tiny(), 51865, {"eos_token_id": 50257})
  assert whisper.from_huggingface(again) == whisper.tiny()
  for name, value in again.items():
    if name not in ("architectures", "suppress_tokens", "begin_suppress_tokens", "bos_token_id", "pad_token_id"):
      assert WHISPER.get(name, value) == value, name
  read = wav2vec2.from_huggingface(WAV2VEC2)
  assert not read.masked and wav2vec2.from_huggingface({**WAV2VEC2, "return_attention_mask": True}).masked
  quiet = {name: 0.0 for name in WAV2VEC2 if "dropout" in name and name != "hidden_dropout_prob"}
  plain = wav2vec2.from_huggingface({**WAV2VEC2, **quiet, "return_attention_mask": True, "mask_time_prob": 0.0})
  ours = wav2vec2.base()
  assert dataclasses.replace(plain, encoder=ours.encoder, channel_mask_size=64) == ours
  assert dataclasses.replace(plain.encoder.block, attention_dropout=None) == ours.encoder.block
  for config in (read, whisper.large_v3()):
    assert from_json(to_json(config)) == config


@pytest.mark.parametrize("module,settings,message", [
    (whisper, {**WHISPER, "scale_embedding": True}, "scale_embedding=True"),
    (whisper, {**WHISPER, "encoder_layerdrop": 0.1}, "encoder_layerdrop=0.1"),
    (whisper, WAV2VEC2, "model_type=wav2vec2"),
    (wav2vec2, {**WAV2VEC2, "add_adapter": True}, "add_adapter=True"),
    (wav2vec2, {**WAV2VEC2, "hidden_act": "relu"}, "hidden_act=relu"),
    (wav2vec2, {**WAV2VEC2, "adapter_attn_dim": 16}, "adapter_attn_dim=16"),
    (wav2vec2, {**WAV2VEC2, "conv_kernel": [10, 3]}, "equally many")])
def test_settings_that_cannot_be_represented(module, settings, message):
  with pytest.raises(ConfigError, match=message):
    module.from_huggingface(settings)


@pytest.mark.parametrize("shape,message", [
    ((32, 9), "num_mels=8"), ((31, 8), "31 frames"), ((34, 8), "34 frames"), ((32,), "num_mels=8")])
def test_spectra_that_whisper_does_not_take(shape, message):
  config = whisper.make(dim=8, num_layers=1, num_heads=2, num_mels=8, max_positions=16, max_length=10)
  inputs = jax.ShapeDtypeStruct((1, *shape), "float32"), jax.ShapeDtypeStruct((1, 4), "int32")
  with pytest.raises(ConfigError, match=message):
    config.build(inputs, 20, nnx.Rngs(0))


# --- wav2vec 2.0 -----------------------------------------------------------------------------------------------------------


def small(**changes):
  stable = changes.get("conv_norm") == "layer"
  block = BlockConfig(dim=8, num_heads=2, mlp_dim=8, norm_first=stable)
  settings = {"channels": (4, 4), "sizes": (10, 3), "strides": (5, 2), "position_size": 4, "position_groups": 2, **changes}
  return wav2vec2.Config(encoder=StackConfig(num_layers=1, block=block, causal=False, norm_last=stable), **settings)


SAMPLES = np.random.default_rng(0).normal(size=(2, 200)).astype(np.float32)
LENGTHS = np.array([200, 110])


@functools.cache
def outputs(config):
  definition, params = random_network(config, 5, jax.ShapeDtypeStruct((2, 200), "float32"))
  run = compiled(lambda params, x, lengths: merge(definition, params, {})(x, lengths))
  return lambda x, lengths: run(params, jnp.asarray(x), jnp.asarray(lengths))


@pytest.mark.parametrize("norm", ["group", pytest.param("layer", marks=pytest.mark.heavy)])
def test_padding_is_told_from_speech_if_it_is_masked(norm):
  run = outputs(small(conv_norm=norm))
  logits, num = run(SAMPLES, LENGTHS)
  assert num.tolist() == [19, 10] and logits.shape == (2, 19, 5)
  garbage = np.where(np.arange(200) < LENGTHS[:, None], SAMPLES, 7.0)
  np.testing.assert_allclose(run(garbage, LENGTHS).logits[1, :10], logits[1, :10], rtol=0, atol=1e-5)
  alone = run(SAMPLES[1:, :110], LENGTHS[1:])
  assert alone.lengths.tolist() == [10]
  np.testing.assert_allclose(alone.logits[0], logits[1, :10], rtol=0, atol=1e-5)
  assert np.isfinite(run(SAMPLES, np.array([200, 3])).logits).all()  # too short for a frame
  heard = outputs(small(conv_norm=norm, masked=False))
  assert np.abs(heard(garbage, LENGTHS).logits[1, :10] - heard(SAMPLES, LENGTHS).logits[1, :10]).max() > 1e-2


def test_training_hides_spans_of_frames_and_of_channels():
  config = small(time_mask=0.5, time_mask_size=4, channel_mask=0.5, channel_mask_size=2)
  covered = np.asarray(wav2vec2._spans(jax.random.key(0), (400, 60), 0.5, 4))
  assert covered[:, 4:].mean() == pytest.approx(1 - (1 - 0.5 / 4) ** 4, abs=0.01)
  lengths = [len(span) for row in covered for span in re.findall("01+(?=0)", "".join(map(str, row.astype(int))))]
  assert min(lengths) == 5 and max(lengths) > 5  # spans may meet
  definition, params = random_network(config, 5, jax.ShapeDtypeStruct((2, 200), "float32"))
  marked = {**params, "mask": jnp.full(8, 100.0)}
  hide = lambda params, key: merge(definition, params, {})._spans_masked(jnp.ones((2, 30, 8)), key)
  hidden = np.asarray(hide(marked, jax.random.key(1)))
  assert set(np.unique(hidden)) == {0.0, 1.0, 100.0}
  assert ((hidden == 0).all(1) | (hidden != 0).all(1)).all()  # a channel is hidden for the whole utterance
  seen = (hidden != 0).any(1)[:, None]
  assert (np.where(seen, hidden, 1) == np.where(seen, hidden.max(-1, keepdims=True), 1)).all()  # a frame in all channels
  np.testing.assert_array_equal(hide(marked, None), np.ones((2, 30, 8)))


PRE_NORM = StackConfig(num_layers=1, block=BlockConfig(dim=8, num_heads=2), causal=False, norm_last=False)


@pytest.mark.parametrize("changes,message", [
    ({"sizes": (10,)}, "equally many"), ({"position_groups": 3}, "position_groups=3"), ({"time_mask": 1.0}, "time_mask=1.0"),
    ({"encoder": PRE_NORM}, "norm_last")])
def test_settings(changes, message):
  with pytest.raises(ConfigError, match=message):
    dataclasses.replace(small(), **changes)


def test_samples_that_are_too_few():
  with pytest.raises(ConfigError, match=r"one frame at least"):
    small().build(jax.ShapeDtypeStruct((2, 19), "float32"), 5, nnx.Rngs(0))
