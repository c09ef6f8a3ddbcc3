"""LoRA (Hu et al. 2022): a weight W stays as it is and becomes W + alpha/rank · A B, of which only A and B are trained.

They are parameters beside the kernel, "…/query/lora_a" and "…/query/lora_b"; all other paths are those of the bare network:

  model=LoRA(model=gpt2.gpt2()), pretrained=Pretrained(path=..., names="hf", fresh=(ADAPTERS,)),
  optimizer=AdamW(learning_rate_rules=ONLY_ADAPTERS, ...)

Shapes: N inputs and M outputs of a kernel, R rank; kernels of stacked layers have the layer first.
"""

import collections
import dataclasses
import json
import os
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from flax import nnx

from research import rules
from research.config import ConfigError
from research.nn.initializers import initialize
from research.nn.names import Row, Table
from research.pretrained import mapping, safetensors_file
from research.pretrained.files import WeightsError, open_weights

ADAPTERS = r".*/lora_[ab]"
ONLY_ADAPTERS = ((ADAPTERS, 1.0), (".*", 0.0))  # learning_rate_rules; a new head needs a rule of its own before these


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoRA:
  """A network with adapters.

  Attributes:
    model: the network's configuration.
    rank: of what is added to a weight.
    alpha: what is added is multiplied by alpha / rank.
    targets: regexes of the kernels that have adapters.
  """

  model: Any
  rank: int = 8
  alpha: float = 16.0
  targets: tuple[str, ...] = (r".*/attention/(query|value)/kernel",)

  def __post_init__(self):
    if self.rank < 1:
      raise ConfigError(f"rank={self.rank}: must be at least 1")
    rules.check([(target, None) for target in self.targets])

  def build(self, inputs, num_outputs: int, rngs: nnx.Rngs) -> nnx.Module:
    """The network with its usual initial values; of each adapter, A is random and B is 0.

    Raises:
      ConfigError: a target matches no kernel of a dense layer.
    """
    network = self.model.build(inputs, num_outputs, rngs)
    for path, kernel in self._targeted(rules.paths(nnx.to_pure_dict(nnx.state(network, nnx.Param)))).items():
      layer = network
      for word in path.split("/")[:-1]:
        layer = layer[int(word)] if isinstance(layer, nnx.List) else getattr(layer, word)
      *layers, num_inputs, num_outputs = kernel.shape
      layer.lora_a = nnx.Param(initialize("torch_uniform", rngs.params(), (*layers, num_inputs, self.rank), kernel.dtype,
                                          fan_in=num_inputs, fan_out=self.rank))
      layer.lora_b = nnx.Param(jnp.zeros((*layers, self.rank, num_outputs), kernel.dtype))
    return network

  def _targeted(self, leaves: Mapping[str, Any]) -> dict[str, Any]:
    dense = {path: leaf for path, leaf in leaves.items() if path.endswith("/kernel") and leaf.ndim in (2, 3)}
    for target in self.targets:
      if not any(re.fullmatch(target, path) for path in dense):
        raise ConfigError(f"targets: {target!r} matches no kernel of a dense layer; there are {', '.join(dense)}")
    return {path: leaf for path, leaf in dense.items() if any(re.fullmatch(target, path) for target in self.targets)}

  def tables(self) -> dict[str, Table]:
    """The bare network's: files of whole networks have no adapters."""
    return self.model.tables() if hasattr(self.model, "tables") else {}

  def merged(self, params: Any) -> Any:
    """The parameters that the network computes with: W + alpha/rank · A B. The adapters are still there, and do nothing."""
    if "lora_a" in params:
      added = jnp.matmul(params["lora_a"], params["lora_b"], precision="highest")
      return {**params, "kernel": params["kernel"] + (self.alpha / self.rank) * added}
    return {name: self.merged(part) if isinstance(part, dict) else part for name, part in params.items()}

  def bare(self, params: Any) -> Any:
    """The parameters of the bare network, `self.model`, that computes the same."""
    drop = lambda part: {k: drop(v) if isinstance(v, dict) else v for k, v in part.items() if k not in ("lora_a", "lora_b")}
    return drop(self.merged(params))


def adapters(params: Any) -> dict[str, Any]:
  """Those of a network's parameters that are adapters, by path."""
  return {path: leaf for path, leaf in rules.paths(params).items() if re.fullmatch(ADAPTERS, path)}


def _with(params: Any, found: Mapping[str, Any]) -> Any:
  return jax.tree.map_with_path(lambda path, p: found.get(rules.join(path), p), params)


def save(path: str | os.PathLike, model: LoRA, params: Any) -> None:
  """Writes the adapters alone, under their paths, as our own safetensors file."""
  arrays = {name: np.asarray(leaf) for name, leaf in adapters(params).items()}
  metadata = {"format": "fieldwork", "rank": str(model.rank), "alpha": str(model.alpha)}
  safetensors_file.write(epath.Path(path), arrays, metadata, digest=True)


def load(path: str | os.PathLike, model: LoRA, params: Any) -> Any:
  """Parameters with the adapters of a file that `save` wrote.

  Raises:
    UserError: the file is damaged, or of other adapters than the network's.
  """
  file, leaves = open_weights(path, thorough=True), adapters(params)
  if file.metadata.get("alpha") != str(model.alpha):
    raise WeightsError(f"{path}: its adapters have alpha={file.metadata.get('alpha')}, the network's have {model.alpha}")
  return _with(params, mapping.fill(file, mapping.plan(file, mapping.identity(leaves), leaves), leaves))


