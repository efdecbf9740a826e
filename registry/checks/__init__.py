"""What is odd in a registry: checks, each one SELECT over the tables and views, and what they found."""
