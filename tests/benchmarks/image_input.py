"""What an input pipeline of photographs costs: decode, random-resized-crop to 224, mirror, batch.

    taskset -c 1 python tests/benchmarks/image_input.py

500 x 375 JPEGs of about 69 kB, made here, go through `Data` as an experiment's do; beside it, in turns, a bare loop of the
same OpenCV calls. Prints images per second of processor time, all threads counted, and the ratio; fails below the floor.
"""

import math
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from research import process

process.tune_allocator()

import dataclasses

import cv2
import numpy as np

from research import records
from research.data.dataset import Data
from research.data.examples import Examples
from research.data.sources import Source
from research.preprocessing.crops import RandomResizedCrop
from research.preprocessing.decoding import DecodeImage
from research.preprocessing.geometry import Flip
from research.preprocessing.phases import PerPhase
from research.preprocessing.resizing import ResizeShorter

FLOOR = 800  # images per second and core
NUM_IMAGES, BATCH, BATCHES, ROUNDS = 256, 64, 16, 7


def photographs(num: int) -> list[bytes]:
  """JPEGs of (375, 500): shapes of many sizes with grain."""
  rng, files = np.random.default_rng(0), []
  for _ in range(num):
    image = np.full((375, 500, 3), 128.0, np.float32)
    for size in (4, 16, 64):
      coarse = rng.normal(0, 160 / size**0.5, (3 * size // 4, size, 3)).astype(np.float32)
      image += cv2.resize(coarse, (500, 375), interpolation=cv2.INTER_CUBIC)
    image += rng.normal(0, 9.2, image.shape)
    files.append(cv2.imencode(".jpg", np.clip(image, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())
  return files


FILES = photographs(NUM_IMAGES)


class Photographs(Examples):

  def __len__(self) -> int:
    return NUM_IMAGES

  def read(self, indices):
    return {"record": [FILES[i] for i in indices], "labels": indices.astype(np.int32)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class InMemory(Source):
  """The files above."""

  def open_all(self, data_dir):
    return Photographs()


DATA = Data(
    train=InMemory(), evaluation={}, batch_size=BATCH, num_threads=1,
    transforms=(DecodeImage(), PerPhase(training=(RandomResizedCrop(size=224, library="opencv"), Flip()),
                                        evaluation=(ResizeShorter(size=224, library="opencv"),))))


def bare() -> int:
  """What one writes by hand."""
  rng = np.random.default_rng(0)
  done = 0
  for _ in range(BATCHES):
    batch = np.empty((BATCH, 224, 224, 3), np.uint8)
    for b, i in enumerate(rng.integers(0, NUM_IMAGES, BATCH)):
      image = cv2.imdecode(np.frombuffer(FILES[i], np.uint8), cv2.IMREAD_COLOR_RGB)
      height, width = image.shape[:2]
      for _ in range(10):
        area, aspect = rng.uniform(0.08, 1) * height * width, math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        h, w = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if h <= height and w <= width:
          break
      else:
        h, w = min(height, width), min(height, width)
      top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
      crop = cv2.resize(image[top:top + h, left:left + w], (224, 224))
      batch[b] = cv2.flip(crop, 1) if rng.random() < 0.5 else crop
    done += len(batch)
  return done


def ours() -> int:
  """The pipeline, from its start to its end: all that its threads read is counted, also what nobody took."""
  opened = DATA.open(None)
  batches = DATA.training(opened, seed=0)
  for _ in range(BATCHES):
    next(batches)
  batches.close()
  return batches.pipeline.broken.num_read


def rate(run) -> float:
  begin = time.process_time()
  return run() / (time.process_time() - begin)


def main() -> int:
  cv2.setNumThreads(0)
  environment = records.environment()
  print(f"{environment['cpu']}, OpenCV {cv2.__version__}; {np.mean([len(file) for file in FILES]) / 1000:.0f} kB a file")
  rate(bare), rate(ours)
  rates = np.array([(rate(bare), rate(ours)) for _ in range(ROUNDS)])
  by_hand, pipeline = np.median(rates, axis=0)
  ratio = np.median(rates[:, 1] / rates[:, 0])
  print(f"bare loop {by_hand:.0f}, pipeline {pipeline:.0f} images per second of one core ({rates[:, 1].min():.0f} to "
        f"{rates[:, 1].max():.0f}; floor {FLOOR}); ratio {ratio:.3f}")
  return int(pipeline < FLOOR)


if __name__ == "__main__":
  sys.exit(main())
