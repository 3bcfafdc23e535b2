"""Functions from a tensor to a tensor that two or more families share."""
