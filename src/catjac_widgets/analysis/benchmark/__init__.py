"""Contact maps against experimental structures, over many proteins."""
