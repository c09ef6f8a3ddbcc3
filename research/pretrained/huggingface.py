"""Folders of models as transformers has them: config.json, weights, a tokenizer's files, generation_config.json.

`Pretrained(path=folder, names="hf")` loads the weights; here are the network that a folder is for, and the way out.
"""

import importlib
import json
import os
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import jax
from etils import epath

from research import rules
from research.augmentation.audio_features import AsFloat, LogMel
from research.augmentation.base import OnDevice
from research.augmentation.feature_normalization import NormalizeSamples
from research.config import ConfigError, did_you_mean
from research.preprocessing.text.base import Tokenizer, check_vocabulary
from research.pretrained import files, weights

# The module in research.models that has each model_type.
FAMILIES = {
    "bart": "bart", "bert": "bert", "gpt2": "gpt2", "llama": "llama", "marian": "marian", "mistral": "llama",
    "pegasus": "pegasus", "qwen2": "llama", "qwen3": "llama", "roberta": "roberta", "t5": "t5",
    "wav2vec2": "wav2vec2", "whisper": "whisper"}


_FEATURES = "preprocessor_config.json"


def settings_of(folder: str | os.PathLike, name: str = "config.json") -> dict[str, Any]:
  """A JSON file of the folder. Raises WeightsError if it is missing or damaged."""
  path = epath.Path(folder).expanduser() / name
  try:
    settings = json.loads(path.read_text())
  except FileNotFoundError:
    raise files.WeightsError(f"{folder} holds no {name}: a model's folder has one") from None
  except (ValueError, OSError) as error:
    raise files.WeightsError(f"{path} cannot be read: {error}") from None
  if not isinstance(settings, dict):
    raise files.WeightsError(f"{path} is damaged: it is no JSON object")
  return settings


def model_of(folder: str | os.PathLike) -> Any:
  """The configuration of the network in a folder.

  Raises:
    UserError: there is no config.json, or it is of an unknown family or says what we cannot represent.
  """
  settings = settings_of(folder)
  family = settings.get("model_type", "")
  if family not in FAMILIES:
    raise ConfigError(f"{folder}: model_type={family}: known are {', '.join(FAMILIES)}{did_you_mean(str(family), FAMILIES)}")
  # transformers 5 writes of every T5 that it is tied; only the file tells.
  if family == "t5" and settings.get("scale_decoder_outputs") is False:
    tensors = files.open_weights(files.find_weights(epath.Path(folder).expanduser())).tensors
    settings["tie_word_embeddings"] = "lm_head.weight" not in tensors
  # Whether padding is told from speech is said with the features only.
  if family == "wav2vec2" and (epath.Path(folder).expanduser() / _FEATURES).exists():
    settings["return_attention_mask"] = settings_of(folder, _FEATURES).get("return_attention_mask", True)
  try:
    return importlib.import_module(f"research.models.{FAMILIES[family]}").from_huggingface(settings)
  except ConfigError as error:
    raise ConfigError(f"{folder}: {error}") from None


def audio_features_of(folder: str | os.PathLike) -> tuple[OnDevice, ...]:
  """What makes a network's inputs of samples, as the preprocessor_config.json of a folder says.

  Raises:
    UserError: there is none, or it says what we cannot do.
  """
  settings = settings_of(folder, _FEATURES)
  kind, rate = settings.get("feature_extractor_type", ""), settings.get("sampling_rate", 16_000)
  only = {"padding_value": 0.0, "padding_side": "right", "dither": 0.0}
  match kind:
    case "WhisperFeatureExtractor":
      only |= {"do_normalize": False}
      found = (LogMel(rate=rate, frame_size=settings.get("n_fft", 400), hop=settings.get("hop_length", 160),
                      num_mels=settings.get("feature_size", 80), seconds=settings.get("chunk_length", 30)),)
    case "Wav2Vec2FeatureExtractor":
      only |= {"feature_size": 1}
      found = (NormalizeSamples() if settings.get("do_normalize", True) else AsFloat(),)
    case _:
      raise ConfigError(f"{folder}: {_FEATURES}: feature_extractor_type={kind}: known are WhisperFeatureExtractor and "
                        "Wav2Vec2FeatureExtractor")
  for name, value in only.items():
    if settings.get(name, value) not in (value, None):
      raise ConfigError(f"{folder}: {_FEATURES}: {name}={settings[name]}: must be {value}")
  return found


