"""How good a model is on DeepFashion2: predictions of boxes, masks, landmarks and retrieval, scored by the official protocol."""
