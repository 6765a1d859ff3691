from runner.dataset.batches import Batch, make_rows
from runner.dataset.dataset import Dataset, open_dataset

__all__ = ["Batch", "Dataset", "make_rows", "open_dataset"]
