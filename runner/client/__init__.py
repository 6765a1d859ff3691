from runner.client.client import Client

__all__ = ["Client"]
