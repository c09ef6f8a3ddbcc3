"""Hugging Face's generation_config.json: what it means here, and that what we write means the same."""

import pytest

from research.config import ConfigError
from research.decoding.base import SpecialTokens
from research.decoding.constraints import Constraints
from research.decoding.huggingface import decoding_of, settings_for, special_of
from research.decoding.settings import Beam, Decoding, Greedy, Sampling

# Published with BART for news summaries, and with OPUS-MT; the first counts its start token in both lengths.
SUMMARIES = {"bos_token_id": 0, "decoder_start_token_id": 2, "early_stopping": True, "eos_token_id": 2,
             "forced_bos_token_id": 0, "forced_eos_token_id": 2, "length_penalty": 2.0, "max_length": 142, "min_length": 56,
             "no_repeat_ngram_size": 3,
             "num_beams": 4, "pad_token_id": 1, "transformers_version": "4.27.0.dev0"}
TRANSLATION = {"bad_words_ids": [[58100]], "bos_token_id": 0, "decoder_start_token_id": 58100, "eos_token_id": 0,
               "forced_eos_token_id": 0, "max_length": 512, "num_beams": 6, "pad_token_id": 58100}


def test_published_settings():
  assert decoding_of(SUMMARIES) == Decoding(
      search=Beam(num_beams=4, alpha=2.0, early_stopping=True), max_new_tokens=141,
      constraints=Constraints(no_repeat_ngram=3, min_new_tokens=55, forced_first=0, forced_last=2))
  assert decoding_of(TRANSLATION) == Decoding(
      search=Beam(num_beams=6), max_new_tokens=511, constraints=Constraints(banned=(58100,), forced_last=0))
  assert special_of(TRANSLATION) == SpecialTokens(end=(0,), pad=58100)
  assert special_of({"eos_token_id": [3, 4]}) == SpecialTokens(end=(3, 4), pad=3)
  assert decoding_of({}) == Decoding(search=Greedy(), max_new_tokens=19)


@pytest.mark.parametrize("decoding", [
    Decoding(), Decoding(search=Sampling(top_k=7, top_p=0.9, temperature=0.5, num_samples=3)), Decoding(search=Sampling()),
    Decoding(search=Beam(num_best=2, alpha=0.6, early_stopping="never"), max_new_tokens=5, constraints=Constraints(
        repetition_penalty=1.5, no_repeat_ngram=2, banned=(4, 5), min_new_tokens=2, forced_first=3, forced_last=1,
        banned_first=(6,))),
])
def test_what_we_write_means_the_same(decoding):
  assert decoding_of(settings_for(decoding)) == decoding


@pytest.mark.parametrize("settings,message", [
    ({"penalty_alpha": 0.6, "num_beam_groups": 2}, "penalty_alpha=0.6, num_beam_groups=2: not known"),
    ({"bad_words_ids": [[4, 5]]}, "only single tokens"),
    ({"num_beams": 4, "do_sample": True}, "a beam search does not sample"),
])
def test_settings_that_we_cannot_follow(settings, message):
  with pytest.raises(ConfigError, match=message):
    decoding_of(settings)


def test_settings_that_transformers_has_not():
  with pytest.raises(ConfigError, match="length_penalty=gnmt"):
    settings_for(Decoding(search=Beam(length_penalty="gnmt")))
  with pytest.raises(ConfigError, match=r"max_per_input=1.5"):
    settings_for(Decoding(max_per_input=1.5))
  with pytest.raises(ConfigError, match="eos_token_id is missing"):
    special_of({})
