from runner.estimate.estimate import estimate
from runner.estimate.estimated import Estimate, ModelEstimate
from runner.estimate.exchange import in_usd
from runner.estimate.first_look import first_look
from runner.estimate.measured import LEAST, Answer, Measured
from runner.estimate.prompt_reading import Kind, PromptReader
from runner.estimate.ranges import Range
from runner.estimate.row_sample import count_rows
from runner.estimate.time_forecast import answer_seconds

__all__ = [
    "LEAST",
    "Answer",
    "Estimate",
    "Kind",
    "Measured",
    "ModelEstimate",
    "PromptReader",
    "Range",
    "answer_seconds",
    "count_rows",
    "estimate",
    "first_look",
    "in_usd",
]
