"""Writes a bundle: one folder that answers alone, with a digest of every file."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from etils import epath

import research
from research.application import functions, runtime
from research.application.card import Facts, card
from research.application.host import Host
from research.application.settings import Export
from research.application.weights import store
from research.config import to_json
from research.data.loading import Feature
from research.preprocessing.text.base import Tokenizer
from research.pretrained import safetensors_file
from research.tasks.application import Application, Option
from research.tasks.base import Task
from research.training.program import Network

_OVERLAP, _LONGEST = 2, 3600  # seconds of a long recording: that two pieces have in common at least, and of all of it
_CODE = ("config.py", "config_values.py", "preprocessing")  # of research: what prepares inputs and words answers


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contents:
  """What a bundle is made of.

  Attributes:
    name, title: of the experiment, and its first line.
    network, task, application: what answers.
    params, buffers: the weights.
    features: of one example, after all transforms.
    host: before the device.
    tokenizers: by the folder, relative, that transforms and answers name.
    facts: for the model card.
  """

  name: str
  title: str
  network: Network
  task: Task
  application: Application
  params: Any
  buffers: Any
  features: Mapping[str, Feature]
  host: Host
  tokenizers: Mapping[str, Tokenizer]
  facts: Facts


def save_tokenizers(tokenizers: Mapping[str, Tokenizer], folder: pathlib.Path) -> None:
  """Writes them where `Encode` and the answers look for them."""
  for name, tokenizer in tokenizers.items():
    (folder / name).mkdir(parents=True, exist_ok=True)
    tokenizer.save(folder / name)


def write(contents: Contents, settings: Export, folder: pathlib.Path) -> None:
  """Writes everything but what the gate has yet to see; `seal` does that.

  Args:
    contents: what is written.
    settings: of the mode.
    folder: empty but for the tokenizers.
  """
  application, weights = contents.application, store(contents.params, contents.buffers, settings.weights)
  safetensors_file.write(epath.Path(folder) / "weights.safetensors", weights, {}, digest=False)
  (folder / "functions").mkdir()
  features = _features(contents)
  answer, entries = functions.answering(contents.network, contents.task, application), []
  name = application.explained if settings.explain else None
  tokens = name is not None and contents.host.modality == "text"
  for number, lengths in enumerate(application.lengths):
    entry = {"answer": f"functions/answer_{number}.stablehlo"}
    batch = batch_of_one(contents, lengths)
    (folder / entry["answer"]).write_bytes(functions.exported(answer, weights, batch))
    if name is not None:
      entry["explain"] = f"functions/explain_{number}.stablehlo"
      explain = functions.explaining(contents.network, contents.task, application, name, tokens=tokens)
      target = jax.ShapeDtypeStruct((), np.int32)
      (folder / entry["explain"]).write_bytes(functions.exported(explain, weights, batch, target))
    entries.append(entry)
  if application.labels is not None:
    (folder / "labels.json").write_text(json.dumps(application.labels, ensure_ascii=False, indent=1), encoding="utf-8")
  _copy_code(folder / "code" / "research")
  (folder / "runtime.py").write_bytes(pathlib.Path(runtime.__file__).read_bytes())
  (folder / "MODEL_CARD.md").write_text("", encoding="utf-8")
  long = _long(contents)
  host = contents.host.lasting(_LONGEST) if long else contents.host
  _write_spec(folder, {
      "format": runtime.FORMAT, "name": contents.name, "kind": application.kind, "title": contents.title,
      "inputs": {"field": host.field, "type": host.modality, "list": host.listed, "limits": host.limits},
      "features": features, "lengths": [dict(row) for row in application.lengths], "unit": application.unit,
      "keeps": application.keeps, "batch_sizes": list(settings.batch_sizes),
      "options": {name: _option(option) for name, option in application.options.items()},
      **({} if host.rate is None else {"sample_rate": host.rate}),
      **long,
      "transforms": to_json(host.transforms), "answer": to_json(application.words), "functions": entries,
      "explains": None if name is None else {"method": functions.LEFT_OUT if tokens else functions.INTEGRATED},
      "weights": settings.weights,
      "made": {"jax": jax.__version__}})


def seal(contents: Contents, seen: dict[str, Any], also: dict[str, dict[str, Any]], folder: pathlib.Path) -> None:
  """Adds what the gate saw, of other formats by name too, and the model card."""
  spec = json.loads((folder / "bundle.json").read_text())
  spec |= {"gate": seen, "also": also}
  (folder / "MODEL_CARD.md").write_text(card({**spec, "labels": contents.application.labels}, contents.facts), encoding="utf-8")
  _write_spec(folder, spec)


def place(source: pathlib.Path, target: epath.Path) -> None:
  """Puts a bundle where it belongs: there it is whole, the one before, or absent."""
  new, old = target.parent / f".{target.name}.new", target.parent / f".{target.name}.old"
  for folder in (new, old):
    if folder.exists():
      folder.rmtree()
  for path in sorted(source.rglob("*")):
    if path.is_file():
      to = new / path.relative_to(source).as_posix()
      to.parent.mkdir(parents=True, exist_ok=True)
      to.write_bytes(path.read_bytes())
  if target.exists():
    target.rename(old)
  new.rename(target)
  if old.exists():
    old.rmtree()


def _features(contents: Contents) -> dict[str, dict[str, Any]]:
  application = contents.application
  return {name: _feature(contents.features[name], name in application.lengths[0]) for name in application.features}


def _feature(feature: Feature, ragged: bool) -> dict[str, Any]:
  """Ragged also where training had windows of one length and an application has prompts of any."""
  shape = feature.shape[1:] if ragged and not feature.ragged else feature.shape
  return {"shape": list(shape), "dtype": jax.dtypes.canonicalize_dtype(feature.dtype).name, "ragged": ragged}


def _long(contents: Contents) -> dict[str, Any]:
  """How recordings are heard that are longer than the greatest length: {"long": samples between pieces}, {"follows": True}, or
  {}.

  Pieces begin at whole multiples of two seconds, which every network's frames divide, and overlap by two seconds or more.
  """
  rate, greatest = contents.host.rate, contents.application.lengths[-1]
  words = contents.application.words
  if rate is None or len(greatest) != 1 or not (words.joins or words.follows):
    return {}
  if words.follows:
    return {"follows": True}
  step = (next(iter(greatest.values())) // rate - _OVERLAP) // 2 * 2 * rate
  return {"long": step} if step > 0 else {}


def _option(option: Option) -> dict[str, Any]:
  fields = {key: value for key, value in dataclasses.asdict(option).items() if value is not None}
  return {"type": type(option.default).__name__, **fields}


def batch_of_one(contents: Contents, lengths: Mapping[str, int]) -> dict[str, jax.ShapeDtypeStruct]:
  """A batch of one as the runtime makes it, of one of the application's lengths."""
  spec = {"mask": ((), "float32"), "index": ((), "int32")}
  for name, about in _features(contents).items():
    spec[name] = ((lengths[name], *about["shape"]) if about["ragged"] else tuple(about["shape"]), about["dtype"])
    if about["ragged"]:
      spec[f"{name}_length"] = ((), "int32")
  spec |= {name: ((), option.dtype) for name, option in contents.application.options.items() if option.dtype is not None}
  return {name: jax.ShapeDtypeStruct((1, *shape), np.dtype(dtype)) for name, (shape, dtype) in spec.items()}


def _copy_code(folder: pathlib.Path) -> None:
  root = pathlib.Path(research.__file__).parent
  for name in _CODE:
    for path in [root / name] if name.endswith(".py") else sorted((root / name).rglob("*.py")):
      target = folder / path.relative_to(root)
      target.parent.mkdir(parents=True, exist_ok=True)
      target.write_bytes(path.read_bytes())


def _write_spec(folder: pathlib.Path, spec: dict[str, Any]) -> None:
  spec = {key: value for key, value in spec.items() if key not in ("digest", "files")}
  files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "bundle.json")
  spec["files"] = {path.relative_to(folder).as_posix(): _digest(path) for path in files}
  spec = json.loads(json.dumps(spec))  # tuples become lists: the digest is of what is read again
  text = json.dumps({**spec, "digest": runtime.digest(spec)}, indent=1, ensure_ascii=False)
  (folder / "bundle.json").write_text(text, encoding="utf-8")


def _digest(path: pathlib.Path) -> Sequence[Any]:
  with path.open("rb") as file:
    return [hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size]
