"""SQL shipped with the package."""
