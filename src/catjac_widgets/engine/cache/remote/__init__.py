"""Entries as objects at a URL (S3, Google Cloud Storage, Azure, SFTP, …), through fsspec."""
