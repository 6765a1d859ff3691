from runner.estimate.estimate import estimate
from runner.estimate.estimated import Estimate, ModelEstimate
from runner.estimate.exchange import in_usd
from runner.estimate.first_look import first_look
from runner.estimate.ranges import Range

__all__ = ["Estimate", "ModelEstimate", "Range", "estimate", "first_look", "in_usd"]
