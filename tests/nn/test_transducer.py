"""The transducer's loss is a sum over alignments, which can be enumerated; its scores come in chunks; greedy decoding."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from research.decoding.transducer_search import TransducerGreedy
from research.models import conformer, transducer
from research.nn.transducer import Lattice, lattice, transducer_loss

RNG = np.random.default_rng(0)
LENGTHS, LABELS, LABEL_LENGTHS = np.array([4, 2, 1, 3]), np.array([[1, 2], [2, 2], [1, 0], [0, 0]]), np.array([2, 2, 1, 0])
SCORES = RNG.normal(size=(4, 4, 3, 4)).astype(np.float32)  # 4 utterances of at most 4 frames, 3 places, 4 outputs


def enumerated(scores_TMV, labels) -> float:
  """By the definition: all orders of T blanks, a blank being the last, and the labels."""
  log_probs = np.asarray(scores_TMV, np.float64)
  log_probs = log_probs - np.logaddexp.reduce(log_probs, axis=-1, keepdims=True)
  num, total = len(log_probs), -np.inf
  for places in itertools.combinations(range(num - 1 + len(labels)), len(labels)):
    t, m, value = 0, 0, 0.0
    for step in range(num + len(labels)):
      output = labels[m] if step in places else 0
      value += log_probs[t, m, output]
      t, m = (t, m + 1) if step in places else (t + 1, m)
    total = np.logaddexp(total, value)
  return -total


def losses(scores_BTMV, lengths=LENGTHS, labels=LABELS, label_lengths=LABEL_LENGTHS, chunk=3):
  """Of scores that do not depend on anything: what is encoded of a frame is its scores at all places."""
  size = scores_BTMV.shape[2:]
  encoded = scores_BTMV.reshape(*scores_BTMV.shape[:2], -1)
  nothing = jnp.zeros((len(labels), size[0], 1))
  found = lattice(lambda e, _: e.reshape(*e.shape[:2], *size), encoded, lengths, nothing, labels, blank=0, chunk=chunk)
  return transducer_loss(found, label_lengths)


both = jax.jit(lambda scores: jax.vjp(losses, scores)[0:1] + jax.vjp(losses, scores)[1](jnp.ones(4)))


def test_the_loss_is_the_sum_over_all_alignments_and_padding_changes_nothing():
  expected = [enumerated(SCORES[b, :n, :m + 1], LABELS[b, :m]) for b, (n, m) in enumerate(zip(LENGTHS, LABEL_LENGTHS))]
  values, gradient = map(np.asarray, both(SCORES))
  np.testing.assert_allclose(values, expected, rtol=1e-5)
  for b, (n, m) in enumerate(zip(LENGTHS, LABEL_LENGTHS)):
    assert not gradient[b, n:].any() and not gradient[b, :, m + 1:].any()
  moved = np.where((np.arange(4) < LENGTHS[:, None])[:, :, None, None], SCORES, 50)
  np.testing.assert_allclose(both(moved)[0], values, rtol=1e-6)


def test_the_gradient_is_that_of_the_definition():
  gradient, direction, step = np.asarray(both(SCORES)[1]), RNG.normal(size=SCORES.shape[1:]), 1e-5
  for b, (n, m) in enumerate(zip(LENGTHS, LABEL_LENGTHS)):
    there, back = (enumerated((SCORES[b] + sign * step * direction)[:n, :m + 1], LABELS[b, :m]) for sign in (1, -1))
    np.testing.assert_allclose((there - back) / (2 * step), np.sum(gradient[b] * direction), rtol=1e-3)


def test_no_frames_are_no_alignment():
  empty = Lattice(jnp.zeros((2, 3, 2)), jnp.zeros((2, 3, 2)), jnp.array([0, 1]))
  values = transducer_loss(empty, jnp.array([1, 0]))
  assert np.isinf(values[0]) and values[1] == 0


def test_scores_of_all_frames_are_never_held():
  """The largest array of the loss and its gradient is that of a chunk, or of the lattice."""
  frames, places, outputs = 64, 9, 500
  encoded, predicted = jnp.zeros((2, frames, 8)), jnp.zeros((2, places, 8))

  def loss(encoded, predicted):
    scores = lambda e, p: jnp.tanh(e[:, :, None] + p[:, None]) @ jnp.ones((8, outputs))
    found = lattice(scores, encoded, jnp.full(2, frames), predicted, jnp.ones((2, places - 1), int), blank=0, chunk=4)
    return transducer_loss(found, jnp.full(2, places - 1)).sum()

  memory = jax.jit(jax.grad(loss, (0, 1))).lower(encoded, predicted).compile().memory_analysis()
  assert memory.temp_size_in_bytes < 4 * 2 * frames * places * outputs / 2


@pytest.mark.heavy
def test_greedy_decoding_by_its_definition():
  config = transducer.Config(encoder=conformer.Config(dim=8, num_layers=1, num_heads=2, channels=4, dropout=0.0), embedding=5,
                             width=6, joint=7)
  model = config.build(jax.ShapeDtypeStruct((2, 24, 8), jnp.float32), 4, nnx.Rngs(1))
  model.out.bias[...] = jnp.array([0.3, 0, 0, 0])
  x, lengths = RNG.normal(size=(3, 24, 8)).astype(np.float32), np.array([24, 13, 3])
  definition, state = nnx.split(model)
  merged = lambda: nnx.merge(definition, state, copy=True)
  search = TransducerGreedy(max_symbols=2)
  labels, counts, at, _ = jax.jit(lambda x, lengths: search.search(merged(), x, lengths, blank=0))(x, lengths)
  heard, frames = jax.jit(lambda x, lengths: merged().hear(x, lengths))(x, lengths)
  predict = jax.jit(lambda label, state: merged().predict(label, state))
  for b in range(3):
    said, when, (predicted, state_b) = [], [], predict(jnp.zeros(1, int), model.silence(1, jnp.float32))
    for t in range(frames[b]):
      for _ in range(2):
        best = int(jnp.argmax(model.scores(heard[b:b + 1, t], predicted)[0]))
        if not best or len(said) == 6:
          break
        said.append(best)
        when.append(t)
        predicted, state_b = predict(jnp.array([best]), state_b)
    assert labels[b, :counts[b]].tolist() == said and counts[b] == len(said) and at[b, :counts[b]].tolist() == when
  assert counts.max() > 1


def test_the_papers_sizes():
  size = lambda module: sum(p.size for p in jax.tree.leaves(nnx.state(module, nnx.Param))) / 1e6
  for make, millions, of_encoder in ((transducer.conformer_transducer_s, 10.3, 8.7),
                                     (transducer.conformer_transducer_m, 30.7, 27.3),
                                     (transducer.conformer_transducer_l, 118.8, 115.1)):
    network = nnx.eval_shape(lambda make=make: make().build(jax.ShapeDtypeStruct((1, 40, 80), jnp.float32), 1024, nnx.Rngs(0)))
    np.testing.assert_allclose([size(network), size(network.encoder)], [millions, of_encoder], rtol=0.01)
