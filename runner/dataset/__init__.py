from runner.dataset.batches import Batch
from runner.dataset.dataset import Dataset, open_dataset

__all__ = ["Batch", "Dataset", "open_dataset"]
