"""The sequence track with its fragments."""
