"""Prepared packs on disk: built once, verified at every start, never repaired behind anybody's back.

A pack lives in `<directory>/<pack>-<build digest>/`, beside a SHA256SUMS that `sha256sum -c` understands. What a
file must be is pinned in the manifest, so that two machines cannot serve different templates under one name,
and a changed file cannot bring its own digest along. A new release with other models builds a new folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from overt.errors import Fatal
from overt.models.manifest import Model, Pack, Task, load_pack

SUMS = "SHA256SUMS"
ACCEPTED = "LICENCE_ACCEPTED"
"""Beside the files of a pack whose licence wants accepting: the terms that whoever built it here accepted."""


@dataclass(frozen=True, slots=True)
class PreparedPack:
    """A pack whose files were just verified. `folder` holds them under the manifest's names."""

    pack: Pack
    folder: Path

    @property
    def detector(self) -> Path:
        return self.folder / self.pack.model(Task.DETECTION).file

    @property
    def recogniser(self) -> Path:
        return self.folder / self.pack.model(Task.RECOGNITION).file

    @property
    def digest(self) -> str:
        """The model_digest of templates made with this pack."""
        return self.pack.digest

    def content(self, task: Task) -> bytes:
        """The prepared file's bytes, verified as they are read: what is loaded is what the manifest pins."""
        return _verified(self.pack, self.pack.model(task), self.folder)


def default_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """$XDG_CACHE_HOME/overt/models, or ~/.cache/overt/models."""
    cache = environment.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "overt" / "models"


def folder_of(pack: Pack, directory: Path) -> Path:
    return directory / f"{pack.name}-{pack.build_digest[:12]}"


def ensure(pack: Pack | str, directory: Path) -> PreparedPack:
    """Verified, built first if it was never built here. A corrupted file is Fatal, not rebuilt. Blocks ~1 s."""
    pack = load_pack(pack) if isinstance(pack, str) else pack
    return verify(pack, directory) if folder_of(pack, directory).exists() else build(pack, directory)


def verify(pack: Pack, directory: Path) -> PreparedPack:
    """Recomputes the digest of every file. Fatal names the file that is missing or differs, and the remedy."""
    folder = folder_of(pack, directory)
    if not folder.is_dir():
        raise Fatal(f"the model pack {pack.name} is not built in {directory}; {_remedy(pack, directory)}")
    for model in pack.models:
        _verified(pack, model, folder)
    if pack.acceptance_required and not _is_accepted(pack, folder):
        raise Fatal(
            f"nobody has accepted here what the pack {pack.name} asks for ({_terms(pack)}); {_remedy(pack, directory)}"
        )
    return PreparedPack(pack, folder)


def _verified(pack: Pack, model: Model, folder: Path) -> bytes:
    path, directory = folder / model.file, folder.parent
    try:
        content = path.read_bytes()
    except OSError as fault:
        raise Fatal(f"the model file {path} cannot be read ({fault.strerror}); {_remedy(pack, directory)}") from None
    if hashlib.sha256(content).hexdigest() != model.sha256:
        raise Fatal(
            f"the model file {path} is not what the pack {pack.name} says: it was damaged or changed; "
            f"find out why, then {_remedy(pack, directory)}"
        )
    return content


