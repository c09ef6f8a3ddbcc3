"""T5, BART, Marian, PEGASUS and the Transformer: published sizes and settings, initial values, what cannot be."""

import dataclasses
import math
import re

import jax
import numpy as np
import pytest
from flax import nnx

from research.config import ConfigError, from_json, to_json
from research.models import bart, marian, pegasus, t5, transformer_2017
from research.rules import paths
from research.training.state import split

TOKENS = jax.ShapeDtypeStruct((1, 4), "int32")

# Of the files that were published with the networks, as far as it concerns them.
T5 = {"model_type": "t5", "d_ff": 2048, "d_kv": 64, "d_model": 512, "dropout_rate": 0.1, "initializer_factor": 1.0,
      "is_encoder_decoder": True, "layer_norm_epsilon": 1e-6, "n_positions": 512, "num_heads": 8, "num_layers": 6,
      "output_past": True, "relative_attention_num_buckets": 32, "task_specific_params": {"summarization": {"num_beams": 4}},
      "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1, "vocab_size": 32128}
T5_1_1 = {**T5, "d_ff": 1024, "num_heads": 6, "num_layers": 8, "num_decoder_layers": 8, "feed_forward_proj": "gated-gelu",
          "tie_word_embeddings": False}
BART = {"model_type": "bart", "activation_dropout": 0.1, "activation_function": "gelu", "add_bias_logits": False,
        "add_final_layer_norm": False, "attention_dropout": 0.1, "classif_dropout": 0.1, "classifier_dropout": 0.0,
        "d_model": 1024, "decoder_attention_heads": 16, "decoder_ffn_dim": 4096, "decoder_layerdrop": 0.0, "decoder_layers": 12,
        "dropout": 0.1, "encoder_attention_heads": 16, "encoder_ffn_dim": 4096, "encoder_layerdrop": 0.0, "encoder_layers": 12,
        "init_std": 0.02, "forced_eos_token_id": 2, "is_encoder_decoder": True, "max_position_embeddings": 1024,
        "normalize_before": False, "num_hidden_layers": 12, "scale_embedding": False, "early_stopping": True,
        "no_repeat_ngram_size": 3, "vocab_size": 50265}
MARIAN = {"model_type": "marian", "activation_dropout": 0.0, "activation_function": "swish", "add_bias_logits": False,
          "add_final_layer_norm": False, "attention_dropout": 0.0, "bad_words_ids": [[58100]], "classif_dropout": 0.0,
          "d_model": 512, "decoder_attention_heads": 8, "decoder_ffn_dim": 2048, "decoder_layerdrop": 0.0, "decoder_layers": 6,
          "decoder_vocab_size": 58101, "dropout": 0.1, "encoder_attention_heads": 8, "encoder_ffn_dim": 2048,
          "encoder_layerdrop": 0.0, "encoder_layers": 6, "extra_pos_embeddings": 58101, "init_std": 0.02,
          "is_encoder_decoder": True, "max_length": 512, "max_position_embeddings": 512, "normalize_before": False,
          "normalize_embedding": False, "num_beams": 6, "scale_embedding": True, "share_encoder_decoder_embeddings": True,
          "static_position_embeddings": True, "vocab_size": 58101}
PEGASUS = {"model_type": "pegasus", "activation_dropout": 0.1, "activation_function": "relu", "add_final_layer_norm": True,
           "attention_dropout": 0.1, "d_model": 1024, "decoder_attention_heads": 16, "decoder_ffn_dim": 4096,
           "decoder_layers": 16, "dropout": 0.1, "encoder_attention_heads": 16, "encoder_ffn_dim": 4096, "encoder_layers": 16,
           "extra_pos_embeddings": 1, "force_bos_token_to_be_generated": False, "is_encoder_decoder": True,
           "length_penalty": 0.8, "max_position_embeddings": 1024, "normalize_before": True, "normalize_embedding": False,
           "scale_embedding": True, "static_position_embeddings": True, "vocab_size": 96103}
PUBLISHED = {
    t5.t5_small: (t5, T5, {}),
    t5.t5_1_1_small: (t5, T5_1_1, {"dropout": 0.1}),
    bart.bart_large: (bart, BART, {}),
    marian.marian_base: (marian, MARIAN, {}),
    pegasus.pegasus_large: (pegasus, PEGASUS, {}),
}
SIZES = {
    32128: [t5.t5_small, t5.t5_base, t5.t5_large, t5.t5_3b, t5.t5_1_1_small, t5.t5_1_1_base, t5.t5_1_1_large, t5.t5_1_1_xl],
    50265: [bart.bart_base, bart.bart_large],
    58101: [marian.marian_base],
    96103: [pegasus.pegasus_base, pegasus.pegasus_large],
    9716: [transformer_2017.transformer_tiny],
    37000: [transformer_2017.transformer_base, transformer_2017.transformer_big],
}


def network(config, vocab_size, build=jax.eval_shape):
  return build(lambda: split(config.build((TOKENS, TOKENS), vocab_size, nnx.Rngs(0)))[1:])


@pytest.mark.parametrize("vocab_size,variant", [(size, variant) for size, variants in SIZES.items() for variant in variants],
                         ids=lambda value: getattr(value, "__name__", ""))
def test_sizes_are_those_published(vocab_size, variant):
  params, _ = network(variant(), vocab_size)
  stated = re.search(r"([\d,]+) parameters", variant.__doc__)
  assert sum(math.prod(p.shape) for p in jax.tree.leaves(params)) == int(stated.group(1).replace(",", ""))


@pytest.mark.parametrize("variant", PUBLISHED, ids=lambda value: value.__name__)
def test_published_settings_are_the_named_variants(variant):
  module, settings, changes = PUBLISHED[variant]
  config = variant(**changes)
  assert module.from_huggingface(settings) == config
  again = module.to_huggingface(config, settings["vocab_size"], {"eos_token_id": 1})
  assert module.from_huggingface(again) == config
  for name, value in again.items():
    if name not in ("architectures", "eos_token_id", "activation_function"):
      assert settings.get(name, value) == value
  assert from_json(to_json(config)) == config


@pytest.mark.parametrize("module,settings,message", [
    (t5, {**T5, "feed_forward_proj": "gated-mish"}, "feed_forward_proj=gated-mish"),
    (t5, {**T5, "is_decoder": True}, "is_decoder=True"),
    (t5, {**T5, "num_experts": 8}, "num_experts=8"),
    (t5, BART, "model_type=bart"),
    (bart, {**BART, "activation_function": "gelu_10"}, "activation_function=gelu_10"),
    (bart, {**BART, "normalize_before": True}, "normalize_before=True"),
    (bart, {**BART, "decoder_layerdrop": 0.1}, "decoder_layerdrop=0.1"),
    (bart, {**BART, "tie_word_embeddings": False}, "tie_word_embeddings=False"),
    (marian, {**MARIAN, "decoder_vocab_size": 50000}, "decoder_vocab_size=50000"),
    (marian, {**MARIAN, "static_position_embeddings": False}, "static_position_embeddings=False"),
    (pegasus, {**PEGASUS, "add_final_layer_norm": False}, "add_final_layer_norm=False"),
])
def test_settings_that_cannot_be_represented(module, settings, message):
  with pytest.raises(ConfigError, match=message):
    module.from_huggingface(settings)


def test_networks_that_hugging_face_does_not_have():
  first = transformer_2017.make(dim=8, num_layers=1, num_heads=2, mlp_dim=8, norm_first=True)
  with pytest.raises(ConfigError, match=r"encoder.block.norm_first=True: Hugging Face's marian cannot have it"):
    transformer_2017.to_huggingface(first, 20, {})
  with pytest.raises(ConfigError, match=r"embedding.positions=none: Hugging Face's bart"):
    bart.to_huggingface(t5.t5_small(), 20, {})
  config = t5.t5_small()
  post = dataclasses.replace(config.encoder, block=dataclasses.replace(config.encoder.block, qk_norm=True))
  with pytest.raises(ConfigError, match=r"encoder.block.qk_norm=True"):
    t5.to_huggingface(dataclasses.replace(config, encoder=post), 20, {})


@pytest.mark.heavy
def test_initial_values_of_t5():
  """Standard deviations: queries (dim·head)^-½, others (inputs)^-½, the table 1, an untied last layer dim^-½."""
  config = t5.make(dim=64, num_layers=(2, 2), num_heads=4, head_dim=32, mlp_dim=256, gated=True, tied=False, num_buckets=64)
  params, _ = network(config, 300, build=lambda make: jax.jit(make)())
  for path, deviation in {
      "source_embedding/tokens/embedding": 1, "head/embedding": 64**-0.5, "encoder/relative/table/embedding": 64**-0.5,
      "encoder/layers/attention/query/kernel": (64 * 32) ** -0.5, "decoder/layers/cross/query/kernel": (64 * 32) ** -0.5,
      "decoder/layers/attention/key/kernel": 64**-0.5, "decoder/layers/attention/out/kernel": 128**-0.5,
      "decoder/layers/mlp/gate/kernel": 64**-0.5, "decoder/layers/mlp/down/kernel": 256**-0.5}.items():
    values = np.asarray(paths(params)[path])
    assert values.std() == pytest.approx(deviation, rel=4 / math.sqrt(2 * values.size)), path
