"""Photos with what is annotated in them, as pictures and contact sheets."""
