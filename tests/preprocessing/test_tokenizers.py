"""Tokenizers: exact round trips, the same ids as transformers, the same tokenizer from the same texts, clear mistakes."""

import collections
import gzip
import json
import os
import pathlib
import pickle
import random
import subprocess
import sys

import numpy as np
import pytest

from research.config import ConfigError
from research.preprocessing.text.base import TokenizerError, check_vocabulary, digest
from research.preprocessing.text.characters import ByteTokenizer
from research.preprocessing.text.loading import load
from research.preprocessing.text.moses import Moses
from research.preprocessing.text.spacy_words import SpacyWords
from research.preprocessing.text.strings import First, Join, Prefix, SentenceLines, Separate, WikiText
from research.preprocessing.text.training import BytePairs, Characters, SentencePieces, Subwords, Words
from research.preprocessing.text.vocabulary import Vocabulary

ROOT = pathlib.Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "fixtures" / "text"
EXPECTED = json.loads((FIXTURES / "expected.json").read_text())
TEXTS = [*(ROOT / "LICENSE").read_text().splitlines(), "größer als zwölf Äpfel", "日本語", "größer als zwölf"]
NASTY = ["", " ", "  a  b\t\n", "naïve cafe\u0301", "日本語テスト", "👩‍👩‍👧‍👦🏳️‍🌈", "\x00\x01\x7f\u200b\ufeff\u202e",
         "</s><pad><s><|endoftext|>[CLS]", "a\r\n\r\n", "\U0010ffff\ue000\ufffe", "@@ a@@", "'s 're \xa0\u3000x"]
TRAININGS = [Characters(specials=("<pad>", "</s>", "<unk>")), Words(min_count=2, lower=True, splitting="punctuation"),
             BytePairs(vocab_size=500), SentencePieces(vocab_size=300, max_texts=150), Subwords(num_merges=100)]


def any_unicode(count):
  valid = [*range(0xd800), *range(0xe000, 0x110000)]
  return ["".join(map(chr, random.Random(n).choices(valid, k=50))) for n in range(count)]


def as_lists(ids):
  return [row.tolist() for row in ids]


@pytest.fixture(scope="module")
def trained():
  return {type(settings).__name__: settings.train(TEXTS) for settings in TRAININGS}


def test_bytes_and_byte_pairs_give_back_every_text_exactly(trained):
  for tokenizer in (ByteTokenizer(), trained["BytePairs"], load(FIXTURES / "roberta")):
    texts = [*NASTY, *any_unicode(40)]
    ids = tokenizer.encode(texts)
    assert all(row.dtype == np.int32 and ((row >= 0) & (row < tokenizer.vocab_size)).all() for row in ids)
    assert tokenizer.decode(ids) == texts


def test_byte_pairs_are_shorter_than_bytes(trained):
  assert sum(map(len, trained["BytePairs"].encode(TEXTS))) < 0.6 * sum(map(len, ByteTokenizer().encode(TEXTS)))


def test_ids_of_bytes_are_the_bytes():
  assert as_lists(ByteTokenizer().encode(["aé"])) == [[97, 0xc3, 0xa9]]
  assert ByteTokenizer().decode([np.array([257, 97, 0xc3, 258, 256])]) == ["a\ufffd"]  # half a character that a network made up


def test_characters_are_in_the_order_of_their_code_points():
  tokenizer = Characters().train(["hello", "zoo\n"])
  assert tokenizer.vocab_size == 6 and tokenizer.eos_id is None
  assert as_lists(tokenizer.encode(["hole\n"])) == [[2, 4, 3, 1, 0]]
  assert tokenizer.decode(tokenizer.encode(["zoo\nhell"])) == ["zoo\nhell"]
  with pytest.raises(TokenizerError, match="'x' is none of the tokenizer's 6 tokens, and it has no <unk>"):
    tokenizer.encode(["x"])


