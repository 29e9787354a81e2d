"""The demo: a year of real flights through the loop, outside the library because only a clone of this repository has the data."""
