"""Answers for many inputs: in order, going on after bad ones, and where a run was killed."""

import io
import json
import pathlib

import pytest
from doubles import Double, picture, recording

from research.application.prediction import answered, named, predict
from research.config import ConfigError


def names(words, kind="image", lines=""):
  return [name for name, _ in named(words, kind, io.StringIO(lines))]


def test_what_is_answered_is_named(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  for name in ("b/two.png", "b/c/three.png", "b/.hidden", "b/.d/four.png", "one.png", "note.txt"):
    path = pathlib.Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
  assert names(["one.png", "b"]) == ["one.png", "b/c/three.png", "b/two.png"]
  assert names(["*.png", "b/**/*.png"]) == ["one.png", "b/c/three.png", "b/two.png"]
  assert names(["-"], "text", "a\n\nb") == ["line 1", "line 2", "line 3"]
  assert names(["-"], "image", "one.png\nno.png\n") == ["one.png", "no.png"]
  for words, error in ((["two.png"], "there is no file two.png"), (["x*"], r"there is no file x\*")):
    with pytest.raises(ConfigError, match=error):
      names(words)


def test_bad_inputs_are_told_and_the_others_answered_in_order(tmp_path):
  bundle = Double("image-classification", sizes=(1, 2))
  levels = [0, 255, None, 0, 255, 0, 255, 0, 255, 0]
  for i, level in enumerate(levels):
    (tmp_path / f"{i}.png").write_bytes(b"no picture" if level is None else picture(level))
  places = [(f"{i}", tmp_path / f"{i}.png") for i in range(len(levels))] + [("gone", tmp_path / "gone.png")]
  answers, done = [], []
  assert predict(bundle, places, answers.append, done.append, explain=True, num_threads=2) == 2
  assert [answer["input"] for answer in answers] == [name for name, _ in places]
  assert answers[2]["error"]
  assert answers[-1]["error"] == "cannot be read: No such file or directory"
  for level, answer in zip(levels, answers):
    if level is not None:
      assert answer["labels"][0]["label"] == ("bright" if level else "dark")
      assert answer["explanation"]["method"] == "brightness"
  assert done == [8, 11]


def test_a_killed_run_goes_on_where_it_was(tmp_path):
  path = tmp_path / "answers.jsonl"
  assert answered(path) == set()
  path.write_text('{"input": "a", "labels": []}\n{"input": "b", "error": "x"}\n{"input": "c", "lab')
  assert answered(path) == {"a", "b"}
  assert [json.loads(line)["input"] for line in path.read_text().splitlines()] == ["a", "b"]
  path.write_text("a letter\n")
  with pytest.raises(ConfigError, match="holds something else than answers"):
    answered(path)


def test_recordings_and_texts_are_answered_too(tmp_path):
  (tmp_path / "a.wav").write_bytes(recording(0.5))
  answers = []
  assert not predict(Double("speech-to-text"), [("a", tmp_path / "a.wav")], answers.append, lambda _: None, explain=False,
                     num_threads=1)
  assert answers[0]["text"] == "the"
  assert predict(Double("text-to-text"), [("line 1", "ab"), ("line 2", " ")], answers.append, lambda _: None, explain=False,
                 num_threads=1) == 1
  assert answers[1]["text"] == "ba"
