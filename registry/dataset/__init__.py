"""What DeepFashion2 is: its facts, its tables and columns, the names and numbers that are valid in it."""
