from runner import simulator
from runner.begin import begin, run, run_sync
from runner.budget_notes import budget_notes
from runner.chat_completion import chat_completion
from runner.checked import Checked, check_endpoint
from runner.control import parse_wanted, send_order, wait_until_taken
from runner.counted import counted
from runner.dry_run import DryRun, dry_run
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
from runner.estimate import Estimate, Measured, ModelEstimate, Range, estimate, first_look, in_usd
from runner.event_loop import run_to_end
from runner.expected import keep_estimate
from runner.export import Exported, export
from runner.folder import RunFile, RunFolder, run_folder_of
from runner.going_on import go_on
from runner.handing import stream
from runner.job import Job, LimitSettings, read_job_file
from runner.plan import Plan, plan
from runner.preflight import Preflight, prepare
from runner.records import Reply, Request, Result, Row, Usage
from runner.rehearsal import rehearse
from runner.rehearsed import Rehearsal
from runner.row_ids import DoubleIds
from runner.running import Run
from runner.shown import Shown, ShownRows
from runner.simulator import SimulatorSettings
from runner.status import pace_of, runs_below, summary_of
from runner.summary import Summary
from runner.template import read_value

__all__ = [
    "BudgetReached",
    "Checked",
    "DatasetError",
    "DoubleIds",
    "DryRun",
    "Estimate",
    "Exported",
    "Interrupted",
    "Job",
    "JobError",
    "LimitSettings",
    "MachineFault",
    "Measured",
    "ModelEstimate",
    "PenstockError",
    "Plan",
    "Preflight",
    "ProviderStopped",
    "Range",
    "Refused",
    "Rehearsal",
    "Reply",
    "Request",
    "Result",
    "Row",
    "Run",
    "RunFile",
    "RunFolder",
    "RunFolderError",
    "Shown",
    "ShownRows",
    "SimulatorSettings",
    "StopsRun",
    "Summary",
    "Usage",
    "begin",
    "budget_notes",
    "chat_completion",
    "check_endpoint",
    "counted",
    "dry_run",
    "estimate",
    "export",
    "first_look",
    "go_on",
    "in_usd",
    "keep_estimate",
    "pace_of",
    "parse_wanted",
    "plan",
    "prepare",
    "read_job_file",
    "read_value",
    "rehearse",
    "run",
    "run_folder_of",
    "run_sync",
    "run_to_end",
    "runs_below",
    "send_order",
    "simulator",
    "stream",
    "summary_of",
    "wait_until_taken",
]
