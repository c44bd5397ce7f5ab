"""Contact maps: from a Jacobian, from the contact head, between chains."""
