"""The page asks nothing but its own server, runs no inline script, and shows each kind of answer with where it comes from."""

import json
import re
import shutil
import subprocess

import browser
import pytest
from doubles import KINDS, Double, picture, recording
from running import running

from research.application.page.files import files


def test_the_page_names_no_other_address_and_holds_no_inline_script_or_style():
  assert {"index.html", "style.css", "main.js", "icon.svg"} <= files().keys()
  for name, (data, _, _) in files().items():
    text = data.decode()
    found = set(re.findall(r"""(?:https?:)?//[\w.-]+\.\w+""", text)) - {"http://www.w3.org"}
    assert not found, (name, found)
    assert not re.search(r"\beval\(|new Function|innerHTML|insertAdjacentHTML|document\.write|@import|url\(", text), name
  html = files()["index.html"][0].decode()
  assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=|javascript:", html)


def test_every_file_that_a_file_names_is_there():
  for name, (data, _, _) in files().items():
    for path in re.findall(r"""(?:/page/|from "\./)([\w.]+)""", data.decode()):
      assert path in files(), (name, path)


def test_unchanged_files_are_not_sent_again():
  with running({"text-to-text": Double("text-to-text")}) as server:
    status, headers, _ = server.ask("/page/main.js")
    assert status == 200 and headers["content-type"].startswith("text/javascript")
    assert server.ask("/page/main.js", headers={"if-none-match": headers["etag"]})[0] == 304
    assert [model["model"] for model in server.json("/models")["models"]] == ["text-to-text"]
    assert b"computes **nothing**" in server.ask("/models/text-to-text/card")[2]


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_scripts_are_javascript():
  script = "\n".join(re.sub(r"^import .*$", "", data.decode(), flags=re.M).replace("export ", "")
                     for name, (data, _, _) in sorted(files().items()) if name == "card.js")
  card = "# A\n\n- `b` *c*\n  d\n\n| x | y |\n|---|---|\n| 1 | [z](https://q.org) |\n\n<b>\n"
  script += f"""
  function el(tag, properties, ...children) {{ return [tag, ...children]; }}
  console.log(JSON.stringify(prose({json.dumps(card)})));"""
  found = subprocess.run(["node", "--input-type=module", "-e", script], capture_output=True, text=True, check=True).stdout
  assert '["h2","A"]' in found.replace('"",', "").replace(',""', "") and '["code","b"]' in found and '["em","c"]' in found
  assert '["td","1"]' in found and '["a","z"]' in found and '["p","<b>"]' in found


@pytest.fixture(scope="module")
def page():
  if browser.PROGRAM is None:
    pytest.skip("Chromium is not installed")
  found = browser.Browser()
  yield found
  found.close()


@pytest.fixture(scope="module")
def server():
  with running({kind: Double(kind) for kind in KINDS}) as found:
    yield found


@pytest.fixture
def opened(page, server, request):
  """The page with the form of a kind; in the end nothing may have gone wrong or been asked of others."""
  kind, options = request.param if isinstance(request.param, tuple) else (request.param, {})
  page.console.clear()
  page.asked.clear()
  page.open(f"http://127.0.0.1:{server.port}/?{request.node.name}#{kind}", **options)
  page.wait("document.querySelector('#form').childElementCount")
  yield page
  assert page.console == []
  assert all(re.match(rf"http://127\.0\.0\.1:{server.port}/|data:|blob:", address) for address in page.asked)
  assert page.run("document.getElementById('alert').hidden")
  assert page.run("document.documentElement.scrollWidth <= innerWidth"), "wider than the window"


def kinds(*names):
  return pytest.mark.parametrize("opened", names, indirect=True)


def write(page, words):
  """Types a text and sends it."""
  page.run(f"document.querySelector('textarea').value = {words!r}; document.querySelector('form').requestSubmit()")


def text(page, selector):
  return page.run(f"document.querySelector({selector!r}).innerText")


@pytest.mark.heavy
@kinds("image-classification", ("image-classification", {"width": 390, "height": 844, "touch": True}))
def test_a_picture_is_labelled_and_another_label_can_be_asked_about(opened, tmp_path):
  (tmp_path / "a.png").write_bytes(picture(250))
  opened.choose(".drop input", tmp_path / "a.png")
  opened.wait("document.querySelector('.view canvas')")
  assert text(opened, ".labels li .name") == "bright" and "for bright" in text(opened, ".key")
  assert "on the device" in text(opened, "#latency")
  opened.run("document.querySelectorAll('.labels button')[2].focus()")
  opened.key("Enter", text="\r")
  opened.wait("document.querySelector('.key').innerText.includes('for dark')")
  assert opened.run("document.querySelectorAll('.labels button')[2].getAttribute('aria-pressed')") == "true"


