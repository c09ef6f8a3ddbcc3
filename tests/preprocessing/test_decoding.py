"""Real images of all kinds become what the docstring says; damaged ones raise, and a run goes on without them."""

import io
import warnings

import cv2
import numpy as np
import pytest
from absl import logging
from pictures import difference, encoded, photo, randomness
from PIL import Image

from research.data.dataset import Data
from research.data.examples import DataError
from research.data.image_folder import ImageFolder
from research.preprocessing.crops import CentreCrop, RandomResizedCrop
from research.preprocessing.decoding import DecodeImage
from research.preprocessing.geometry import Flip
from research.preprocessing.image_headers import Header, read_header
from research.preprocessing.images import MAX_PIXELS
from research.preprocessing.phases import PerPhase
from research.preprocessing.resizing import ResizeShorter

IMAGE = photo()
ALPHA = np.concatenate([IMAGE, np.broadcast_to(np.linspace(0, 255, 80).astype(np.uint8)[None, :, None], (60, 80, 1))], -1)


def decoded(record, **settings):
  return DecodeImage(**settings)({"record": [record]}, None)["inputs"][0]


def sixteen_bits(pixels):
  return cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()


def oriented(tag, kind="JPEG"):
  exif = Image.Exif()
  exif[0x0112] = tag
  return encoded(IMAGE, kind, exif=exif, **({"quality": 95} if kind == "JPEG" else {}))


# --- whole images ----------------------------------------------------------------------------------------------------


def test_decoding_removes_the_bytes_and_keeps_the_other_features():
  features = {"record": [encoded(IMAGE), encoded(IMAGE[:, :40])], "label": np.arange(2)}
  out = DecodeImage()(features, None)
  assert list(out) == ["label", "inputs"] and list(features) == ["record", "label"]
  np.testing.assert_array_equal(out["inputs"][0], IMAGE)
  np.testing.assert_array_equal(out["inputs"][1], IMAGE[:, :40])


@pytest.mark.parametrize("options", [{}, {"quality": 30}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 2}])
def test_jpegs_are_pillows(options):
  record = encoded(IMAGE, "JPEG", **options)
  assert difference(decoded(record), Image.open(io.BytesIO(record))) <= 1


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "BMP", "WEBP", "PPM"])
def test_other_formats(kind):
  record = encoded(IMAGE, kind, **({"lossless": True} if kind == "WEBP" else {}))
  expected = np.asarray(Image.open(io.BytesIO(record)).convert("RGB"))
  np.testing.assert_array_equal(decoded(record), expected)
  if kind != "GIF":  # which has 256 colours
    np.testing.assert_array_equal(expected, IMAGE)


def test_grey_becomes_three_equal_channels_and_colour_its_luma():
  grey = IMAGE[..., :1]
  for kind in ("PNG", "JPEG", "TIFF"):
    record = encoded(grey, kind)
    rgb, single = decoded(record), decoded(record, colour="grey")
    assert rgb.shape == (60, 80, 3) and single.shape == (60, 80, 1)
    np.testing.assert_array_equal(rgb, np.repeat(single, 3, -1))
    assert difference(decoded(encoded(IMAGE, kind), colour="grey")[..., 0],
                      Image.open(io.BytesIO(encoded(IMAGE, kind))).convert("L")) <= 1


def test_cmyk_and_palette_are_pillows():
  cmyk = encoded(Image.fromarray(IMAGE).convert("CMYK"), "JPEG", quality=95)
  palette = encoded(Image.fromarray(IMAGE).convert("P"), "PNG")
  for record in (cmyk, palette):
    np.testing.assert_array_equal(decoded(record), Image.open(io.BytesIO(record)).convert("RGB"))
  assert np.abs(decoded(cmyk).astype(int) - IMAGE).mean() < 8  # and not its negative


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_16_bits_are_rounded_to_8(kind):
  deep = np.random.default_rng(0).integers(0, 65536, (20, 30, 3), np.uint16)
  if kind == "png":
    np.testing.assert_array_equal(decoded(sixteen_bits(deep)), np.rint(deep / 257))
  grey = sixteen_bits(deep[..., 0][..., None]) if kind == "png" else encoded(Image.fromarray(deep[..., 0]), "TIFF")
  np.testing.assert_array_equal(decoded(grey, colour="grey")[..., 0], np.rint(deep[..., 0] / 257))


def test_one_bit():
  checks = (np.indices((9, 11)).sum(0) % 2).astype(bool)
  np.testing.assert_array_equal(decoded(encoded(Image.fromarray(checks)))[..., 1], checks * 255)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_transparency_is_dropped_or_laid_over_a_background(kind):
  record = encoded(Image.fromarray(ALPHA, "RGBA"), kind)
  np.testing.assert_array_equal(decoded(record), IMAGE)
  opacity = ALPHA[..., 3:] / 255
  for alpha, level in (("white", 255), ("black", 0)):
    over = decoded(record, alpha=alpha)
    np.testing.assert_array_equal(over, np.rint(IMAGE * opacity + level * (1 - opacity)))


