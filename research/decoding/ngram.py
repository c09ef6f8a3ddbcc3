"""N-gram language models in the ARPA format, as KenLM, SRILM and IRSTLM write it. Host code; all logarithms are natural."""

import dataclasses
import gzip
import math
import os
import re
from collections.abc import Mapping

from etils import epath

from research.config import UserError

Words = tuple[str, ...]

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"


class ArpaError(UserError):
  """A file that is no ARPA model, with the line that is wrong."""


@dataclasses.dataclass(frozen=True)
class NGram:
  """A back-off model (Katz 1987).

  Attributes:
    order: words of its longest n-gram.
    probabilities: ln p of an n-gram's last word after the others.
    backoffs: ln of the weight of what follows an n-gram that is not in the model; 0 where missing.
  """

  order: int
  probabilities: Mapping[Words, float]
  backoffs: Mapping[Words, float]

  @property
  def start(self) -> Words:
    """The context of a sentence's first word."""
    return (BEGIN,) if self.order > 1 and (BEGIN,) in self.probabilities else ()

  def score(self, context: Words, word: str) -> tuple[float, Words]:
    """ln p(word | context), and the context of the next word. A word the model lacks is <unk>, of probability 0 without one."""
    if (word,) not in self.probabilities:
      word = UNKNOWN
    total, found = 0.0, (*context, word)
    while found not in self.probabilities:
      if len(found) == 1:
        return -math.inf, ()
      total += self.backoffs.get(found[:-1], 0.0)
      found = found[1:]
    return total + self.probabilities[found], (*context, word)[-(self.order - 1):] if self.order > 1 else ()

  def sentence(self, words: list[str]) -> float:
    """ln p of a sentence with its end."""
    total, context = 0.0, self.start
    for word in (*words, END):
      probability, context = self.score(context, word)
      total += probability
    return total


def read_arpa(path: str | os.PathLike) -> NGram:
  """Reads an .arpa or .arpa.gz. Raises ArpaError."""
  path = epath.Path(path)
  if not path.exists():
    raise ArpaError(f"{path} does not exist")
  probabilities: dict[Words, float] = {}
  backoffs: dict[Words, float] = {}
  promised: dict[int, int] = {}
  order, lines_read, line = 0, 0, ""
  try:
    with path.open("rb") as file, gzip.open(file) if path.suffix == ".gz" else file as lines:
      for raw in lines:
        lines_read += 1
        line = raw.decode("utf-8").strip()
        if not line or line == "\\data\\":
          continue
        if line == "\\end\\":
          break
        if section := re.fullmatch(r"\\(\d+)-grams:", line):
          order = int(section[1])
        elif count := re.fullmatch(r"ngram\s+(\d+)\s*=\s*(\d+)", line):
          promised[int(count[1])] = int(count[2])
        elif order:
          values = line.split()
          words = tuple(values[1:order + 1])
          if len(words) != order or len(values) > order + 2:
            raise ValueError
          probabilities[words] = float(values[0]) * math.log(10)
          if len(values) == order + 2:
            backoffs[words] = float(values[-1]) * math.log(10)
  except (ValueError, OSError, EOFError):
    raise ArpaError(f"{path} is no ARPA model, or damaged: line {lines_read}: {line[:60]!r}") from None
  found = {n: sum(len(words) == n for words in probabilities) for n in promised}
  if not promised or found != promised:
    raise ArpaError(f"{path} is no ARPA model, or cut off: it promises {promised or 'no'} n-grams and holds {found}")
  return NGram(max(promised), probabilities, backoffs)