def test_words_are_counted_and_rare_ones_unknown():
  tokenizer = Words(min_count=2, lower=True, splitting="punctuation").train(["The dog, the cat.", "A dog; the end."])
  assert [tokenizer.token(i) for i in range(tokenizer.vocab_size)] == ["<pad>", "<s>", "</s>", "<unk>", "the", ".", "dog"]
  assert as_lists(tokenizer.encode(["The cat: dog."])) == [[4, 3, 3, 6, 5]]
  assert tokenizer.decode([np.array([1, 4, 6, 5, 2, 0, 0])]) == ["the dog ."]
  assert Words(max_size=5).train(["b a a b c"]).vocab_size == 5
  assert as_lists(Words().train(["a"]).encode(["</s> <unk> a"])) == [[3, 3, 4]]  # a text that spells a mark means none


def test_the_same_texts_give_the_same_tokenizer_in_another_process_too(trained):
  """Python's hashes of strings differ between processes, Rust's between objects."""
  again = {type(settings).__name__: digest(settings.train(TEXTS)) for settings in TRAININGS}
  assert again == {name: digest(tokenizer) for name, tokenizer in trained.items()}
  code = "import tests.preprocessing.test_tokenizers as t; print([t.digest(s.train(t.TEXTS)) for s in t.TRAININGS])"
  env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"}
  other = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, text=True, capture_output=True, check=True).stdout
  assert other.strip() == str(list(again.values()))


def test_what_is_saved_is_loaded(trained, tmp_path):
  published = {name: load(FIXTURES / name) for name in ("roberta", "bert", "t5", "marian")}
  tokenizers = {**trained, **published, "bytes": ByteTokenizer()}
  for name, tokenizer in tokenizers.items():
    (folder := tmp_path / name).mkdir()
    tokenizer.save(folder)
    loaded = load(folder)
    marks = lambda t: (t.pad_id, t.bos_id, t.eos_id, t.unk_id, t.vocab_size)
    texts = [*TEXTS[:40], "</s> [SEP] <pad>"]
    for other in (loaded, pickle.loads(pickle.dumps(tokenizer))):  # worker processes get pickles
      assert digest(other) == digest(tokenizer) and type(other) is type(tokenizer)
      assert as_lists(other.encode(texts)) == as_lists(tokenizer.encode(texts))
      assert marks(other) == marks(tokenizer)
  assert len({digest(t) for t in tokenizers.values()}) == len(tokenizers)


# --- against transformers: tests/fixtures/text/make_references.py ------------------------------------------------------


@pytest.mark.parametrize("name", ["roberta", "bert", "t5"])
def test_published_forms_give_the_ids_of_transformers(name):
  tokenizer, expected = load(FIXTURES / name), EXPECTED[name]
  ids = as_lists(tokenizer.encode(EXPECTED["texts"]))
  assert ids[:-1] == expected["ids"][:-1]
  assert [tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id, tokenizer.unk_id] == expected["special"]
  assert tokenizer.vocab_size == expected.get("size", tokenizer.vocab_size)
  assert tokenizer.eos_id not in ids[-1]  # the text "</s>" is letters here, transformers takes it for the end
  assert tokenizer.decode(tokenizer.encode(["a b"]))[0].strip() == "a b"
  marked = [np.array([tokenizer.eos_id, *ids[0], tokenizer.eos_id, tokenizer.pad_id])]
  assert tokenizer.decode(marked) == tokenizer.decode([np.array(ids[0])])


def test_marians_sides_share_the_numbers_of_vocab_json():
  expected = EXPECTED["marian"]
  for side, texts in (("source", expected["texts"]), ("target", EXPECTED["texts"])):
    tokenizer = load(FIXTURES / "marian", side)
    ids = as_lists(tokenizer.encode(texts))
    plain = [n for n, text in enumerate(texts) if "</s>" not in text]
    assert [ids[n] for n in plain] == [expected[side][n] for n in plain]
    assert tokenizer.vocab_size == expected["size"]
    assert [tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id, tokenizer.unk_id] == expected["special"]
    assert tokenizer.decode([np.array([*ids[0], tokenizer.eos_id, tokenizer.pad_id])]) == [texts[0]]
  assert load(FIXTURES / "marian").token(load(FIXTURES / "marian").encode([">>deu<< x"])[0][0]) == ">>deu<<"


