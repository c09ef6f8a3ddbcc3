"""wav2vec 2.0 (Baevski et al. 2020) with outputs for CTC: convolutions over samples, one that tells positions, a Transformer.

Shapes: B utterances, N samples, T frames, C channels of the convolutions, D model, K taps, V outputs.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx

from research.config import ConfigError
from research.models.huggingface_settings import Settings, activation_name, check_described
from research.nn.ctc import Frames, inside
from research.nn.dense import Dense
from research.nn.dropout import dropout, fold
from research.nn.frame_convolutions import FrameConv, PositionConv
from research.nn.initializers import initialize, parameter_dtype
from research.nn.names import Row, Table, norm_rows, torch_rows
from research.nn.norms import LayerNorm
from research.nn.stack import Stack, StackConfig
from research.nn.transformer import BlockConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  """A wav2vec 2.0; see `base` and `large` for the published ones.

  Attributes:
    encoder: the Transformer. Where its layers normalise last, what it is given is normalised, and not what it gives.
    channels: C of each convolution over samples.
    sizes: taps of each.
    strides: by how much each moves.
    conv_norm: "group" normalises every channel of the first convolution over time, "layer" every frame of each convolution.
    conv_bias: whether the convolutions have one.
    position_size: K, taps of the convolution that tells positions.
    position_groups: its groups.
    masked: whether padding is told from speech; else it is heard as silence, and what becomes of an utterance depends on how
      far it is padded, as with transformers' "group" networks.
    dropout: rate, on what the Transformer is given.
    feature_dropout: rate, on the frames before.
    final_dropout: rate, on what the Transformer gives.
    time_mask: share of the frames that spans of `time_mask_size` would cover in training if they never met; a learned vector
      stands there. Each frame begins a span with equal probability.
    time_mask_size: frames of a span.
    channel_mask: likewise of the D channels, which become 0 for a whole utterance.
    channel_mask_size: channels of a span.
  """

  encoder: StackConfig
  channels: tuple[int, ...] = (512,) * 7
  sizes: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
  strides: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
  conv_norm: Literal["group", "layer"] = "group"
  conv_bias: bool = False
  position_size: int = 128
  position_groups: int = 16
  masked: bool = True
  dropout: float = 0.0
  feature_dropout: float = 0.0
  final_dropout: float = 0.0
  time_mask: float = 0.0
  time_mask_size: int = 10
  channel_mask: float = 0.0
  channel_mask_size: int = 64

  def __post_init__(self):
    if not len(self.channels) == len(self.sizes) == len(self.strides) > 0:
      raise ConfigError(f"channels={self.channels}, sizes={self.sizes}, strides={self.strides}: must be equally many")
    if self.encoder.block.dim % self.position_groups:
      raise ConfigError(f"position_groups={self.position_groups}: must divide encoder.block.dim={self.encoder.block.dim}")
    if self.encoder.block.norm_first != self.encoder.norm_last or self.encoder.causal:
      raise ConfigError("encoder.norm_last must be encoder.block.norm_first, and encoder.causal False")
    for name in ("time_mask", "channel_mask", "dropout", "feature_dropout", "final_dropout"):
      if not 0 <= getattr(self, name) < 1:
        raise ConfigError(f"{name}={getattr(self, name)}: must be at least 0 and below 1")

  def num_frames(self, num_samples):
    """T of N, an integer or an array; 0 of too few samples."""
    for size, stride in zip(self.sizes, self.strides):
      num_samples = (num_samples - size) // stride + 1
    return num_samples * (num_samples > 0)

  def build(self, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs) -> "Wav2Vec2":
    """The network for samples (B, N). Raises ConfigError for others."""
    if len(inputs.shape) != 2 or self.num_frames(inputs.shape[1]) < 1:
      raise ConfigError(f"wav2vec 2.0 takes samples (B, N) of one frame at least, not {inputs.shape}")
    return Wav2Vec2(self, inputs, num_outputs, rngs)

  def tables(self) -> dict[str, Table]:
    """Hugging Face's names."""
    first, words = "wav2vec2", ("q_proj", "k_proj", "v_proj", "out_proj")
    conv, position = f"{first}.feature_extractor.conv_layers", f"{first}.encoder.pos_conv_embed.conv"
    rows = [Row(f"{first}.masked_spec_embed", "mask", absent=0.0)]
    for i in range(len(self.channels)):
      rows += torch_rows(f"{conv}.{i}.conv", f"convolutions/{i}/conv", "conv1d", bias=self.conv_bias)
      if self.conv_norm == "layer" or i == 0:
        rows += norm_rows(f"{conv}.{i}.layer_norm", f"convolutions/{i}/norm", "torch")
    rows += norm_rows(f"{first}.feature_projection.layer_norm", "projection_norm", "torch")
    rows += torch_rows(f"{first}.feature_projection.projection", "projection", "linear")
    rows += [
        Row(f"{position}.parametrizations.weight.original0", "positions/scale", shape=(1, 1, -1),
            also=(f"{position}.weight_g",)),
        Row(f"{position}.parametrizations.weight.original1", "positions/kernel", "conv1d", also=(f"{position}.weight_v",)),
        Row(f"{position}.bias", "positions/bias")]
    rows += norm_rows(f"{first}.encoder.layer_norm", "encoder/norm" if self.encoder.norm_last else "norm", "torch")
    for i in range(self.encoder.num_layers):
      theirs, ours = f"{first}.encoder.layers.{i}", f"encoder/layers/{i}"
      for part, word in zip(("query", "key", "value", "out"), words):
        rows += torch_rows(f"{theirs}.attention.{word}", f"{ours}/attention/{part}", "linear")
      rows += torch_rows(f"{theirs}.feed_forward.intermediate_dense", f"{ours}/mlp/up", "linear")
      rows += torch_rows(f"{theirs}.feed_forward.output_dense", f"{ours}/mlp/down", "linear")
      rows += norm_rows(f"{theirs}.layer_norm", f"{ours}/attention_norm", "torch")
      rows += norm_rows(f"{theirs}.final_layer_norm", f"{ours}/mlp_norm", "torch")
    rows += torch_rows("lm_head", "output", "linear")
    return {"hf": Table(tuple(rows), (r"(quantizer|project_hid|project_q)\..*",), prefix=f"{first}.")}  # of pretraining


