"""How peers are timed side by side: works, one process for each figure, the page."""
