"""What a report shows of a model that writes text: the right sentences, the right marks, and text that stays text."""

import json

import numpy as np
import pytest
from texts import HYPOTHESES, REFERENCES, many

from research.config import from_json, to_json
from research.figures import Marked
from research.metrics.base import Metric
from research.metrics.summarization import Rouge
from research.metrics.translation import Chrf
from research.report import text
from research.report.page import write_report
from research.studies.base import Findings

HOSTILE = '<script>alert("x")</script> & <mark onclick=x>'
REFS = [[r] for r in REFERENCES]


def page(tmp_path, figures) -> str:
  """The page of a run with these figures, which have been saved and read."""
  found = from_json(json.loads(json.dumps(to_json(Findings(metrics={}, figures=tuple(figures))))))
  write_report(tmp_path / "report.html", {"seeds": [0]}, {"0": found}, {}, {}, {})
  return (tmp_path / "report.html").read_text("utf-8")


def joined(marked: Marked) -> str:
  return "".join(piece for piece, _ in marked.pieces)


def marks(marked: Marked) -> list[str]:
  return [piece for piece, is_marked in marked.pieces if is_marked]


@pytest.mark.parametrize(("reference", "hypothesis", "lacks", "has"), [
    ("A man is staring at it.", "A man is looking at it.", ["staring"], ["looking"]),
    ("a b c", "a b c", [], []),
    ("two big dogs run", "two dogs run", ["big"], []),
    ("我喜欢猫", "我喜欢狗", ["猫"], ["狗"]),
    ("Straße, naß 😀!", "Straße, trocken 😀!", ["naß"], ["trocken"]),
    ("all of it", "", ["all of it"], []),
    ("", "all of it", [], ["all of it"]),
])
def test_the_words_that_differ_are_marked(reference, hypothesis, lacks, has):
  theirs, ours, alike = text.differences(reference, hypothesis)
  assert (marks(theirs), marks(ours)) == (lacks, has)
  assert joined(theirs) == (reference or "(empty)") and joined(ours) == (hypothesis or "(empty)")
  assert (alike == 1) == (reference == hypothesis)


def test_long_texts_are_cut():
  long = " ".join(f"word{i}" for i in range(500))
  theirs, ours, _ = text.differences(long, long + " end")
  assert joined(theirs) == joined(ours) and len(joined(ours)) < 410 and joined(ours).endswith("…")
  _, ours, _ = text.differences("x", long[:399] + "y " + long)
  assert 380 < len(joined(ours)) < 410


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_best_and_worst_are_those_by_score(better):
  scores = np.array([0.5, np.nan, 0.1, 0.9, 0.7, 0.3])
  words = [f"output {i}" for i in range(6)]
  worst, best = text.best_and_worst(["source"] * 6, words, [["no"]] * 6, scores, name="chrf", split="val", better=better)
  shown = lambda table: [row[0] for row in table.rows]
  low, high = [0.1, 0.3], [0.9, 0.7]
  assert (shown(worst), shown(best)) == ((low, high) if better == "higher" else (high, low))
  assert worst.head == ("chrf", "source", "reference", "output") and worst.title == "Worst sentences, val"
  assert joined(worst.rows[0][3]) == ("output 2" if better == "higher" else "output 3")


def test_the_most_similar_reference_is_shown_and_a_source_need_not_be():
  (only,) = text.best_and_worst([], ["a cat sat"], [["nothing alike", "a cat sits"]], np.ones(1), name="ter", split="val")
  assert only.head == ("ter", "reference", "output")
  assert joined(only.rows[0][1]) == "a cat sits" and marks(only.rows[0][2]) == ["sat"]


def test_scores_by_length_are_those_of_the_groups():
  lengths = np.repeat([3, 10, 30], 50)
  rows = {"loss": np.stack([lengths / 10, np.ones(150)], 1), "accuracy": np.stack([lengths == 3, np.ones(150)], 1)}
  loss, accuracy = text.by_length(lengths, {name: Metric() for name in rows}, rows, unit="words", split="val")
  np.testing.assert_allclose(loss.series[0].x, [3, 10, 30])
  np.testing.assert_allclose(loss.series[0].y, [0.3, 1, 3])
  np.testing.assert_allclose(accuracy.series[0].y, [1, 0, 0])
  many_lengths = np.random.default_rng(0).permutation(800)
  (figure,) = text.by_length(many_lengths, {"loss": Metric()}, {"loss": np.ones((800, 2))}, unit="words", split="val")
  assert figure.caption == "8 groups of 100 to 100 examples."
  for few in (np.zeros(0), np.ones(1), np.full(9, 4)):  # one length has no trend
    assert text.by_length(few, {"loss": Metric()}, {"loss": np.ones((len(few), 2))}, unit="words", split="val") == ()