class Wav2Vec2(nnx.Module):
  """Parameters: convolutions/0/conv/kernel, projection/kernel, positions/kernel, encoder/..., output/kernel, mask (D,)."""

  def __init__(self, config: Config, inputs, num_outputs: int, rngs: nnx.Rngs):
    self.config, dtype, block = config, parameter_dtype(inputs.dtype), config.encoder.block
    one: Literal["time", "frame"] = "time" if config.conv_norm == "group" else "frame"
    norms = [one if i == 0 or one == "frame" else None for i in range(len(config.channels))]
    self.convolutions = nnx.List([
        FrameConv(num_inputs, num_outputs, size, stride=stride, bias=config.conv_bias, norm=norm, dtype=dtype, rngs=rngs)
        for num_inputs, num_outputs, size, stride, norm in zip(
            (1, *config.channels), config.channels, config.sizes, config.strides, norms)])
    dense = lambda num_inputs, num_outputs: Dense(
        num_inputs, num_outputs, init="normal", scale=block.init_scale, dtype=dtype, rngs=rngs)
    self.projection_norm = LayerNorm(config.channels[-1], eps=block.norm_eps or 1e-5, dtype=dtype)
    self.projection = dense(config.channels[-1], block.dim)
    self.mask = nnx.Param(initialize("normal", rngs.params(), (block.dim,), dtype, fan_in=1, fan_out=1, scale=0.5))
    self.positions = PositionConv(block.dim, config.position_size, config.position_groups, dtype=dtype, rngs=rngs)
    if not block.norm_first:
      self.norm = LayerNorm(block.dim, eps=block.norm_eps or 1e-5, dtype=dtype)
    self.encoder = Stack(config.encoder, dtype=dtype, rngs=rngs)
    self.output = dense(block.dim, num_outputs)

  def __call__(self, x_BN: jax.Array, lengths_B: jax.Array, *, key: jax.Array | None = None) -> Frames:
    """Scores (B, T, V) of the outputs.

    Args:
      x_BN: samples, each utterance of mean 0 and variance 1 (augmentation.feature_normalization.NormalizeSamples).
      lengths_B: how many of them count.
      key: in training.
    """
    config, x_BTC, lengths_B = self.config, x_BN[..., None], jnp.asarray(lengths_B)
    num_B = lengths_B
    for layer, size, stride in zip(self.convolutions, config.sizes, config.strides):
      num_B = jnp.maximum((num_B - size) // stride + 1, 0)
      num = (x_BTC.shape[1] - size) // stride + 1
      x_BTC = layer(x_BTC, inside(num, num_B) if config.masked else None)
    x_BTD = dropout(self.projection(self.projection_norm(x_BTC)), config.feature_dropout, fold(key, 0))
    x_BTD = self._spans_masked(x_BTD, key)
    counts_BT = inside(x_BTD.shape[1], num_B) if config.masked else None
    if counts_BT is not None:
      x_BTD = jnp.where(counts_BT[..., None], x_BTD, 0)
    x_BTD = x_BTD + self.positions(x_BTD)
    if not config.encoder.block.norm_first:
      x_BTD = self.norm(x_BTD)
    x_BTD = dropout(x_BTD, config.dropout, fold(key, 1))
    x_BTD = self.encoder(x_BTD, segments_BT=None if counts_BT is None else counts_BT.astype(jnp.int32), key=fold(key, 2))
    return Frames(self.output(dropout(x_BTD, config.final_dropout, fold(key, 3))), num_B)

  def _spans_masked(self, x_BTD, key):
    if key is None:
      return x_BTD
    config, (num, length, dim) = self.config, x_BTD.shape
    if config.time_mask:
      covered_BT = _spans(fold(key, 4), (num, length), config.time_mask, config.time_mask_size)
      x_BTD = jnp.where(covered_BT[..., None], self.mask[...].astype(x_BTD.dtype), x_BTD)
    if config.channel_mask:
      x_BTD = jnp.where(_spans(fold(key, 5), (num, dim), config.channel_mask, config.channel_mask_size)[:, None], 0, x_BTD)
    return x_BTD


def _spans(key, shape, share, size):
  """Which of each row are covered by spans that begin anywhere."""
  begins = jax.random.bernoulli(key, share / size, shape)
  ends = jnp.pad(begins, ((0, 0), (size, 0)))[:, :shape[1]]
  return jnp.cumsum(begins.astype(jnp.int32) - ends, 1) > 0


def make(*, dim: int, num_layers: int, num_heads: int, mlp_dim: int, stable: bool, mlp_dropout: float = 0.0,
         time_mask: float = 0.0, channel_mask: float = 0.0) -> Config:
  """A wav2vec 2.0 of any size, with the initial values that Hugging Face gives it.

  Args:
    dim: width of the model.
    num_layers: layers of the Transformer.
    num_heads: attention heads.
    mlp_dim: width of the two-layer networks.
    stable: as the -lv60 networks: everything is normalised by frames, first in each layer, and convolutions have biases.
    mlp_dropout: rate, inside the two-layer networks, where fairseq's recipes of fine-tuning have it.
    time_mask: see Config.
    channel_mask: see Config.
  """
  block = BlockConfig(dim=dim, num_heads=num_heads, mlp_dim=mlp_dim, activation="gelu", norm_first=stable, norm_eps=1e-5,
                      mlp_dropout=mlp_dropout, init="normal", init_scale=0.02)
  return Config(
      encoder=StackConfig(num_layers=num_layers, block=block, causal=False, norm_last=stable), conv_bias=stable,
      conv_norm="layer" if stable else "group", time_mask=time_mask, channel_mask=channel_mask)


def base(**rates: float) -> Config:
  """wav2vec 2.0 base; with 32 outputs 94,396,320 parameters. rates: mlp_dropout, time_mask, channel_mask."""
  return make(dim=768, num_layers=12, num_heads=12, mlp_dim=3072, stable=False, **rates)


def large(**rates: float) -> Config:
  """wav2vec 2.0 large as trained on LibriSpeech: 315,461,792 parameters. rates: as of `base`."""
  return make(dim=1024, num_layers=24, num_heads=16, mlp_dim=4096, stable=False, **rates)


def large_lv60(**rates: float) -> Config:
  """wav2vec 2.0 large as trained on Libri-Light (lv60), and XLSR-53: 315,471,520 parameters. rates: as of `base`."""
  return make(dim=1024, num_layers=24, num_heads=16, mlp_dim=4096, stable=True, **rates)


# Fields of training, of pretraining, and of other heads.
_OTHERS = """
    adapter_kernel_size adapter_stride apply_spec_augment classifier_proj_size codevector_dim contrastive_logits_temperature
    ctc_loss_reduction ctc_zero_infinity diversity_loss_weight feat_extract_dropout feat_quantizer_dropout
    freeze_feat_extract_train hidden_dropout_prob layerdrop mask_channel_length mask_channel_min_space mask_channel_other
    mask_channel_prob mask_channel_selection mask_feature_min_masks mask_time_min_masks mask_time_min_space mask_time_other
    mask_time_selection no_mask_channel_overlap no_mask_time_overlap num_adapter_layers num_codevector_groups
    num_codevectors_per_group num_feat_extract_layers num_negatives output_hidden_size proj_codevector_dim tdnn_dilation
    tdnn_dim tdnn_kernel tie_word_embeddings xvector_output_dim
"""


def from_huggingface(settings: Mapping[str, Any]) -> Config:
  """The network that a config.json describes, read together with "return_attention_mask" of a preprocessor_config.json.

  Raises ConfigError for what it says and we cannot represent.
  """
  read = Settings(settings, "wav2vec2")
  for name, value in (("add_adapter", False), ("use_weighted_layer_sum", False), ("feat_extract_activation", "gelu"),
                      ("hidden_act", "gelu")):
    read.only(name, value)
  for name in _OTHERS.split():
    read.get(name, default=None)
  norm, stable = read.get("feat_extract_norm", default="group"), read.get("do_stable_layer_norm", default=False)
  hidden = read.get("hidden_dropout", default=0.1)
  block = BlockConfig(
      dim=read.get("hidden_size", default=768), num_heads=read.get("num_attention_heads", default=12),
      mlp_dim=read.get("intermediate_size", default=3072), activation="gelu", norm_first=stable,
      norm_eps=read.get("layer_norm_eps", default=1e-5), dropout=hidden,
      attention_dropout=read.get("attention_dropout", default=0.1), mlp_dropout=read.get("activation_dropout", default=0.1),
      init="normal", init_scale=read.get("initializer_range", default=0.02))
  many = lambda name, default: tuple(read.get(name, default=default))
  config = Config(
      encoder=StackConfig(num_layers=read.get("num_hidden_layers", default=12), block=block, causal=False, norm_last=stable),
      channels=many("conv_dim", (512,) * 7), sizes=many("conv_kernel", (10, 3, 3, 3, 3, 2, 2)),
      strides=many("conv_stride", (5, 2, 2, 2, 2, 2, 2)), conv_norm=norm, conv_bias=read.get("conv_bias", default=False),
      position_size=read.get("num_conv_pos_embeddings", default=128),
      position_groups=read.get("num_conv_pos_embedding_groups", default=16),
      masked=read.get("return_attention_mask", default=norm == "layer"), dropout=hidden,
      feature_dropout=read.get("feat_proj_dropout", default=0.0), final_dropout=read.get("final_dropout", default=0.1),
      time_mask=read.get("mask_time_prob", default=0.05), time_mask_size=read.get("mask_time_length", default=10),
      channel_mask=read.get("mask_feature_prob", default=0.0), channel_mask_size=read.get("mask_feature_length", default=10))
  read.finish()
  return config


def to_huggingface(config: Config, vocab_size: int, tokens: Mapping[str, Any]) -> dict[str, Any]:
  """The config.json that describes a network.

  Args:
    config: of the network.
    vocab_size: outputs.
    tokens: which of them are special, as "pad_token_id", the blank.

  Raises:
    ConfigError: Hugging Face's wav2vec 2.0 cannot be like this.
  """
  block = config.encoder.block
  settings = {
      "model_type": "wav2vec2", "architectures": ["Wav2Vec2ForCTC"], "vocab_size": vocab_size, "hidden_size": block.dim,
      "num_hidden_layers": config.encoder.num_layers, "num_attention_heads": block.num_heads,
      "intermediate_size": block.mlp_dim, "hidden_act": activation_name(block.activation), "hidden_dropout": block.dropout,
      "attention_dropout": block.weights_dropout, "activation_dropout": block.mlp_dropout,
      "feat_proj_dropout": config.feature_dropout, "final_dropout": config.final_dropout, "layerdrop": 0.0,
      "initializer_range": block.init_scale, "layer_norm_eps": block.norm_eps or 1e-5, "feat_extract_norm": config.conv_norm,
      "feat_extract_activation": "gelu", "conv_dim": list(config.channels), "conv_stride": list(config.strides),
      "conv_kernel": list(config.sizes), "conv_bias": config.conv_bias, "num_conv_pos_embeddings": config.position_size,
      "num_conv_pos_embedding_groups": config.position_groups, "do_stable_layer_norm": block.norm_first,
      "mask_time_prob": config.time_mask, "mask_time_length": config.time_mask_size, "mask_feature_prob": config.channel_mask,
      "mask_feature_length": config.channel_mask_size, **tokens}
  check_described(config, from_huggingface({**settings, "return_attention_mask": config.masked}))
  return settings


def preprocessor(config: Config) -> dict[str, Any]:
  """The preprocessor_config.json of such networks; the inputs are to be normalised."""
  return {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "do_normalize": True, "feature_size": 1,
          "padding_side": "right", "padding_value": 0.0, "return_attention_mask": config.masked, "sampling_rate": 16_000}