def test_a_transparent_colour_of_a_palette_is_transparent():
  picture = Image.fromarray((np.indices((4, 4)).sum(0) % 2).astype(np.uint8), "P")
  picture.putpalette([200, 0, 0, 0, 0, 200])
  record = encoded(picture, transparency=0)
  assert decoded(record)[0, 0].tolist() == [200, 0, 0] and decoded(record, alpha="white")[0, 0].tolist() == [255] * 3
  assert decoded(record, alpha="white")[0, 1].tolist() == [0, 0, 200]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_of_an_animation_the_first_frame_counts(kind):
  frames = [Image.fromarray(np.full((6, 7, 3), level, np.uint8)) for level in (250, 0, 120)]
  record = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **({"lossless": True} if kind == "WEBP" else {}))
  np.testing.assert_array_equal(decoded(record), np.full((6, 7, 3), 250))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_orientation_is_ignored_unless_asked_for(kind):
  turned = oriented(6, kind)  # the camera was turned: the picture is shown after a quarter turn clockwise
  assert difference(decoded(turned), IMAGE) < 40
  assert difference(decoded(turned, exif_orientation=True), np.rot90(IMAGE, -1)) < 40
  assert decoded(turned, exif_orientation=True).shape == (80, 60, 3)


def test_a_single_pixel_and_a_wide_panorama():
  assert decoded(encoded(IMAGE[:1, :1])).tolist() == IMAGE[:1, :1].tolist()
  for kind in ("JPEG", "PNG"):
    assert decoded(encoded(np.full((30, 20000, 1), 9, np.uint8), kind)).shape == (30, 20000, 3)


def test_large_photographs_can_be_decoded_smaller():
  large = photo(640, 960)
  record = encoded(large, "JPEG", quality=95)
  assert decoded(record, shrink_to=321).shape == (640, 960, 3)
  small = decoded(record, shrink_to=160)
  assert small.shape == (160, 240, 3)
  assert np.abs(small.astype(int) - cv2.resize(large, (240, 160), interpolation=cv2.INTER_AREA)).mean() < 3
  assert decoded(record, shrink_to=1).shape == (80, 120, 3)
  assert decoded(encoded(large), shrink_to=1).shape == (640, 960, 3)


# --- headers ---------------------------------------------------------------------------------------------------------


