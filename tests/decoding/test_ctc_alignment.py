"""Planted alignments are found again, and the best path is the best of all that there are."""

import itertools

import numpy as np
import pytest

from research.decoding.ctc_alignment import AlignmentError, Span, align, word_times, words
from research.preprocessing.text.training import Characters, Words


def log_softmax(logits):
  return logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)


def planted(path, num_outputs=6, noise=1.0, seed=0):
  logits = noise * np.random.default_rng(seed).normal(size=(len(path), num_outputs))
  logits[np.arange(len(path)), path] += 12
  return log_softmax(logits)


def test_a_planted_alignment_is_found():
  path = [0, 0, 3, 3, 3, 0, 5, 5, 0, 5, 2, 2, 0, 0]  # an equal pair with a blank between, and neighbours without
  spans = align(planted(path), [3, 5, 5, 2])
  assert [(span.start, span.stop) for span in spans] == [(2, 5), (6, 8), (9, 10), (10, 12)]
  assert all(-0.1 < span.score < 0 for span in spans)


def test_a_planted_alignment_of_a_long_text_is_found():
  labels = np.random.default_rng(2).integers(1, 6, 300)
  spans = align(planted(np.stack([labels, np.zeros_like(labels)], 1).ravel()), labels)
  assert [(span.start, span.stop) for span in spans] == [(2 * n, 2 * n + 1) for n in range(300)]


def test_words_join_their_labels_and_leave_spaces_out():
  path = [0, 1, 1, 0, 2, 5, 0, 3, 3, 0, 4, 4, 4]
  spans = align(planted(path), [1, 2, 5, 3, 4])
  joined = words(spans, [0, 0, -1, 1, 1])
  assert [(word.start, word.stop) for word in joined] == [(1, 5), (7, 13)]
  assert words([Span(0, 1, -1.0), Span(3, 6, -3.0)], [0, 0]) == [Span(0, 6, -2.5)]


def test_the_path_is_the_best_of_all():
  rng, labels = np.random.default_rng(1), [1, 1, 2]
  for _ in range(20):
    log_probs = log_softmax(2 * rng.normal(size=(6, 3)))
    score = lambda path, log_probs=log_probs: sum(log_probs[t, label] for t, label in enumerate(path))
    fits = [path for path in itertools.product(range(3), repeat=6)
            if [label for label, _ in itertools.groupby(path) if label] == labels]
    found = np.zeros(6, int)
    for span, label in zip(align(log_probs, labels), labels):
      found[span.start:span.stop] = label
    assert tuple(found) == max(fits, key=score)


def test_more_labels_than_fit():
  frames = planted([0, 1, 1])
  assert [(span.start, span.stop) for span in align(frames, [1, 2, 3])] == [(0, 1), (1, 2), (2, 3)]
  with pytest.raises(AlignmentError, match="2 labels cannot be aligned with 2 frames"):
    align(frames[:2], [1, 1])
  assert align(frames, []) == []


def test_words_have_times_whatever_their_labels_are():
  letters = Characters(specials=("<pad>",)).train(["ab c"])  # 1 is the blank between words, 2 to 4 are a, b, c
  path = [0, 2, 2, 0, 3, 1, 0, 4, 2, 2, 0, 1]
  found = word_times(planted(path), [2, 3, 1, 4, 2, 1], letters, frames_per_second=10)
  assert found == [{"word": "ab", "start": 0.0, "end": 0.6}, {"word": "ca", "start": 0.6, "end": 1.2}]
  digits = Words(specials=("<pad>",)).train(["7 7 3"])
  found = word_times(planted([1, 1, 0, 0, 1, 2, 2]), [1, 1, 2], digits, frames_per_second=25)
  assert [(its["word"], its["start"], its["end"]) for its in found] == [("7", 0, 0.12), ("7", 0.12, 0.2), ("3", 0.2, 0.28)]
  assert word_times(planted([0, 0]), [], digits, frames_per_second=25) == []
  assert word_times(planted([0, 1]), [1], letters, frames_per_second=25) == []
