"""Loads a bundle and answers: `python runtime.py FILE...`, or as a module. Needs jax, flatbuffers and the bundle's decoders.

    bundle = load("export")
    prepared = bundle.prepare(open("picture.png", "rb").read())
    bundle.run([prepared])  # [{"labels": [{"label": "seven", "probability": 0.98}, ...]}]

A copy of this file is in every bundle. It knows no task: what is done is in `bundle.json`, `functions/` (StableHLO),
`weights.safetensors` and `code/`, the preprocessing that training used, which is imported under a name made of its own digest:
bundles of several versions, and the `research` that made them, live side by side in one process.

`Bundle.spec` is bundle.json:

  format        1
  name, title   of the experiment, and its first line
  kind          image-classification, audio-classification, text-classification, speech-to-text, text-to-text, text-generation
  labels        the classes' names, where there are classes
  inputs        {"field", "type": image | audio | text, "limits": {...}}. Limits, where they apply: bytes (of a file),
                pixels (of an image), seconds (of audio, more is refused), characters (of a text, more is refused)
  batch_sizes   the sizes that are compiled, rising
  lengths       for each shape the length of every feature of unequal length; [{}] where there is none
  options       what `prepare` takes by name: {"name": {"type": int | float, "default", "low", "high", "about"}}
  sample_rate   of audio, Hz
  long          samples from one piece to the next of a recording that is longer than the greatest length, which is the length
                of a piece; absent where only the beginning of such a recording is read
  follows       whether such a recording is heard in windows of that length, each of which says where the next begins
  explains      null, or {"method"}: whether `explain` is there
  weights       float32, bfloat16 or int8: how they are stored
  gate          what was compared with the live model, and what came of it
  also          likewise of each other format in `formats/`, by name; their files read what `batch` makes
  files         digest and size of every other file

Answers, one for each input:

  *-classification   {"labels": [{"label", "probability"}, ...]}, the most probable first
  speech-to-text     {"text", "words": [{"word", "start", "end"}], "language"?}, in seconds
  text-to-text       {"text", "source_tokens", "output_tokens", "alignment"?}: weights, a row for each output token
  text-generation    {"text", "finish_reason": "stop" | "length", "usage": {"prompt_tokens", "completion_tokens"}}

and "truncated", a sentence, where not all of the input was looked at.
"""

import dataclasses
import functools
import hashlib
import importlib
import importlib.abc
import importlib.util
import json
import math
import pathlib
import re
import sys
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import jax
import ml_dtypes
import numpy as np
from jax import export as jax_export

FORMAT = 1
_SPEC = "bundle.json"
_DTYPES = {
    "BOOL": np.bool_, "U8": np.uint8, "I8": np.int8, "U16": np.uint16, "I16": np.int16, "U32": np.uint32, "I32": np.int32,
    "U64": np.uint64, "I64": np.int64, "F16": np.float16, "BF16": ml_dtypes.bfloat16, "F32": np.float32, "F64": np.float64}
_OF_BATCH = {"mask": np.float32, "index": np.int32}  # what the pipeline adds to a batch


class BundleError(ValueError):
  """A folder that is no bundle, is damaged, or needs what is not here: one line."""


class BadInput(ValueError):
  """An input that cannot be answered: one line that says why."""


@dataclasses.dataclass(frozen=True)
class Prepared:
  """One input, ready for the device.

  Attributes:
    features: its arrays, without a batch dim.
    shape: the place of its lengths in `Bundle.spec["lengths"]`; inputs of one shape can be run together.
    options: what was asked for.
    notes: what the answer must say besides.
    pieces: of a recording that is longer than the features, which are its beginning: features of each overlapping piece, or
      of the whole where `follows`.
  """

  features: dict[str, np.ndarray]
  shape: int
  options: dict[str, Any]
  notes: dict[str, str]
  pieces: Sequence[dict[str, np.ndarray]] = ()


