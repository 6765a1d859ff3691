from runner.dataset.batches import MAX_ROWS, Batch, make_rows
from runner.dataset.dataset import Dataset, open_dataset

__all__ = ["MAX_ROWS", "Batch", "Dataset", "make_rows", "open_dataset"]
