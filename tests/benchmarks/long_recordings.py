"""A bundle that hears half an hour in pieces, against the same clips heard one by one: is a word lost or doubled at a seam?

    python tests/benchmarks/long_recordings.py --bundle=FOLDER --data_dir=DATA [--seconds=1800]

FOLDER is a bundle of a CTC network for 16 kHz, DATA holds speech/librispeech_mini. Its clips that one piece can hold are put
one behind the other, and then in the reverse order again, with a third of a second of silence between, until they last that
long. Prints how far the text of the whole is from the texts of the clips (word errors, as if these were the truth), in the
seconds where pieces overlap and elsewhere. A network that is not sure of what it hears says something else of a clip that
begins a fraction of a frame later, or has another normalisation, so that texts differ everywhere; at seams they must not differ
more. And how far it is from the text of the same recording behind some seconds of silence, which put all seams elsewhere and
change no frame: what differs is what seams cost.
"""

import argparse
import io
import pathlib
import sys
import time

import numpy as np
import soundfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from research import records
from research.application import runtime
from research.data.sources import Records
from research.preprocessing.audio import read_audio

RATE, SILENCE = 16_000, 0.33
FRAMES = 2560  # samples of sixteen frames: a whole number of the outputs' frames


def flac(samples: np.ndarray) -> bytes:
  stream = io.BytesIO()
  soundfile.write(stream, samples, RATE, format="FLAC")
  return stream.getvalue()


def said(words: list[tuple[str, float]], inside) -> list[str]:
  """The words whose middle is at such a second."""
  return [word for word, middle in words if inside(middle)]


def edits(one: list[str], other: list[str]) -> int:
  """Words to put in, leave out and replace."""
  row = np.arange(len(other) + 1)
  for i, word in enumerate(one, 1):
    best = np.minimum(row[1:] + 1, row[:-1] + np.array([word != its for its in other], int))
    new = np.concatenate([[i], best])
    row = np.minimum.accumulate(new - np.arange(len(new))) + np.arange(len(new))
  return int(row[-1])


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--bundle", required=True)
  parser.add_argument("--data_dir", required=True)
  parser.add_argument("--seconds", type=float, default=1800)
  args = parser.parse_args()
  bundle = runtime.load(args.bundle)
  (piece,), step = bundle.spec["lengths"][-1].values(), bundle.spec["long"] / RATE
  clips = []
  for split in ("test", "train"):
    examples = Records(path=f"speech/librispeech_mini/{split}.npz").open(args.data_dir)
    for record in examples.read(np.arange(len(examples)))["record"]:
      samples = read_audio(record, rate=RATE)
      if len(samples) <= piece:
        clips.append(samples)
  clips += clips[::-1]
  lengths = np.cumsum([len(clip) / RATE + SILENCE for clip in clips])
  clips = clips[:int(np.searchsorted(lengths, args.seconds)) + 1]
  pause = np.zeros(round(SILENCE * RATE), np.float32)
  whole = np.concatenate([part for clip in clips for part in (clip, pause)])
  begins = np.cumsum([0, *[len(clip) + len(pause) for clip in clips]]) / RATE
  middle = lambda word, begin: (word["word"], begin + (word["start"] + word["end"]) / 2)
  alone = [middle(word, begin) for clip, begin in zip(clips, begins)
           for word in bundle.run([bundle.prepare(flac(clip))])[0]["words"]]
  start = time.perf_counter()
  answer, = bundle.run([bundle.prepare(flac(whole))])
  seconds = time.perf_counter() - start
  together = [middle(word, 0) for word in answer["words"]]
  overlap = piece / RATE - step
  seam = lambda second: second > step and second % step < overlap
  print(f"{records.environment()['cpu']}: {len(whole) / RATE:.0f} s of {len(clips)} clips in {seconds:.1f} s; "
        f"{len(alone)} words alone, {len(together)} together")
  before = round(bundle.spec["long"] / 2 / FRAMES) * FRAMES
  answer, = bundle.run([bundle.prepare(flac(np.concatenate([np.zeros(before, np.float32), whole])))])
  moved = [middle(word, -before / RATE) for word in answer["words"]]
  words = [[word for word, _ in its] for its in (together, moved)]
  print(f"seams elsewhere: {len(moved)} words, {100 * edits(*words) / len(together):.2f} % differ from those together")
  for name, inside in (("everywhere", lambda second: True), ("where pieces overlap", seam),
                       ("elsewhere", lambda second: not seam(second))):
    first, second = said(alone, inside), said(together, inside)
    print(f"{name}: {len(first)} words alone, {len(second)} together, {100 * edits(first, second) / len(first):.1f} % differ")


if __name__ == "__main__":
  main()
