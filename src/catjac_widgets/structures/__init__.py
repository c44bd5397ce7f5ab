"""Experimental structures and the example proteins."""
