import dataclasses

import numpy as np
import pytest
from toy import END, SPECIAL, START, Toy

from research.config import ConfigError, UserError
from research.decoding.constraints import Constraints
from research.decoding.decoder import Batching, decode_all, make_decoder
from research.decoding.settings import Beam, Decoding, Greedy, Sampling

MODEL = dataclasses.replace(Toy.random(3, num_tokens=9), bias_V=np.eye(9, dtype=np.float32)[END])
INPUTS = [np.arange(1 + (7 * i) % 11) % 5 + i % 3 for i in range(13)]
BATCHING = Batching(lengths=(6, 12), batch_size=3)


def _alone(inputs, prompt, limit):
  """One sentence by the model in NumPy: greedy."""
  text = []
  while len(text) < limit:
    text.append(int(MODEL.log_probabilities([*prompt, *text], inputs).argmax()))
    if text[-1] == END:
      return text[:-1]
  return text


def test_many_inputs_come_back_in_their_order_by_few_programs():
  decoding = Decoding(search=Greedy(), max_new_tokens=3, max_per_input=0.5)
  run, told = make_decoder(lambda model: model, decoding, SPECIAL), []
  found = decode_all(run, MODEL, decoding, SPECIAL, BATCHING, inputs=INPUTS, prompts=[[START]],
                     progress=lambda *numbers: told.append(numbers))
  for text, hypotheses in zip(INPUTS, found, strict=True):
    (one,) = hypotheses
    assert one.tokens.tolist() == _alone(text, [START], 3 + len(text) // 2)
  assert told == [(3, 13), (6, 13), (9, 13), (12, 13), (13, 13)]
  assert run._cache_size() == 2
  decode_all(run, MODEL, decoding, SPECIAL, BATCHING, inputs=INPUTS[::-1], prompts=[[START]])
  assert run._cache_size() == 2


def test_a_language_model_goes_on_from_prompts_of_any_length():
  prompts = [[START, 3, 4, 5, 6][:1 + i % 5] for i in range(7)]
  decoding = Decoding(search=Beam(num_beams=1, num_best=1), max_new_tokens=5)  # a beam of one is greedy
  run = make_decoder(lambda model: model, decoding, SPECIAL)
  found = decode_all(run, MODEL, decoding, SPECIAL, Batching(lengths=(5,), batch_size=4), prompts=prompts)
  for prompt, (one,) in zip(prompts, found, strict=True):
    assert one.tokens.tolist() == _alone([], prompt, 5)


def test_a_sample_is_that_of_its_place_among_the_inputs():
  decoding = Decoding(search=Sampling(num_samples=2, seed=3), max_new_tokens=6)
  run = make_decoder(lambda model: model, decoding, SPECIAL)
  wide = Batching(lengths=(12,), batch_size=4)
  both = [decode_all(run, MODEL, decoding, SPECIAL, wide, inputs=inputs, prompts=[[START]])
          for inputs in (INPUTS[:8], INPUTS[:3])]
  for first, second in zip(*both):
    assert len(first) == 2
    assert [h.tokens.tolist() for h in first] == [h.tokens.tolist() for h in second]


def test_mistakes_are_told_in_one_line():
  decoding = Decoding()
  call = lambda **what: decode_all(lambda *_: None, None, decoding, SPECIAL, BATCHING, **what)
  with pytest.raises(UserError, match="input 1 has length 13"):
    call(inputs=[np.arange(3), np.arange(13)], prompts=[[START]])
  with pytest.raises(UserError, match="prompt 1 is empty"):
    call(prompts=[[START], []])
  assert call(inputs=[], prompts=[[START]]) == []
  for make, name in ((lambda: Beam(num_best=5), "num_best=5"), (lambda: Sampling(temperature=0.0), "temperature=0"),
                     (lambda: Sampling(top_p=0.0), "top_p=0"), (lambda: Decoding(max_new_tokens=0), "max_new_tokens=0"),
                     (lambda: Batching(lengths=(8, 4)), "lengths="),
                     (lambda: Decoding(max_new_tokens=4, constraints=Constraints(min_new_tokens=5)), "min_new_tokens=5")):
    with pytest.raises(ConfigError, match=name):
      make()


def test_signatures():
  fairseq = Decoding(search=Beam(num_beams=5, early_stopping=True), max_new_tokens=64)
  assert fairseq.signature == "beam5|lenpen:power1|stop:first|max:64"
  assert Decoding(search=Beam(length_penalty="gnmt", alpha=0.6), max_per_input=1.0, max_new_tokens=50,
                  constraints=Constraints(no_repeat_ngram=3, forced_last=2)).signature == (
                      "beam4|lenpen:gnmt0.6|no_repeat:3|last:2|max:1n+50")
  assert Decoding().signature == "greedy|max:128"
  assert Decoding(search=Sampling(top_k=50, top_p=0.9)).signature == "sampling1|top_k:50|top_p:0.9|seed:0|max:128"
