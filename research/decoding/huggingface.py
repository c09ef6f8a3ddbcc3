"""Hugging Face's generation_config.json as settings of ours, and ours as it."""

from collections.abc import Mapping
from typing import Any

from research.config import ConfigError
from research.decoding.base import SpecialTokens
from research.decoding.constraints import Constraints
from research.decoding.settings import Beam, Decoding, Greedy, Sampling

# What says nothing of the tokens that come out, and tokens that others read.
_APART = frozenset((
    "_from_model_config", "transformers_version", "use_cache", "cache_implementation", "cache_config", "output_attentions",
    "output_hidden_states", "output_scores", "output_logits", "return_dict_in_generate", "return_legacy_cache", "bos_token_id",
    "decoder_start_token_id", "pad_token_id", "eos_token_id", "max_time"))


def decoding_of(settings: Mapping[str, Any]) -> Decoding:
  """How `generate` decodes with such a file, for prompts of one token (encoder-decoders).

  Raises:
    ConfigError: it says something that we cannot do.
  """
  left = {name: value for name, value in settings.items() if name not in _APART and value is not None}
  take = left.pop
  num_beams, sampled = take("num_beams", 1), take("do_sample", False)
  if num_beams > 1 and sampled:
    raise ConfigError(f"generation_config.json: num_beams={num_beams}, do_sample=True: a beam search does not sample here")
  num_best, alpha, early = take("num_return_sequences", 1), take("length_penalty", 1.0), take("early_stopping", False)
  temperature, top_k, top_p, min_p = (
      take(name, default) for name, default in (("temperature", 1.0), ("top_k", 50), ("top_p", 1.0), ("min_p", 0.0)))
  if sampled:
    search = Sampling(temperature=temperature, top_k=top_k or None, top_p=top_p, min_p=min_p, num_samples=num_best)
  else:
    search = Greedy() if num_beams == 1 else Beam(num_beams=num_beams, num_best=num_best, alpha=alpha, early_stopping=early)
  most, least = take("max_length", 20) - 1, take("min_length", 0) - 1  # these count the prompt
  banned = [tuple(word) for word in take("bad_words_ids", ())]
  if any(len(word) != 1 for word in banned):
    raise ConfigError(f"generation_config.json: bad_words_ids={banned}: only single tokens can be banned")
  constraints = Constraints(
      repetition_penalty=take("repetition_penalty", 1.0), no_repeat_ngram=take("no_repeat_ngram_size", 0),
      banned=(*(word[0] for word in banned), *take("suppress_tokens", ())),
      min_new_tokens=max(least, take("min_new_tokens", 0)), forced_first=take("forced_bos_token_id", None),
      forced_last=take("forced_eos_token_id", None), banned_first=tuple(take("begin_suppress_tokens", ())))
  decoding = Decoding(search=search, constraints=constraints, max_new_tokens=take("max_new_tokens", most))
  if left:
    raise ConfigError(f"generation_config.json: {', '.join(f'{name}={value}' for name, value in left.items())}: not known here")
  return decoding


def special_of(settings: Mapping[str, Any]) -> SpecialTokens:
  """The tokens that end and pad. Raises ConfigError if there is no end."""
  end = settings.get("eos_token_id")
  if end is None:
    raise ConfigError("generation_config.json: eos_token_id is missing: nothing would end a text")
  end = tuple(end) if isinstance(end, (list, tuple)) else (end,)
  pad = settings.get("pad_token_id")
  return SpecialTokens(end=end, pad=end[0] if pad is None else pad)


def settings_for(decoding: Decoding) -> dict[str, Any]:
  """What makes `generate` decode as we do. Raises ConfigError if nothing does."""
  search, constraints = decoding.search, decoding.constraints
  if decoding.max_per_input:
    raise ConfigError(f"max_per_input={decoding.max_per_input}: transformers' limit does not depend on the input")
  found: dict[str, Any] = {"max_new_tokens": decoding.max_new_tokens, "do_sample": isinstance(search, Sampling)}
  match search:
    case Beam():
      if search.length_penalty != "power":
        raise ConfigError(f"length_penalty={search.length_penalty}: transformers has 'power'")
      found |= {"num_beams": search.num_beams, "num_return_sequences": search.num_best, "length_penalty": search.alpha,
                "early_stopping": search.early_stopping}
    case Sampling():
      found |= {"temperature": search.temperature, "top_k": search.top_k or 0, "top_p": search.top_p, "min_p": search.min_p,
                "num_return_sequences": search.num_samples}
  found |= {"repetition_penalty": constraints.repetition_penalty, "no_repeat_ngram_size": constraints.no_repeat_ngram,
            "min_new_tokens": constraints.min_new_tokens}
  if constraints.banned:
    found["suppress_tokens"] = list(constraints.banned)
  if constraints.banned_first:
    found["begin_suppress_tokens"] = list(constraints.banned_first)
  forced = {"forced_bos_token_id": constraints.forced_first, "forced_eos_token_id": constraints.forced_last}
  return found | {name: token for name, token in forced.items() if token is not None}
