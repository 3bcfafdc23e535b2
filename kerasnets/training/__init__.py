"""Training by a recipe: trainer, losses, optimizers, callbacks, the loop."""
