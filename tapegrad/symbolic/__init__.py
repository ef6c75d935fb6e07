"""SymPy in and out: text and tapes to closed forms. Floor 9; loads SymPy when used."""
