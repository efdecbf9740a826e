"""Tables -> SQL: the connection recipe, look-ups, catalogs. The only user of duckdb."""
