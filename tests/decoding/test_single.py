import dataclasses

import jax
import numpy as np
import pytest
from toy import END, PAD, START, Toy, compiled, quick, requests, said, sentences

from research.decoding.settings import Decoding, Greedy, Sampling
from research.decoding.single import sample

NUM, LIMIT = 10, 7
MODEL = dataclasses.replace(Toy.random(3, num_tokens=9), bias_V=np.eye(9, dtype=np.float32)[END])
PROMPTS = [[START, 4, 5][:1 + i % 3] for i in range(NUM)]


@pytest.fixture(scope="module")
def sampler():
  return compiled(Decoding(search=Sampling(num_samples=2), max_new_tokens=LIMIT))


@pytest.mark.parametrize("kind", ["greedy", "sampling"])
def test_each_row_says_what_the_model_says_and_stops_at_its_end(kind, sampler):
  run = sampler if kind == "sampling" else compiled(Decoding(search=Greedy(), max_new_tokens=LIMIT))
  found = run(MODEL, requests(PROMPTS, [LIMIT - i % 2 for i in range(NUM)], sentences(range(NUM))))
  for b in range(NUM):
    for n in range(found.lengths_BN.shape[1]):
      text = said(found, b, n)
      assert END not in text[:-1] and (text[-1] == END or len(text) == LIMIT - b % 2)
      assert (found.tokens_BNS[b, n, len(text):] == PAD).all()
      np.testing.assert_allclose(found.scores_BN[b, n], MODEL.score(PROMPTS[b], text, [b]), rtol=2e-5)
      if kind == "greedy":
        assert text == [MODEL.log_probabilities([*PROMPTS[b], *text[:i]], [b]).argmax() for i in range(len(text))]
  assert len(np.unique(found.lengths_BN)) > 2


def test_a_sample_hangs_on_its_own_key_only(sampler):
  same = [[START]] * NUM
  batch = requests(same, [LIMIT] * NUM, sentences([3] * NUM))
  found = sampler(MODEL, batch)
  assert len({tuple(said(found, b, n)) for b in range(NUM) for n in range(2)}) > NUM
  moved = dataclasses.replace(batch, keys_B=batch.keys_B[np.array([4, 4, *range(2, NUM)])])
  again = sampler(MODEL, dataclasses.replace(moved, limits_B=np.array([LIMIT, LIMIT, *[0] * (NUM - 2)])))
  for row in (0, 1):
    np.testing.assert_array_equal(again.tokens_BNS[row], found.tokens_BNS[4])
  assert not again.lengths_BN[2:].any()


def test_the_loop_ends_with_the_last_row():
  steps = []

  @jax.tree_util.register_dataclass
  @dataclasses.dataclass(frozen=True)
  class Counting(Toy):
    def step(self, state, tokens_RT, lengths_R=None):
      jax.debug.callback(lambda: steps.append(1))
      return super().step(state, tokens_RT, lengths_R)

  model = Counting(*dataclasses.astuple(MODEL))
  found = compiled(Decoding(search=Greedy(), max_new_tokens=20))(model, requests([[START]] * 3, [5, 4, 0]))
  jax.effects_barrier()
  assert len(steps) == found.lengths_BN.max() <= 5


LOGITS = np.array([2.0, 1.0, 0.5, 0.0, -0.5, -1.0, -3.0, -np.inf], np.float32)


def _kept(settings):
  """The distribution after the cuts, one after the other, in plain NumPy."""
  p = np.exp((LOGITS - LOGITS.max()).astype(np.float64) / settings.temperature)
  if settings.top_k is not None:
    p[np.argsort(-p)[settings.top_k:]] = 0
  order = np.argsort(-p)
  fewest = np.searchsorted(np.cumsum(p[order]) / p.sum(), settings.top_p) + 1
  p[order[fewest:]] = 0
  p[p < settings.min_p * p.max()] = 0
  return p / p.sum()


@pytest.mark.parametrize("settings", [
    Sampling(temperature=0.5, top_k=50), Sampling(top_k=3), Sampling(top_p=0.8), Sampling(min_p=0.2),
    Sampling(temperature=2.0, top_k=5, top_p=0.7, min_p=0.3), Sampling(temperature=2.0, top_p=0.9, min_p=0.3)], ids=str)
def test_frequencies(settings):
  num = 6000
  keys = jax.random.split(jax.random.key(1), num)
  tokens = quick(sample, settings)(np.tile(LOGITS, (num, 1)), keys)
  share, wanted = np.bincount(tokens, minlength=8) / num, _kept(settings)
  assert not share[wanted == 0].any()
  assert (np.abs(share - wanted) <= 4 * np.sqrt(wanted * (1 - wanted) / num)).all()
