"""The registry in a browser: pages, and the same answers as JSON and Arrow under the same addresses."""
