from runner.simulator.error_lines import error_lines
from runner.simulator.in_process import InProcess, Planned
from runner.simulator.model import answer_to
from runner.simulator.scenario import NO_RULES, Scenario
from runner.simulator.server import Simulator, serve
from runner.simulator.settings import SimulatorSettings, parse_errors, parse_latency

__all__ = [
    "NO_RULES",
    "InProcess",
    "Planned",
    "Scenario",
    "Simulator",
    "SimulatorSettings",
    "answer_to",
    "error_lines",
    "parse_errors",
    "parse_latency",
    "serve",
]
