"""Verification under pytest: one test a row of the table. Floor 12.

    pytest --pyargs tapegrad.testing
    pytest --pyargs tapegrad.testing -k "tanh or sech2" --tapegrad-points 10000

`plugin` is what pytest loads by itself where tapegrad is installed; it has the option
and the fixture ``check_gradient``.
"""
