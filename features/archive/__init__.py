"""The raw log as hourly Parquet objects: written before the broker forgets, read with the log as one stream."""
