"""Recordings of any length by a Whisper: it hears windows of 30 s, and the next begins at the last time that it has said.

T frames of a recording, M mel filters, F frames of a window. What CTC networks do is in application/runtime.py.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from research.decoding.fallback import Recognizer, Window
from research.preprocessing.text.whisper_texts import Segment, segments_of


@dataclasses.dataclass
class _Recording:
  features_TM: np.ndarray
  prompt: tuple[int, ...] = ()
  seek: int = 0
  warm: bool = False
  segments: list[Segment] = dataclasses.field(default_factory=list)


def transcribe(recognizer: Recognizer, recordings: Sequence[np.ndarray], *, window: int = 3000, language: str | None = None,
               task: Literal["transcribe", "translate"] = "transcribe", conditioned: bool = True,
               progress: Callable[[float], None] = lambda share: None) -> list[list[Segment]]:
  """The text of recordings of any length, with times.

  Args:
    recognizer: with the constraints of times.
    recordings: spectra (T, M) each.
    window: F; what is behind the end of a recording is 0.
    language: of all recordings; None to find out from the first window of each.
    task: what is wanted.
    conditioned: whether a window is told what was said before it, unless that was drawn at a temperature of 0.5 or more.
    progress: is told which share of all frames is done.
  """
  if not recognizer.tokens.languages:
    language = None
  states = [_Recording(np.asarray(features)) for features in recordings]
  size, total = recognizer.batch_size, sum(len(state.features_TM) for state in states)
  for first in range(0, len(states), size):
    batch = states[first:first + size]
    codes = [language] * len(batch)
    if language is None and recognizer.tokens.languages:
      found = recognizer.languages([_cut(state, window)[0] for state in batch])
      codes = [max(of, key=lambda code: of[code]) for of in found]
    for state, code in zip(batch, codes):
      state.prompt = recognizer.tokens.prompt(language=code, task=task, timestamps=True)
  while left := [(i, state) for i, state in enumerate(states) if state.seek < len(state.features_TM)][:size]:
    cuts = [_cut(state, window) for _, state in left]
    asked = [Window(features, _before(state, recognizer) if conditioned else (), state.prompt, (i, state.seek))
             for (features, _), (i, state) in zip(cuts, left)]
    for (_, num_frames), (_, state), said in zip(cuts, left, recognizer.say(asked)):
      state.warm = said.temperature >= 0.5
      if said.silent:
        state.seek += num_frames
        continue
      segments, frames = segments_of(said.tokens, recognizer.tokens.first_time, state.seek, num_frames)
      assert frames > 0, "times do not fall, and a pair is never at 0"
      state.segments += segments
      state.seek += frames
    progress(sum(min(state.seek, len(state.features_TM)) for state in states) / total)
  return [state.segments for state in states]


def _cut(state: _Recording, window: int) -> tuple[np.ndarray, int]:
  """A window's frames, and how many of them are of the recording."""
  part = state.features_TM[state.seek:state.seek + window]
  return np.pad(part, ((0, window - len(part)), (0, 0))), len(part)


def _before(state: _Recording, recognizer: Recognizer) -> tuple[int, ...]:
  if state.warm or not state.segments:
    return ()
  tokens = np.concatenate([segment.tokens for segment in state.segments])
  return (recognizer.tokens.previous, *tokens[-recognizer.max_before:].tolist())
