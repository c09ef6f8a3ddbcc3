"""Small networks with random weights, none of them 0 or 1, and the check that decoding is the forward pass."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from research.training.state import merge

# Tiny networks are compiled longer than they run: without most of LLVM's work, in a third of the time.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
compiled = functools.partial(jax.jit, compiler_options=QUICK)


def random_network(config, num_outputs, inputs=None, seed=0):
  """(definition, all variables) of a network, for `merge(definition, variables, {})`."""
  inputs = jax.ShapeDtypeStruct((2, 8), "int32") if inputs is None else inputs
  definition, state = nnx.split(nnx.eval_shape(lambda: config.build(inputs, num_outputs, nnx.Rngs(0))))
  random = np.random.default_rng(seed)

  def values(path, p):
    scale = 0.3 if p.ndim == 1 or "relative" in str(path) else 1.2 / p.shape[-1] ** 0.5
    centre = float("scale" in str(path[-1]))
    return jnp.asarray((centre + scale * random.standard_normal(p.shape)).astype(np.float32))

  return definition, jax.tree.map_with_path(values, nnx.to_pure_dict(state))


def unstacked(params, path):
  """The same parameters for layers that are not stacked; path: of the layers."""
  if path:
    return {**params, path[0]: unstacked(params[path[0]], path[1:])}
  return {i: jax.tree.map(lambda p, i=i: p[i], params) for i in range(jax.tree.leaves(params)[0].shape[0])}


def check_decoding(network, full, inputs, *, vocab_size, num_beams=3, num_steps=4):
  """Fed token by token, with prompts of unequal length, hypotheses that continue others: the logits of the forward pass.

  Args:
    network: (definition, parameters).
    full: (model, tokens (R, T), sentence of each row (R,)) -> logits (R, T, V).
    inputs: what `start` takes, of three sentences.
    vocab_size: tokens.
    num_beams: hypotheses of a sentence.
    num_steps: after the prompts.
  """
  definition, params = network
  random = np.random.default_rng(0)
  prompts, lengths = random.integers(1, vocab_size, (3, 4)), np.array([2, 4, 1])
  length = 4 + num_steps
  model = lambda params: merge(definition, params, {})
  sentences = np.arange(3).repeat(num_beams)
  whole = compiled(lambda params, tokens: full(model(params), tokens, sentences))

  @compiled
  def start(params):
    state = model(params).start(inputs, 3, length)
    state = model(params).step(state, jnp.asarray(prompts[:, :-1]), jnp.asarray(lengths - 1))[1]
    return state.expand(num_beams)

  @compiled
  def step(params, state, rows, tokens):
    return model(params).step(state.reorder(rows), tokens)

  state, texts = start(params), [list(prompts[s, :lengths[s]]) for s in sentences]
  tokens = np.array([text[-1] for text in texts])
  for i in range(num_steps):
    # Hypotheses of a sentence swap, and double.
    rows = np.arange(3 * num_beams) if i == 0 else sentences * num_beams + random.integers(0, num_beams, 3 * num_beams)
    texts = [list(texts[row]) for row in rows]
    if i:
      tokens = random.integers(1, vocab_size, 3 * num_beams)
      texts = [[*text, token] for text, token in zip(texts, tokens)]
    logits, state = step(params, state, jnp.asarray(rows), jnp.asarray(tokens)[:, None])
    padded = np.array([text + [0] * (length - len(text)) for text in texts])
    want = np.asarray(whole(params, jnp.asarray(padded)))[np.arange(len(texts)), [len(text) - 1 for text in texts]]
    np.testing.assert_allclose(logits, want, rtol=0, atol=2e-5 * np.abs(want).max())
