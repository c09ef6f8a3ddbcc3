"""The forms in which text data sets are published: each reader goes over a folder's files and yields one example after another.

Plain files may be gzip with .gz behind their name.
"""

import contextlib
import gzip
import hashlib
import io
import json
import lzma
import pathlib
import re
import tarfile
import zlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, TextIO

from absl import logging

from research.data.examples import DataError
from research.data.text import decoded

Example = dict[str, Any]
_SEGMENT = re.compile(r"<seg[^>]*>(.*?)</seg>", re.S | re.I)
_ARTICLE = re.compile(r"= [^=].*[^=] =")


def lines(folder: pathlib.Path, *, names: Sequence[str]) -> Iterator[Example]:
  """Each line of each file, in order: `text`."""
  for name in names:
    with _opened(folder, name) as file:
      for line in file:
        yield {"text": line.rstrip("\r\n")}


def parallel(folder: pathlib.Path, *, names: Sequence[Mapping[str, str]]) -> Iterator[Example]:
  """Line n of two or more files, one for each feature; then those of the next such files. Also .sgm, with a <seg> a line."""
  for group in names:
    columns = {feature: _sentences(folder, name) for feature, name in group.items()}
    lengths = {group[feature]: len(column) for feature, column in columns.items()}
    if len(set(lengths.values())) != 1:
      shown = ", ".join(f"{name} has {length}" for name, length in lengths.items())
      raise DataError(f"{folder}: parallel files must have as many lines each: {shown}")
    for row in zip(*columns.values()):
      yield dict(zip(columns, row))


def table(folder: pathlib.Path, *, name: str, columns: Mapping[str, int | str], labels: Sequence[str] = (), score: bool = False,
          unlabeled: bool = False) -> Iterator[Example]:
  """Tab-separated values, not quoted. Rows that end early, of which QQP has a few, are left out and counted.

  Args:
    folder, name: the file.
    columns: feature to its column, by the header's name; by number where there is no header.
    labels: the names of classes: the column `label` becomes a number, by name or as it is.
    score: whether `label` is a real number.
    unlabeled: whether there is no label: it becomes -1.
  """
  num_short = 0
  with _opened(folder, name) as file:
    rows = (line.rstrip("\r\n").split("\t") for line in file)
    header = next(rows, []) if any(isinstance(c, str) for c in columns.values()) else []
    places = {}
    for feature, column in columns.items():
      if isinstance(column, str) and column not in header:
        raise DataError(f"{folder / name} has no column {column!r}, only {', '.join(header)}")
      places[feature] = header.index(column) if isinstance(column, str) else column
    for number, row in enumerate(rows, 1 + bool(header)):
      if len(row) <= max(places.values()):
        num_short += 1
        continue
      example: Example = {feature: row[place] for feature, place in places.items()}
      if unlabeled:
        example["label"] = -1
      elif score:
        example["label"] = float(example["label"])
      elif labels:
        label = example["label"]
        if label not in labels and label not in map(str, range(len(labels))):
          raise DataError(f"{folder / name} is damaged: line {number} has the label {label!r}, not {' or '.join(labels)}")
        example["label"] = labels.index(label) if label in labels else int(label)
      yield example
  if num_short:
    logging.warning("%s: %d rows that end early are left out", folder / name, num_short)


def stories(folder: pathlib.Path, *, urls: str) -> Iterator[Example]:
  """CNN/DailyMail: the stories whose addresses a list names: `article`, and `highlights` with a line for each.

  A story's file is named by its address' SHA-1. A line without a full stop gets one, as See et al. (2017, ACL) do it.
  """
  with _opened(folder, urls) as file:
    addresses = [line.strip() for line in file if line.strip()]
  for address in addresses:
    name = f"{hashlib.sha1(address.encode()).hexdigest()}.story"
    found = [path for path in (folder / site / "stories" / name for site in ("cnn", "dailymail")) if path.exists()]
    if not found:
      raise DataError(f"{folder}: there is no story {name}, neither in cnn/stories nor in dailymail/stories ({address})")
    article, highlights, into = [], [], None
    for line in filter(None, map(str.strip, _read(folder, str(found[0].relative_to(folder))).split("\n"))):
      if line == "@highlight":
        into = highlights
      else:
        (article if into is None else into).append(_ended(line))
    yield {"article": " ".join(article), "highlights": "\n".join(highlights)}