class Bundle:
  """What `load` gives. All methods may be called by several threads at a time."""

  def __init__(self, folder: pathlib.Path, spec: dict, contents: dict[str, bytes]):
    self.folder, self.spec = folder, spec
    self.card = contents["MODEL_CARD.md"].decode()
    code = _import_code({name: data for name, data in contents.items() if name.startswith("code/")})
    read = lambda data: code("config").from_json(_renamed(data, code.name))
    self._apply = code("preprocessing.transform").apply
    self._transforms = [transform.at(folder) for transform in read(spec["transforms"])]
    self._answer = read(spec["answer"]).at(folder)
    self._functions = [_exported(contents[entry["answer"]], entry["answer"]) for entry in spec["functions"]]
    self._explanations = [_exported(contents[entry["explain"]], entry["explain"]) if "explain" in entry else None
                          for entry in spec["functions"]]
    self._weights = jax.device_put(_weights(folder / "weights.safetensors"))
    self._lock = threading.Lock()
    self._compiled: dict[Hashable, Any] = {}

  # --- one input ------------------------------------------------------------------------------------------------------------

  def prepare(self, value: bytes | str, **options) -> Prepared:
    """Decodes, resizes, tokenizes: the work of the host for one input.

    Args:
      value: a file's bytes, or a text.
      **options: of `spec["options"]`.

    Raises:
      BadInput: in one line.
    """
    options, given = self._options(options), self.spec["inputs"]
    value = _checked(value, given["type"], given["limits"])
    try:
      # whatever a decoder raises on what strangers send
      found = self._apply(self._transforms, {given["field"]: [[value] if given.get("list") else value]}, None)
      arrays = {name: np.asarray(found[name][0]) for name in self.spec["features"]}
    except Exception as error:
      raise BadInput(_one_line(error)) from error
    for name, array in arrays.items():
      about = self.spec["features"][name]
      if list(array.shape[about["ragged"]:]) != about["shape"] or array.dtype.kind != np.dtype(about["dtype"]).kind:
        raise BadInput(f"{name} is {array.dtype} {array.shape}, the network reads {about['dtype']} {tuple(about['shape'])}")
      arrays[name] = array.astype(about["dtype"], copy=False)
    shape = self._shape(arrays)
    notes, pieces = {}, []
    for name, length in self.spec["lengths"][shape].items():
      if not len(arrays[name]):
        raise BadInput("there is nothing in it")
      if len(arrays[name]) > length and (step := self.spec.get("long")):
        begins = range(0, len(arrays[name]) - length + step, step)
        pieces = [{**arrays, name: arrays[name][begin:begin + length]} for begin in begins]
        arrays = pieces[0]
      elif len(arrays[name]) > length and self.spec.get("follows"):
        pieces, arrays = [arrays], {**arrays, name: arrays[name][:length]}
      elif len(arrays[name]) > length:
        kept = "last" if self.spec.get("keeps") == "end" else "first"
        notes["truncated"] = f"only the {kept} {length} of {len(arrays[name])} {self.spec['unit']} were read"
        arrays[name] = arrays[name][-length:] if kept == "last" else arrays[name][:length]
    return Prepared(arrays, shape, options, notes, pieces)

  def shape(self, prepared: Prepared) -> Hashable:
    """Inputs of equal shapes can be run together."""
    return prepared.shape

  def _options(self, given: dict[str, Any]) -> dict[str, Any]:
    known, options = self.spec["options"], {}
    for name in given:
      if name not in known:
        raise BadInput(f"there is no option {name!r}; there are {', '.join(known) or 'none'}")
    for name, about in known.items():
      value = options[name] = given.get(name, about["default"])
      right = {"int": (int,), "float": (int, float), "str": (str,)}[about["type"]]
      if isinstance(value, bool) or not isinstance(value, right):
        raise BadInput(f"{name}={value!r}: must be {about['type']}")
      if about["type"] != "str" and not about["low"] <= value <= about["high"]:
        raise BadInput(f"{name}={value!r}: must be from {about['low']} to {about['high']}")
    return options

  def _shape(self, arrays: dict[str, np.ndarray]) -> int:
    lengths = self.spec["lengths"]
    fits = (i for i, row in enumerate(lengths) if all(len(arrays[name]) <= length for name, length in row.items()))
    return next(fits, len(lengths) - 1)

  # --- many of a shape ------------------------------------------------------------------------------------------------------

  def run(self, inputs: Sequence[Prepared], **options) -> list[dict]:
    """The answers, in order; JSON values.

    Args:
      inputs: of one shape; as many as the largest batch size run at once.
      **options: in place of those that `prepare` was given.
    """
    assert len({item.shape for item in inputs}) <= 1, "run takes inputs of one shape"
    if options:
      inputs = [dataclasses.replace(item, options=self._options({**item.options, **options})) for item in inputs]
    size = self.spec["batch_sizes"][-1]
    long = self._followed if self.spec.get("follows") else self._long
    found = {i: long(item) for i, item in enumerate(inputs) if item.pieces}
    short = [i for i in range(len(inputs)) if i not in found]
    for first in range(0, len(short), size):
      at = short[first:first + size]
      given = [{"features": inputs[i].features, "options": inputs[i].options} for i in at]
      found |= zip(at, self._answer(self._settled([inputs[i] for i in at]), given), strict=True)
    return [{**found[i], **item.notes} for i, item in enumerate(inputs)]

  def _long(self, item: Prepared) -> dict:
    """The answer to all of a long recording."""
    pieces = [dataclasses.replace(item, features=features, pieces=()) for features in item.pieces]
    size, rate = self.spec["batch_sizes"][-1], self.spec["sample_rate"]
    said = [self.arrays(pieces[first:first + size]) for first in range(0, len(pieces), size)]
    whole = {name: np.concatenate([arrays[name] for arrays in said]) for name in said[0]}
    answer, = self._answer(self._answer.joined(whole, self.spec["long"] / rate), [{"features": {}, "options": item.options}])
    return answer

  def _followed(self, item: Prepared) -> dict:
    """The same, heard window by window."""
    (name, length), = self.spec["lengths"][item.shape].items()
    whole, rate, begin, parts = item.pieces[0][name], self.spec["sample_rate"], 0, []
    while begin < len(whole):
      window = dataclasses.replace(item, features={**item.features, name: whole[begin:begin + length]}, pieces=())
      answer, seconds = self._answer.following(self._settled([window]))
      parts.append((begin / rate, answer))
      begin += max(1, round(seconds * rate))
    return self._answer.together(parts)

  def _settled(self, inputs: Sequence[Prepared]) -> dict[str, np.ndarray]:
    """`arrays`, asked for once more where the answer wants other options."""
    arrays = self.arrays(inputs)
    if not self.spec.get("follows"):
      return arrays
    wanted = [self._answer.again({name: array[i:i + 1] for name, array in arrays.items()}, item.options)
              for i, item in enumerate(inputs)]
    if once_more := [i for i, options in enumerate(wanted) if options is not None]:
      other = self._settled([dataclasses.replace(inputs[i], options=wanted[i]) for i in once_more])
      arrays = {name: array.copy() for name, array in arrays.items()}
      for name, array in arrays.items():
        array[once_more] = other[name]
    return arrays

  def arrays(self, inputs: Sequence[Prepared]) -> dict[str, np.ndarray]:
    """What the device says of as many inputs of one shape as the largest batch size, before words are made of it."""
    shape, num = inputs[0].shape, len(inputs)
    size = next(size for size in self.spec["batch_sizes"] if size >= num)
    found = self._function(shape, size)(self._weights, self.batch(inputs, size))
    return {name: array[:num] for name, array in jax.device_get(found).items()}

  def explain(self, prepared: Prepared, target: str | int | None = None) -> dict:
    """Which parts of an input an answer comes from.

    Args:
      prepared: one input.
      target: the label or its number that is asked about; None for the answer itself.

    Returns:
      {"map": numbers (H, W) of an image, or one for each token or piece of time; positive is for the answer; "method"; "label"
      where there are labels; "tokens" of a text}.

    Raises:
      BadInput: this bundle explains nothing, or has no such label.
    """
    if self.spec["explains"] is None:
      raise BadInput("this bundle explains nothing")
    labels = self.spec.get("labels")
    if isinstance(target, str):
      if not labels or target not in labels:
        raise BadInput(f"there is no label {target!r}")
      target = labels.index(target)
    if target is not None and not 0 <= target < len(labels or ()):
      raise BadInput(f"target={target}: must be from 0 to {len(labels or ()) - 1}")
    function = self._function(prepared.shape, 1, explain=True)
    found = function(self._weights, self.batch([prepared], 1), np.int32(-1 if target is None else target))
    parts, length, number = (np.asarray(x) for x in jax.device_get(found))
    return {"map": parts[:length].tolist(), **self._answer.parts(prepared.features), **self.spec["explains"],
            **({"label": labels[int(number)]} if labels else {})}

  @property
  def programs(self) -> list[Callable[[], Any]]:
    """One for every shape and batch size: call it and it is compiled."""
    shapes, sizes = range(len(self.spec["lengths"])), self.spec["batch_sizes"]
    found = [functools.partial(self._function, shape, size) for shape in shapes for size in sizes]
    explained = shapes if self.spec["explains"] is not None else ()
    return [*found, *(functools.partial(self._function, shape, 1, explain=True) for shape in explained)]

  def batch(self, inputs: Sequence[Prepared], size: int) -> dict[str, np.ndarray]:
    """What the device is given for inputs of one shape: (size, ...) of each feature; rows that only fill repeat the first."""
    num, lengths, batch = len(inputs), self.spec["lengths"][inputs[0].shape], {}
    rows = [*inputs, *[inputs[0]] * (size - num)]
    for name, about in self.spec["features"].items():
      if name in lengths:
        batch[name] = np.zeros((size, lengths[name], *about["shape"]), about["dtype"])
        for row, item in zip(batch[name], rows):
          row[:len(item.features[name])] = item.features[name]
        batch[f"{name}_length"] = np.array([len(item.features[name]) for item in rows], np.int32)
      else:
        batch[name] = np.stack([item.features[name] for item in rows])
    for name, about in self.spec["options"].items():
      if "dtype" in about:
        batch[name] = np.array([item.options[name] for item in rows], about["dtype"])
    return {**batch, "mask": (np.arange(size) < num).astype(_OF_BATCH["mask"]), "index": np.zeros(size, _OF_BATCH["index"])}

  def _function(self, shape: int, size: int, *, explain: bool = False):
    key = (shape, size, explain)
    if key not in self._compiled:
      with self._lock:
        if key not in self._compiled:
          exported = (self._explanations if explain else self._functions)[shape]
          assert exported is not None
          features, options = self.spec["features"], self.spec["options"]
          nothing = {name: np.zeros((1, *about["shape"]) if about["ragged"] else about["shape"], about["dtype"])
                     for name, about in features.items()}
          like = Prepared(nothing, shape, {name: about["default"] for name, about in options.items()}, {})
          arguments = (self._weights, self.batch([like], size), *([np.int32(0)] if explain else []))
          self._compiled[key] = jax.jit(exported.call).lower(*arguments).compile()
    return self._compiled[key]


