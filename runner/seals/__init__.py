from runner.seals.keys import key_at, packed
from runner.seals.seals import Seals

__all__ = ["Seals", "key_at", "packed"]
