"""Tapes that read arrays entry by entry, as tapes of numbers. Floor 9.

A Python loop over ``x[i]`` records one step an entry. Such a tape is lowered as one of
numbers: an index is another name for an entry, a derivative goes from entry to entry,
and no array is made for what a single entry receives.
"""
