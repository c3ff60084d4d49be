"""syncd: what changed in the catalogue that each of your Vivix API keys can call."""

__version__ = "0.1.0"