# --- loading ----------------------------------------------------------------------------------------------------------------


def load(folder: str | pathlib.Path) -> Bundle:
  """Reads a bundle; every file is compared with its digest before anything of it is used.

  Raises:
    BundleError: in one line: it is no bundle, a file is missing, changed or foreign, or a library is missing.
  """
  folder = pathlib.Path(folder)
  spec = _spec(folder)
  contents = {}
  found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*"))
           if not path.is_dir() and "__pycache__" not in path.parts}
  del found[_SPEC]
  for name in sorted(found.keys() | spec["files"].keys()):
    if name not in found:
      raise BundleError(f"{folder}: {name} is missing")
    if name not in spec["files"]:
      raise BundleError(f"{folder}: {name} does not belong there")
    contents[name] = _read(folder, name, *spec["files"][name])
  if "labels.json" in contents:
    spec["labels"] = json.loads(contents["labels.json"])
  try:
    return Bundle(folder, spec, contents)
  except ModuleNotFoundError as error:
    raise BundleError(f"{folder}: its preprocessing needs {error.name}, which is not installed") from error
  except ImportError as error:  # jax says so where flatbuffers are missing
    raise BundleError(f"{folder}: {_one_line(error)}") from error


def _spec(folder: pathlib.Path) -> dict:
  try:
    spec = json.loads((folder / _SPEC).read_bytes())
  except OSError as error:
    raise BundleError(f"{folder} is no bundle: {_SPEC} cannot be read ({error.strerror})") from None
  except ValueError as error:
    raise BundleError(f"{folder}: {_SPEC} has changed ({error})") from None
  if not isinstance(spec, dict) or spec.get("format") != FORMAT:
    shown = spec.get("format") if isinstance(spec, dict) else None
    raise BundleError(f"{folder}: {_SPEC} has format {shown}, this runtime reads {FORMAT}")
  if spec.pop("digest", None) != digest(spec):
    raise BundleError(f"{folder}: {_SPEC} has changed")
  return spec


