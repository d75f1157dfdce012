"""Intervals called on tracks."""
