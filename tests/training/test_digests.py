import pytest
from etils import epath

from research.training import digests


@pytest.fixture
def folder(tmp_path):
  folder = epath.Path(tmp_path) / "step"
  (folder / "deep" / "er").mkdir(parents=True)
  (folder / "a").write_bytes(bytes(range(256)) * 9000)  # more than one chunk is read
  (folder / "empty").write_bytes(b"")
  (folder / "deep" / "er" / "name with  blanks").write_bytes(b"text")
  digests.write_manifest(folder)
  return folder


def test_untouched_files_have_no_damage(folder):
  assert digests.find_damage(folder) is None
  assert digests.find_damage(folder, contents=False) is None


def test_every_single_bit_of_the_manifest_is_protected(folder):
  path = folder / digests.MANIFEST
  whole = path.read_bytes()
  for position in range(len(whole)):
    changed = bytearray(whole)
    changed[position] ^= 1 << position % 8
    path.write_bytes(bytes(changed))
    assert digests.find_damage(folder) == "MANIFEST.sha256 has changed", position
  for length in range(0, len(whole), 7):
    path.write_bytes(whole[:length])
    assert digests.find_damage(folder) == "MANIFEST.sha256 has changed", length


@pytest.mark.parametrize("contents", [True, False])
def test_a_missing_an_added_and_a_renamed_file_are_named(folder, contents):
  (folder / "deep" / "new").write_bytes(b"")
  assert digests.find_damage(folder, contents=contents) == "deep/new does not belong there"
  (folder / "deep" / "new").unlink()
  (folder / "empty").unlink()
  assert digests.find_damage(folder, contents=contents) == "empty is missing"
  (folder / "empty").write_bytes(b"")
  (folder / digests.MANIFEST).unlink()
  assert digests.find_damage(folder, contents=contents) == "MANIFEST.sha256 is missing"


def test_a_changed_file_is_named_with_what_happened_to_it(folder):
  path = folder / "deep" / "er" / "name with  blanks"
  path.write_bytes(b"tex")
  assert digests.find_damage(folder) == "deep/er/name with  blanks has 3 bytes instead of 4"
  path.write_bytes(b"tExt")
  assert digests.find_damage(folder) == "deep/er/name with  blanks has changed"
  assert digests.find_damage(folder, contents=False) is None  # by name alone it cannot be seen


def test_a_folder_that_is_gone_is_damage_not_a_traceback(tmp_path):
  assert digests.find_damage(epath.Path(tmp_path) / "nowhere") == "MANIFEST.sha256 is missing"
