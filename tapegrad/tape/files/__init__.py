"""Tape files: a tape as bytes, and back. Floor 2; loads safetensors when called.

``container`` knows the safetensors container, version and digest; ``values`` turns
static values into JSON and back, ``trees`` the nesting of arguments, ``contents`` whole
tapes; ``atomic`` writes a file that is there entirely or not at all. Reading runs
nothing and imports nothing that a file names.
"""

from tapegrad.tape.files.contents import from_bytes, load, save, to_bytes

__all__ = ["from_bytes", "load", "save", "to_bytes"]
