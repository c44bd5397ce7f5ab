"""Masked language models of Hugging Face's transformers: from the Hub, a folder, or memory."""
