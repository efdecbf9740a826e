"""Where work runs: processes, Dask, results in order."""
