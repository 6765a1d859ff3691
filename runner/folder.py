"""A run folder: what lies where in it, and run.json, which says what the run is."""

from __future__ import annotations

import shlex
import sys
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from runner.checksum import checked, with_checksum
from runner.durable import fsync_folder, machine_fault, replace_file, temporary_of
from runner.errors import JobError, MachineFault, RunFolderError
from runner.job import Job
from runner.lock import Lock, holder, is_held
from runner.seals import Seals
from runner.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Sequence

LAYOUT_VERSION = 2  # of a new run
_READ_VERSIONS = frozenset({1, 2})
PARTS_OF_LAYOUT = ("journal", "completions", "seals")  # what a switch exchanges
_FILE_ENDINGS = {".parquet": "parquet", ".csv": "csv", ".jsonl": "jsonl"}


@dataclass(frozen=True, slots=True)
class RunFile:
    """The contents of run.json. Written at a run's start, read by every command; no secret."""

    job: Job  # resolved: the flags and the job file in one
    paths: tuple[str, ...]  # the dataset as the user named it, made absolute
    stamp: list[dict[str, Any]]  # path, size and mtime_ns of each dataset file
    digest: str | None  # SHA-256 of the dataset's contents; None until it has been computed
    total_rows: int | None  # rows of the dataset; None until it has been read to its end
    block_rows: int  # rows a block; fixed for the run's life
    rehearsal: bool  # answers come from the stand-in server
    export: str | None  # the one file beside the folder, for `-o FILE`
    created: float  # seconds since the epoch
    version: str  # of this package
    # Results that answer no row any more, added up, by their folder in superseded/: paid for.
    superseded: dict[str, Any] = field(default_factory=dict)
    pilot: tuple[int, ...] | None = None  # the rows in scope, ascending; None: not a pilot
    switch: str | None = None  # next/ is current; what it replaces moves to this of superseded/

    @property
    def paid_before(self) -> Tally:
        """All that is in `superseded`, added up."""
        total = Tally()
        for one in self.superseded.values():
            total.merge(Tally.from_json(one))
        return total

    def superseded_total(self) -> dict[str, Any] | None:
        """What was paid for that is no part of the output; None where nothing was.

        Answers, and attempts at rows that had none.
        """
        paid = self.paid_before
        if not (paid.rows or paid.requests):
            return None
        return {
            "rows": paid.rows,
            "requests": paid.requests,
            "unmetered_attempts": paid.unmetered_attempts,
            "total_tokens": paid.total_tokens,
            "cost": paid.cost,
            "currency": paid.currency,
        }

    def encode(self) -> bytes:
        """The text of run.json."""
        data = {name: getattr(self, name) for name in self.__slots__ if name != "job"}
        data["job"] = self.job.model_dump(mode="json", exclude_defaults=True)
        data["layout"] = LAYOUT_VERSION
        data["python"] = sys.version.split()[0]
        return with_checksum(data) + b"\n"

    @classmethod
    def decode(cls, data: dict[str, Any]) -> RunFile:
        """The run that `encode` wrote."""
        found = {
            one.name: data[one.name]
            for one in fields(cls)
            if one.name in data or (one.default is MISSING and one.default_factory is MISSING)
        }
        if found.get("pilot") is not None:
            found["pilot"] = tuple(found["pilot"])
        return cls(**{**found, "job": Job.build(data["job"]), "paths": tuple(data["paths"])})

    def over(self, paths: Sequence[str], stamp: list[dict[str, Any]]) -> RunFile:
        """The same run, its dataset lying there now."""
        return replace(self, paths=tuple(absolute(path) for path in paths), stamp=stamp)

    def at_end(self, total_rows: int) -> RunFile:
        """The same run, its dataset now known to its end."""
        return replace(self, total_rows=total_rows)


def absolute(path: str) -> str:
    """A dataset path as run.json keeps it, so that a resume works from any folder."""
    return path if "://" in path else str(Path(path).absolute())


