"""Bundles that compute nothing: each kind with answers that are known in advance. As a command, a server of all of them.

    python tests/application/doubles.py [--port=8000] [--seconds=0.0]
"""

import io
import pathlib
import signal
import sys
import threading
import time

import numpy as np

if __name__ == "__main__":
  sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import soundfile
from PIL import Image

from research.application.runtime import BadInput, Prepared

SIDE = 32
CARD = """# Doubles

A bundle that computes **nothing**; see `tests/application`.

| limit | value |
| --- | --- |
| accuracy | none |

- It is *not* a network.
- Its licence: [none](https://example.org/licence)

```
python launch.py --experiment=doubles
```

<script>alert("a card is text")</script>
"""
WORDS = ("the", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog", "and", "runs", "on", "into", "the", "wood")


class Double:
  """Answers as a bundle of its kind does.

  Attributes:
    batches: how many inputs each call of `run` was given.
    seconds: that a call takes.
  """

  def __init__(self, kind: str, *, name: str | None = None, seconds: float = 0.0, sizes=(1, 2, 4, 8), limits=None):
    modality = {"image": "image", "audio": "audio", "speech": "audio"}.get(kind.partition("-")[0], "text")
    options = {}
    if kind == "text-generation":
      options = {"max_tokens": {"type": "int", "default": 16, "low": 1, "high": 256, "about": "tokens at most"},
                 "temperature": {"type": "float", "default": 1.0, "low": 0.0, "high": 2.0, "about": "0 is greedy"}}
    if kind == "speech-to-text":
      options = {"temperature": {"type": "float", "default": 0.0, "low": 0.0, "high": 1.0, "about": "of random draws"}}
    self.folder = f"doubles/{kind}"
    self.card, self.seconds, self.batches, self.released = CARD, seconds, [], threading.Event()
    self.released.set()
    self.spec = {
        "format": 1, "name": name or kind, "title": f"A double that does {kind}", "kind": kind, "batch_sizes": list(sizes),
        "inputs": {"field": "record" if modality != "text" else "text", "type": modality, "limits": limits or {}},
        "options": options, "explains": {"method": "brightness"} if kind.endswith("classification") else None,
        "labels": ["dark", "grey", "bright"], "weights": "float32", "sample_rate": 16_000}

  def prepare(self, value, **options) -> Prepared:
    for name in options:
      if name not in self.spec["options"]:
        raise BadInput(f"there is no option {name!r}")
    modality = self.spec["inputs"]["type"]
    if modality == "text":
      if not isinstance(value, str) or not value.strip():
        raise BadInput("the text is empty")
      if any("\ud800" <= c <= "\udfff" for c in value):
        raise BadInput("half of a pair, which is no text")
      return Prepared({"text": np.array(value, object)}, 0, options, {})
    if not isinstance(value, bytes):
      raise BadInput("the bytes of a file are needed")
    try:
      if modality == "image":
        with Image.open(io.BytesIO(value)) as image:
          array = np.asarray(image.convert("RGB").resize((SIDE, SIDE)))
      else:
        samples, rate = soundfile.read(io.BytesIO(value), dtype="float32", always_2d=True)
        array = samples.mean(1)[::max(rate // 16_000, 1)]  # of no samples at all too, whose mean is no number
    except Exception as error:
      raise BadInput(" ".join(str(error).split())[:200]) from None
    return Prepared({"inputs": array}, 0, options, {})

  def shape(self, prepared) -> int:
    return prepared.shape

  def run(self, inputs, **options) -> list[dict]:
    self.batches.append(len(inputs))
    self.released.wait()
    time.sleep(self.seconds)
    return [self._answer(item) for item in inputs]

  def _answer(self, item: Prepared) -> dict:
    match self.spec["kind"]:
      case "image-classification" | "audio-classification":
        array = item.features["inputs"]
        bright = float(np.abs(array.astype(np.float32)).mean()) / (255 if array.ndim == 3 else 1)
        return _labels(self.spec["labels"], np.array([1 - bright, 0.3, bright]))
      case "text-classification":
        long = min(len(str(item.features["text"])) / 40, 1)
        return _labels(self.spec["labels"], np.array([1 - long, 0.2, long]))
      case "speech-to-text":
        seconds = len(item.features["inputs"]) / 16_000
        words = [*WORDS[:max(int(seconds * 3), 1)], *(["perhaps"] if item.options.get("temperature") else [])]
        step = seconds / len(words)
        return {"text": " ".join(words), "words": [
            {"word": word, "start": round(i * step, 2), "end": round((i + 0.8) * step, 2)} for i, word in enumerate(words)]}
      case "text-to-text":
        source = str(item.features["text"]).split()
        output = [word[::-1] for word in reversed(source)]
        weights = np.eye(len(source))[::-1] * 0.9 + 0.1 / len(source)
        return {"text": " ".join(output), "source_tokens": [f"{w} " for w in source],
                "output_tokens": [f"{w} " for w in output], "alignment": weights.tolist()}
    prompt, limit = str(item.features["text"]), item.options.get("max_tokens", 16)
    place = sum(prompt.count(word) for word in ("tick", "tock"))
    text = "".join(f" {'tick' if (place + i) % 2 == 0 else 'tock'}" for i in range(limit))
    return {"text": text, "finish_reason": "length",
            "usage": {"prompt_tokens": len(prompt.split()), "completion_tokens": limit}}

  def explain(self, prepared, target=None) -> dict:
    array = prepared.features.get("inputs")
    if array is None:
      return {"map": [float(len(word)) - 3 for word in str(prepared.features["text"]).split()], "method": "length",
              "tokens": str(prepared.features["text"]).split()}
    if array.ndim == 1:
      return {"map": [float(np.abs(part).mean()) for part in np.array_split(array, 40)], "method": "loudness"}
    grey = array.astype(np.float32).mean(-1) / 255
    return {"map": (grey - grey.mean()).tolist(), "method": "brightness", "label": target or "bright"}

  programs = ()  # there is nothing to compile


def _labels(names, weights) -> dict:
  p = np.maximum(weights, 0.01)
  p = p / p.sum()
  return {"labels": [{"label": names[i], "probability": round(float(p[i]), 4)} for i in np.argsort(-p)]}


KINDS = ("image-classification", "speech-to-text", "text-to-text", "text-generation", "text-classification",
         "audio-classification")


def picture(level: int = 200, side: int = 40, form: str = "PNG") -> bytes:
  """An image of one grey level, in a form of Pillow."""
  file = io.BytesIO()
  Image.new("RGB", (side, side), (level, level, level)).save(file, form)
  return file.getvalue()


def recording(seconds: float = 1.0, rate: int = 16_000) -> bytes:
  """A WAV file of a tone."""
  file = io.BytesIO()
  soundfile.write(file, 0.3 * np.sin(2 * np.pi * 220 * np.arange(int(seconds * rate)) / rate), rate, format="WAV")
  return file.getvalue()


if __name__ == "__main__":
  from research.application.server import serve
  from research.application.settings import Serve
  from research.config import leaves, override

  given = dict(word.removeprefix("--").split("=", 1) for word in sys.argv[1:])
  pause = float(given.pop("seconds", 0.0))
  ended = threading.Event()
  signal.signal(signal.SIGTERM, lambda *_: ended.set())
  signal.signal(signal.SIGINT, lambda *_: ended.set())
  assert given.keys() <= {leaf.path for leaf in leaves(Serve())}
  serve({kind: Double(kind, seconds=pause) for kind in KINDS}, override(Serve(), given), ended.is_set)
