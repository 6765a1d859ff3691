from runner.limits.gate import Limits
from runner.limits.pace import RAMP_FROM, RAMP_S, SHARE, Pace
from runner.limits.token_budget import Reservation, TokenBudget

__all__ = [
    "RAMP_FROM",
    "RAMP_S",
    "SHARE",
    "Limits",
    "Pace",
    "Reservation",
    "TokenBudget",
]
