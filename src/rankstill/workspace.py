"""One experiment's folder: the outputs of each step, their fingerprints, and the guarantee that a kill loses no
finished step.

A step writes under `.making/` and is committed in two moves: its outputs are renamed into place, then `manifest.json`,
which alone says what is finished, is replaced atomically. A kill between the two leaves a step that simply runs again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from rankstill.cache import Cache
from rankstill.compute.memory import peak_memory, release_models
from rankstill.disk import disk_errors
from rankstill.errors import WorkspaceError
from rankstill.progress import note, say
from rankstill.steps import Plan, duration, title

FORMAT = 3
"""Version of what lies in a workspace. Raised when a step's files change their meaning."""

_WORTH_COLLECTING = 2.0
"""Seconds of a step after which unused models are looked for: that takes a third of a second."""
_RECORDED_VERSIONS = ("rankstill", "sentence-transformers", "transformers", "torch", "bm25s", "numpy")


@dataclass(frozen=True)
class StepRecord:
    """What the manifest keeps of a finished step.

    Args:
        fingerprint: digest of the step's configuration, its inputs and the format version.
        outputs: names in the workspace that the step made.
        seconds: wall time.
        peak_memory_mb: highest resident memory of the process up to the step's end, in MiB.
        versions: of the libraries that did the work.
        notes: what the step found worth saying, shown in the report.
    """

    fingerprint: str
    outputs: tuple[str, ...]
    seconds: float
    peak_memory_mb: float
    versions: Mapping[str, str]
    notes: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> StepRecord:
        """What the manifest holds of a step."""
        return cls(**{**record, "outputs": tuple(record["outputs"]), "notes": tuple(record.get("notes", ()))})


@dataclass(frozen=True)
class DatasetIdentity:
    """Which dataset a workspace's steps were made on.

    Args:
        name: for people.
        source: where it comes from, the same from whichever folder a command is started.
    """

    name: str
    source: str
    fingerprint: str

    def __str__(self) -> str:
        return f"{self.name} ({self.source})"

    def is_another(self, former: DatasetIdentity) -> bool:
        """Whether this is another dataset, and not the former one moved, or changed in its place."""
        return self.fingerprint != former.fingerprint and (self.name, self.source) != (former.name, former.source)


def digest(*parts: Any) -> str:
    """A short, stable digest of JSON-like values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def write_atomically(path: Path, text: str) -> None:
    """Replace a file so that a reader, or a kill, sees the old text or the new, never half."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _versions() -> dict[str, str]:
    return {package: version(package) for package in _RECORDED_VERSIONS}


