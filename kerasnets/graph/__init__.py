"""From a model to another model or to numbers: walk, cost, features, folding, freezing, dense and inference forms."""
