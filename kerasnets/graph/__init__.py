"""Model -> model and model -> numbers: walking the graph, cost, features, folding, freezing."""