# --- PEFT: Hugging Face's library for adapters -------------------------------------------------------------------------------


def _peft_rows(model: LoRA, leaves: Mapping[str, Any]) -> list[tuple[str, Row]]:
  """(module, row of its kernel) of all kernels that have adapters, each layer by itself."""
  table, found = model.tables()["hf"], []
  for row in table.rows:
    place = mapping.locate(row.ours, {path.replace("lora_a", "kernel"): leaf for path, leaf in leaves.items()})
    if place is not None:
      found.append((f"base_model.model.{row.theirs.removesuffix('.weight')}", row))
  return found


def load_peft(folder: str | os.PathLike, model: LoRA, params: Any) -> Any:
  """Parameters with the adapters of a folder that PEFT wrote: adapter_config.json and adapter_model.safetensors.

  Where the library has queries, keys and values in one tensor (GPT-2), all three must be targets.

  Raises:
    UserError: a file is missing or damaged, of other adapters than the network's, or of a kind that we do not have.
  """
  path, leaves = epath.Path(folder) / "adapter_config.json", adapters(params)
  try:
    settings = json.loads(path.read_text())
  except (OSError, ValueError) as error:
    raise WeightsError(f"{path} cannot be read: {error}") from None
  for name, wanted in (("peft_type", "LORA"), ("r", model.rank), ("lora_alpha", model.alpha), ("bias", "none"),
                       ("use_dora", False), ("use_rslora", False), ("lora_bias", False), ("modules_to_save", None),
                       ("rank_pattern", {}), ("alpha_pattern", {})):
    if (settings.get(name) or wanted) != wanted:
      raise WeightsError(f"{path}: {name}={settings[name]} does not fit the network's adapters, which have {wanted}")
  rows = []
  for module, row in _peft_rows(model, leaves):
    ours = row.ours.removesuffix("kernel")
    rows += [Row(f"{module}.lora_A.weight", f"{ours}lora_a", "linear"),
             Row(f"{module}.lora_B.weight", f"{ours}lora_b", "linear", part=row.part)]
  file = open_weights(epath.Path(folder) / "adapter_model.safetensors")
  return _with(params, mapping.fill(file, mapping.plan(file, Table(tuple(rows)), leaves), leaves))


def save_peft(folder: str | os.PathLike, model: LoRA, params: Any) -> None:
  """Writes the adapters as PEFT does, for `PeftModel.from_pretrained(network, folder)`.

  Where the library has queries, keys and values in one tensor, so they are here: their adapters one after another, as one of a
  rank so many times as high.
  """
  leaves, modules = adapters(params), collections.defaultdict(list)
  for module, row in _peft_rows(model, leaves):
    modules[module].append(row)
  arrays, ranks = {}, {}
  for module, rows in modules.items():
    pairs = [_of_layer(leaves, row.ours.removesuffix("kernel")) for row in rows]
    num_parts, num_outputs = (rows[0].part or (0, 1))[1], pairs[0][1].shape[1]
    b_MR = np.zeros((num_parts * num_outputs, len(rows) * model.rank), pairs[0][1].dtype)
    for i, (row, (_, b_RM)) in enumerate(zip(rows, pairs)):
      first = (row.part or (0, 1))[0] * num_outputs
      b_MR[first:first + num_outputs, i * model.rank:(i + 1) * model.rank] = b_RM.T
    arrays[f"{module}.lora_A.weight"] = np.ascontiguousarray(np.concatenate([a_NR.T for a_NR, _ in pairs]))
    arrays[f"{module}.lora_B.weight"] = b_MR
    if len(rows) > 1:
      ranks[re.escape(module.removeprefix("base_model.model."))] = len(rows)
  names = {re.sub(r"\d+", r"\\d+", re.escape(module.removeprefix("base_model.model."))) for module in modules}
  settings = {
      "peft_type": "LORA", "r": model.rank, "lora_alpha": model.alpha, "lora_dropout": 0.0, "bias": "none",
      "target_modules": "|".join(sorted(names)), "base_model_name_or_path": None, "inference_mode": True,
      "rank_pattern": {name: n * model.rank for name, n in ranks.items()},
      "alpha_pattern": {name: n * model.alpha for name, n in ranks.items()},
      # Of layers whose weights are (inputs, outputs), which PEFT must know: GPT-2's.
      "fan_in_fan_out": all(row.layout == "same" for rows in modules.values() for row in rows)}
  epath.Path(folder).mkdir(parents=True, exist_ok=True)
  safetensors_file.write(epath.Path(folder) / "adapter_model.safetensors", arrays, {"format": "pt"}, digest=False)
  (epath.Path(folder) / "adapter_config.json").write_text(json.dumps(settings, indent=2))


def _of_layer(leaves: Mapping[str, Any], path: str) -> tuple[np.ndarray, np.ndarray]:
  """A (N, R) and B (R, M) of a dense layer, "decoder/layers/3/attention/query/"."""
  found = []
  for name in ("lora_a", "lora_b"):
    place = mapping.locate(path + name, leaves)
    assert place is not None, path
    array = np.asarray(leaves[place[0]])
    found.append(array if place[1] is None else array[place[1]])
  return found[0], found[1]
