"""Between a Hugging Face model's config.json and a network's configuration, so that nothing is passed over in silence."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from research.config import ConfigError
from research.nn.activations import Activation
from research.nn.transformer import BlockConfig

# What says nothing of the numbers that a network computes: names, tokens, how text is generated, what a library was like.
_APART = "|".join((
    "_name_or_path|_commit_hash|name_or_path|architectures|auto_map|transformers_version|transformers.js_config|torch_dtype|dtype",
    "vocab_size|(bos|eos|pad|sep|cls|mask|unk|decoder_start|forced_bos|forced_eos)_token_id|id2label|label2id|num_labels",
    "problem_type|finetuning_task|task_specific_params|prefix|tokenizer_class|model_max_length|use_cache|output_attentions",
    "output_hidden_states|output_past|output_scores|return_dict|return_dict_in_generate|torchscript|use_bfloat16|pruned_heads",
    "chunk_size_feed_forward|gradient_checkpointing|initializer_range|pretraining_tp|_attn_implementation|is_llama_config",
    "max_length|min_length|do_sample|early_stopping|num_beams|num_beam_groups|diversity_penalty|temperature|top_k|top_p|typical_p",
    "repetition_penalty|length_penalty|no_repeat_ngram_size|encoder_no_repeat_ngram_size|bad_words_ids|suppress_tokens",
    "begin_suppress_tokens|num_return_sequences|exponential_decay_length_penalty|remove_invalid_values",
))

ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu_fast": "gelu_tanh", "relu": "relu",
    "silu": "silu", "swish": "silu", "tanh": "tanh"}


def activation_name(activation: Activation) -> str:
  """Hugging Face's word for an activation. Raises ConfigError if it has none."""
  found = next((theirs for theirs, ours in ACTIVATIONS.items() if ours == activation), None)
  if found is None:
    raise ConfigError(f"activation={activation}: Hugging Face has no such activation")
  return found


class Settings:
  """One config.json. Every field must be asked for, or be one that says nothing of the network, before `finish`."""

  def __init__(self, settings: Mapping[str, Any], *model_types: str):
    self._settings, self._asked = settings, {"model_type"}
    self.model_type = settings.get("model_type", model_types[0])
    if self.model_type not in model_types:
      raise ConfigError(f"config.json: model_type={self.model_type}: must be {' or '.join(model_types)}")

  def get(self, *names: str, default: Any) -> Any:
    """A field under the first of its names that the file has; `default` is what the library takes where there is none."""
    self._asked.update(names)
    return next((self._settings[name] for name in names if name in self._settings), default)

  def need(self, name: str) -> Any:
    """A field. Raises ConfigError if it is not there."""
    if name not in self._settings:
      raise ConfigError(f"config.json: {name} is missing")
    return self.get(name, default=None)

  def only(self, name: str, *allowed: Any) -> None:
    """Raises ConfigError if a field is there with another value."""
    if (value := self.get(name, default=allowed[0])) not in allowed:
      raise ConfigError(f"config.json: {name}={value} cannot be represented: must be {' or '.join(map(str, allowed))}")

  def activation(self, name: str, default: str) -> Activation:
    """A field that names an activation."""
    if (value := self.get(name, default=default)) not in ACTIVATIONS:
      raise ConfigError(f"config.json: {name}={value} cannot be represented: must be one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[value]

  def finish(self) -> None:
    """Raises ConfigError for fields that nobody asked for and that say something."""
    for name, value in self._settings.items():
      if name not in self._asked and not re.fullmatch(_APART, name) and value not in (None, False):
        raise ConfigError(f"config.json: {name}={value} is not known and may change the network; set it to null if it does not")


# How something is computed, begins or is trained: it does not change what the network gives.
_HOW = ("scan", "remat", "implementation", "init", "init_scale", "out_scale", "deviation", "dropout", "attention_dropout",
        "mlp_dropout", "dropout_last", "stochastic_depth")


def check_described(config: Any, described: Any) -> None:
  """Raises ConfigError if a network is not the one that its config.json describes."""
  ours, theirs = _plain(config), _plain(described)
  for path, value in ours.items():
    if theirs.get(path) != value:
      raise ConfigError(f"{path}={value}: Hugging Face's {described.__class__.__module__.rpartition('.')[2]} "
                        f"cannot have it; it would be {theirs.get(path)}")


def _plain(config: Any, path: str = "") -> dict[str, Any]:
  """Settings by path, those that are None for a default with its value."""
  if isinstance(config, BlockConfig):
    qkv_bias = config.bias if config.qkv_bias is None else config.qkv_bias
    config = dataclasses.replace(
        config, num_kv_heads=config.num_kv_heads or config.num_heads, head_dim=config.size,
        attention_scale=config.attention_scale or config.size**-0.5,
        norm_eps=config.norm_eps or {"layer": 1e-5, "rms": 1e-6}[config.norm],
        qkv_bias=qkv_bias, key_bias=qkv_bias if config.key_bias is None else config.key_bias)
  if not dataclasses.is_dataclass(config):
    return {path: config}
  fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(config) if field.name not in _HOW}
  return {k: v for name, value in fields.items() for k, v in _plain(value, f"{path}.{name}" if path else name).items()}
