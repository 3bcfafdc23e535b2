"""Where a step runs: strategies, replicas, precision."""
