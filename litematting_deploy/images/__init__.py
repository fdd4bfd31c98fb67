"""Pictures in files and in light."""
