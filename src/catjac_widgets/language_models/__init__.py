"""Language models: from tokens to logits. They know nothing of Jacobians, caches or widgets."""