class RunFolder:
    """The files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = path / "journal"
        self.parts = path / "completions"
        self.seal_records = path / "seals"
        self.measures = path / "measures.jsonl"
        self.summary = path / "summary.json"
        self.estimate = path / "estimate.json"
        self.lease = path / "lease.json"
        self.control = path / "control.json"
        self.superseded = path / "superseded"
        self.next = path / "next"  # another layout, while it is built
        self.exports = path / "exports.json"
        self._run_file = path / "run.json"
        self._lock = path / "lock"

    def exists(self) -> bool:
        """Whether a run has been started here."""
        return self._run_file.is_file()

    def is_vacant(self) -> bool:
        """Whether a run may begin here: nothing is here, or what a start left that was killed."""
        if not self.path.is_dir():
            return not self.path.exists()
        ours = {self.journal, self.parts, self.seal_records}
        return all(
            (path in ours and path.is_dir() and not any(path.iterdir()))
            or path in {self._lock, temporary_of(self._run_file)}
            for path in self.path.iterdir()
        )

    def has_results(self) -> bool:
        """Whether anything has been answered here, sealed or not, or set aside."""
        folders = (self.journal, self.parts, self.seal_records, self.superseded)
        return any(any(folder.glob("[!.]*")) for folder in folders) or self.is_live()

    def lock(self) -> Lock:
        """The one writer's lock, to be held with `with`."""
        return Lock(self._lock)

    def is_live(self) -> bool:
        """Whether a process is working on this run now."""
        return is_held(self._lock)

    def holder(self) -> dict[str, object]:
        """The process that last worked on this run: pid, host, since."""
        return holder(self._lock)

    def seals(self, run: RunFile) -> Seals:
        """The run's sealed blocks."""
        parts, seals = self.place("completions", run), self.place("seals", run)
        return Seals(parts, seals, run.job.format)

    def place(self, name: str, run: RunFile) -> Path:
        """Where `journal`, `completions` or `seals` lie, also where a switch has been cut short."""
        if run.switch is not None and (self.next / name).exists():
            return self.next / name
        return self.path / name

    def prepare(self) -> None:
        """Make the folder, empty. Raises RunFolderError where that cannot be."""
        try:
            for folder in (self.path, self.journal, self.parts, self.seal_records):
                folder.mkdir(parents=True, exist_ok=True)
            fsync_folder(self.path)
        except OSError as error:
            fault = machine_fault("make the run folder", self.path, error)
            raise RunFolderError(str(fault).removesuffix("; then resume the run")) from None

    def check_whole(self, run: RunFile) -> None:
        """Raise MachineFault where a folder of the run's results is missing."""
        for name in PARTS_OF_LAYOUT:
            place = self.place(name, run)
            if not place.is_dir():
                raise MachineFault(
                    f"{place} is missing, and with it answers that were paid for: bring the folder "
                    f"back from a copy; or, where it was empty or is lost, go on without: "
                    f"penstock resume {shlex.quote(str(self.path))} --accept-changes"
                )

    def write_run(self, run: RunFile) -> None:
        """Make `run` the one that lives here, in one step."""
        replace_file(self._run_file, run.encode())

    def read_run(self) -> RunFile:
        """What run.json says. Raises RunFolderError when there is no run here."""
        try:
            text = self._run_file.read_bytes()
            data = orjson.loads(text)
        except (FileNotFoundError, NotADirectoryError):
            raise RunFolderError(self._no_run()) from None
        except orjson.JSONDecodeError as error:
            raise self._damaged(str(error)) from None
        except OSError as error:
            reason = error.strerror or str(error)
            raise RunFolderError(f"{self._run_file} cannot be read: {reason}") from None
        try:
            if data.get("layout") in _READ_VERSIONS:
                return RunFile.decode(checked(text))
        except ValueError as error:
            raise self._damaged(
                str(error), "; or look it through, put right what is wrong, and set its crc to null"
            ) from None
        except (LookupError, TypeError, AttributeError, JobError) as error:
            raise self._damaged(f"{type(error).__name__}: {error}") from None
        raise RunFolderError(
            f"{self.path} was made by penstock {data.get('version')}, in a layout that this "
            f"version does not read; use that version to finish it"
        )

    def _damaged(self, why: str, or_else: str = "") -> RunFolderError:
        return RunFolderError(
            f"{self._run_file} is damaged ({why}); bring it back from a copy{or_else}. The answers "
            f"in {self.path} are kept"
        )

    def _no_run(self) -> str:
        if self.path.is_file():
            return (
                f"{self.path} is a file, and not a run's; give the folder or the .csv, .jsonl or "
                f".parquet file that -o named"
            )
        if not self.path.exists():
            return (
                f"{self.path}: there is no such run; `penstock generate -o {self.path}` starts one"
            )
        if self.parts.is_dir() and self.seal_records.is_dir():
            return (
                f"{self._run_file} is missing, and nothing else says what the answers in "
                f"{self.path} were given to; bring it back from a copy"
            )
        return f"{self.path} holds no run (it has no run.json); give the folder that -o named"


def run_folder_of(name: str) -> tuple[RunFolder, Path | None]:
    """The run that `-o NAME` or RUN means, and the one file beside it when NAME is a file's.

    `answers.csv` stands for the folder `answers.csv.run` and the file `answers.csv`; so does the
    folder's own name.
    """
    path = Path(name)
    if path.suffix in _FILE_ENDINGS and not path.is_dir():
        return RunFolder(path.with_name(path.name + ".run")), path
    if path.suffix == ".run" and Path(path.stem).suffix in _FILE_ENDINGS:
        return RunFolder(path), path.with_suffix("")
    return RunFolder(path), None
