from runner import simulator
from runner.begin import begin, go_on
from runner.errors import (
    BudgetReached,
    DatasetError,
    Interrupted,
    JobError,
    MachineFault,
    PenstockError,
    ProviderStopped,
    Refused,
    RunFolderError,
    StopsRun,
)
from runner.event_loop import run_to_end
from runner.export import export
from runner.folder import RunFile, RunFolder, run_folder_of
from runner.handing import stream
from runner.job import Job, LimitSettings, read_job_file
from runner.preflight import Preflight, prepare
from runner.records import Reply, Request, Result, Row, Usage
from runner.running import Run
from runner.summary import Summary
from runner.template import read_value

__all__ = [
    "BudgetReached",
    "DatasetError",
    "Interrupted",
    "Job",
    "JobError",
    "LimitSettings",
    "MachineFault",
    "PenstockError",
    "Preflight",
    "ProviderStopped",
    "Refused",
    "Reply",
    "Request",
    "Result",
    "Row",
    "Run",
    "RunFile",
    "RunFolder",
    "RunFolderError",
    "StopsRun",
    "Summary",
    "Usage",
    "begin",
    "export",
    "go_on",
    "prepare",
    "read_job_file",
    "read_value",
    "run_folder_of",
    "run_to_end",
    "simulator",
    "stream",
]
