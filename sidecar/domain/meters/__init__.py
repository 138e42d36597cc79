"""Meters: how usage is read out of an answer while it passes.

Each named reader is one file that knows one API; `pointers` reads what a rule names itself. Readers get decoded text
and never fail: what they cannot read, they have not read. `body` shows them the pieces of an answer.
"""
