"""Speed and memory, measured in fresh processes; run from `app/`: `python -m benchmarks.NAME`."""