def digest(spec: dict) -> str:
  """Of bundle.json without its own field `digest`."""
  return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()


def _read(folder: pathlib.Path, name: str, expected: str, size: int) -> bytes:
  """A file that is what it was. Weights, which are mapped into memory later, and what others run are only looked through."""
  total, parts, seen = hashlib.sha256(), [], 0
  try:
    with (folder / name).open("rb") as file:
      while block := file.read(2**22):
        total.update(block)
        seen += len(block)
        if not name.endswith(".safetensors") and not name.startswith("formats/"):
          parts.append(block)
  except OSError as error:
    raise BundleError(f"{folder}: {name} cannot be read ({error.strerror})") from None
  if seen != size:
    raise BundleError(f"{folder}: {name} has {seen} bytes instead of {size}")
  if total.hexdigest() != expected:
    raise BundleError(f"{folder}: {name} has changed")
  return b"".join(parts)


def _weights(path: pathlib.Path) -> dict[str, np.ndarray]:
  """The arrays of a safetensors file, whose digest was right."""
  with path.open("rb") as file:
    length = int.from_bytes(file.read(8), "little")
    header = json.loads(file.read(length))
  data = np.memmap(path, np.uint8, "r", offset=8 + length) if path.stat().st_size > 8 + length else np.zeros(0, np.uint8)
  header.pop("__metadata__", None)
  return {name: data[slice(*about["data_offsets"])].view(_DTYPES[about["dtype"]]).reshape(about["shape"])
          for name, about in header.items()}


