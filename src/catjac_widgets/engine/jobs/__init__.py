"""Work in the background that can be watched and stopped."""
