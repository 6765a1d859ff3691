from runner.estimate.estimate import estimate
from runner.estimate.estimated import Estimate, ModelEstimate
from runner.estimate.exchange import in_usd
from runner.estimate.first_look import first_look
from runner.estimate.ranges import Range
from runner.estimate.time_forecast import answer_seconds

__all__ = [
    "Estimate",
    "ModelEstimate",
    "Range",
    "answer_seconds",
    "estimate",
    "first_look",
    "in_usd",
]