def _exported(data: bytes, name: str) -> jax_export.Exported:
  exported, platform = jax_export.deserialize(bytearray(data)), jax.default_backend()
  if {"gpu": "cuda"}.get(platform, platform) not in exported.platforms:
    raise BundleError(f"{name} was made for {', '.join(exported.platforms)}, not for {platform}")
  return exported


# --- the bundle's own code --------------------------------------------------------------------------------------------------


class _Code(importlib.abc.MetaPathFinder, importlib.abc.Loader):
  """Imports modules of `research` from bytes whose digest was right, under another name; no compiled files are read or made."""

  def __init__(self, contents: dict[str, bytes]):
    self.name = "fieldwork_" + hashlib.sha256(repr(sorted(contents.items())).encode()).hexdigest()[:12]
    self._sources = {self.name: ("", b"", True)}
    for path, data in contents.items():
      parts = pathlib.PurePosixPath(path).with_suffix("").parts[2:]  # after code/research
      is_package = parts[-1] == "__init__"
      self._sources[".".join([self.name, *parts[:len(parts) - is_package]])] = (path, data, is_package)

  def __call__(self, module: str):
    return importlib.import_module(f"{self.name}.{module}")

  def find_spec(self, fullname, path=None, target=None):
    if fullname not in self._sources:
      return None
    origin, _, is_package = self._sources[fullname]
    return importlib.util.spec_from_loader(fullname, self, origin=origin, is_package=is_package)

  def exec_module(self, module):
    origin, data, _ = self._sources[module.__name__]
    source = re.sub(r"^(\s*(?:from|import) )research\b", rf"\1{self.name}", data.decode(), flags=re.M)
    exec(compile(source, f"{self.name}/{origin}", "exec"), module.__dict__)


