"""The explorer: linked views of one protein under one model."""
