"""Functions mapped over an axis of their arguments: `vmap`. Floor 10."""

from tapegrad.batching import movement, nested, products
from tapegrad.batching.vmap import vmap

# the rules of rows put themselves into the reading's table
__all__ = ["movement", "nested", "products", "vmap"]
