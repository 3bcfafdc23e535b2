"""What every test shares: a TensorFlow that does not chatter. Set before anything imports it."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