def test_checks_find_what_is_empty_short_and_repeated():
  (table,) = text.checks(["the the the the", "", "a b c d"], [["one two three four"], ["five six"], ["a b c d", "a b"]], "val")
  rows = {row[0]: row[1:] for row in table.rows}
  assert rows["words"] == (8 / 3, 3)
  assert rows["length ratio"] == (pytest.approx(8 / 9), 1)
  assert rows["share empty"] == (pytest.approx(1 / 3), 0)
  assert rows["repeated 1-grams"] == (pytest.approx(3 / 8), 0)
  assert rows["repeated 2-grams"] == (pytest.approx(2 / 6), 0)
  assert rows["repeated 4-grams"] == (0, 0)
  assert text.checks([], [], "val") == ()


def test_an_alignment_is_in_percent_of_the_row():
  weights = np.array([[1.0, 3.0], [0.0, 0.0], [np.nan, 1.0]])
  matrix = text.alignment(weights, ["das", "Haus", "!"], ["the", "das"], title="Attention")
  assert matrix.counts == ((25, 75), (0, 0), (0, 0))
  assert (matrix.rows, matrix.columns) == (("das", "Haus", "!"), ("the", "das"))
  long = text.alignment(np.ones((60, 50)), ["t"] * 60, ["s"] * 50, title="Attention")
  assert (len(long.rows), len(long.columns)) == (40, 40) and "first 40" in long.caption


def test_cells_of_an_alignment_are_no_errors(tmp_path):
  made = page(tmp_path, [text.alignment(np.eye(2), ["a", "b"], ["x", "y"], title="Attention")])
  assert made.count('class="right"') == 2 and 'class="wrong"' not in made


def test_all_figures_of_real_sentences_make_a_page(tmp_path):
  chrf, rouge = Chrf(), Rouge()
  rows = {**chrf.rows(HYPOTHESES, REFS), **rouge.rows(HYPOTHESES, REFS)}
  figures = text.evaluation_figures(REFERENCES, HYPOTHESES, REFS, {**chrf.metrics, **rouge.metrics}, rows, split="test",
                                    lengths_N=np.array([len(r.split()) for r in REFERENCES]), unit="words")
  made = page(tmp_path, figures)
  for words in ("Worst sentences, test", "Best sentences, test", "Checks of the outputs, test", "chrf by length, test",
                "(empty)"):
    assert words in made
  assert "<mark>staring</mark>" in made and "<mark>looking</mark>" in made and "Здравствуйте" in made


def test_hostile_text_stays_text(tmp_path):
  figures = [*text.best_and_worst([HOSTILE], [HOSTILE + " a"], [["b " + HOSTILE]], np.ones(1), name=HOSTILE, split=HOSTILE),
             *text.checks([HOSTILE], [[HOSTILE]], HOSTILE),
             *text.by_length(np.array([1, 2]), {HOSTILE: Metric()}, {HOSTILE: np.ones((2, 2))}, unit=HOSTILE, split=HOSTILE),
             text.alignment(np.eye(1), [HOSTILE], [HOSTILE], title=HOSTILE, caption=HOSTILE)]
  made = page(tmp_path, figures)
  assert "<script" not in made and "<mark onclick" not in made
  assert made.count("&lt;script&gt;") > 8
  assert "<mark>" in made


def test_a_page_of_many_sentences_is_small(tmp_path):
  references, system, _ = many(300)
  rows = Chrf().rows(system, [[r] for r in references])
  figures = text.evaluation_figures(references, system, [[r] for r in references], Chrf().metrics, rows, split="test",
                                    lengths_N=np.array([len(r.split()) for r in references]), unit="words")
  assert len(page(tmp_path, figures)) < 200_000