def vocab_size_of(folder: str | os.PathLike) -> int:
  """Tokens of the vocabulary in a folder; of an encoder-decoder's two, the target's. Raises WeightsError if it is not said."""
  settings = settings_of(folder)
  size = settings.get("decoder_vocab_size") or settings.get("vocab_size")
  if not isinstance(size, int):
    raise files.WeightsError(f"{folder}: config.json: vocab_size={size}: must be a number")
  return size


def export_folder(path: str | os.PathLike, config: Any, params: Any, buffers: Any, *, tokens: Mapping[str, Any],
                  tokenizer: Tokenizer | None = None, generation: Mapping[str, Any] | None = None) -> None:
  """Writes a folder that `transformers.AutoModel....from_pretrained` reads; config.json last, without which it is none.

  Args:
    path: the folder; made if it is not there.
    config: of the network.
    params: its parameters, whole on this process.
    buffers: its other variables.
    tokens: special ones by transformers' names, "pad_token_id", "eos_token_id", "decoder_start_token_id".
    tokenizer: whose files go beside.
    generation: further settings of generation_config.json, as "num_beams".

  Raises:
    ConfigError: transformers has no such network, a token is not in the vocabulary, or the tokenizer has more tokens than it.
  """
  leaves = {**rules.paths(params), **rules.paths(buffers)}
  module = importlib.import_module(type(config).__module__)
  if not hasattr(module, "to_huggingface"):
    raise ConfigError(f"{type(config).__module__} is no family that transformers has; those are {', '.join(FAMILIES)}")
  vocab_size = _vocab_size(leaves)
  for name, token in tokens.items():
    if token is not None and not 0 <= token < vocab_size:
      raise ConfigError(f"{name}={token}: the vocabulary has {vocab_size} tokens")
  if tokenizer is not None:
    check_vocabulary(tokenizer, vocab_size, "vocab_size")
  labels = {"num_labels": leaves["head/kernel"].shape[1]} if "head/kernel" in leaves else {}  # of a classifier
  settings = module.to_huggingface(config, vocab_size, tokens, **labels)
  dtype = str(next(iter(jax.tree.leaves(params))).dtype)
  folder = epath.Path(path).expanduser()
  folder.mkdir(parents=True, exist_ok=True)
  weights.export(folder / "model.safetensors", config.tables()["hf"], params, buffers)
  if tokenizer is not None:
    _write_tokenizer(folder, tokenizer)
  if hasattr(module, "preprocessor"):
    _write(folder / _FEATURES, module.preprocessor(config))
  _write(folder / "generation_config.json", {**{k: v for k, v in tokens.items() if v is not None}, **(generation or {})})
  _write(folder / "config.json", {**settings, "torch_dtype": dtype})


def _vocab_size(leaves: Mapping[str, jax.Array]) -> int:
  tables = [f"{first}/tokens/embedding" for first in ("target_embedding", "source_embedding", "embedding")]
  return next((leaves[path].shape[0] for path in tables if path in leaves), None) or leaves["output/kernel"].shape[1]


def _write_tokenizer(folder: epath.Path, tokenizer: Tokenizer) -> None:
  with tempfile.TemporaryDirectory() as name:  # tokenizers write local files only
    local = pathlib.Path(name)
    tokenizer.save(local)
    for path in local.iterdir():
      epath.Path(path).copy(folder / path.name, overwrite=True)
    if (local / "tokenizer.json").exists():
      ids = {"pad": tokenizer.pad_id, "bos": tokenizer.bos_id, "eos": tokenizer.eos_id, "unk": tokenizer.unk_id}
      _write(folder / "tokenizer_config.json", {
          "tokenizer_class": "PreTrainedTokenizerFast",
          **{f"{name}_token": tokenizer.token(id) for name, id in ids.items() if id is not None}})


def _write(path: epath.Path, settings: Mapping[str, Any]) -> None:
  temporary = path.parent / f".{path.name}.tmp"
  temporary.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
  temporary.replace(path)
