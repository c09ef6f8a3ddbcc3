"""Spans as summaries: scores, likeness, the loss and what is written, each against a plain loop."""

import collections
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.config import ConfigError
from research.decoding.settings import Decoding
from research.decoding.spans import BestSpan
from research.metrics.summarization import Rouge
from research.tasks.extraction import Extraction
from research.tasks.writing import Against, Writing

RNG = np.random.default_rng(0)
B, T, L = 4, 9, 3
MARKS, LENGTHS = RNG.normal(size=(B, T, 3)).astype(np.float32), np.array([9, 5, 1, 0])
TEXTS = np.array([[1, 2, 3, 4, 5, 6, 7, 8, 9], [4, 4, 2, 3, 9, 0, 0, 0, 0], [7] + [0] * 8, [0] * 9])
SUMMARIES, SUMMARY_LENGTHS = np.array([[3, 4, 9, 0], [2, 3, 0, 0], [1, 2, 3, 4], [1, 0, 0, 0]]), np.array([3, 2, 4, 1])
BATCH = {"inputs": jnp.asarray(TEXTS), "inputs_length": jnp.asarray(LENGTHS), "targets": jnp.asarray(SUMMARIES),
         "targets_length": jnp.asarray(SUMMARY_LENGTHS)}
TASK = Extraction(temperature=0.3, writing=Writing(
    decoding=BestSpan(max_tokens=L), against=(Against(metric=Rouge(), reference="title"),)))


def spans(b):
  return [(t, n) for t, n in itertools.product(range(T), range(L)) if t + n < LENGTHS[b]]


def score(b, t, n):
  return MARKS[b, t, 0] + MARKS[b, t + n, 1] + MARKS[b, t:t + n + 1, 2].sum()


def model(tokens, mask, *, key):
  np.testing.assert_array_equal(mask, np.arange(T) < LENGTHS[:, None])
  return jnp.asarray(MARKS)


SCORES = np.asarray(TASK.forward(model, BATCH, None))


def test_a_span_scores_what_its_tokens_do_and_none_reaches_beyond_the_text():
  for b, t, n in itertools.product(range(B), range(T), range(L)):
    expected = score(b, t, n) if (t, n) in spans(b) else -np.inf
    np.testing.assert_allclose(SCORES[b, t, n], expected, rtol=1e-5, atol=1e-6)


def likeness(b, t, n):
  own, theirs = TEXTS[b, t:t + n + 1].tolist(), SUMMARIES[b, :SUMMARY_LENGTHS[b]].tolist()
  pairs = lambda tokens: list(itertools.pairwise(tokens))
  f1 = lambda ours, wanted: 2 * sum(x in wanted for x in ours) / (len(ours) + len(wanted)) if ours and wanted else 0.0
  return (2 * f1(own, theirs) + f1(pairs(own), pairs(theirs))) / 3


def test_likeness_is_that_of_tokens_and_of_pairs():
  found = np.asarray(TASK.likeness(BATCH))
  for b in range(B):
    for t, n in spans(b):
      if collections.Counter(TEXTS[b, t:t + n + 1]).most_common(1)[0][1] == 1:  # else a token counts as often as it is there
        np.testing.assert_allclose(found[b, t, n], likeness(b, t, n), rtol=1e-5, err_msg=f"{b} {t} {n}")
  assert found[1, 2, 1] == pytest.approx(1.0)  # the summary itself


def test_the_loss_is_the_cross_entropy_with_what_is_nearly_right():
  def statistics(marks):
    return TASK.statistics(TASK._spans.scores(marks, BATCH["inputs_length"]), BATCH)

  rows, gradient = jax.jit(lambda marks: (statistics(marks), jax.grad(lambda m: statistics(m)["loss"].sum())(marks)))(MARKS)
  assert np.isfinite(gradient).all()
  rows = {name: np.asarray(value) for name, value in rows.items()}
  np.testing.assert_array_equal(rows["loss"][:, 1], [1, 1, 0, 0])  # the others have nothing in common, or no text
  all_likeness = np.asarray(TASK.likeness(BATCH))
  for b in range(2):
    logits, wanted = (np.array([x[b, t, n] for t, n in spans(b)]) for x in (SCORES, all_likeness / 0.3))
    softmax = lambda z: np.exp(z - z.max()) / np.exp(z - z.max()).sum()
    np.testing.assert_allclose(rows["loss"][b, 0], -softmax(wanted) @ np.log(softmax(logits)), rtol=1e-4)
    best = max(spans(b), key=lambda span, b=b: SCORES[b][span])
    np.testing.assert_allclose(rows["likeness"][b], [all_likeness[b][best], 1], rtol=1e-5)
  assert set(rows) == set(TASK.metrics)


def test_the_best_span_is_written():
  written = {name: np.asarray(value) for name, value in TASK.write(model, BATCH).items()}
  tokenizer = type("Numbers", (), {"decode": lambda self, ids: [" ".join(map(str, i)) for i in ids]})()
  expected = []
  for b in range(3):
    t, n = max(spans(b), key=lambda span, b=b: SCORES[b][span])
    expected.append(" ".join(map(str, TEXTS[b, t:t + n + 1])))
  assert TASK.texts(written, tokenizer) == [*expected, ""]


def test_settings():
  with pytest.raises(ConfigError, match=r"writing\.decoding=Decoding: must be a BestSpan"):
    Extraction(writing=Writing(decoding=Decoding(), against=()))
  with pytest.raises(ConfigError, match="temperature=0"):
    Extraction(temperature=0, writing=TASK.writing)
  with pytest.raises(ConfigError, match="max_tokens=0"):
    BestSpan(max_tokens=0)