def _import_code(contents: dict[str, bytes]) -> _Code:
  code = _Code(contents)
  known = next((finder for finder in sys.meta_path if isinstance(finder, _Code) and finder.name == code.name), None)
  if known is None:
    sys.meta_path.append(code)
  return known or code


def _renamed(data, name: str):
  """Settings whose classes are those of the bundle's code."""
  if isinstance(data, dict):
    return {key: value.replace("research", name, 1) if key == "class" else _renamed(value, name) for key, value in data.items()}
  return [_renamed(value, name) for value in data] if isinstance(data, list) else data


# --- inputs -----------------------------------------------------------------------------------------------------------------


def _checked(value, kind: str, limits: dict) -> bytes | str:
  """The value in the form that the transforms read. Raises BadInput."""
  if kind == "text":
    if isinstance(value, bytes):
      if len(value) > limits.get("bytes", math.inf):
        raise BadInput(f"{len(value)} bytes: at most {limits['bytes']} are allowed")
      try:
        value = value.decode()
      except UnicodeDecodeError as error:
        raise BadInput(f"no UTF-8 text: byte {error.start} is {value[error.start]:#04x}") from None
    if not isinstance(value, str):
      raise BadInput(f"a text is needed, not {type(value).__name__}")
    if len(value) > limits.get("characters", math.inf):
      raise BadInput(f"{len(value)} characters: at most {limits['characters']} are allowed")
    if not value.strip():
      raise BadInput("the text is empty")
    if (half := re.search("[\ud800-\udfff]", value)) is not None:
      raise BadInput(f"character {half.start()} is half of a pair, which is no text")
    return value
  if not isinstance(value, bytes):
    raise BadInput(f"the bytes of a file ({kind}) are needed, not {type(value).__name__}")
  if not value:
    raise BadInput("the file is empty")
  if len(value) > limits.get("bytes", math.inf):
    raise BadInput(f"{len(value)} bytes: at most {limits['bytes']} are allowed")
  return value


def _one_line(error: Exception) -> str:
  return " ".join(str(error).split())[:500] or type(error).__name__


# --- as a command -----------------------------------------------------------------------------------------------------------


def inputs_of(words: Sequence[str], kind: str) -> Iterator[tuple[str, bytes | str]]:
  """Name and content of each file; "-" is standard input, a text a line."""
  for word in words:
    if word == "-":
      yield from ((f"line {number}", line.rstrip("\n")) for number, line in enumerate(sys.stdin, 1))
    else:
      yield word, pathlib.Path(word).read_bytes()


def main(words: Sequence[str]) -> int:
  """Writes an answer a line for each file. Returns 1 where one of them could not be answered."""
  if not words:
    print("usage: python runtime.py FILE..., or - for lines of standard input", file=sys.stderr)
    return 2
  try:
    bundle = load(pathlib.Path(__file__).resolve().parent)
  except BundleError as error:
    print(f"error: {error}", file=sys.stderr)
    return 2
  failed = False
  for word in words:
    try:
      for name, value in inputs_of([word], bundle.spec["inputs"]["type"]):
        try:
          answer, = bundle.run([bundle.prepare(value)])
        except BadInput as error:
          answer, failed = {"error": str(error)}, True
        print(json.dumps({"input": name, **answer}, ensure_ascii=False), flush=True)
    except OSError as error:
      failed = True
      print(json.dumps({"input": word, "error": error.strerror or str(error)}, ensure_ascii=False), flush=True)
  return int(failed)


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
