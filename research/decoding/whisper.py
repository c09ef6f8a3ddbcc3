"""What Whisper is asked by: the numbers of its vocabulary that are no text, prompts made of them, and what may not be said."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from research.config import ConfigError, did_you_mean
from research.decoding.base import SpecialTokens
from research.decoding.constraints import Constraints
from research.decoding.timestamps import Timestamps


@dataclasses.dataclass(frozen=True, kw_only=True)
class WhisperTokens:
  """A Whisper's vocabulary: text, the end, the start, languages, tasks, "no timestamps", and last of all the times.

  Attributes:
    end: ends a text; what has a smaller number is text.
    start: begins every prompt.
    languages: each language's code, as "en", and its token; () for a network that knows English only.
    transcribe: the token of this task; None where there is no other.
    translate: likewise, into English.
    previous: stands before the text that came before.
    no_timestamps: the last token of a prompt that asks for text without times.
    suppressed: tokens that are never said.
    suppressed_first: tokens that are not said first.
    max_initial: the latest first time, in tokens of 0.02 s each; None for any.
    alignment_heads: layer and head of the attention to the sound that follows the words; () for all of the upper half of the
      layers.
  """

  end: int
  start: int
  languages: tuple[tuple[str, int], ...] = ()
  transcribe: int | None = None
  translate: int | None = None
  previous: int
  no_timestamps: int
  suppressed: tuple[int, ...] = ()
  suppressed_first: tuple[int, ...] = ()
  max_initial: int | None = 50
  alignment_heads: tuple[tuple[int, int], ...] = ()

  @property
  def no_speech(self) -> int:
    """Is most probable after the start where nobody speaks."""
    return self.no_timestamps - 1

  @property
  def first_time(self) -> int:
    return self.no_timestamps + 1

  @property
  def special(self) -> SpecialTokens:
    return SpecialTokens(end=(self.end,), pad=self.end)

  def prompt(self, *, language: str | None = None, task: Literal["transcribe", "translate"] = "transcribe",
             timestamps: bool = False) -> tuple[int, ...]:
    """What comes before the first new token.

    Args:
      language: the code of what is spoken; of a network that knows English only, None.
      task: what is wanted; the translation is English.
      timestamps: whether times are wanted, too.

    Raises:
      ConfigError: this network knows no such language or task.
    """
    known, tokens = dict(self.languages), [self.start]
    if language not in (known or (None, "en")):
      raise ConfigError(f"language={language}: must be one of {', '.join(known) or 'en'}{did_you_mean(str(language), known)}")
    if known:
      tokens.append(known[language or ""])
      wanted = self.transcribe if task == "transcribe" else self.translate
      tokens += [] if wanted is None else [wanted]
    elif task != "transcribe":
      raise ConfigError(f"task={task}: must be transcribe: this network knows English only")
    return (*tokens, *(() if timestamps else (self.no_timestamps,)))

  def constraints(self, *, timestamps: bool) -> Constraints:
    """What may not be said, and with times when they are."""
    times = Timestamps(first=self.first_time, max_initial=self.max_initial) if timestamps else None
    return Constraints(banned=self.suppressed, banned_first=self.suppressed_first, timestamps=times)


def whisper_tokens(settings: Mapping[str, Any]) -> WhisperTokens:
  """The vocabulary of a generation_config.json. Raises ConfigError where it does not say what must be known."""
  if missing := [name for name in ("eos_token_id", "decoder_start_token_id", "no_timestamps_token_id") if name not in settings]:
    raise ConfigError(f"generation_config.json: {missing[0]} is missing: Whisper's rules need it")
  tasks = settings.get("task_to_id") or {}
  languages = {code.strip("<|>"): token for code, token in (settings.get("lang_to_id") or {}).items()}
  if settings.get("is_multilingual") and not languages:
    raise ConfigError("generation_config.json: lang_to_id is missing, though is_multilingual=True")
  no_timestamps = settings["no_timestamps_token_id"]
  return WhisperTokens(
      end=settings["eos_token_id"], start=settings["decoder_start_token_id"],
      languages=tuple(sorted(languages.items(), key=lambda item: item[1])), transcribe=tasks.get("transcribe"),
      translate=tasks.get("translate"), previous=settings.get("prev_sot_token_id", no_timestamps - 2),
      no_timestamps=no_timestamps, suppressed=tuple(settings.get("suppress_tokens") or ()),
      suppressed_first=tuple(settings.get("begin_suppress_tokens") or ()),
      max_initial=settings.get("max_initial_timestamp_index"),
      alignment_heads=tuple((layer, head) for layer, head in settings.get("alignment_heads") or ()))


# Signs and words that are no speech, as OpenAI's and Hugging Face's generation settings of the English networks list them.
_NO_SPEECH_SIGNS = (
    1, 2, 7, 8, 9, 10, 14, 25, 26, 27, 28, 29, 31, 58, 59, 60, 61, 62, 63, 90, 91, 92, 93, 357, 366, 438, 532, 685, 705,
    796, 930, 1058, 1220, 1267, 1279, 1303, 1343, 1377, 1391, 1635, 1782, 1875, 2162, 2361, 2488, 3467, 4008, 4211,
    4600, 4808, 5299, 5855, 6329, 7203, 9609, 9959, 10563, 10786, 11420, 11709, 11907, 13163, 13697, 13700, 14808,
    15306, 16410, 16791, 17992, 19203, 19510, 20724, 22305, 22935, 27007, 30109, 30420, 33409, 34949, 40283, 40493,
    40549, 47282, 49146)

# The vocabulary of tiny.en, base.en, small.en and medium.en, of 51,864 tokens.
ENGLISH = WhisperTokens(
    end=50256, start=50257, previous=50360, no_timestamps=50362, suppressed=(*_NO_SPEECH_SIGNS, 50257, *range(50357, 50362)),
    suppressed_first=(220, 50256))

# Layer and head of the attention that follows the words, as OpenAI publishes them with the weights.
_HEADS = {
    "tiny.en": ((1, 0), (2, 0), (2, 5), (3, 0), (3, 1), (3, 2), (3, 3), (3, 4)),
    "base.en": ((3, 3), (4, 7), (5, 1), (5, 5), (5, 7)),
    "small.en": ((6, 6), (7, 0), (7, 3), (7, 8), (8, 2), (8, 5), (8, 7), (9, 0), (9, 4), (9, 8), (9, 10), (10, 0), (10, 1),
                 (10, 2), (10, 3), (10, 6), (10, 11), (11, 2), (11, 4)),
    "medium.en": ((11, 4), (14, 1), (14, 12), (14, 14), (15, 4), (16, 0), (16, 4), (16, 9), (17, 12), (17, 14), (18, 7),
                  (18, 10), (18, 15), (20, 0), (20, 3), (20, 9), (20, 14), (21, 12))}


def english(name: str) -> WhisperTokens:
  """The vocabulary of one of these networks, and which of its heads follow the words."""
  return dataclasses.replace(ENGLISH, alignment_heads=_HEADS[name])
