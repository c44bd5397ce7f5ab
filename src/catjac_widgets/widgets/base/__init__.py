"""What every view uses: shared state, delivery to the front end, arrays, traits."""
