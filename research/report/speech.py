"""What a report shows of a model that transcribes speech: utterances to be seen and heard, errors by speaker and by noise.

N utterances, K statistics of a metric, T frames, M features.
"""

import base64
import io
from collections.abc import Mapping, Sequence

import numpy as np
import soundfile
from rapidfuzz.distance import Levenshtein

from research.evaluation.listening import Heard
from research.figures import Figure, Picture, Series, Utterance, Utterances
from research.metrics.base import Metric
from research.metrics.speech import by_speaker as sums_by_speaker
from research.preprocessing.audio import read_audio, read_header
from research.report.text import differences

_BYTES = 200_000  # of all sounds of a page together; encoded they take a third more
_COLUMNS, _WAVE = 600, 40  # pixels: at most across, and of the waveform's height
_SPEAKERS = 40
_RATE = 16_000


def utterances(heard: Sequence[Heard], references: Sequence[str], hypotheses: Sequence[str], labels: Sequence[str], *,
               title: str) -> tuple[Utterances, ...]:
  """Waveform, features and words of utterances. As many can be heard as the page can carry, the first ones first.

  Args:
    heard: the utterances.
    references: what was said.
    hypotheses: what was understood.
    labels: what is to be known of each.
    title: of all.
  """
  items, left = [], _BYTES
  for its, reference, hypothesis, label in zip(heard, references, hypotheses, labels, strict=True):
    samples, sound = _sound(its)
    sound = sound if len(sound) <= left else b""
    left -= len(sound)
    theirs, ours, _ = differences(reference, hypothesis)
    shares = [(w["word"], w["start"] / its.seconds, w["end"] / its.seconds, wrong)
              for w, wrong in zip(its.words, wrong_words(reference, hypothesis))]
    items.append(Utterance(
        label, theirs, ours, Picture.of("", _picture(samples, its.features)).image, tuple(shares),
        f"data:audio/flac;base64,{base64.b64encode(sound).decode()}" if sound else ""))
  caption = ("Above the waveform, below what the network sees of it, low frequencies at the bottom. Words stand where the "
             "network's best path says them: green as they should be, red wrong or too many.")
  return (Utterances(title, tuple(items), caption),) if items else ()


def wrong_words(reference: str, hypothesis: str) -> list[bool]:
  """Of each word that was understood whether it was not said there."""
  words = hypothesis.split()
  wrong = [False] * len(words)
  for operation in Levenshtein.editops(reference.split(), words):
    if operation.tag != "delete":
      wrong[operation.dest_pos] = True
  return wrong


def by_speaker(metric: Metric, rows_NK: np.ndarray, speakers: Sequence[str], *, name: str, split: str) -> tuple[Figure, ...]:
  """A metric of each speaker, the worst first; nothing where there is one speaker only."""
  known = sorted(set(speakers))
  if len(known) < 2:
    return ()
  values = np.array([metric.value(row) for row in sums_by_speaker(rows_NK, speakers)])
  order = np.argsort(-values if metric.better == "lower" else values, kind="stable")
  shown = order[:_SPEAKERS]
  caption = f"{len(known)} speakers; the middle one has {np.nanmedian(values):.3g}."
  caption += f" The {_SPEAKERS} worst are shown." if len(order) > _SPEAKERS else ""
  bars = Series(name, [known[i] for i in shown], values[shown], kind="bars")
  return (Figure(f"{name} by speaker, {split}", "", name, (bars,), caption),)


def by_noise(values: Mapping[str, Mapping[float, float]], clean: Mapping[str, float], *, split: str) -> tuple[Figure, ...]:
  """Metrics over the signal-to-noise ratio, beside what they are without added noise.

  Args:
    values: of each metric its value at each ratio, in decibels.
    clean: of each metric its value without.
    split: goes into the titles.
  """
  return tuple(
      Figure(f"{name} by noise, {split}", "signal over noise (dB)", name, (
          Series(name, sorted(its), [its[level] for level in sorted(its)]),
          Series("without added noise", sorted(its), [clean[name]] * len(its), kind="theory")),
             "White noise, added to every utterance at a fixed ratio of powers.") for name, its in values.items())


def _sound(heard: Heard) -> tuple[np.ndarray | None, bytes]:
  """The samples of an utterance and its FLAC; of a higher rate than that of speech both at that."""
  if heard.record is None:
    return None, b""
  rate = min(read_header(heard.record).rate, _RATE)
  samples, out = read_audio(heard.record, rate=rate), io.BytesIO()
  soundfile.write(out, np.clip(samples, -1, 1), rate, format="FLAC", subtype="PCM_16")
  return samples, out.getvalue()


def _picture(samples_N: np.ndarray | None, features: np.ndarray) -> np.ndarray:
  """The waveform above the features, time from left to right, (H, W) within 0 to 1."""
  columns = min(max(len(features), 200), _COLUMNS)
  parts = []
  if samples_N is not None:
    edges = np.linspace(0, len(samples_N), columns + 1).astype(int)[:-1]
    largest = max(float(np.abs(samples_N).max()), 1e-9)
    low, high = (f.reduceat(samples_N / largest, edges) for f in (np.minimum, np.maximum))
    height = np.linspace(1, -1, _WAVE)[:, None]
    parts += [((height <= high + 1 / _WAVE) & (height >= low - 1 / _WAVE)) * 1.0, np.zeros((2, columns))]
  if features.ndim == 2 and len(features):
    shown = np.asarray(features, np.float64)[np.linspace(0, len(features) - 1, columns).round().astype(int)].T[::-1]
    low, high = np.percentile(shown, [1, 99])
    parts.append(np.clip((shown - low) / max(high - low, 1e-9), 0, 1))
  return np.concatenate(parts) if parts else np.zeros((0, 0))
