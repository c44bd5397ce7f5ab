"""What a stock model is, in what a model in memory differs from one, and the fingerprint that follows."""