def test_headers_say_how_an_image_is_stored():
  assert read_header(encoded(IMAGE, "JPEG")) == Header("jpeg", 60, 80, 8, "rgb")
  assert read_header(oriented(6)) == Header("jpeg", 60, 80, 8, "rgb")
  assert read_header(encoded(Image.new("CMYK", (5, 4)), "JPEG")).layout == "cmyk"
  assert read_header(encoded(IMAGE, "JPEG", progressive=True)) == Header("jpeg", 60, 80, 8, "rgb")
  assert read_header(encoded(ALPHA)) == Header("png", 60, 80, 8, "rgb_alpha")
  assert read_header(sixteen_bits(np.zeros((3, 2, 1), np.uint16))) == Header("png", 3, 2, 16, "grey")
  for record in (b"", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\x00", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"some text"):
    assert read_header(record) is None
  for cut in range(0, 300, 7):  # whatever is left of a header raises nothing
    read_header(oriented(6)[:cut])
    read_header(encoded(ALPHA)[:cut])


# --- damaged and hostile files ---------------------------------------------------------------------------------------


def bomb(kind):
  """A small file of 400 million pixels, by its header."""
  small = bytearray(encoded(np.zeros((8, 8, 1), np.uint8), kind))
  if kind == "PNG":
    small[16:24] = (20000).to_bytes(4, "big") * 2
  elif kind == "JPEG":
    at = small.index(b"\xff\xc0") + 5
    small[at:at + 4] = (20000).to_bytes(2, "big") * 2
  else:
    small[6:10] = (20000).to_bytes(2, "little") * 2  # GIF
  return bytes(small)


def half(record):
  return record[:len(record) // 2]


JPEG, PNG = encoded(IMAGE, "JPEG"), encoded(IMAGE)
BROKEN = {
    "empty": b"", "text": b"this is no image\n", "html": b"<!DOCTYPE html><html></html>" * 9, "zeros": bytes(500),
    "half.jpg": half(JPEG), "nearly.jpg": JPEG[:-20], "half_progressive.jpg": half(encoded(IMAGE, "JPEG", progressive=True)),
    "zero_tail.jpg": half(JPEG) + bytes(len(JPEG) // 2), "head.jpg": JPEG[:30], "half.png": half(PNG), "head.png": PNG[:20],
    "flipped.png": PNG[:2000] + bytes([PNG[2000] ^ 255]) + PNG[2001:], "half.gif": half(encoded(IMAGE, "GIF")),
    "half.tif": half(encoded(IMAGE, "TIFF")), "half.webp": half(encoded(IMAGE, "WEBP")),
    "half_cmyk.jpg": half(encoded(Image.fromarray(IMAGE).convert("CMYK"), "JPEG")),
    "bomb.png": bomb("PNG"), "bomb.jpg": bomb("JPEG"), "bomb.gif": bomb("GIF"),
    "float.tif": encoded(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_damaged_file_is_an_error_and_never_a_part_of_an_image(name):
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Pillow's, of damaged TIFF entries
    with pytest.raises((ValueError, OSError, SyntaxError)) as error:
      decoded(BROKEN[name])
  message = str(error.value)
  assert message and "0x" not in message
  if name.startswith("bomb"):
    assert "400000000 pixels" in message or "20000 x 20000 pixels, more than max_pixels=89478485" in message


def test_the_limit_on_pixels_is_checked_before_decoding():
  record = encoded(np.zeros((100, 100, 1), np.uint8))
  assert decoded(record, max_pixels=10_000).shape == (100, 100, 3)
  for kind in ("PNG", "JPEG", "GIF", "BMP"):
    with pytest.raises(ValueError, match="100 x 100 pixels, more than max_pixels=9999"):
      decoded(encoded(np.zeros((100, 100, 1), np.uint8), kind), max_pixels=9_999)
  assert Image.MAX_IMAGE_PIXELS == MAX_PIXELS
  with pytest.raises(ValueError, match="max_pixels=1000000000 must be from 1 to"):
    DecodeImage(max_pixels=10**9)


@pytest.fixture
def hostile_folder(tmp_path):
  """Two classes of good images of all kinds, with one of every damaged file among them."""
  good = {f"{n:02d}.jpg": encoded(photo(40 + n, 60, n), "JPEG") for n in range(30)}
  good |= {"cmyk.jpg": encoded(Image.fromarray(IMAGE).convert("CMYK"), "JPEG"), "deep.png": sixteen_bits(
      IMAGE.astype(np.uint16) * 257), "pixel.png": encoded(IMAGE[:1, :1]), "wide.jpg": encoded(
      np.full((60, 20000, 1), 128, np.uint8), "JPEG"), "animated.gif": encoded(
      Image.fromarray(IMAGE), "GIF", save_all=True, append_images=[Image.fromarray(255 - IMAGE)]), "alpha.png": encoded(ALPHA)}
  for folder in ("cats", "dogs"):
    (tmp_path / "set" / folder).mkdir(parents=True)
  for n, (name, record) in enumerate(good.items()):
    (tmp_path / "set" / ("cats", "dogs")[n % 2] / name).write_bytes(record)
  for name, record in BROKEN.items():
    (tmp_path / "set" / "dogs" / f"broken_{name.replace('.', '_')}.jpg").write_bytes(record)
  return tmp_path, len(good)


TRANSFORMS = (DecodeImage(), PerPhase(training=(RandomResizedCrop(size=24, library="opencv"), Flip()),
                                      evaluation=(ResizeShorter(size=28, library="pillow"), CentreCrop(size=24))))


def test_a_run_over_hostile_files_masks_and_counts_exactly_the_broken_ones(hostile_folder, caplog):
  folder, num_good = hostile_folder
  data = Data(train=ImageFolder(path="set"), evaluation={"test": ImageFolder(path="set")}, transforms=TRANSFORMS,
              batch_size=num_good + len(BROKEN), eval_batch_size=8, max_broken_share=0.5)
  logging.set_verbosity(logging.WARNING)
  opened = data.open(folder)
  assert opened.features["inputs"].shape == (24, 24, 3) and opened.features["inputs"].dtype == np.uint8
  batches = data.training(opened, seed=0)
  batch = next(batches)
  broken = batches.pipeline.broken
  batches.close()
  assert batch["mask"].sum() == num_good
  expected = {f"set/dogs/broken_{name.replace('.', '_')}.jpg" for name in BROKEN}
  assert set(broken.first) == expected
  assert not batch["inputs"][batch["mask"] == 0].any() and batch["inputs"][batch["mask"] == 1].any((1, 2, 3)).all()
  evaluated = list(data.evaluating(opened, "test"))
  assert sum(b["mask"].sum() for b in evaluated) == num_good
  seen = np.concatenate([b["index"][b["mask"] == 0] for b in evaluated])
  assert {opened.evaluation["test"].key(int(n)) for n in seen if n >= 0} == expected
  assert any("could not be read" in record.getMessage() for record in caplog.records)


def test_more_broken_files_than_allowed_end_the_run_with_one_line(hostile_folder):
  folder, num_good = hostile_folder
  data = Data(train=ImageFolder(path="set"), evaluation={}, transforms=TRANSFORMS, batch_size=num_good + len(BROKEN),
              max_broken_share=0.1)
  batches = data.training(data.open(folder), seed=0)
  with pytest.raises(DataError, match=r"examples could not be read: set/dogs/broken_.*allowed is a share of 0\.1") as error:
    for _ in range(3):
      next(batches)
  assert "\n" not in str(error.value)
  batches.close()


def test_random_crops_of_decoded_files_belong_to_example_and_epoch():
  records = [encoded(photo(50, 70, seed), "JPEG") for seed in range(6)]
  whole = {"record": records}
  run = lambda features, random: TRANSFORMS[1](TRANSFORMS[0](features, None), random)["inputs"]
  together = run(whole, randomness(np.arange(6), epoch=3))
  for n in range(6):
    np.testing.assert_array_equal(run({"record": [records[n]]}, randomness([n], epoch=3))[0], together[n])