@pytest.mark.heavy
@kinds("image-classification")
def test_a_picture_is_taken_with_the_camera(opened):
  opened.run("[...document.querySelectorAll('#form button')].find(b => b.innerText === 'Take a picture').click()")
  opened.wait("document.querySelector('video')?.videoWidth > 0")
  opened.run("[...document.querySelectorAll('#form button')].find(b => b.innerText === 'This one').click()")
  opened.wait("document.querySelector('.labels')")


@pytest.mark.heavy
@kinds("speech-to-text")
def test_words_light_up_with_their_times(opened, tmp_path):
  (tmp_path / "a.wav").write_bytes(recording(2.0))
  opened.choose("#form input[type=file]", tmp_path / "a.wav")
  opened.wait("document.querySelectorAll('.words button').length === 6")
  opened.run("document.querySelector('audio').currentTime = 1.1")  # of words a third of a second long: the fourth
  opened.wait("document.querySelector('.words .now')?.innerText === 'fox'")
  opened.run("document.querySelectorAll('.words button')[1].click()")
  opened.wait("Math.abs(document.querySelector('audio').currentTime - 0.33) < 0.4")


@pytest.mark.heavy
@kinds("speech-to-text")
def test_speech_is_recorded(opened):
  opened.run("document.querySelector('button.main').click()")
  opened.wait("/Stop .0\\.[5-9]/.test(document.querySelector('button.main').innerText)")
  opened.run("document.querySelector('button.main').click()")
  opened.wait("document.querySelector('.words')")
  assert text(opened, ".words").startswith("the")


@pytest.mark.heavy
@kinds("text-to-text", ("text-to-text", {"dark": True}))
def test_a_word_shows_what_it_comes_from_by_pointer_and_by_keys(opened):
  write(opened, "one two three")
  opened.wait("document.querySelector('.source')")
  lit = "[...document.querySelectorAll('.source .lit')].map(s => s.innerText.trim()).join()"
  opened.point(".tokens:not(.source) span", 0)
  opened.wait(f"{lit} === 'three'")
  opened.run("document.querySelector('.tokens:not(.source) span').focus()")
  opened.key("ArrowRight")
  opened.wait(f"{lit} === 'two'")


@pytest.mark.heavy
@kinds("text-to-text")
def test_a_summary_marks_the_sentences_it_comes_from(opened):
  source = " ".join(f"This is sentence number {i} of a long text." for i in range(9))
  write(opened, source)
  opened.wait("document.querySelectorAll('.source span').length === 9")
  opened.point(".tokens:not(.source) span", 1)
  opened.wait("[...document.querySelectorAll('.source .lit')].map(s => s.innerText).join().includes('number 8')")


@pytest.mark.heavy
@kinds("text-generation")
def test_a_text_goes_on_as_it_is_written(opened):
  write(opened, "The clock")
  opened.wait("document.querySelector('.output') && !document.querySelector('.writing')")
  assert text(opened, ".output") == "The clock" + " tick tock" * 8 and "16 tokens" in text(opened, "#latency")


@pytest.mark.heavy
@kinds("text-classification")
def test_a_texts_words_are_shaded_and_the_card_is_text(opened):
  write(opened, "so extraordinarily long")
  opened.wait("document.querySelectorAll('.tokens span').length === 3")
  weights = opened.run("[...document.querySelectorAll('.tokens span')].map(s => +s.style.getPropertyValue('--weight'))")
  assert max(weights) == weights[1] == 1
  opened.run("document.getElementById('card').open = true")
  opened.wait("document.querySelector('.prose table')")
  assert 'alert("a card is text")' in text(opened, ".prose") and opened.run("document.querySelector('.prose script') === null")


@pytest.mark.heavy
def test_what_goes_wrong_is_said_and_a_token_is_asked_for(page, tmp_path):
  (tmp_path / "token").write_text("0123456789abcdef")
  with running({"text-to-text": Double("text-to-text")}, token_file=str(tmp_path / "token")) as server:
    page.open(f"http://127.0.0.1:{server.port}/")
    for word in ("wrong-token", "0123456789abcdef"):
      page.wait("!document.getElementById('token').hidden")
      page.run(f"document.querySelector('#token input').value = {word!r}")
      page.run("document.querySelector('#token form').requestSubmit()")
      page.wait("document.querySelector('#form form') || "
                "document.querySelector('#token label')?.innerText.includes('not the token')")
    page.wait("document.querySelector('textarea')")
    page.run("document.querySelector('#form form').requestSubmit()")
    page.wait("!document.getElementById('alert').hidden")
    assert text(page, "#alert") == "the text is empty"
