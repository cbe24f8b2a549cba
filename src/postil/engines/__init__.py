"""Engines: one request in, one completion out, foreign errors translated."""
