"""HTTP in, a use case, HTTP out. One module for each group of routes; what they share is beside them."""
