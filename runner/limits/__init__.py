from runner.limits.gate import Admission, Limits
from runner.limits.pace import RAMP_FROM, RAMP_S, SHARE, Pace
from runner.limits.token_budget import TokenBudget

__all__ = [
    "RAMP_FROM",
    "RAMP_S",
    "SHARE",
    "Admission",
    "Limits",
    "Pace",
    "TokenBudget",
]
