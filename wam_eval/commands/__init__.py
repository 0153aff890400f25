"""Commands, by what they are about: they parse, call and print. No logic."""
