from runner.providers.keys import Key, read_key
from runner.providers.models import ModelFacts
from runner.providers.parameters import Findings, ParameterTable, check_params, row_check
from runner.providers.price_list import Price, Tier
from runner.providers.providers import Endpoint, Providers

__all__ = [
    "Endpoint",
    "Findings",
    "Key",
    "ModelFacts",
    "ParameterTable",
    "Price",
    "Providers",
    "Tier",
    "check_params",
    "read_key",
    "row_check",
]
