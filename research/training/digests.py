"""A manifest of sha256 digests over a folder, so that one changed bit in any of its files is noticed.

A line `digest size name` for every file below the folder, then a last line with the digest of all lines before it: the
manifest protects itself too. It is written last and appears at once, so a folder with a manifest is complete.
"""

import hashlib
import os

from etils import epath

MANIFEST = "MANIFEST.sha256"
_CHUNK_BYTES = 1 << 20


def write_manifest(folder: epath.Path) -> None:
  """Digests every file below `folder`, puts it on stable storage, and writes the manifest. Raises OSError."""
  lines = []
  for name, path in sorted(_files(folder).items()):
    digest, size = _digest(path)
    _sync(path)
    lines.append(f"{digest} {size} {name}\n")
  body = "".join(lines).encode()
  new = folder / (MANIFEST + ".new")
  new.write_bytes(body + f"{hashlib.sha256(body).hexdigest()}\n".encode())
  _sync(new)
  new.replace(folder / MANIFEST)
  for path in {folder, *(p for file in _files(folder).values() for p in file.parents if p.is_relative_to(folder))}:
    _sync(path)
  _sync(folder.parent)


def find_damage(folder: epath.Path, *, contents: bool = True) -> str | None:
  """Compares `folder` with its manifest.

  Args:
    folder: a folder that `write_manifest` has seen.
    contents: read every file; otherwise only the manifest and the names of the files are checked.

  Returns:
    What is wrong with which file, or None if nothing is.
  """
  try:
    expected = _read_manifest(folder / MANIFEST)
    found = _files(folder)
    found.pop(MANIFEST)
    for name in sorted(expected.keys() | found.keys()):
      if name not in found:
        return f"{name} is missing"
      if name not in expected:
        return f"{name} does not belong there"
      if contents:
        digest, size = _digest(found[name])
        if size != expected[name][1]:
          return f"{name} has {size} bytes instead of {expected[name][1]}"
        if digest != expected[name][0]:
          return f"{name} has changed"
  except _ManifestError as error:
    return str(error)
  except OSError as error:  # a failing disk is damage like any other
    return f"{getattr(error, 'filename', None) or 'a file'} cannot be read ({error.strerror or error})"
  return None


class _ManifestError(Exception):
  """The manifest is absent or not what was written."""


def _read_manifest(path: epath.Path) -> dict[str, tuple[str, int]]:
  """File name to (digest, size)."""
  if not path.exists():
    raise _ManifestError(f"{MANIFEST} is missing")
  data = path.read_bytes()
  body, last = data[:-65], data[-65:]
  if last != f"{hashlib.sha256(body).hexdigest()}\n".encode():
    raise _ManifestError(f"{MANIFEST} has changed")
  rows = (line.split(" ", 2) for line in body.decode().splitlines())
  return {name: (digest, int(size)) for digest, size, name in rows}


def _files(folder: epath.Path, prefix: str = "") -> dict[str, epath.Path]:
  """Every file below `folder`, by its path from there."""
  files = {}
  for path in folder.iterdir():
    if path.is_dir():
      files |= _files(path, f"{prefix}{path.name}/")
    else:
      files[prefix + path.name] = path
  return files


def _digest(path: epath.Path) -> tuple[str, int]:
  digest, size = hashlib.sha256(), 0
  with path.open("rb") as file:
    while chunk := file.read(_CHUNK_BYTES):
      digest.update(chunk)
      size += len(chunk)
  return digest.hexdigest(), size


def _sync(path: epath.Path) -> None:
  """Survives a power cut; object stores need no such call."""
  if "://" in os.fspath(path):
    return
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)
