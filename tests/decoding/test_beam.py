import dataclasses
import itertools
import json
import pathlib

import numpy as np
import pytest
from toy import END, PAD, START, Toy, compiled, requests, said, sentences

from research.decoding.huggingface import decoding_of, special_of
from research.decoding.settings import Beam, Decoding, Greedy


def _all_hypotheses(num_tokens, limit):
  """Everything that can be said: up to the end, or to the limit."""
  going = [token for token in range(num_tokens) if token != END]
  for length in range(1, limit):
    yield from ((*start, END) for start in itertools.product(going, repeat=length - 1))
  yield from ((*start, last) for start in itertools.product(going, repeat=limit - 1) for last in range(num_tokens))


@pytest.mark.parametrize("beam", [Beam(num_beams=128, num_best=128, alpha=1.0, early_stopping="never"),
                                  Beam(num_beams=128, num_best=128, length_penalty="gnmt", alpha=0.6)])
def test_a_wide_beam_finds_all_there_is_in_the_right_order(beam):
  model, limit, prompt = Toy.random(0, num_tokens=4), 4, (START, 3)
  power = lambda n: float(n) ** beam.alpha if beam.length_penalty == "power" else ((5 + n) / 6) ** beam.alpha
  wanted = {tokens: model.score(prompt, tokens) / power(len(tokens)) for tokens in _all_hypotheses(4, limit)}
  assert len(wanted) == 121
  found = compiled(Decoding(search=beam, max_new_tokens=limit))(model, requests([prompt], [limit]))
  ranked = sorted(wanted, key=wanted.__getitem__, reverse=True)
  assert [tuple(said(found, 0, n)) for n in range(121)] == ranked
  np.testing.assert_allclose(found.scores_BN[0, :121], [wanted[tokens] for tokens in ranked], rtol=2e-5)
  assert not found.lengths_BN[0, 121:].any() and np.isneginf(found.scores_BN[0, 121:]).all()


NUM = 12
MODEL = dataclasses.replace(Toy.random(3, num_tokens=9, sharpness=1.2), bias_V=np.eye(9, dtype=np.float32)[END])
PROMPTS = [[START, 4, 5][:1 + i % 3] for i in range(NUM)]
LIMITS = [3 + i % 6 for i in range(NUM)]
BATCH = requests(PROMPTS, LIMITS, sentences(range(NUM)))


@pytest.fixture(scope="module")
def search():
  return compiled(Decoding(search=Beam(num_beams=4, num_best=4, alpha=0.0, early_stopping="never"), max_new_tokens=8))


@pytest.fixture(scope="module")
def found(search):
  return search(MODEL, BATCH)


def test_hypotheses_are_sorted_distinct_and_worth_what_the_model_says(found):
  """A beam whose state were not that of its tokens would have another score: every token before counts."""
  for b in range(NUM):
    texts = [said(found, b, n) for n in range(4)]
    assert len(set(map(tuple, texts))) == 4
    assert (np.diff(found.scores_BN[b]) <= 0).all()
    for n, text in enumerate(texts):
      assert END not in text[:-1] and len(text) <= LIMITS[b] and (text[-1] == END or len(text) == LIMITS[b])
      np.testing.assert_allclose(found.scores_BN[b, n], MODEL.score(PROMPTS[b], text, [b]), rtol=2e-5)
      assert (found.tokens_BNS[b, n, len(text):] == PAD).all()
  assert len({found.lengths_BN[b, 0] for b in range(NUM)}) > 2


def test_a_beam_is_not_worse_than_greedy(found):
  greedy = compiled(Decoding(search=Greedy(), max_new_tokens=8))(MODEL, BATCH)
  gain = found.scores_BN[:, 0] - greedy.scores_BN[:, 0]
  assert gain.min() > -1e-5 and gain.max() > 0.05


def test_neighbors_and_padding_change_nothing(search, found):
  backwards = requests(PROMPTS[::-1], LIMITS[::-1], sentences(range(NUM)[::-1]))
  turned = search(MODEL, backwards)
  np.testing.assert_array_equal(turned.tokens_BNS[::-1], found.tokens_BNS)
  np.testing.assert_array_equal(turned.scores_BN[::-1], found.scores_BN)
  for alone in (0, 5):  # others are done before they start: as many steps as this one needs
    only = search(MODEL, requests(PROMPTS, np.where(np.arange(NUM) == alone, LIMITS, 0), sentences(range(NUM))))
    np.testing.assert_array_equal(only.tokens_BNS[alone], found.tokens_BNS[alone])
    np.testing.assert_array_equal(only.scores_BN[alone], found.scores_BN[alone])
    assert only.lengths_BN.astype(bool).sum() == 4 and (only.tokens_BNS[(alone + 1) % NUM] == PAD).all()


REFERENCE = json.loads((pathlib.Path(__file__).parents[1] / "fixtures/decoding/huggingface.json").read_text())
# One of each kind here, the many in the heavy test.
FEW = ("'length_penalty': 1.0, 'early_stopping': True", "'length_penalty': 0.6, 'early_stopping': 'never'",
       "'eos_token_id': [1, 6]", "'repetition_penalty': 1.3")


def _check_against_huggingface(case):
  model = Toy(*(np.array(REFERENCE["arrays"][name], np.float32) for name in ("embedding", "out", "bias")))
  settings = {"eos_token_id": END, "pad_token_id": 17, **case["generate"]}
  decoding = decoding_of(settings)
  found = compiled(decoding, special=special_of(settings))(model, requests(case["prompts"], [decoding.max_new_tokens] * 4))
  wanted = np.array(case["tokens"])
  np.testing.assert_array_equal(found.tokens_BNS[..., :wanted.shape[-1]], wanted, err_msg=str(case["generate"]))
  assert (found.tokens_BNS[..., wanted.shape[-1]:] == 17).all()
  if case["scores"] is not None:
    np.testing.assert_allclose(found.scores_BN, case["scores"], rtol=1e-5, err_msg=str(case["generate"]))


@pytest.mark.parametrize("words", FEW)
def test_equal_to_huggingface_token_for_token(words):
  case = next(case for case in REFERENCE["cases"] if words in str(case["generate"]) and case["generate"].get("num_beams") == 4)
  _check_against_huggingface(case)


@pytest.mark.heavy
def test_equal_to_huggingface_in_all_cases():
  for case in REFERENCE["cases"]:
    _check_against_huggingface(case)


def test_penalties_by_hand():
  assert Beam(alpha=2.0).penalty(3) == 9
  np.testing.assert_allclose(Beam(length_penalty="gnmt", alpha=0.5).penalty(19), 2.0)
  assert Beam(alpha=0.0).penalty(7) == Beam(length_penalty="gnmt", alpha=0.0).penalty(7) == 1
