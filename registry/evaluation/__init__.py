"""How good a model is on DeepFashion2: predictions scored by the official protocol."""
