"""Floor 3: experimental structures and the example proteins."""
