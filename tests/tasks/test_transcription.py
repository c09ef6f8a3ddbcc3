"""Transcription: the loss and the errors of CTC by their definitions, texts by both ways of decoding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.config import ConfigError
from research.decoding.ctc_search import BestPath, PrefixBeamSearch
from research.decoding.settings import Decoding
from research.metrics.edit_distance import edit_distance
from research.metrics.speech import BelowUnigram, ErrorRate, edits
from research.nn.ctc import Frames, ctc_loss
from research.preprocessing.text.training import Characters
from research.tasks.transcription import Transcription
from research.tasks.writing import Against, Writing

RNG = np.random.default_rng(0)
# Paths of 6 frames over blank, a, b, c: "ab", "aa", nothing, and "abc" in two frames, where it does not fit.
PATHS = np.array([[0, 1, 1, 0, 2, 2], [1, 0, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0], [1, 2, 0, 0, 0, 0]])
FRAMES = Frames(jnp.asarray(5 * np.eye(4)[PATHS] + RNG.normal(size=(4, 6, 4)) * 0.1, jnp.float32), jnp.array([6, 6, 6, 2]))
BATCH = {"inputs_length": jnp.array([24, 24, 20, 8]), "targets": jnp.array([[1, 2, 0], [1, 2, 3], [3, 0, 0], [1, 2, 3]]),
         "targets_length": jnp.array([2, 3, 1, 3])}


def writing(decoding):
  return Writing(decoding=decoding, against=(Against(metric=ErrorRate(), reference="text"),))


def test_the_loss_is_that_of_ctc_and_what_does_not_fit_is_left_out_and_counted():
  task = Transcription(vocab_size=4, frame_rate=4.0)
  rows = jax.jit(task.statistics)(FRAMES, BATCH)
  losses = np.asarray(jax.jit(ctc_loss)(*FRAMES, BATCH["targets"], BATCH["targets_length"]))
  assert np.isinf(losses[3])
  np.testing.assert_allclose(rows["loss"], np.stack([[*losses[:3], 0], [2, 3, 1, 0]], 1), rtol=1e-6)
  assert rows["does_not_fit"].tolist() == [[0, 1], [0, 1], [0, 1], [1, 1]]
  assert set(rows) == set(task.metrics)


def test_an_explanation_asks_for_each_label_where_it_begins():
  task = Transcription(vocab_size=4, frame_rate=4.0)
  targets, against = map(np.asarray, jax.jit(task.questions)(FRAMES, BATCH))
  asked = [[(int(t), int(row[t])) for q, row in enumerate(of) for t in np.flatnonzero(row >= 0) if t == q] for of in targets]
  assert asked == [[(1, 1), (4, 2)], [(0, 1), (2, 1)], [], [(0, 1), (1, 2)]]  # frame and label
  assert (targets >= 0).sum() == 6 == (against >= 0).sum()  # nothing in any other frame
  np.testing.assert_allclose(jax.jit(task.scores)(FRAMES, targets[:, 1]),
                             [FRAMES.logits[0, 1, 1], 0, 0, FRAMES.logits[3, 1, 2]])
  np.testing.assert_allclose(jax.jit(task.scores)(FRAMES, against[:, 0])[1], np.sort(FRAMES.logits[1, 0])[-2])


def test_errors_of_the_best_path():
  task = Transcription(vocab_size=4, frame_rate=4.0)
  records = jax.device_get(jax.jit(task.records)(FRAMES, BATCH))
  assert records["edits"].tolist() == [0, 2, 1, 1] and records["seconds"].tolist() == [6, 6, 5, 2]
  (name, metric), = task.record_metrics.items()
  assert name == "character_errors" and metric.value(records, np.ones(4)) == pytest.approx(100 * 4 / 9)
  assert metric.value(records, np.array([0, 1, 0, 0])) == pytest.approx(200 / 3)


def test_the_edit_distance_is_levenshteins():
  ours, theirs = RNG.integers(0, 4, (40, 9)), RNG.integers(0, 4, (40, 7))
  lengths, their_lengths = RNG.integers(0, 10, 40), RNG.integers(0, 8, 40)
  found = jax.jit(edit_distance)(ours, lengths, theirs, their_lengths)
  expected = [edits(b[:m].tolist(), a[:n].tolist())[:3].sum() for a, n, b, m in zip(ours, lengths, theirs, their_lengths)]
  assert found.tolist() == expected


@pytest.mark.parametrize("decoding", [BestPath(), PrefixBeamSearch(num_beams=4)])
def test_what_is_heard_becomes_text(decoding):
  task, tokenizer = Transcription(vocab_size=4, writing=writing(decoding)), Characters(specials=("<pad>",)).train(["abc"])
  model = lambda inputs, lengths, key: Frames(inputs, lengths)
  written = task.write(model, {"inputs": FRAMES.logits, "inputs_length": FRAMES.lengths})
  assert task.texts(jax.device_get(written), tokenizer) == ["ab", "aa", "", "ab"]


def test_a_language_model_knows_better(tmp_path):
  tokenizer = Characters(specials=("<pad>",)).train(["abc"])
  (tmp_path / "c.arpa").write_text("\\data\\\nngram 1=4\n\\1-grams:\n-9 a\n-9 b\n-0.1 c\n-1 </s>\n\\end\\\n")
  frames = Frames(jnp.log(jnp.array([[[0.1, 0.5, 0.0001, 0.4]]])), jnp.array([1]))
  for decoding, text in ((PrefixBeamSearch(), "a"), (PrefixBeamSearch(language_model=str(tmp_path / "c.arpa")), "c")):
    task = Transcription(vocab_size=4, writing=writing(decoding))
    written = task.write(lambda inputs, lengths, key: frames, {"inputs": frames.logits, "inputs_length": frames.lengths})
    assert task.texts(jax.device_get(written), tokenizer) == [text]


def test_a_search_that_is_no_ctc_search_is_refused():
  with pytest.raises(ConfigError, match=r"writing\.decoding=Decoding: must be BestPath or PrefixBeamSearch"):
    Transcription(vocab_size=4, writing=writing(Decoding()))
  with pytest.raises(ConfigError, match=r"blank=2: must be blank=0"):
    Transcription(vocab_size=4, writing=writing(PrefixBeamSearch(blank=2)))
  with pytest.raises(ConfigError, match="blank=4"):
    Transcription(vocab_size=4, blank=4)


def test_texts_that_hear_nothing():
  references = [["".join(RNG.choice(list("aab "), 20))] for _ in range(50)]
  metric = BelowUnigram()
  (name, its), = metric.metrics.items()
  assert name == "cer_below_unigram" and its.better == "higher"
  right, deaf = (metric.rows(texts, references)[name] for texts in ([text for text, in references], [""] * 50))
  assert right[:, 1].sum() == 0 and its.value(right.sum(0)) == pytest.approx(100 * right[:, 0].sum() / right[:, 2].sum())
  assert 20 < its.value(right.sum(0)) < 80  # chance finds most of so few letters
  assert its.value(deaf.sum(0)) < 0
