"""Align-to-Distill: distil big neural translation models into small, fast ones."""

__version__ = "0.1.0"