# --- text before it is tokenized --------------------------------------------------------------------------------------


def test_moses_parts_words_escapes_and_joins_again():
  pytest.importorskip("sacremoses")
  english = Moses(text="en", to="tokens", language="en", lower=True)
  text = "A dog's “ball” costs 3.50 & more — don't ask, Mr. Smith!"
  tokens = english({"en": [text]}, None)["tokens"][0]
  assert tokens == "a dog &apos;s &quot; ball &quot; costs 3.50 &amp; more - don &apos;t ask , mr. smith !"
  assert english.detokenize(tokens) == "a dog's \"ball\" costs 3.50 & more - don't ask, mr. smith!"
  hyphens = Moses(text="en", to="en", language="en", split_hyphens=True, escape=False)
  assert hyphens.tokenize("well-known") == "well @-@ known"


def test_subwords_join_to_the_words_they_were(trained):
  tokenizer = trained["Subwords"]
  texts = [" ".join(text.split()) for text in TEXTS]
  ids = tokenizer.encode(texts)
  assert tokenizer.decode(ids) == texts
  assert any(tokenizer.token(int(i)).endswith("@@") for row in ids for i in row)


def test_texts_are_joined_and_prefixed():
  features = {"sentences": [["a b.", "c."], ["d."]], "label": [1, 2]}
  assert Join(text="sentences", to="text")(features, None)["text"] == ["a b. c.", "d."]
  assert Prefix(text="t", to="t", prefix="say: ")({"t": ["x"]}, None) == {"t": ["say: x"]}


@pytest.mark.heavy
def test_multi30k_has_the_published_numbers_of_words_and_subwords(data_dir):
  """Wu et al. 2021, ACL: the words of their references, and the subwords of their training data."""
  pytest.importorskip("sacremoses")
  moses = [Moses(text=language, to=language, language=language, lower=True) for language in ("en", "de")]

  def tokens(split):
    with gzip.open(data_dir / "text" / "multi30k" / f"{split}.jsonl.gz") as lines:
      rows = [json.loads(line) for line in lines]
    features = {name: [row[name] for row in rows] for name in ("en", "de")}
    for transform in moses:
      features = transform(features, None)
    return features

  count = lambda texts: sum(len(text.split()) for text in texts)
  for split, expected in (("test_2016_flickr", (12_968, 12_103)), ("test_2017_flickr", (11_376, 10_758))):
    found = tokens(split)
    assert (count(found["en"]), count(found["de"])) == expected
  train = tokens("train")
  tokenizer = Subwords(num_merges=10_000).train([*train["en"], *train["de"]])
  for language, expected in (("en", 397_793), ("de", 400_507)):
    ids = tokenizer.encode(train[language])
    assert sum(map(len, ids)) == expected and tokenizer.unk_id not in np.concatenate(ids)


# --- mistakes ---------------------------------------------------------------------------------------------------------


def test_mistakes_are_one_line(tmp_path, trained):
  for tokenizer in (ByteTokenizer(), trained["BytePairs"]):
    with pytest.raises(TokenizerError, match="character 1 of a text is 0xd800, half of a pair"):
      tokenizer.encode(["fine", "a\ud800"])
  with pytest.raises(TokenizerError, match=r"is no folder: a tokenizer is a folder with tokenizer\.json, vocab"):
    load(tmp_path / "gone")
  with pytest.raises(TokenizerError, match=r"holds no tokenizer: it needs tokenizer\.json, "):
    load(tmp_path)
  with pytest.raises(ConfigError, match="vocab_size=258: must be 259 or more, for 256 bytes and 3 special tokens"):
    BytePairs(vocab_size=258)
  with pytest.raises(ConfigError, match=r"model\.vocab_size=499: the tokenizer has 500 ids, give at least as many"):
    check_vocabulary(trained["BytePairs"], 499, "model.vocab_size")
  check_vocabulary(trained["BytePairs"], 500, "model.vocab_size")
  with pytest.raises(TokenizerError, match=r"SentencePieces\(vocab_size=5000\): .*Vocabulary size"):
    SentencePieces(vocab_size=5000).train(TEXTS)
  with pytest.raises(TokenizerError, match="'a' more than once"):
    Vocabulary(["a", "b", "a"])


