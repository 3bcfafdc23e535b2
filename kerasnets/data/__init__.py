"""From image files to batches: sources, pixel operations, the pipeline, labels."""
