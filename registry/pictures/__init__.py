"""Photos with their annotation, as pictures and contact sheets."""
