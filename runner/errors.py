"""Everything that can go wrong, as one tree.

PenstockError
├── StopsRun                 the run ends here; `exit_status` says how
│   ├── Refused         2    the command, the job or the dataset is wrong; nothing was sent
│   │   ├── JobError             a flag, the job file or a template
│   │   ├── DatasetError         a file that cannot be read as rows
│   │   └── RunFolderError       a run folder that is not what the command needs
│   ├── ProviderStopped 3    key, bill, quota, model, configuration, outage
│   ├── BudgetReached   4    a limit that the user set: rows failed, time, money
│   ├── MachineFault    5    disk, or files that changed in mid-run
│   └── Interrupted     130  a person or the system asked it to stop
├── FailsRow                 this row has its final word, the run goes on
└── AttemptFailed            one HTTP call brought no reply; `runner.verdict` judges what follows
    ├── AnsweredError            the server answered with an error
    ├── Unreachable              no connection, or it broke before an answer
    │   └── Untrusted                its certificate is not trusted; waiting will not help
    ├── TimedOut                 no answer in time; it may have been billed
    └── IncompleteReply          it breaks off or makes no sense; it may have been billed
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.records import Reply


class PenstockError(Exception):
    """Base of all errors raised on purpose by this package."""


class StopsRun(PenstockError):  # noqa: N818 - the name says what it does, as in the tree above
    """Ends the run. The text says what happened, where, and what to do."""

    exit_status: ClassVar[int]


class Refused(StopsRun):
    """The command cannot be carried out as given; nothing was sent."""

    exit_status = 2


class JobError(Refused):
    """A flag, the job file, a template or a key is wrong."""


class DatasetError(Refused):
    """A dataset file is missing, is not what its name says, or has a flaw near its beginning."""


class RunFolderError(Refused):
    """The run folder is missing, held by another process, or belongs to another job."""


class ProviderStopped(StopsRun):
    """The provider will not answer any row: key, bill, quota, model, configuration or outage.

    `mend`: the flag, with a placeholder, without which a resume would stop likewise; None: none.
    """

    exit_status = 3

    def __init__(self, message: str, *, mend: str | None = None) -> None:
        super().__init__(message)
        self.mend = mend


class BudgetReached(StopsRun):
    """A budget of the user's is used up: failed rows, time, tokens or money."""

    exit_status = 4


class MachineFault(StopsRun):
    """This machine or its files failed in mid-run: disk full, folder read-only, dataset cut off."""

    exit_status = 5


class Interrupted(StopsRun):
    """Stopped by a person or by the system (Ctrl-C, SIGTERM)."""

    exit_status = 130


class FailsRow(PenstockError):  # noqa: N818 - the name says what it does, as in the tree above
    """The row has failed for good; the run goes on.

    `error_type` is a word of the `error_type` output column, `code` the provider's own code.
    """

    def __init__(self, error_type: str, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.message = message
        self.code = code


class AttemptFailed(PenstockError):  # noqa: N818 - one attempt, not the row, has failed
    """One HTTP call brought no usable reply. Made by `runner.client`, judged by `runner.verdict`.

    `partial` holds what did arrive of an answer, with its usage where the provider sent one.
    """

    partial: Reply | None = None

    @property
    def billed_unknown(self) -> bool:
        """Whether the provider may have charged for it without telling how much."""
        return self.partial is not None and self.partial.usage is None

    @property
    def is_risk(self) -> bool:
        """Whether a budget that must hold takes it for charged: also what is only possible."""
        return self.billed_unknown


class AnsweredError(AttemptFailed):
    """The server answered, and the answer is an error.

    Attributes: `status` (HTTP, also 200 when an error stood inside the body or the stream), `code`
    and `message` as the provider gave them ("" when it gave none), `headers` in lower case,
    `request_id` for the provider's support. `partial` is set when the error broke off a stream.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: Mapping[str, str],
        request_id: str | None = None,
        partial: Reply | None = None,
    ) -> None:
        said = f": {message}" if message else ""
        super().__init__(f"HTTP {status} {code}".rstrip() + said)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers
        self.request_id = request_id
        self.partial = partial


class Unreachable(AttemptFailed):
    """No connection to the endpoint, or it broke before the answer began."""

    was_sent = False  # the request may have reached the provider, who may have answered it

    @property
    def is_risk(self) -> bool:
        """Without a connection nothing was asked; behind one, nobody knows."""
        return self.was_sent


class Untrusted(Unreachable):
    """The endpoint's certificate is not trusted here; the text names its issuer where known."""


class TimedOut(AttemptFailed):
    """No complete answer within the time allowed; the provider may bill it all the same."""

    def __init__(self, message: str, *, partial: Reply | None = None) -> None:
        super().__init__(message)
        self.partial = partial

    @property
    def billed_unknown(self) -> bool:
        """True unless the usage had arrived already."""
        return self.partial is None or self.partial.usage is None


class IncompleteReply(AttemptFailed):
    """An answer that broke off, came partial, or cannot be read."""

    broke_off = False  # the connection ended before the answer did

    def __init__(self, message: str, *, partial: Reply | None = None, text: str = "") -> None:
        super().__init__(message)
        self.partial = partial
        self.text = text  # the beginning of an unreadable body, for the `rejected` column

    @property
    def billed_unknown(self) -> bool:
        """True unless the provider said what the broken answer cost."""
        return self.partial is None or self.partial.usage is None