def _delete(path: Path) -> None:
    """A file, a folder with all that is in it, or nothing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class Workspace:
    """A folder that remembers its finished steps.

    Args:
        folder: made if it is not there.

    Raises:
        WorkspaceError: the folder was made by another version, is damaged, holds other things, cannot be written, or
            another process is using it.
    """

    _dataset: DatasetIdentity | None = None
    plan = Plan()
    """The plan of the current run, for its log lines."""
    cache: Cache | None = None
    """Where steps that other workspaces may share look first."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._seen: set[str] = set()
        self._replaced: dict[str, StepRecord] = {}
        try:
            self._claim_folder()
            self._lock = self._take_lock()
        except OSError as error:
            raise WorkspaceError(
                f"{self.folder}: cannot be used as a workspace ({error.strerror}). Change its permissions or name "
                "another."
            ) from error
        try:
            self._records = self._read_manifest()
        except WorkspaceError:
            self.close()
            raise

    def path(self, name: str) -> Path:
        """Where an output of a step lies."""
        return self.folder / name

    def record(self, step: str) -> StepRecord | None:
        """What the manifest says of a finished step, or None."""
        return self._records.get(step)

    def records(self) -> dict[str, StepRecord]:
        """Every finished step, in the order in which they finished."""
        return dict(self._records)

    def hold(self, dataset: DatasetIdentity, *, replace: bool = False) -> None:
        """Take the workspace for a dataset, before any step is made on it.

        Args:
            replace: delete the finished steps of another dataset.

        Raises:
            WorkspaceError: it holds finished steps of another dataset, and `replace` is not set; or the disk is full.
        """
        former, self._dataset = self._dataset, dataset
        if not self._records or former == dataset:
            return
        if former is not None and dataset.is_another(former):
            held = ", ".join(self._records)
            if not replace:
                self._dataset = former
                raise WorkspaceError(
                    f"{self.folder}: holds finished steps ({held}) of another dataset, {former}; this is {dataset}. "
                    "Name another workspace with -w, or delete these steps by `rankstill run` with --replace."
                )
            note(f"{self.folder}: {held} of dataset {former} are deleted before the first step of {dataset}")
            self._replaced, self._records = self._records, {}
            return
        if former is not None and dataset.fingerprint != former.fingerprint:
            note(f"{dataset} has changed since the steps here were made; those that depend on it are made again")
        with disk_errors(self.folder, "writing manifest.json"):
            self._write_manifest()

    def _delete_replaced(self) -> None:
        with disk_errors(self.folder, "deleting the steps of another dataset"):
            self._write_manifest()  # from here on they are not claimed
            for record in self._replaced.values():
                for output in record.outputs:
                    _delete(self.path(output))
        self._replaced = {}

    def write(self, name: str, text: str) -> None:
        """Write a text file beside the steps' outputs, atomically.

        Raises:
            WorkspaceError: the disk is full or cannot be written.
        """
        with disk_errors(self.folder, f"writing {name}"):
            write_atomically(self.path(name), text)

    def step(
        self,
        name: str,
        make: Callable[[Path], Sequence[str] | None],
        *,
        outputs: Sequence[str],
        settings: Any,
        inputs: Sequence[str] = (),
        shared: bool = False,
    ) -> str:
        """Make a step's outputs, unless the workspace already holds them for the same settings and inputs.

        Args:
            make: writes `outputs` into the folder it is given, and may return notes. The folder outlives a kill, so
                that a step can find what it wrote before and go on from there.
            outputs: names of the files or folders that `make` writes.
            settings: JSON-like values that decide the result.
            inputs: fingerprints of what the step reads, as earlier steps returned them.
            shared: take the outputs, which are folders, from the cache if it holds them, and keep them there.

        Returns:
            The step's fingerprint, to be passed on as an input of later steps.

        Raises:
            WorkspaceError: the disk is full or cannot be written. What `make` had written stays, to go on from.
        """
        if self._replaced:  # only now: until the first step is made, a mistake in the new experiment costs nothing
            self._delete_replaced()
        fingerprint = digest(FORMAT, name, settings, list(inputs))
        known = self._records.get(name)
        making = self.folder / ".making" / f"{name}-{fingerprint}"
        if known and known.fingerprint == fingerprint and all(self.path(output).exists() for output in known.outputs):
            if name not in self._seen:  # a chain asks for a step again wherever a later one needs it
                say(f"{self.plan.place(name)}: already done ({duration(known.seconds)} when it was made)")
                self._seen.add(name)
            shutil.rmtree(making, ignore_errors=True)  # left by a kill right after the step was recorded
            return fingerprint
        self._make(name, self._cached(make, making.name, outputs) if shared else make, making, outputs, fingerprint)
        return fingerprint

    def _cached(
        self, make: Callable[[Path], Sequence[str] | None], step: str, outputs: Sequence[str]
    ) -> Callable[[Path], Sequence[str] | None]:
        """The same step, by way of the cache."""
        cache, name = self.cache, f"{step}-{digest(_versions())}"
        if cache is None:
            return make

        def take_or_make(folder: Path) -> Sequence[str] | None:
            if cache.take(name, folder):
                say(f"taken from {cache.folder}, where an earlier run left it")
                return None
            notes = make(folder)
            cache.keep(name, folder, outputs)
            return notes

        return take_or_make

    def _make(
        self,
        name: str,
        make: Callable[[Path], Sequence[str] | None],
        making: Path,
        outputs: Sequence[str],
        fingerprint: str,
    ) -> None:
        say(f"{self.plan.place(name)} ...{self.plan.begin(name)}")
        started = time.monotonic()
        with disk_errors(self.folder, f'in step "{title(name)}"'):
            self._forget_other_attempts(name, keep=making)
            making.mkdir(parents=True, exist_ok=True)
            notes = tuple(make(making) or ())
            self._commit(name, making, outputs, fingerprint, started, notes)
        self._seen.add(name)
        seconds = self._records[name].seconds
        if seconds > _WORTH_COLLECTING:
            release_models()
        say(f"{self.plan.place(name)}: done in {duration(seconds)}{self.plan.end(name, seconds)}")

    def _forget_other_attempts(self, name: str, keep: Path) -> None:
        for attempt in (self.folder / ".making").glob(f"{name}-*"):
            if attempt != keep:
                shutil.rmtree(attempt)

    def _commit(
        self, name: str, making: Path, outputs: Sequence[str], fingerprint: str, started: float, notes: tuple[str, ...]
    ) -> None:
        former = self._records.pop(name, None)
        if former:
            self._write_manifest()  # the old outputs are about to go; from here on they are not claimed
        # What another step has taken over since stays.
        taken = {output for record in self._records.values() for output in record.outputs}
        gone = [output for output in (former.outputs if former else ()) if output not in taken]
        for output in dict.fromkeys([*outputs, *gone]):
            target = self.path(output)
            target.parent.mkdir(parents=True, exist_ok=True)
            _delete(target)
            if output in outputs:
                (making / output).replace(target)
        self._records[name] = StepRecord(
            fingerprint=fingerprint,
            outputs=tuple(outputs),
            seconds=round(time.monotonic() - started, 1),
            peak_memory_mb=round(peak_memory(), 1),
            versions=_versions(),
            notes=notes,
        )
        self._write_manifest()
        shutil.rmtree(making)

    def _write_manifest(self) -> None:
        steps = {name: record.__dict__ for name, record in self._records.items()}
        dataset = self._dataset and self._dataset.__dict__
        manifest = {"format": FORMAT, "dataset": dataset, "steps": steps}
        write_atomically(self.path("manifest.json"), json.dumps(manifest, indent=2) + "\n")

    def _read_manifest(self) -> dict[str, StepRecord]:
        manifest = self.path("manifest.json")
        if not manifest.exists():
            return {}
        try:
            read = json.loads(manifest.read_text(encoding="utf-8"))
            made_by, steps = read["format"], read["steps"]
            if made_by == FORMAT:
                if read.get("dataset"):  # workspaces made before it was recorded have none
                    self._dataset = DatasetIdentity(**read["dataset"])
                return {name: StepRecord.from_json(record) for name, record in steps.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise WorkspaceError(
                f"{manifest}: not readable as a workspace's manifest ({error}). Move it away to start again, or name "
                "another workspace."
            ) from error
        raise WorkspaceError(
            f"{manifest}: format {made_by}, but this version of rankstill writes format {FORMAT}. "
            "Name another workspace, or install the version that made it."
        )

    def _claim_folder(self) -> None:
        """Make the folder, or see that it is a workspace: steps replace what lies there under their outputs' names."""
        if self.folder.exists() and not self.folder.is_dir():
            raise WorkspaceError(f"{self.folder}: a file, not a folder. Name another workspace.")
        self.folder.mkdir(parents=True, exist_ok=True)
        known = any((self.folder / marker).exists() for marker in (".lock", "manifest.json"))
        if not known and any(self.folder.iterdir()):
            raise WorkspaceError(
                f"{self.folder}: holds files, but is no workspace. Name a new or an empty folder, so that none of them "
                "is overwritten."
            )

    def _take_lock(self) -> IO[str]:
        """Held by the operating system for as long as this process lives, so a kill releases it."""
        lock = (self.folder / ".lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise WorkspaceError(
                f"{self.folder}: another rankstill process is using this workspace. Wait for it, or name another."
            ) from error
        return lock

    def close(self) -> None:
        """Let another process, or another Workspace, use the folder."""
        with suppress(ValueError):
            self._lock.close()

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