@pytest.mark.parametrize("files, message", [
    ({"tokenizer.json": b"{}"}, r"tokenizer\.json is damaged or no tokenizer"),
    ({"tokenizer.json": b'{"a": "\xff"}'}, r"tokenizer\.json is no UTF-8 text: byte 7 is 0xff"),
    ({"vocab.json": b"[1]", "merges.txt": b""}, r"vocab\.json is damaged: it is no JSON object"),
    ({"vocab.json": b'{"a": 0}', "merges.txt": b"a b"}, r"vocab\.json and merges\.txt do not go together"),
    ({"x.model": b"nothing"}, r"x\.model: damaged or no SentencePiece model"),
    ({"a.model": b"", "b.spm": b""}, r"several SentencePiece models, a\.model, b\.spm: keep one"),
    ({"source.spm": b"", "vocab.json": b'{"</s>": 0}'}, r"source\.spm: vocab\.json has no '<unk>'"),
    ({"fieldwork_tokenizer.json": b'{"kind": "runes"}'}, "kind 'runes' is unknown"),
    ({"fieldwork_tokenizer.json": b'{"kind": "words"}'}, "is damaged: it has no 'tokens'"),
])
def test_a_damaged_file_is_named(tmp_path, files, message):
  for name, content in files.items():
    (tmp_path / name).write_bytes(content)
  with pytest.raises(TokenizerError, match=message) as error:
    load(tmp_path)
  assert "\n" not in str(error.value)


def test_equally_frequent_tokens_are_in_alphabetical_order():
  counts = collections.Counter({"b": 2, "a": 2, "c": 3, "d": 1})
  assert Vocabulary.of(counts, ("<unk>",)).tokens == ("<unk>", "c", "a", "b", "d")


def test_separated_words_are_the_same_wherever_they_stand():
  texts = ["Re: (Budget)\r\nbudget,  due", "", "Ça va?"]
  made = Separate(text="a", to="b")({"a": texts}, None)
  assert made == {"a": texts, "b": [" re : ( budget ) \n budget , due", "", " ça va ?"]}
  assert Separate(text="a", to="a", signs=False)({"a": texts}, None)["a"][0] == " re budget budget due"
  assert SentenceLines().detokenize("One . Two . ") == "One .\nTwo .\n"


def test_spacys_words_are_those_of_the_language():
  words = lambda language, text: SpacyWords(text="a", to="a", language=language, lower=True)({"a": [text]}, None)["a"][0]
  assert words("en", "A man doesn't sit, e.g. on U.S. soil.") == "a man does n't sit , e.g. on u.s. soil ."
  assert words("de", "Ein Mann, z.B. im 2. Haus.") == "ein mann , z.b. im 2. haus ."


def test_wikitext_is_written_as_people_do():
  text = ' = = Cast = = \n He played " The Bill " ( 2000 ) , a well @-@ known part of 1 @,@ 000 @.@ 5 : Ann \'s [ 1 ] . \n'
  written = '== Cast ==\nHe played "The Bill" (2000), a well-known part of 1,000.5: Ann\'s [1].\n'
  assert WikiText(text="a", to="b")({"a": [text]}, None)["b"] == [f" {written}"]
  assert First(text="a", to="b")({"a": [["x", "y"], ["z"]]}, None)["b"] == ["x", "z"]