def _ended(line: str) -> str:
  return line if line.endswith((".", "!", "?", "...", "'", "`", '"', "\u2019", "\u201d", ")")) else f"{line} ."


def xsum(folder: pathlib.Path, *, split: str) -> Iterator[Example]:
  """XSum: `document` and `summary` of the articles that the authors' list of a split names."""
  ids = json.loads(_read(folder, "XSum-TRAINING-DEV-TEST-SPLIT-90-5-5.json"))
  for id in ids[split]:
    name = f"bbc-summary-data/{id}.summary"
    parts = re.split(r"\[SN\](.*?)\[SN\]", _read(folder, name))
    sections = dict(zip(parts[1::2], parts[2::2]))
    if not {"FIRST-SENTENCE", "RESTBODY"} <= set(sections):
      raise DataError(f"{folder / name} is damaged: it has no [SN]FIRST-SENTENCE[SN] or no [SN]RESTBODY[SN]")
    yield {"document": sections["RESTBODY"].strip(), "summary": sections["FIRST-SENTENCE"].strip()}


def mails(folder: pathlib.Path, *, split: str) -> Iterator[Example]:
  """AESLC: `body` and `subject` of each mail of a split, in the order of the files' names."""
  where = f"enron_subject_line/{split}"
  paths = sorted((folder / where).glob("*.subject"))
  if not paths:
    raise DataError(f"{folder / where} holds no .subject files")
  for path in paths:
    body, found, rest = _read(folder, str(path.relative_to(folder))).partition("\n@subject\n")
    if not found:
      raise DataError(f"{path} is damaged: it has no line @subject")
    yield {"body": body.strip(), "subject": rest.partition("\n@ann0\n")[0].strip()}


def articles(folder: pathlib.Path, *, name: str) -> Iterator[Example]:
  """WikiText: `text`, an article each, with its title line; every line as it is."""
  kept: list[str] = []
  with _opened(folder, name) as file:
    for line in file:
      if _ARTICLE.fullmatch(line.strip()) and any(part.strip() for part in kept):
        yield {"text": "".join(kept)}
        kept = []
      kept.append(line)
  if any(part.strip() for part in kept):
    yield {"text": "".join(kept)}


def packed_texts(folder: pathlib.Path, *, pattern: str) -> Iterator[Example]:
  """OpenWebText: `text` of every file in every .xz (a tar each), in the order of their names."""
  paths = sorted(folder.glob(pattern))
  if not paths:
    raise DataError(f"{folder} holds no {pattern}")
  for path in paths:
    try:
      with tarfile.open(path, "r|xz") as archive:
        for member in archive:
          if member.isfile() and (file := archive.extractfile(member)) is not None:
            yield {"text": decoded(file.read(), f"{path}, {member.name}").strip()}
    except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
      raise DataError(f"{path} is damaged: {' '.join(str(error).split())}") from error


def _sentences(folder: pathlib.Path, name: str) -> list[str]:
  """The lines of a file; of an .sgm what its segments hold, blanks made single, as sacreBLEU reads them."""
  if name.endswith(".sgm"):
    return [" ".join(segment.split()) for segment in _SEGMENT.findall(_read(folder, name))]
  return _read(folder, name).removesuffix("\n").split("\n")


def _read(folder: pathlib.Path, name: str) -> str:
  with _opened(folder, name) as file:
    return file.read()


@contextlib.contextmanager
def _opened(folder: pathlib.Path, name: str) -> Generator[TextIO]:
  """Opens a file, or the same with .gz. Lines end with a newline only: other signs that end lines stand in real texts."""
  plain, packed = folder / name, folder / f"{name}.gz"
  if not plain.exists() and not packed.exists():
    raise DataError(f"{plain} does not exist: put it there, plain or with .gz behind its name")
  path, opening = (plain, open) if plain.exists() else (packed, gzip.open)
  try:
    with opening(path, "rb") as binary:
      yield io.TextIOWrapper(binary, encoding="utf-8-sig", newline="\n")
  except UnicodeDecodeError as error:
    raise DataError(f"{path} is no UTF-8 text: it has the byte {error.object[error.start]:#04x}") from None
  except (EOFError, gzip.BadGzipFile, zlib.error) as error:
    raise DataError(f"{path} is damaged: {error}") from error
