"""The demo: a year of real flights. It is not part of the library, because only a clone of this repository has the data."""