def build(
    pack: Pack,
    directory: Path,
    *,
    from_folder: Path | None = None,
    licence_accepted: bool = False,
    on_model: Callable[[Model], None] = lambda model: None,
) -> PreparedPack:
    """Prepares every file of the pack and puts the folder in place at once, instead of a damaged one.

    `from_folder` holds the sources that are not in an installed package. `on_model` is told of each model before
    it is prepared. Fatal when a source is missing or not the pinned one, when the licence wants accepting, when
    the result is not the pinned one, or when the directory is not writable.
    """
    if pack.acceptance_required and not licence_accepted:
        raise Fatal(
            f"the pack {pack.name} is used only after its licence is accepted ({_terms(pack)}); "
            f"{_remedy(pack, directory)}"
        )
    target = folder_of(pack, directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{pack.name}-", dir=directory))
    except OSError as fault:
        raise Fatal(f"the model directory {directory} is not writable ({fault.strerror})") from None
    try:
        for model in pack.models:
            on_model(model)
            _write(scratch / model.file, _prepared(model, from_folder))
        sums = "".join(f"{m.sha256}  {m.file}\n" for m in pack.models)
        _write(scratch / SUMS, sums.encode())
        if pack.acceptance_required:
            _write(scratch / ACCEPTED, _terms(pack).encode())
        scratch.chmod(0o755)
        with _one_at_a_time(directory):
            _put(scratch, target, intact=_is_intact(pack, directory))
    except OSError as fault:
        raise Fatal(f"the model directory {directory} cannot be written ({fault.strerror})") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return verify(pack, directory)


def _prepared(model: Model, from_folder: Path | None) -> bytes:
    source = _source(model, from_folder)
    if hashlib.sha256(source).hexdigest() != model.source.sha256:
        raise Fatal(
            f"{model.source} is not the file that the manifest of {model.name} pins; install the locked version"
        )
    content = source
    if model.prepare:
        # Only a build needs onnx; a service that finds its pack built never imports it from here.
        from overt.models import graphs

        content = graphs.prepare(source, model.prepare)
    found = hashlib.sha256(content).hexdigest()
    if found != model.sha256:
        raise Fatal(f"{model.name} was prepared to {found}, its manifest pins {model.sha256}")
    return content


def _source(model: Model, from_folder: Path | None) -> bytes:
    source = model.source
    try:
        if source.package:
            return package_file(source.package, source.resource)
        if from_folder is None:
            raise Fatal(f"{model.name} does not come with an installed package; say where {source.file} is")
        return (from_folder / source.file).read_bytes()
    except OSError as fault:
        raise Fatal(f"{source} of {model.name} cannot be read ({fault.strerror})") from None


def package_file(package: str, resource: str) -> bytes:
    """A package's file as data. The package is found and never imported: none of its code runs.

    Fatal when the package is not installed, OSError when it has no such file.
    """
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise Fatal(f"the package {package} that holds the models is not installed; install overt[detect]")
    return resources.files(importlib.util.module_from_spec(spec)).joinpath(resource).read_bytes()


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    path.chmod(0o644)


@contextmanager
def _one_at_a_time(directory: Path) -> Iterator[None]:
    """Between builders, also of other processes: what is looked at as damaged is still the same when it is moved.
    The lock goes with the process, whatever ends it."""
    lock = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _put(scratch: Path, target: Path, *, intact: bool) -> None:
    """Renames the finished folder into place. An intact one that is there has the same bytes and stays: a
    service may be reading it. A damaged one is moved aside first, then removed."""
    if target.exists() and not intact:
        aside = Path(tempfile.mkdtemp(prefix=".old-", dir=target.parent))
        target.rename(aside / target.name)
        shutil.rmtree(aside, ignore_errors=True)
    if not target.exists():
        scratch.rename(target)


def _is_intact(pack: Pack, directory: Path) -> bool:
    try:
        verify(pack, directory)
    except Fatal:
        return False
    return True


def _is_accepted(pack: Pack, folder: Path) -> bool:
    try:
        return (folder / ACCEPTED).read_text(encoding="utf-8") == _terms(pack)
    except (OSError, ValueError):
        return False


def _terms(pack: Pack) -> str:
    return "; ".join(f"{m.name}: {m.licence}" for m in pack.models)


def _remedy(pack: Pack, directory: Path) -> str:
    given = " --from FOLDER_WITH_ITS_FILES" if any(m.source.file for m in pack.models) else ""
    accepted = " --accept-licence" if pack.acceptance_required else ""
    return f"run: overt models build {pack.name}{given}{accepted} --directory {directory}"
