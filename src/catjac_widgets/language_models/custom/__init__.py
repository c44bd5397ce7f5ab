"""Models that a person brings along: any function from tokens to logits."""
