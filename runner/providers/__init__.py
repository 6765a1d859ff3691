from runner.providers.keys import Key, read_key
from runner.providers.models import ModelFacts
from runner.providers.price_list import Price, Tier
from runner.providers.providers import Endpoint, Providers

__all__ = ["Endpoint", "Key", "ModelFacts", "Price", "Providers", "Tier", "read_key"]
