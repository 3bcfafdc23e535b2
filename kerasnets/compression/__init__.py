"""Makes smaller networks of networks: quantisation-aware training, pruning, weight sharing, coding."""
