"""Where and how a training step runs: strategies, replicas, precision."""
