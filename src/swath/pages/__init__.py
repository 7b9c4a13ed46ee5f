"""The one HTML engine, with the figures and the wording of numbers that every page shares."""
