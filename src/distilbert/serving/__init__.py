"""A pipeline behind HTTP: many callers, one model."""
