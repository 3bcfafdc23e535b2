"""Export a trained network as SavedModel or TFLite, check the exported file, and predict with any of them."""
