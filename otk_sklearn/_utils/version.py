"""The version of the library, written here alone."""

__version__ = "0.1.0"
